"""The command line of sendmail, mailq and newaliases, Postfix's and ours: exit status, messages, and the submission in maildrop."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile

import pytest

from support.mta import mail_owner, setgid_group, postfix_suite, stagepost_suite

SUITES = {"postfix": postfix_suite(), "stagepost": stagepost_suite()}
POSTCAT = shutil.which("postcat", path="/usr/sbin")

pytestmark = [
    pytest.mark.skipif(any(suite.missing() for suite in SUITES.values()), reason="needs both mail systems"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a queue that both may use"),
]

MESSAGE = b"Subject: x\nTo: h@d.test\n\nbody\n.\nmore\n"
CASES = [line for line in r"""
-bm a@b.test
-bv a@b.test
-bv a@b.test c@d.test
-bz a@b.test
-bh
-bH
-bp x
-bi
-bi x
-I
-I a@b.test
-B 7BIT a@b.test
-B8bitmime a@b.test
-C /nonex a@b.test
-F 'Full Name' a@b.test
-f 'a b c' x@y.test
-f '' x@y.test
-f '<>' x@y.test
-f 'Joe <joe@x.test>' x@y.test
-G a@b.test
-h 5 a@b.test
-i a@b.test
-L lab a@b.test
-m a@b.test
-N never a@b.test
-N success,failure,delay a@b.test
-N never,delay a@b.test
-N '' a@b.test
-n a@b.test
-oA
-oA{area}/aliases -bi
-o7 a@b.test
-oi a@b.test
-om -oi -odq a@b.test
-o x value a@b.test
-oem a@b.test
-O DeliveryMode=b a@b.test
-p SMTP a@b.test
-q30m
-q30m a@b.test
-qI
-qR
-qS
-qfoo
-q foo
-r a@b.test x@y.test
-R hdrs a@b.test
-Rfull a@b.test
-R foo a@b.test
-t
-t a@b.test
-ti
-U a@b.test
-V envid a@b.test
-X file a@b.test
-v a@b.test
-Am a@b.test
-x a@b.test
-Z
-em a@b.test
-c a@b.test
-s a@b.test
-d0 a@b.test
-bv -t a@b.test
-bd x
-bi -t
-t -bi
-bp -t a@b.test
-- -f
a@b.test -f
'a@b.test, c@d.test'
'a b <c@d.test>'
-fx@y.test -fz@y.test a@b.test
-ifx@y.test a@b.test
--
""".splitlines() if line]


@pytest.fixture(scope="module", name="area")
def _area():
    area = pathlib.Path(tempfile.mkdtemp(prefix="sp-sendmail-", dir=os.environ.get("STAGEPOST_TEST_DIR", "/var/tmp")))
    area.chmod(0o755)
    (area / "aliases").write_text("root: someone\n")
    owner = mail_owner()
    for name in ("queue", "data"):
        (area / name).mkdir()
    os.chown(area / "data", owner.pw_uid, owner.pw_gid)
    for name, suite in SUITES.items():
        etc = area / name
        etc.mkdir()
        (etc / "master.cf").write_text("")
        (etc / "main.cf").write_text(
            f"compatibility_level = 3.6\nqueue_directory = {area}/queue\ndata_directory = {area}/data\nmyhostname = h.test\nalias_maps =\n"
            f"alias_database = lmdb:{area}/aliases\ndefault_database_type = lmdb\nmail_owner = {owner.pw_name}\nsetgid_group = {setgid_group()}\n"
            f"command_directory = {suite.command_directory}\ndaemon_directory = {suite.daemon_directory}\n")
    subprocess.run([SUITES["stagepost"].program("postfix"), "-c", area / "stagepost", "check"], check=True, capture_output=True)
    yield area
    if not os.environ.get("STAGEPOST_TEST_KEEP"):
        shutil.rmtree(area, ignore_errors=True)


def outcome(area, name, arguments, program="sendmail"):
    """(status, messages, submissions) with what must differ left out."""
    suite, etc = SUITES[name], area / name
    path = SUITES[name].program(program)
    if not os.path.exists(path):
        path = f"/usr/bin/{program}"
    done = subprocess.run([path, *arguments], input=MESSAGE, capture_output=True, check=False, timeout=60, cwd=area,
                          env={"PATH": os.environ["PATH"], "MAIL_CONFIG": str(etc), "NAME": "Tester", "LC_ALL": "C.UTF-8"})
    messages = []
    for line in (done.stdout + done.stderr).decode().splitlines():
        # Postfix tells each submitter that nobody listens; getopt's own lines and usages are worded otherwise.
        if "unable to look up" in line or "unknown DSN NOTIFY" in line or "-- '" in line:
            continue
        messages.append(re.sub(r"usage: .*|option requires an argument.*", "usage", line.replace(str(etc), "ETC")))
    submissions = []
    for file in sorted((area / "queue" / "maildrop").iterdir()):
        text = subprocess.run([POSTCAT, "-c", area / "postfix", file], capture_output=True, text=True, check=True).stdout
        submissions.append([line for line in text.splitlines() if not re.search(r"_time: |^\*\*\* ", line)])
        file.unlink()
    return done.returncode, messages, submissions


@pytest.mark.parametrize("line", CASES)
def test_sendmail(area, line):
    arguments = shlex.split(line.replace("{area}", str(area)))
    theirs = outcome(area, "postfix", arguments)
    assert outcome(area, "stagepost", arguments) == theirs


@pytest.mark.parametrize("program, line", [(program, line) for program in ("mailq", "newaliases") for line in ("foo", "-t", "-bm a@b.test", "-Ac", "-q30m")])
def test_other_names(area, program, line):
    arguments = shlex.split(line)
    assert outcome(area, "stagepost", arguments, program) == outcome(area, "postfix", arguments, program)
