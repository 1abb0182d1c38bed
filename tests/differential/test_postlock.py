"""Exit status and messages of postlock, Postfix's and ours, with each lock held and free."""

import fcntl
import os
import pathlib
import shutil
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", ROOT / "build" / "dev")).resolve()
POSTFIX = shutil.which("postlock", path="/usr/sbin")
OURS = str(BUILD / "bin" / "postlock")

pytestmark = [
    pytest.mark.skipif(POSTFIX is None, reason="Postfix is not installed"),
    pytest.mark.skipif(not os.path.exists(OURS), reason="postlock is not built"),
]


@pytest.fixture(name="area")
def _area(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "main.cf").write_text(
        "compatibility_level = 3.6\ndeliver_lock_attempts = 1\nmyhostname = h.test\n")
    (tmp_path / "box").write_text("")
    return tmp_path


def run(program, area, *arguments):
    done = subprocess.run(["postlock", "-c", area / "etc", *arguments], executable=program, capture_output=True, text=True, check=False, timeout=60, cwd=area)
    errors = [line for line in done.stderr.splitlines() if "-- '" not in line]
    return done.returncode, done.stdout, errors, sorted(path.name for path in area.iterdir())


def same(area, *arguments):
    theirs, ours = (run(program, area, *arguments) for program in (POSTFIX, OURS))
    assert ours == theirs
    return ours


@pytest.mark.parametrize("arguments", [
    (), ("box",), ("box", "true"), ("box", "sh", "-c", "exit 5"), ("box", "sh", "-c", "kill -9 $$"), ("box", "nosuchcommand"), ("box", "/etc"),
    ("-l", "foo", "box", "true"), ("-l", "fcntl posix", "box", "true"), ("-l", "", "box", "true"), ("-l", "fcntl,flock,dotlock", "box", "ls"),
    ("-l", "flock", "box", "ls"), ("-l", "dotlock", "box", "ls"), ("nosuch/box", "true"), ("-l", "flock", "etc", "true"), ("new", "ls"),
    ("box", "echo", "-n", "-v"), ("-x", "box", "true"),
], ids=" ".join)
def test_status(area, arguments):
    same(area, *arguments)


def test_locks_that_are_held(area):
    (area / "box.lock").write_text("")
    assert same(area, "-l", "dotlock", "box", "true")[0] == 75
    assert same(area, "-l", "flock", "box", "true")[0] == 0
    # Its time of modification is not what makes a lock old.
    os.utime(area / "box.lock", (1, 1))
    assert same(area, "-l", "dotlock", "box", "true")[0] == 75
    with open(area / "box", "a", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert same(area, "-l", "flock", "box", "true")[0] == 75
        assert same(area, "-l", "fcntl", "box", "true")[0] == 0
        fcntl.flock(held, fcntl.LOCK_UN)
        fcntl.lockf(held, fcntl.LOCK_EX)
        assert same(area, "-l", "fcntl", "box", "true")[0] == 75


def test_stale_locks_are_removed(area):
    lock, main = area / "box.lock", area / "etc" / "main.cf"
    main.write_text(main.read_text().replace("attempts = 1", "attempts = 2") + "stale_lock_time = 1s\n")
    for program in (POSTFIX, OURS):
        lock.write_text("")
        deadline = time.monotonic() + 20
        while run(program, area, "-l", "dotlock", "box", "true")[0] != 0:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert not lock.exists()


def test_links(area):
    os.link(area / "box", area / "hard")
    assert same(area, "hard", "true")[0] == 75
    os.unlink(area / "hard")
    os.symlink("nowhere", area / "soft")
    assert same(area, "soft", "true")[0] == 75
