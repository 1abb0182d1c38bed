"""Runs Postfix's table commands and ours on the same files."""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from support.required import not_there

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", ROOT / "build" / "dev"))
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
POSTFIX = {name: shutil.which(name, path=PATH) for name in ("postmap", "postalias", "postconf")}
OURS = str(BUILD / "bin" / "postmap")
SUFFIX = {"hash": ".db", "btree": ".db", "cdb": ".cdb", "lmdb": ".lmdb"}
# Postfix sleeps for a second when it ends with a fatal error.
PARALLEL = 8


def _types():
    if not all(POSTFIX.values()):
        return set()
    # Debian's postfix may be installed without a main.cf of its own, as scripts/deps does.
    with tempfile.TemporaryDirectory() as directory:
        pathlib.Path(directory, "main.cf").write_text("compatibility_level = 3.6\n")
        listed = subprocess.run([POSTFIX["postconf"], "-c", directory, "-m"], capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


TYPES = _types()
NEEDED = [
    pytest.mark.skipif(not all(POSTFIX.values()), reason="Postfix is not installed"),
    pytest.mark.skipif(not (BUILD / "bin" / "postmap").exists(), reason="postmap is not built"),
]
needs_lmdb = pytest.mark.skipif("lmdb" not in TYPES, reason="Postfix has no lmdb support")


def needs(kind):
    if kind not in TYPES:
        pytest.skip(f"Postfix has no {kind} support")
    if kind in ("hash", "btree") and not (BUILD / "modules" / "postfix-bdb.so").exists():
        not_there("the module for Berkeley DB is not built")


def put(path, text):
    """Writes a file and makes it look old: Postfix waits a second when it opens a table that was just written."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(path, (1_600_000_000, 1_600_000_000))


def make_area(tmp_path):
    common = (
        "compatibility_level = 3.6\n"
        f"queue_directory = {tmp_path}/queue\ndata_directory = {tmp_path}/data\n"
        "default_database_type = lmdb\nmyhostname = host.example.com\n"
    )
    # Each suite has modules of its own.
    for name, own in (("etc", ""), ("ours", f"shlib_directory = {BUILD}/modules\nmeta_directory = {tmp_path}/ours\n")):
        (tmp_path / name).mkdir()
        put(tmp_path / name / "main.cf", common + own)
    return tmp_path


def run(program, area, *args, stdin=b""):
    """Exit status, output and the sorted lines of standard error with the program's path taken off."""
    config = "etc" if program in POSTFIX.values() else "ours"
    done = subprocess.run(
        [program, "-c", str(area / config), *args], cwd=area, input=stdin, capture_output=True, check=False, timeout=60
    )
    errors = sorted(done.stderr.decode("utf-8", "replace").splitlines())
    return done.returncode, done.stdout, errors


def both(area, *args, command="postmap", stdin=b""):
    return (
        run(POSTFIX[command], area, *args, stdin=stdin),
        run(str(BUILD / "bin" / command), area, *args, stdin=stdin),
    )


def same(area, *args, **kwargs):
    theirs, ours = both(area, *args, **kwargs)
    assert ours == theirs, args


def batch(area, table, keys):
    """Asks both for all keys at once, and for a few alone."""
    same(area, "-q", "-", table, stdin="".join(key + "\n" for key in keys).encode("utf-8", "surrogateescape"))
    for key in keys[:2] + keys[-2:]:
        same(area, "-q", key, table)


def differences(area, cases):
    """`cases`: argument lists, or (argument list, standard input). Those in which the two differ, with both outcomes."""
    def one(case):
        args, stdin = case if isinstance(case, tuple) else (case, b"")
        theirs, ours = both(area, *args, stdin=stdin)
        return None if theirs == ours else (args, theirs, ours)

    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        return [found for found in pool.map(one, cases) if found]
