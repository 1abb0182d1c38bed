"""Queue files, both ways: our postcat against Postfix's on files that Postfix wrote, and Postfix's postcat on ours."""

import os
import pathlib
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", SOURCE / "build" / "dev")).resolve()
OURS = BUILD / "bin" / "postcat"
SAMPLE = BUILD / "src" / "lib" / "queue" / "queue_sample"
POSTFIX = shutil.which("postcat", path="/usr/sbin:/usr/local/sbin")
FIXTURES = sorted((SOURCE / "tests" / "fixtures" / "queue").iterdir())
OPTIONS = ["", "-e", "-h", "-b", "-bh", "-eh", "-be", "-d", "-o", "-do", "-r", "-rdo", "-v", "-vr", "-vdo", "-vrdo",
           "-s 97 -do", "-bv", "-hv", "-ev"]

pytestmark = pytest.mark.skipif(not (OURS.exists() and POSTFIX), reason="needs both postcat programs")


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    directory = tmp_path_factory.mktemp("etc")
    (directory / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = box.example\ninet_interfaces = loopback-only\n")
    return directory


def run(program, configuration, options, file):
    """Output, warnings and status; the debug chatter of Postfix's -v is left out."""
    done = subprocess.run(["postcat", "-c", configuration, *options.split(), file], executable=program, capture_output=True,
                          env={"TZ": "UTC", "PATH": os.environ["PATH"]}, timeout=30, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith((b"postcat: warning:", b"postcat: fatal:"))]
    return done.stdout, errors, done.returncode


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.name)
def test_our_postcat_prints_what_postfix_prints(configuration, fixture, options):
    assert run(OURS, configuration, options, fixture) == run(POSTFIX, configuration, options, fixture)


@pytest.mark.parametrize("options", OPTIONS)
def test_postfix_reads_what_our_writer_wrote(configuration, tmp_path, options):
    path = subprocess.run([SAMPLE, tmp_path], capture_output=True, text=True, check=True).stdout.strip()
    theirs = run(POSTFIX, configuration, options, path)
    assert theirs == run(OURS, configuration, options, path)
    if options != "-s 97 -do":
        assert theirs[1:] == ([], 0)
    if options == "-e":
        text = theirs[0].decode()
        assert "done_recipient: r@example.com" in text
        assert text.index("recipient: added@example.com") < text.index("MESSAGE CONTENTS")
        assert "recipient: bcc@example.com" in text
