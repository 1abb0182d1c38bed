"""Tables of Postfix's qshape and ours over the same queue. Rows with equal sums are in no order there, so lines are sorted."""

import os
import pathlib
import shutil
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", ROOT / "build" / "dev")).resolve()
POSTFIX = shutil.which("qshape", path="/usr/sbin:/usr/bin")
OURS = BUILD / "bin" / "qshape"

pytestmark = [
    pytest.mark.skipif(POSTFIX is None or shutil.which("perl") is None, reason="Postfix is not installed (or has no qshape)"),
    pytest.mark.skipif(not OURS.exists(), reason="qshape is not built"),
]


def record(kind, data=""):
    data = data.encode()
    octets, length = len(data), b""
    while True:
        octets, low = octets >> 7, octets & 0x7F
        length += bytes([low | 0x80 if octets else low])
        if not octets:
            return kind.encode() + length + data


def put(path, sender, recipients, age, done=(), late=(), mode=0o700):
    """A queue file that arrived `age` seconds ago."""
    envelope = record("T", f"{int(time.time()) - age} 0") + record("S", sender)
    for address in recipients:
        envelope += record("O", address) + record("D" if address in done else "R", address)
    envelope += record("M")
    content = record("N", "Subject: x") + record("N")
    extracted = record("X") + b"".join(record("R", address) for address in late)
    offset = len(envelope) + 97
    size = record("C", "".join(f"{n:15d} " for n in (len(content), offset, len(recipients) + len(late), 0, len(content), 0))[:-1])
    assert len(size) == 97
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(size + envelope + content + extracted + record("E"))
    path.chmod(mode)


@pytest.fixture(scope="module")
def area(tmp_path_factory):
    area = tmp_path_factory.mktemp("qshape")
    (area / "etc").mkdir()
    (area / "etc" / "main.cf").write_text(f"compatibility_level = 3.6\nqueue_directory = {area}/queue\n")
    (area / "etc" / "master.cf").write_text("")
    queue, names = area / "queue", iter(range(1, 1000))
    for name in ("incoming", "active", "deferred", "hold", "empty"):
        (queue / name).mkdir(parents=True)

    def message(place, *args, **kwargs):
        put(queue / place / f"{next(names):010X}", *args, **kwargs)

    message("incoming", "s@send.test", ["a@x.test", "b@x.test", "c@Y.Test"], 10)
    message("incoming", "", ["a@x.test"], 420)
    message("incoming", "unfinished@prog.test", ["d@x.test"], 10, mode=0o600)
    message("active", "noat", ["local", '"q@z"@w.test', "u@[1.2.3.4]"], 720)
    message("active", "s@send.test", ["d@x.test", "dd@x.test"], 100000, done=["dd@x.test"])
    message("hold", "s@future.test", ["d@x.test", "a@.", "b@..y", "c@x..y.q", "d@.lead.x", "e@trail.x.", "s p@ace.x"], -400)
    message("deferred", "after@extracted.test", ["d@x.test"], 30, late=["zz@late.test"])
    message("deferred/A/b", "sub@dir.test", ["a@b.very-long-domain-name-is-here.and-goes-on-and-on.example.com"], 30)
    message("deferred/foo", "sub@foo.test", ["a@foo"], 30)
    (queue / "deferred" / "0BAD0BAD").write_bytes(b"hello")
    for domain in range(30):
        for n in range(domain % 7 + 1):
            message("deferred", f"s{n}@s{domain}.send.test", [f"r{n}@host{domain}.some.example.com", f"r@other{domain % 9}.org"],
                    60 * (n * n * 13 + domain * 31) + 30)
    for address in ("a@x.y.z.test", "a@x.y.z.test", "b@y.z.test", "c@q.z.test", "d@z.test", "e@w.y.z.test", "f@v.w.y.z.test"):
        message("hold", "s@a.test", [address], 30)
    return area


@pytest.mark.parametrize("arguments", [
    (), ("-s",), ("hold",), ("-s", "hold"), ("deferred",), ("-s", "deferred"), ("-p", "deferred"), ("-p", "-m", "1", "deferred"),
    ("-p", "-m", "2", "deferred"), ("-p", "-m", "3", "hold"), ("-p", "-m", "1", "hold"), ("-s", "-p", "-b", "3", "-t", "30", "deferred"),
    ("-l", "-b", "5", "deferred"), ("-l", "-b", "12", "-t", "1", "hold"), ("-w", "50", "deferred"), ("-w", "120", "deferred"), ("-b", "1", "hold"),
    ("-b", "0", "hold"), ("-t", "0", "-b", "2", "hold"), ("-b", "15", "-p", "-w", "60", "-m", "1", "deferred"), ("empty",), ("-n", "3", "deferred"),
    ("hold", "incoming", "active", "deferred"), ("missing",), ("missing", "hold"),
], ids=" ".join)
def test_tables(area, arguments):
    outputs = {}
    for program in (POSTFIX, str(OURS)):
        done = subprocess.run([program, "-c", area / "etc", *arguments], capture_output=True, text=True, check=False, timeout=60,
                              env={"PATH": "/usr/sbin:/usr/bin:/bin"})
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        outputs[program] = lines[:2] + sorted(lines[2:])
        # Perl warns of its own.
        assert ("No such file" in done.stderr) == ("missing" in arguments)
    assert outputs[str(OURS)] == outputs[POSTFIX]


def test_an_absolute_path(area):
    tables = [subprocess.run([program, str(area / "queue" / "hold")], capture_output=True, text=True, check=True,
                             env={"MAIL_CONFIG": str(area / "etc"), "PATH": "/usr/sbin:/usr/bin:/bin"}).stdout for program in (POSTFIX, str(OURS))]
    assert sorted(tables[0].splitlines()) == sorted(tables[1].splitlines())
    assert len(tables[0].splitlines()) > 5
