"""postmap -h, -b and -m: lookup keys from a message, Postfix's and ours."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", ROOT / "build" / "dev")).resolve()
POSTFIX = shutil.which("postmap", path="/usr/sbin")
OURS = str(BUILD / "bin" / "postmap")

pytestmark = [
    pytest.mark.skipif(POSTFIX is None, reason="Postfix is not installed"),
    pytest.mark.skipif(not os.path.exists(OURS), reason="postmap is not built"),
]

TABLE = """\
/^Subject: (.*)/ SUBJECT $1
/^X-(.*)/ FIELD $1
/body/ BODY
/^Content-Type: (.*)/ TYPE $1
/$/ ANY
"""
NESTED = b"""\
Received: from a
\tby b
Subject: hello
 folded
X-One: 1
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="bb"

preamble body
--bb
Content-Type: text/plain
X-Part: p

part body line
--bb
Content-Type: message/rfc822

Subject: inner
X-Inner: i

inner body
--bb--
epilogue body
"""
MESSAGES = {
    "nested": NESTED,
    "no empty line": b"Subject: x\nbad line\nSubject: y\n",
    "no header": b"no header\nfoo\n",
    "not utf-8": b"Subject: \xff\n\nbody \xff\n",
    "header only": b"Subject: x\nX-Last: y",
    "empty": b"",
}


@pytest.fixture(scope="module", name="area")
def _area(tmp_path_factory):
    area = tmp_path_factory.mktemp("keys")
    (area / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = h.test\n")
    (area / "table").write_text(TABLE)
    return area


def run(program, area, options, message):
    done = subprocess.run(["postmap", "-c", area, *options, "regexp:table"], executable=program, input=message, capture_output=True, check=False,
                          timeout=60, cwd=area)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("options", ["-h", "-b", "-hb", "-hm", "-bm", "-hbm", "-m", "-hbU", "-hbu"])
@pytest.mark.parametrize("name", MESSAGES)
def test_keys(area, name, options):
    theirs, ours = (run(program, area, [options, "-q", "-"], MESSAGES[name]) for program in (POSTFIX, OURS))
    assert ours == theirs


@pytest.mark.parametrize("options", [["-h", "-q", "key"], ["-b", "-q", "key"], ["-m", "-q", "key"], ["-h", "-s"], ["-h"], ["-b", "-d", "x"]], ids=" ".join)
def test_only_with_a_message(area, options):
    theirs, ours = (run(program, area, options, b"") for program in (POSTFIX, OURS))
    assert ours == theirs and ours[0] == 1
