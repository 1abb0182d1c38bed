"""postsuper of Postfix and ours on the same queue: what is printed, and which files are where afterwards."""

import functools
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import time

import pytest

from test_qshape import put

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", ROOT / "build" / "dev")).resolve()
POSTFIX = shutil.which("postsuper", path="/usr/sbin")
OURS = BUILD / "bin" / "postsuper"

pytestmark = [
    pytest.mark.skipif(POSTFIX is None, reason="Postfix is not installed"),
    pytest.mark.skipif(not OURS.exists(), reason="postsuper is not built"),
    pytest.mark.skipif(os.geteuid() != 0, reason="postsuper of Postfix is for root"),
]

QUEUES = "active bounce corrupt defer deferred flush hold incoming maildrop pid private public saved trace".split()


class Queue:
    """Messages ID1 to ID8 in a queue of their own; names are the same in what two programs print."""

    def __init__(self, directory, settings):
        self.root, self.ids = directory / "queue", []
        shutil.rmtree(self.root, ignore_errors=True)
        for name in QUEUES:
            (self.root / name).mkdir(parents=True)
        for place in ("deferred/A", "deferred/A", "hold", "maildrop", "incoming", "active", "incoming", "hold"):
            self.message(place)
        (self.root / "defer" / "A").mkdir()
        (self.root / "defer" / "A" / self.ids[0]).write_text("log")
        (self.root / "hold" / self.ids[7]).chmod(0o710)
        owner = pwd.getpwnam("postfix").pw_uid
        for top, directories, files in os.walk(self.root):
            for name in [*directories, *files]:
                os.chown(os.path.join(top, name), owner, -1)
        self.config = directory / "etc"
        self.config.mkdir(exist_ok=True)
        (self.config / "main.cf").write_text(f"compatibility_level = 3.6\nqueue_directory = {self.root}\n{settings}\n")
        (self.config / "master.cf").write_text("")

    def message(self, place):
        new = self.root / "new"
        put(new, "s@x.test", ["a@b.test"], 1000)
        name = f"{0xA0001 + len(self.ids):05X}{new.stat().st_ino:X}"
        (self.root / place).mkdir(exist_ok=True)
        new.rename(self.root / place / name)
        self.ids.append(name)

    def run(self, program, arguments, stdin):
        real = functools.partial(re.sub, r"ID(\d)", lambda match: self.ids[int(match[1]) - 1])
        done = subprocess.run([program, "-c", self.config, *map(real, arguments)], input=real(stdin), capture_output=True, text=True, check=False,
                              timeout=60, env={"PATH": os.environ["PATH"]})
        files = {}
        for top, _, names in os.walk(self.root):
            for name in names:
                files[os.path.relpath(os.path.join(top, name), self.root)] = oct(os.stat(os.path.join(top, name)).st_mode)
        text = json.dumps([done.returncode, done.stdout, done.stderr.replace(f"{program}:", "postsuper:"), files])
        for number, name in enumerate(self.ids, 1):
            text = text.replace(name, f"ID{number}")
        return json.loads(text)


def same(tmp_path, arguments, stdin="", settings=""):
    os.chmod(tmp_path, 0o755)
    results = [Queue(tmp_path, settings).run(program, arguments.split(), stdin) for program in (POSTFIX, str(OURS))]
    assert results[1] == results[0]


@pytest.fixture
def tmp_path(tmp_path_factory):
    """Where mail_owner may look."""
    path = tmp_path_factory.mktemp("postsuper")
    for parent in (path, *path.parents):
        if str(parent).startswith(str(tmp_path_factory.getbasetemp())):
            os.chmod(parent, 0o755)
    return path


@pytest.mark.parametrize("arguments", [
    "", "-s", "-p", "-ps", "-s deferred", "-S", "-d ALL", "-d A0000", "-d nosuchid123", "-d bad/id", "-d all", "-h ID1", "-h ALL", "-h ALL deferred",
    "-H ID3", "-H ALL", "-r ID1", "-r ALL", "-r ALL hold", "-e ID1", "-e ALL", "-f ID3", "-f ALL", "-e ID1 -e ID2", "-d ID1 deferred", "-d ID1 hold",
    "-H ID1", "-h ID3", "-e ID3", "-e ID8", "-f ID8", "-f ID1", "-r ID4", "-d ID4", "-h ID4", "-d ALL maildrop", "-h ALL maildrop", "-d ALL corrupt",
    "-d ALL nosuchqueue", "-s nosuch",
])
def test_one_action(tmp_path, arguments):
    same(tmp_path, arguments)


@pytest.mark.parametrize("arguments", [
    "-d ID1 -h ID2", "-h ID1 -d ID1", "-d ID1 -h ID1", "-d ID1 -r ID1", "-r ID1 -d ID1", "-h ID1 -r ID1", "-h ALL -r ALL", "-r ALL -h ALL",
    "-H ALL -h ALL", "-h ALL -H ALL", "-e ALL -d ALL", "-f ALL -h ALL", "-e ID1 -f ID1", "-d ID1 -r ALL", "-d ALL -r ID1", "-h ID1 -d ALL",
    "-h ID1 -d ID2 -h ID2 -d ID1", "-d ID3 -h ID1 -d ID1", "-s -p -d ALL", "-r ID1 -r ID2 -h ID3",
])
def test_actions_in_the_order_of_the_command_line(tmp_path, arguments):
    same(tmp_path, arguments)


@pytest.mark.parametrize("arguments, stdin", [
    ("-d -", "ID1\n"), ("-d -", "ID1 ID2\n\nbogus/x ALL\n"), ("-d -", "ID1\nID3\nID5"), ("-d - hold", "ID3\nID1\n"), ("-h - -d -", "ID2\n"),
    ("-d - -r ID1", "ID1\n"), ("-d -", ""), ("-d -", "ALL\n"),
])
def test_queue_ids_on_standard_input(tmp_path, arguments, stdin):
    same(tmp_path, arguments, stdin)


@pytest.mark.parametrize("settings", ["hash_queue_depth = 2", "hash_queue_names = incoming, active, hold, deferred, defer", "enable_long_queue_ids = yes"])
@pytest.mark.parametrize("arguments", ["-s", "-d ALL", "-d ID1"])
def test_queues_hashed_otherwise_than_before(tmp_path, settings, arguments):
    same(tmp_path, arguments, settings=settings)


def test_many_messages_are_renamed(tmp_path):
    """As after a restore from a backup: no name fits its inode, and some are the right names of others."""
    queue = Queue(tmp_path, "")
    hold = queue.root / "hold"
    names = []
    for number in range(300):
        path = hold / f"{0xB0000 + number:05X}{number % 7:X}ABCDE"
        put(path, f"s{number}@x.test", ["a@b.test"], 1000)
        os.chown(path, pwd.getpwnam("postfix").pw_uid, -1)
        names.append(path.name)
    started = time.monotonic()
    done = subprocess.run([OURS, "-c", queue.config, "-s"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 and "Renamed to match inode number: 300 messages" in done.stderr, done.stderr
    assert "\r" not in done.stderr, "progress is for terminals"
    left = [name for name in os.listdir(hold) if name not in queue.ids]
    assert len(left) == 300 and not any(name.endswith("#FIX") for name in left)
    for name in left:
        assert int(name[5:], 16) == (hold / name).stat().st_ino
    again = subprocess.run([POSTFIX, "-c", queue.config, "-s"], capture_output=True, text=True, check=False, timeout=60)
    assert (again.returncode, again.stderr) == (0, ""), "Postfix agrees"
    assert time.monotonic() - started < 60
