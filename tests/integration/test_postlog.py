"""postlog with maillog_file: through postlogd for every user, into the file itself while the mail system is down."""

import os
import pathlib
import shutil
import subprocess

import pytest

from support.mta import setgid_group


def test_through_postlogd(make_instance):
    mta = make_instance()
    mta.run("postlog", "-t", "script", "-p", "warn", "one", "two", check=True)
    mta.log.wait(r" script\[\d+\]: warning: one two$")
    mta.run("postlog", input="first line\nsecond line\n", check=True)
    mta.log.wait(r"postfix/postlog\[\d+\]: second line$")


def test_while_the_mail_system_is_down(make_instance):
    mta = make_instance(start=False)
    mta.run("postlog", "before the start", check=True)
    assert mta.log.find(r"postfix/postlog\[\d+\]: before the start$")
    mta.start()
    mta.stop()
    mta.run("postlog", "after the end", check=True)
    assert mta.log.find(r"postfix/postlog\[\d+\]: after the end$")


def test_the_tag_cannot_forge_a_line(make_instance):
    mta = make_instance()
    mta.run("postlog", "-t", "tag\nNov 22 00:00:00 mx postfix/smtpd[1]: forged", "text", check=True)
    mta.log.wait(r"forged\[\d+\]: text$")
    assert not mta.log.find(r"(?m)^Nov 22 00:00:00 mx postfix/smtpd\[1\]")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="installs a set-group-ID program in a mount namespace")
def test_any_user(make_instance, only_stagepost, suite):
    """As it is installed (postfix set-permissions): set-group-ID setgid_group, and only for the default configuration directory."""
    mta = make_instance()
    default = mta.run("postconf", "-dh", "config_directory", check=True).stdout.strip()
    program = mta.directory / "postlog"
    shutil.copy(suite.program("postlog"), program)
    shutil.chown(program, "root", setgid_group())
    program.chmod(0o2755)
    # In a mount namespace, the instance's main.cf lies where the build looks for it by default.
    present = pathlib.Path(default)
    while not present.is_dir():
        present = present.parent
    if str(present) in ("/", "/etc", "/usr"):
        pytest.skip(f"{default} cannot be made without hiding {present}")
    script = """set -e
mount -t tmpfs none "$2"
mkdir -p "$1"
cp "$0/config/main.cf" "$1/main.cf"
shift 2
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
"""

    def as_nobody(*arguments, **environment):
        return subprocess.run(["unshare", "--mount", "sh", "-c", script, str(mta.directory), default, str(present), *map(str, arguments)], capture_output=True,
                              text=True, timeout=60, check=False, env={"PATH": os.environ["PATH"], **environment})

    unprivileged = pathlib.Path(suite.program("postlog"))
    if "not permitted" in as_nobody("true").stderr:
        pytest.skip("no namespaces here")
    done = as_nobody(program, "-t", "usertool", "hello from nobody")
    assert done.returncode == 0, done.stderr
    mta.log.wait(r" usertool\[\d+\]: hello from nobody$")
    # Without the set-group-ID bit nobody does not get through public/.
    as_nobody(unprivileged, "-t", "usertool", "without the bit")
    # A configuration of the user's own would open any socket or file with the group's rights.
    done = as_nobody(program, "elsewhere", MAIL_CONFIG=str(mta.config))
    assert done.returncode != 0 and "unauthorized configuration directory name" in done.stderr
    done = as_nobody(program, "-c", mta.config, "elsewhere")
    assert done.returncode != 0
    as_nobody(program, "-t", "usertool", "last")
    mta.log.wait(r" usertool\[\d+\]: last$")
    assert not mta.log.find(r"without the bit|elsewhere")
