"""cmake --install: every file is where the directory parameters say, below DESTDIR, and "postfix set-permissions" makes it usable."""

import grp
import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest

from support.mta import Suite, Instance, mail_owner, setgid_group

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", SOURCE / "build" / "dev")).resolve()
COMMANDS = ("postalias", "postcat", "postconf", "postdrop", "postfix", "postkick", "postlock", "postlog", "postmap", "postmulti", "postqueue", "postsuper", "qshape", "sendmail",
            "smtp-sink", "smtp-source")
DAEMONS = ("anvil", "bounce", "cleanup", "discard", "error", "flush", "local", "master", "pickup", "postlogd", "qmgr", "showq", "smtp", "smtpd",
           "trivial-rewrite", "virtual")


def cache():
    """CMake's settings of the build tree."""
    found = re.findall(r"(?m)^([A-Za-z_]+):[A-Z]+=(.*)$", (BUILD / "CMakeCache.txt").read_text())
    return dict(found)


def install(root):
    done = subprocess.run(["cmake", "--install", BUILD], env={**os.environ, "DESTDIR": str(root)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory, suite):
    """The build tree, installed below a directory."""
    if suite.is_postfix:
        pytest.skip("Stagepost only")
    directory = tmp_path_factory.mktemp("root")
    directory.chmod(0o755)  # daemons run as another user
    install(directory)
    return directory


def below(root, path):
    return root / str(path).lstrip("/")


def default(name):
    return subprocess.run([BUILD / "bin/postconf", "-dh", name], capture_output=True, text=True, check=True).stdout.strip()


def test_programs_are_in_their_directories(root):
    for parameter, names in (("command_directory", COMMANDS), ("daemon_directory", DAEMONS)):
        directory = below(root, default(parameter))
        for name in names:
            program = directory / name
            assert program.exists(), program
            assert os.access(program, os.X_OK), program
            assert stat.S_IMODE(program.stat().st_mode) & 0o022 == 0, f"others may write {program}"


@pytest.mark.parametrize("parameter", ["mailq_path", "newaliases_path"])
def test_links_lead_to_sendmail(root, parameter):
    link = below(root, default(parameter))
    assert link.is_symlink()
    # The target is where sendmail will be, not where DESTDIR is now.
    target = pathlib.Path(os.readlink(link))
    assert not target.is_relative_to(root)
    resolved = below(root, target) if target.is_absolute() else link.parent / target
    assert resolved.resolve() == below(root, default("sendmail_path")).resolve()


def test_lmtp_is_the_smtp_client(root):
    directory = below(root, default("daemon_directory"))
    assert (directory / "lmtp").resolve() == (directory / "smtp").resolve() or (directory / "lmtp").read_bytes() == (directory / "smtp").read_bytes()


def test_nothing_is_outside_the_directory_parameters(root):
    allowed = [below(root, default(name)) for name in ("command_directory", "daemon_directory", "config_directory", "manpage_directory", "shlib_directory")]
    allowed += [below(root, default(name)) for name in ("mailq_path", "newaliases_path", "sendmail_path")]
    allowed.append(below(root, default("config_directory")).parent / "aliases")
    allowed.append(below(root, pathlib.Path(cache()["CMAKE_INSTALL_PREFIX"]) / "share/doc"))
    for directory, _, files in os.walk(root):
        for name in files:
            path = pathlib.Path(directory) / name
            assert any(path == other or path.is_relative_to(other) for other in allowed), path


def test_configuration_of_an_administrator_is_kept(root):
    main = below(root, default("config_directory")) / "main.cf"
    pristine = main.read_text()
    main.write_text(pristine + "# changed\n")
    output = install(root)
    assert main.read_text() == pristine + "# changed\n"
    assert f"Kept: {main}" in output
    main.write_text(pristine)


def test_configure_time_directories_are_honoured(tmp_path):
    """Every directory parameter can be chosen; only what needs no compiler is looked at."""
    chosen = {
        "CONFIG_DIRECTORY": "/opt/mail/etc/conf", "QUEUE_DIRECTORY": "/srv/queue", "DATA_DIRECTORY": "/srv/data",
        "DAEMON_DIRECTORY": "/opt/mail/daemons", "COMMAND_DIRECTORY": "/opt/mail/commands", "MAILQ_PATH": "/opt/mail/mailq",
        "NEWALIASES_PATH": "/opt/mail/newaliases", "SENDMAIL_PATH": "/opt/mail/commands/sendmail", "MANPAGE_DIRECTORY": "/opt/mail/man",
        "MAIL_OWNER": "mailowner", "SETGID_GROUP": "maildropper",
    }
    build = tmp_path / "build"
    done = subprocess.run(
        ["cmake", "-S", SOURCE, "-B", build, "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={cache()['CMAKE_CXX_COMPILER']}", "-DCMAKE_INSTALL_PREFIX=/opt/mail",
         *(f"-DSTAGEPOST_{name}={value}" for name, value in chosen.items())], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    header = next(build.rglob("build_directories.hpp")).read_text()
    for name, value in chosen.items():
        assert f'"{value}"' in header, name
    root = tmp_path / "root"
    done = subprocess.run(["cmake", "-P", build / "conf/cmake_install.cmake"], env={**os.environ, "DESTDIR": str(root)}, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("conf/main.cf", "conf/master.cf", "aliases"):
        assert (root / "opt/mail/etc" / name).is_file(), name
    scripts = "".join(path.read_text() for path in build.rglob("cmake_install.cmake"))
    for value in ("/opt/mail/daemons", "/opt/mail/commands", "/opt/mail/mailq", "/opt/mail/newaliases"):
        assert f"{value}" in scripts, value


class InstalledInstance(Instance):
    """The installed programs with the installed configuration, which names where things really are."""

    def write_config(self):
        if not (self.config / "main.cf").exists():
            for name in ("main.cf", "master.cf"):
                shutil.copy(self.stock / name, self.config)
            services = (self.config / "master.cf").read_text()
            services = re.sub(r"(?m)^(\w+\s+\S+\s+\S+\s+\S+\s+)y(?=\s)", r"\1n", services)
            (self.config / "master.cf").write_text(re.sub(r"(?m)^smtp(?=\s+inet)", f"127.0.0.1:{self.port()}", services))
        for name, value in self.main.items():
            self.run("postconf", "-e", f"{name}={value}", check=True)


def test_set_permissions_makes_a_usable_system(root):
    """Installed files + "postfix set-permissions" = a system that starts without a warning about its files."""
    commands, daemons = (below(root, default(name)) for name in ("command_directory", "daemon_directory"))
    InstalledInstance.stock = below(root, default("config_directory"))
    instance = InstalledInstance(Suite("stagepost", str(daemons), str(commands)))
    try:
        instance.postfix("set-permissions", check=True)
        owner, group = mail_owner(), grp.getgrnam(setgid_group())
        for name in ("postdrop", "postlog", "postqueue"):
            info = (commands / name).stat()
            assert stat.S_IMODE(info.st_mode) == 0o2755, name
            assert info.st_gid == group.gr_gid, name
        for name, mode in (("incoming", 0o700), ("active", 0o700), ("deferred", 0o700), ("maildrop", 0o730), ("public", 0o710), ("pid", 0o755)):
            info = (instance.queue / name).stat()
            assert stat.S_IMODE(info.st_mode) == mode, name
            assert info.st_uid == (os.geteuid() if name == "pid" else owner.pw_uid), name
            if name in ("maildrop", "public"):
                assert info.st_gid == group.gr_gid, name
        check = instance.postfix("check")
        # The stock master.cf names programs that may not be there yet; nothing else may be said about a fresh installation.
        missing = re.compile(r"warning: \S*/master\.cf, line [\d, ]+: no program (\S+)$")
        said = [line for line in (check.stdout + check.stderr).splitlines()
                if not (missing.search(line) and not os.path.exists(missing.search(line)[1]))]
        assert (check.returncode, said) == (0, [])
        instance.start()
        assert not instance.log.find(r"warning: .*(?:not owned|writable|set-gid)")
        instance.stop()
    finally:
        instance.close()
