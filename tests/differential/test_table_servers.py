"""The same tcp: and socketmap: servers asked by Postfix's postmap and by ours: output, messages, exit status, and what was sent."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from support.table_server import Raw, TableServer, netstring

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", ROOT / "build" / "dev"))
THEIRS = shutil.which("postmap", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
OURS = str(BUILD / "bin" / "postmap")
pytestmark = [
    pytest.mark.skipif(not THEIRS, reason="Postfix is not installed"),
    pytest.mark.skipif(not os.path.exists(OURS), reason="postmap is not built"),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    directory = tmp_path_factory.mktemp("config")
    (directory / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = host.example.com\n")
    return directory


def ask(program, config, *arguments, stdin=b""):
    done = subprocess.run([program, "-c", str(config), *arguments], input=stdin, capture_output=True, check=False, timeout=120)
    errors = done.stderr.decode("utf-8", "replace")
    # Postfix adds whatever errno says, mostly that of the connect before. Our line for a 400 is additional.
    errors = re.sub(r"(query error|unexpected EOF)(:| \()[ ]?Operation now in progress\)?", r"\1", errors)
    errors = re.sub(r"postmap: warning: read TCP map reply from \S+: temporary error: .*\n", "", errors)
    return done.returncode, done.stdout, errors


def both(config, *arguments, stdin=b""):
    """Side by side: Postfix's waits a second before it ends with an error."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        theirs = pool.submit(ask, THEIRS, config, *arguments, stdin=stdin)
        ours = pool.submit(ask, OURS, config, *arguments, stdin=stdin)
        return theirs.result(), ours.result()


def same(config, *arguments, stdin=b""):
    theirs, ours = both(config, *arguments, stdin=stdin)
    assert ours == theirs, arguments


TCP_REPLIES = [
    b"200 value\n", b"200 a%20b%41%0a\n", b"200 a b\n", b"200\n", b"200 \n", b"500 no\n", b"500\n", b"400 later\n", b"400\n", b"300 x\n",
    b"hello\n", b"\n", b"200 %zz\n", b"200 a%\n", b"200 a%4\n", b"200 v\r\n", b"200   v  \n", b"200\tv\n", b"200x v\n", b"2000 v\n", b" 200 v\n",
    b"200 " + b"x" * 4091 + b"\n", b"200 \xff\n", b"500 %zz\n", b"200 v\n200 w\n", b"+200 v\n", b"200 %c3%a9\n", b"200v\n",
]
SOCKETMAP_REPLIES = [
    *(netstring(text) for text in (
        b"OK value", b"OK", b"OK ", b"OK  a b ", b"NOTFOUND", b"NOTFOUND ", b"NOTFOUND x", b"TEMP why", b"TEMP", b"TEMP ", b"TIMEOUT slow",
        b"PERM never", b"PERM", b"ok v", b"FOO v", b"", b"OK\tv", b"OKv", b" OK v", b"OK \xff", b"OK a\nb", b"OK " + b"x" * 99_997,
        b"OK " + b"x" * 99_998)),
    b"hello\n", b"4:OK v;", b"04:OK v,", b":OK v,", b"99999999999999999999:OK v,", b"-4:OK v,", b" 4:OK v,", b"4:OK v,4:OK w,", b"",
]


@pytest.mark.parametrize("kind", ["tcp", "socketmap"])
def test_replies(config, kind):
    # One server for all replies, told by the key which to give; all at once, for Postfix's second of waiting.
    replies = TCP_REPLIES if kind == "tcp" else SOCKETMAP_REPLIES
    with TableServer(kind, lambda key, _: Raw(replies[int(key)])) as server:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda i: both(config, "-q", str(i), server.table), range(len(replies))))
    for reply, (theirs, ours) in zip(replies, answers):
        assert ours == theirs, reply[:100]


@pytest.mark.parametrize("kind", ["tcp", "socketmap"])
def test_keys(config, kind):
    keys = ["key", "a b", "A%", "Key", "é", "x\x01y", "", "a\tb", "k" * 20_000, "~!@#$^&*()_+", "new\nline", "user@example.com"]
    with TableServer(kind, lambda key, _: b"<" + key[:100] + b">") as server:
        for key in keys:
            same(config, "-q", key, server.table)
            assert server.keys[-2:] == [key.encode()] * 2
        same(config, "-q", "-", server.table, stdin=b"a\nb\n\n\xff\nc\n")
        same(config, "-u", "-q", "-", server.table, stdin=b"a\n\xff\n")
        connections = server.connections
        same(config, "-q", "-", server.table, stdin=b"k\n" * 100)
        assert server.connections == connections + 2


@pytest.mark.parametrize("kind", ["tcp", "socketmap"])
def test_what_such_tables_cannot(config, kind):
    with TableServer(kind, lambda key, _: None) as server:
        same(config, "-s", server.table)
        same(config, "-d", "x", server.table)


def test_a_server_that_is_down(config):
    # tcp: is tried ten times, a second apart.
    server = TableServer("tcp", lambda key, _: None)
    server.stop()
    tables = [server.table, f"socketmap:inet:127.0.0.1:{server.port}:map", "socketmap:unix:/nonexistent/socket:map"]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for table, (theirs, ours) in zip(tables, pool.map(lambda table: both(config, "-q", "x", table), tables)):
            assert ours == theirs, table


@pytest.mark.parametrize("name", ["socketmap:inet", "socketmap:inet:", "socketmap:unix::x", "socketmap:unix:/path", "socketmap:foo:h:1:m",
                                  "socketmap:127.0.0.1:1:m", "tcp:127.0.0.1", "socketmap:inet:127.0.0.1:m", "socketmap:inet:127.0.0.1:bad:m"])
def test_names(config, name):
    same(config, "-q", "x", name)
