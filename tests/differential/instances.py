"""A private multi-instance world: the default configuration directory of a suite is replaced in a mount namespace of its own."""

import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", ROOT / "build" / "dev")).resolve()
# Debian's postfix reads /etc/postfix; ours what it was built for.
PREPARE = r"""
set -e
mount --make-rprivate /
mkdir -p "$AREA/upper"
mount -t tmpfs tmpfs "$AREA/upper"
mkdir "$AREA/upper/u" "$AREA/upper/w"
parent=$(dirname "$CONFIG")
mount -t overlay overlay -o lowerdir="$parent",upperdir="$AREA/upper/u",workdir="$AREA/upper/w" "$parent"
rm -rf "$CONFIG"
cp -r "$AREA/etc" "$CONFIG"
set +e
cd "$AREA"
. "$AREA/script"
"""


def on_terminal(command, environment, timeout=120):
    """Runs a command on a terminal, since Postfix's administrative commands say little elsewhere; its output without CR."""
    pid, master = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, environment)
    output = b""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 1)
        if not ready:
            continue
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        output += chunk
    os.close(master)
    os.waitpid(pid, 0)
    return output.decode("utf-8", "replace").replace("\r", "")


def can_unshare():
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


class World:
    """Runs scripts with one suite's commands; paths in the output are the same for every suite."""

    def __init__(self, suite, area):
        self.suite, self.area = suite, area
        self.postfix = suite == "postfix"
        self.commands = "/usr/sbin" if self.postfix else str(BUILD / "bin")
        daemons = "/usr/lib/postfix/sbin" if self.postfix else str(BUILD / "libexec")
        with_config = {**os.environ, "MAIL_CONFIG": str(area / "etc")}
        (area / "etc").mkdir(parents=True)
        for name in ("spool", "lib"):
            (area / name).mkdir()
        (area / "lib" / "postfix").mkdir()
        shutil.chown(area / "lib" / "postfix", "postfix")
        (area / "spool" / "postfix").mkdir()
        os.chmod(area, 0o755)
        main = (f"compatibility_level = 3.6\nqueue_directory = {area}/spool/postfix\ndata_directory = {area}/lib/postfix\n"
                f"command_directory = {self.commands}\ndaemon_directory = {daemons}\nmeta_directory = {area}/meta\n"
                "inet_interfaces = 127.0.0.1\nmaster_service_disable = inet\nmyhostname = host.test\nalias_maps =\nalias_database =\n"
                f"maillog_file = {area}/log\nmaillog_file_prefixes = {area}\n")
        (area / "etc" / "main.cf").write_text(main)
        services = (ROOT / "conf" / "master.cf").read_text()
        # No chroot: that would want files of the system in each queue.
        services = re.sub(r"(?m)^(\w+\s+\S+\s+\S+\s+\S+\s+)y(?=\s)", r"\1n", services)
        (area / "etc" / "master.cf").write_text(services)
        (area / "meta").mkdir()
        template = (f"# new\ncompatibility_level = 3.6\nalias_maps =\nalias_database =\nmyhostname = second.test\n"
                    f"maillog_file = {area}/log\nmaillog_file_prefixes = {area}\n")
        (area / "meta" / "main.cf.proto").write_text(template)
        (area / "meta" / "master.cf.proto").write_text(services)
        if self.postfix:
            for name in ("postfix-files", "dynamicmaps.cf"):
                shutil.copy(f"/etc/postfix/{name}", area / "meta")
        self.config = subprocess.run([f"{self.commands}/postconf", "-d", "-h", "config_directory"], env=with_config, capture_output=True,
                                     text=True, check=True).stdout.strip()

    def run(self, script):
        """The script sees the commands in PATH. Each `t command` prints the command, its output and its exit status."""
        (self.area / "script").write_text('t() { echo "--- $*"; "$@" 2>&1; echo "status $?"; }\n' + script)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAIL_", "multi_"))}
        environment |= {"AREA": str(self.area), "CONFIG": self.config, "PATH": self.commands + ":" + os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        output = on_terminal(["unshare", "-m", "sh", "-c", PREPARE], environment)
        etc = str(pathlib.PurePath(self.config).parent)
        output = output.replace(str(self.area), "AREA").replace(etc + "/", "ETC/")
        return output.splitlines()
