"""Table files and what the commands make of them: damaged, changed in place, without their module, too big, not for us."""

import fcntl
import os
import pathlib
import random
import resource
import signal
import subprocess
import time

import pytest

from support import procs
from support.mta import stagepost_suite
from support.required import not_there
from support.waiting import SCALE

BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build" / "dev")).resolve()
SUFFIX = {"lmdb": ".lmdb", "cdb": ".cdb", "hash": ".db", "btree": ".db"}
BDB = BUILD / "modules" / "postfix-bdb.so"


class Tables:
    """A configuration directory, and postmap in it."""

    def __init__(self, area):
        self.area = area
        self.postmap_path = stagepost_suite().program("postmap")
        self.configure()

    def configure(self, **main):
        values = {"compatibility_level": "3.6", "queue_directory": self.area / "queue", "data_directory": self.area / "data",
                  "shlib_directory": BUILD / "modules", "meta_directory": self.area, "maillog_file": "", **main}
        (self.area / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in values.items()))

    def command(self, *args):
        return [self.postmap_path, "-c", str(self.area), *args]

    def run(self, *args, stdin=b"", **options):
        """Exit status, output, lines of standard error."""
        done = subprocess.run(self.command(*args), cwd=self.area, input=stdin, capture_output=True, check=False,
                              timeout=60 * SCALE, **options)
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace").splitlines()

    def write(self, name, content):
        (self.area / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return self.area / name

    def build(self, kind, name="t"):
        assert self.run(f"{kind}:{name}") == (0, "", [])
        return self.area / (name + SUFFIX[kind])


@pytest.fixture(name="tables")
def _tables(tmp_path):
    if not os.access(stagepost_suite().program("postmap"), os.X_OK):
        not_there("postmap is not built")
    return Tables(tmp_path)


def need(kind):
    if kind in ("hash", "btree") and not BDB.exists():
        not_there("the module for Berkeley DB is not built")


def people(count):
    return "".join(f"user{number}@example{number % 97}.com value{number}\n" for number in range(count))


@pytest.mark.parametrize("kind", SUFFIX)
def test_a_truncated_file_never_says_not_found(tables, kind):
    need(kind)
    tables.write("t", people(3000))
    file = tables.build(kind)
    whole = file.read_bytes()
    numbers = (0, 17, 1500, 2999)
    keys = "".join(f"user{number}@example{number % 97}.com\n" for number in numbers).encode()
    values = [f"value{number}" for number in numbers]
    for size in (0, 1, 100, 511, 512, 2047, 2048, 4095, 4096, 8192, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        file.write_bytes(whole[:size])
        for args, wanted in ((("-q", "-"), len(values)), (("-s",), 3000)):
            status, output, errors = tables.run(*args, f"{kind}:t", stdin=keys)
            if status == 0:
                assert len(output.splitlines()) == wanted
            else:
                assert status == 1 and len(errors) == 1 and errors[0].startswith("postmap: fatal: "), (size, errors)
                assert file.name in errors[0]


@pytest.mark.parametrize("kind", ["hash", "btree"])
def test_random_damage_of_berkeley_db_is_an_answer_or_an_error_line(tables, kind):
    """Its library believes what the pages say, and crashes or goes round in circles: the command ends with a line all the same."""
    need(kind)
    tables.write("t", people(400))
    file = tables.build(kind)
    whole = file.read_bytes()
    keys = "".join(f"user{number}@example{number % 97}.com\n" for number in range(0, 400, 7)).encode()
    choose = random.Random(20261122)
    outcomes = {"answer": 0, "error": 0}
    for _ in range(25):
        damaged = bytearray(whole)
        for _ in range(choose.choice([1, 5, 50, 500])):
            damaged[choose.randrange(512, len(damaged))] = choose.randrange(256)
        file.write_bytes(damaged)
        for args in (("-q", "-"), ("-s",)):
            status, _, errors = tables.run(*args, f"{kind}:t", stdin=keys)
            assert status in (0, 1), (status, errors)
            failed = [line for line in errors if line.startswith("postmap: fatal: ")]
            assert len(failed) <= 1 and all("t.db" in line or f"{kind}:t" in line for line in failed), errors
            outcomes["error" if failed else "answer"] += 1
    assert min(outcomes.values()) > 0, outcomes


def test_a_crash_of_the_library_is_an_error_line(tables):
    """The child that reads is killed as a crash would: by its signal."""
    need("hash")
    tables.write("t", people(10))
    tables.build("hash")
    with subprocess.Popen(tables.command("-q", "-", "hash:t"), cwd=tables.area, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as command:
        command.stdin.write("user1@example1.com\n")
        command.stdin.flush()
        assert command.stdout.readline() == "user1@example1.com\tvalue1\n"
        child = list(procs.children(command.pid))
        assert len(child) == 1
        procs.send(child[0], signal.SIGSEGV)
        errors = command.stderr.read()
    assert command.returncode == 1
    assert errors == "postmap: fatal: hash:t: damaged database? Reading it was killed by signal 11: Segmentation fault\n"


def test_a_module_that_was_cut_off_is_an_error_line(tables, tmp_path):
    need("hash")
    tables.write("t", people(10))
    tables.build("hash")
    shlib = tmp_path / "shlib"
    shlib.mkdir()
    module = shlib / BDB.name
    tables.configure(shlib_directory=shlib)
    whole = BDB.read_bytes()
    for size in (0, 10, 64, 200, 4096, len(whole) // 3, len(whole) // 2, len(whole) - 5000, len(whole) - 1):
        module.write_bytes(whole[:size])
        module.chmod(0o755)
        assert tables.run("-q", "user1@example1.com", "hash:t") == (1, "", [f"postmap: fatal: load module {module}: file is truncated"]), size
    module.write_bytes(b"#!/bin/sh\n" * 100)
    assert tables.run("-q", "user1@example1.com", "hash:t") == (1, "", [f"postmap: fatal: load module {module}: not a shared object"])
    # Not written in place: a module that runs must not change.
    module.unlink()
    module.write_bytes(whole)
    assert tables.run("-q", "user1@example1.com", "hash:t") == (0, "value1\n", [])


@pytest.mark.parametrize("kind", ["lmdb", "cdb"])
def test_random_damage_ends_in_an_error_or_an_answer(tables, kind):
    tables.write("t", people(1500))
    file = tables.build(kind)
    whole = file.read_bytes()
    choose = random.Random(1)
    for _ in range(25):
        damaged = bytearray(whole)
        for _ in range(40):
            damaged[choose.randrange(len(damaged))] = choose.randrange(256)
        file.write_bytes(damaged)
        for args in (("-q", "user17@example17.com"), ("-s",)):
            assert tables.run(*args, f"{kind}:t")[0] in (0, 1)


@pytest.mark.parametrize("kind", [*SUFFIX, "texthash", "cidr", "regexp", "pcre"])
def test_directories_and_files_that_may_not_be_read(tables, kind):
    need(kind)
    name = "t" + SUFFIX.get(kind, "")
    (tables.area / name).mkdir()
    status, output, errors = tables.run("-q", "a", f"{kind}:t")
    assert (status, output) == (1, "") and name in errors[-1] and "Is a directory" in errors[-1]
    if kind in SUFFIX:
        tables.write("s", "a 1\n")
        (tables.area / ("s" + SUFFIX[kind])).mkdir()
        assert tables.run(f"{kind}:s")[0] == 1
        (tables.area / "d").mkdir()
        assert tables.run(f"{kind}:d") == (1, "", ["postmap: fatal: read d: Is a directory"])
    if os.geteuid() == 0:
        tables.area.chmod(0o755)
        path = tables.write("u" + SUFFIX.get(kind, ""), "")
        path.chmod(0)
        try:
            status, output, errors = tables.run("-q", "a", f"{kind}:u", user=65534, group=65534, extra_groups=[])
        except PermissionError:
            return  # the build tree is not for everybody
        assert (status, output) == (1, "") and path.name in errors[-1] and "Permission denied" in errors[-1]


@pytest.mark.parametrize("kind", ["lmdb", "hash", "btree"])
def test_entries_are_added_and_removed_in_place_and_under_the_lock(tables, kind):
    need(kind)
    tables.write("t", people(20_000))
    file = tables.build(kind)
    before = file.stat()
    assert tables.run("-i", f"{kind}:t", stdin=b"new 1\nnew2 2\n") == (0, "", [])
    assert tables.run("-d", "user7@example7.com", f"{kind}:t") == (0, "", [])
    assert tables.run("-d", "-", f"{kind}:t", stdin=b"user8@example8.com\nnobody\n") == (0, "", [])
    after = file.stat()
    assert after.st_ino == before.st_ino and after.st_size <= before.st_size + 65536
    answers = tables.run("-q", "-", f"{kind}:t", stdin=b"new\nNEW2\nuser7@example7.com\nuser8@example8.com\nuser9@example9.com\n")
    assert answers == (0, "new\t1\nNEW2\t2\nuser9@example9.com\tvalue9\n", [])
    # A reader's lock keeps the writer waiting, as Postfix's readers expect.
    with open(file, "rb") as reader:
        (fcntl.lockf if kind == "lmdb" else fcntl.flock)(reader, fcntl.LOCK_SH)
        with subprocess.Popen(tables.command("-i", f"{kind}:t"), cwd=tables.area, stdin=subprocess.PIPE) as writer:
            writer.stdin.write(b"later 3\n")
            writer.stdin.close()
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(0.5)
            (fcntl.lockf if kind == "lmdb" else fcntl.flock)(reader, fcntl.LOCK_UN)
            assert writer.wait(30 * SCALE) == 0
    assert tables.run("-q", "later", f"{kind}:t") == (0, "3\n", [])
    assert sorted(os.listdir(tables.area)) == sorted(["main.cf", "t", file.name])


def test_an_answer_comes_before_the_next_question(tables):
    with subprocess.Popen(tables.command("-q", "-", "inline:{a=1,b=2}"), cwd=tables.area, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as asked:
        for key, answer in ((b"a", b"a\t1\n"), (b"b", b"b\t2\n")):
            asked.stdin.write(key + b"\n")
            asked.stdin.flush()
            assert asked.stdout.readline() == answer
        asked.stdin.close()
        assert asked.wait(30) == 0


def test_without_the_module_hash_tables_are_lmdb_files(tables):
    """The same source, the same type name, the same commands; only the file is another."""
    (tables.area / "no-modules").mkdir()
    tables.configure(shlib_directory=tables.area / "no-modules", default_database_type="hash")
    tables.write("t", "Key value\nother thing\n")
    status, output, errors = tables.run("-q", "key", "hash:t")
    assert (status, output) == (1, "") and 'run "postmap hash:t"' in errors[-1]
    for kind in ("hash", "btree"):
        assert tables.run(f"{kind}:t") == (0, "", [])
        assert (tables.area / "t.lmdb").exists() and not (tables.area / "t.db").exists()
        assert tables.run("-q", "KEY", f"{kind}:t") == (0, "value\n", [])
        assert tables.run("-i", f"{kind}:t", stdin=b"more x\n") == (0, "", [])
        assert tables.run("-d", "other", f"{kind}:t") == (0, "", [])
        assert tables.run("-s", f"{kind}:t") == (0, "key\tvalue\nmore\tx\n", [])
    # Each finds what the other built, and so does lmdb:.
    assert tables.run("-q", "more", "hash:t") == tables.run("-q", "more", "lmdb:t") == tables.run("-q", "more", "t") == (0, "x\n", [])


def test_a_module_of_another_version_is_refused(tables):
    need("hash")
    (tables.area / "modules").mkdir()
    content = BDB.read_bytes()
    version = next(text for text in (b"Clang 1", b"14.", b"15.") if text in content)
    module = tables.area / "modules" / "postfix-bdb.so"
    module.write_bytes(content.replace(version, b"X" * len(version)))
    module.chmod(0o755)
    tables.configure(shlib_directory=tables.area / "modules")
    tables.write("t", "a 1\n")
    for args in (("hash:t",), ("-q", "a", "hash:t")):
        status, _, errors = tables.run(*args)
        assert status == 1 and errors == [f"postmap: fatal: module {module} was built for another version of this program"]
    module.write_bytes(b"no library")
    assert tables.run("-q", "a", "hash:t")[2][-1].startswith(f"postmap: fatal: load module {module}: ")


def test_modules_named_in_dynamicmaps(tables):
    need("hash")
    other = tables.area / "elsewhere"
    other.mkdir()
    (other / "bdb.so").write_bytes(BDB.read_bytes())
    tables.write("t", "a 1\n")
    (tables.area / "none").mkdir()
    (tables.area / "dynamicmaps.cf.d").mkdir()
    tables.write("dynamicmaps.cf", "# a comment\nlmdb nosuch.so dict_lmdb_open\n")
    tables.write("dynamicmaps.cf.d/bdb", f"hash\t{other}/bdb.so\tdict_hash_open\tmkmap_hash_open\n")
    tables.configure(shlib_directory=tables.area / "none")
    assert tables.run("-q", "a", "static:x") == (0, "x\n", [])
    assert tables.run("hash:t") == (0, "", []) and (tables.area / "t.db").exists()
    assert tables.run("-q", "a", "hash:t") == (0, "1\n", [])
    tables.write("dynamicmaps.cf", "hash\n")
    wanted = f'postmap: warning: {tables.area}/dynamicmaps.cf, line 1: expected "dict-type .so-name dict-function [mkmap-function]"'
    assert tables.run("-q", "a", "hash:t") == (0, "1\n", [wanted])
    if os.geteuid() == 0:
        tables.write("dynamicmaps.cf", "")
        os.chown(other / "bdb.so", 12345, 12345)
        status, _, errors = tables.run("-q", "a", "hash:t")
        assert status == 1 and errors[-1].startswith(f"postmap: fatal: {other}/bdb.so: file is owned or writable by non-root users")
        os.chown(tables.area / "dynamicmaps.cf.d/bdb", 12345, 12345)
        skipped = f"postmap: warning: {tables.area}/dynamicmaps.cf.d/bdb: file is owned or writable by non-root users -- skipping this file"
        assert tables.run("-q", "a", "static:x") == (0, "x\n", [skipped])


def test_malformed_lines_are_named_and_skipped(tables):
    tables.write("t", b"good 1\nnovalue\nk\0y 2\n\"open 3\n\xff\xfe 4\nlast 5\n  # remark\n\tand more\n" + b"key: 6\n")
    status, output, errors = tables.run("lmdb:t")
    assert (status, output) == (0, "")
    assert [line.split(": ")[2] for line in errors] == ["t, line 2", "t, line 3", "t, line 4", "t, line 5", "t, line 9"]
    assert tables.run("-s", "lmdb:t")[1] == "good\t1\nkey:\t6\nlast\t5\tand more\n"


def test_values_no_lookup_would_return_are_not_stored(tables):
    tables.write("t", b"a 1\nbig " + b"x" * (16 * 1024 * 1024 + 1) + b"\n" + b"k" * 100_001 + b" v\nz 2\n")
    status, _, errors = tables.run("cdb:t")
    assert status == 0 and errors == [f"postmap: warning: t, line {line}: key or value is too long: skipping this entry" for line in (2, 3)]
    assert tables.run("-s", "cdb:t") == (0, "a\t1\nz\t2\n", [])


def test_a_source_of_100_megabytes(tables):
    """Remarks, a line that nobody can mean, and entries: in memory a few times as large as the file, in seconds."""
    third = 100 * 1024 * 1024 // 3
    with open(tables.area / "t", "wb") as source:
        source.write((b"#" + b" remark" * 20 + b"\n\n") * (third // 143))
        source.write(b"key " + b"x" * third + b"\n")
        for number in range(200):
            source.write(f"user{number}@example.com ".encode() + b"y" * (third // 200) + b"\n")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with subprocess.Popen(tables.command("lmdb:t"), cwd=tables.area, stderr=subprocess.PIPE) as built:
        errors = built.stderr.read().decode()
        _, status, usage = os.wait4(built.pid, 0)
        built.returncode = os.waitstatus_to_exitcode(status)
    assert built.returncode == 0
    assert usage.ru_maxrss < 600 * 1024, f"{usage.ru_maxrss} KiB"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 30 * SCALE
    assert errors == f"postmap: warning: t, line {third // 143 * 2 + 1}: key or value is too long: skipping this entry\n"
    assert tables.run("-q", "user199@example.com", "lmdb:t")[1] == "y" * (third // 200) + "\n"


def test_a_source_beyond_the_limit_is_refused(tables):
    with open(tables.area / "t", "wb") as source:
        source.truncate(513 * 1024 * 1024)
    start = time.monotonic()
    status, _, errors = tables.run("cdb:t")
    assert status == 1 and errors == ["postmap: fatal: read t: File too large"]
    assert time.monotonic() - start < 60 * SCALE
    assert not (tables.area / "t.cdb").exists()
