"""memcache: and sqlite: tables of Postfix and ours: the same answers, and the same bytes to a memcached server."""

import os
import socketserver
import sqlite3
import subprocess
import threading

import pytest

from table_commands import BUILD, NEEDED, POSTFIX, TYPES

pytestmark = NEEDED
KEYS = ["a", "A", "user@d.example", "user@sub.d.example", "@d.example", "user@", "u@v@d.example", "d.example", "o'hara@d.example", "none",
        "x' or '1'='1", '"quoted"@d.example', "\u00fc@d.example", "%s", "a\\b", "user+ext@d.example", "many", "null", "number", "[192.0.2.1]"]
LINES = "".join(key + "\n" for key in KEYS).encode()


class Memcached(socketserver.ThreadingTCPServer):
    """Knows a few keys and writes down what it is asked."""
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, values):
        super().__init__(("127.0.0.1", 0), Session)
        self.values = dict(values)
        self.seen = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def where(self):
        return f"inet:127.0.0.1:{self.server_address[1]}"


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.server.seen.append(line)
            words = line.decode().split()
            if words[0] == "get":
                value = self.server.values.get(words[1])
                found = b"" if value is None else f"VALUE {words[1]} 0 {len(value)}\r\n".encode() + value + b"\r\n"
                self.wfile.write(found + b"END\r\n")
            elif words[0] == "set":
                data = self.rfile.read(int(words[4]) + 2)
                self.server.seen.append(data)
                self.server.values[words[1]] = data[:-2]
                self.wfile.write(b"STORED\r\n")
            elif words[0] == "delete":
                self.wfile.write(b"DELETED\r\n" if self.server.values.pop(words[1], None) is not None else b"NOT_FOUND\r\n")


class Pair:
    """Both suites' postmap, each with a configuration of its own."""

    def __init__(self, area):
        self.area = area
        self.commands = {"theirs": POSTFIX["postmap"], "ours": str(BUILD / "bin" / "postmap")}
        for name in self.commands:
            (area / name).mkdir()
            own = f"shlib_directory = {BUILD.resolve()}/modules\nmeta_directory = {area}\n" if name == "ours" else ""
            (area / name / "main.cf").write_text(f"compatibility_level = 3.6\nqueue_directory = {area}/queue\n"
                                                 f"data_directory = {area}/data\nmyhostname = host.example.com\n{own}")

    def run(self, name, *arguments, stdin=b""):
        done = subprocess.run([self.commands[name], "-c", str(self.area / name), *arguments], cwd=self.area, input=stdin,
                              capture_output=True, check=False, timeout=60)
        failed = b"fatal: " in done.stderr
        # What was found before a failure is not always printed by Postfix.
        return done.returncode, b"" if failed else done.stdout, failed

    def settings(self, name, **settings):
        path = self.area / name
        path.write_text("".join(f"{setting} = {value}\n" for setting, value in settings.items()))
        os.utime(path, (1_600_000_000, 1_600_000_000))
        return path


@pytest.fixture(name="pair")
def _pair(tmp_path):
    return Pair(tmp_path)


@pytest.fixture(name="database")
def _database(tmp_path):
    path = tmp_path / "t.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (k, v, w)")
        database.executemany("INSERT INTO t VALUES (?, ?, ?)", [
            ("a", "1", "x"), ("many", "one@x.test", ""), ("many", "two", ""), ("many", "three@y.test", ""), ("null", None, "z"), ("number", 7, 1),
            ("o'hara@d.example", "irish", ""), ("user@d.example", "target@t.example", "w"), ("x' or '1'='1", "literal", ""), ("%s", "percent", ""),
            ("a\\b", "backslash", ""), ("\u00fc@d.example", "umlaut", ""), ("user", "local", ""), ("d.example", "domain", "")])
    database.close()
    os.utime(path, (1_600_000_000, 1_600_000_000))
    return path


@pytest.mark.skipif("sqlite" not in TYPES, reason="Postfix has no sqlite support")
@pytest.mark.parametrize("settings", [
    {"query": "SELECT v FROM t WHERE k = '%s'"},
    {"query": "SELECT v, w FROM t WHERE k = '%S'"},
    {"query": "SELECT v FROM t WHERE k = '%u' OR k = '%u@%d'"},
    {"query": "SELECT v FROM t WHERE k LIKE '%d'"},
    {"query": "SELECT '%1' || '/' || '%2' || '/%U'"},
    {"query": "SELECT '%3'"},
    {"query": "SELECT 'a%%b', '%s'"},
    {"query": "SELECT v FROM t WHERE k = '%s'", "result_format": "[%s]"},
    {"query": "SELECT v FROM t WHERE k = '%s'", "result_format": "%u at %d for %S (%U)"},
    {"query": "SELECT v FROM t WHERE k = '%s'", "result_format": "%1.%2"},
    {"query": "SELECT v FROM t WHERE k = '%s'", "expansion_limit": "2"},
    {"query": "SELECT v FROM t WHERE k = '%s'", "expansion_limit": "3"},
    {"query": "SELECT v FROM t WHERE k = '%s'", "domain": "d.example"},
    {"query": "SELECT v FROM t WHERE k = '%s'", "domain": "!sub.d.example, .d.example, x.test"},
    {"table": "t", "select_field": "v", "where_field": "k"},
    {"table": "t", "select_field": "v", "where_field": "k", "additional_conditions": "AND w <> ''"},
    {"query": "SELECT v FROM nothing WHERE k = '%s'"},
    {"query": "SELECT v FROM t WHERE k = '%x'"},
    {"query": "SELECT v FROM t WHERE k = '%s'", "dbpath": "/no/such/file"},
    {},
], ids=lambda settings: " ".join(settings.values())[:50])
def test_sqlite_answers(pair, database, settings):
    table = f"sqlite:{pair.settings('sqlite.cf', **{'dbpath': database, **settings})}"
    assert pair.run("theirs", "-q", "-", table, stdin=LINES) == pair.run("ours", "-q", "-", table, stdin=LINES)


@pytest.mark.parametrize("settings", [
    {},
    {"key_format": "p:%s"},
    {"key_format": "%u|%d|%%"},
    {"key_format": "%2.%1"},
    {"domain": "d.example"},
    {"flags": "5", "ttl": "77", "backup": "b"},
    {"key_format": "%u|%d", "backup": "b"},
    {"data_size_limit": "3", "max_try": "1"},
], ids=lambda settings: " ".join(settings.values()) or "plain")
def test_memcache_conversations(pair, settings):
    values = {"a": b"value", "p:user@d.example": b"prefixed", "user|d.example|%": b"parts", "example.d": b"labels", "user@d.example": b"plain",
              "many": b"abc"}
    if "backup" in settings:
        source = pair.area / "backup"
        source.write_text("none from backup\nuser@sub.d.example sub\n")
        settings = {**settings, "backup": f"texthash:{source}"}
    outcome = {}
    for name in ("theirs", "ours"):
        with Memcached(values) as server:
            table = f"memcache:{pair.settings('memcache.cf', memcache=server.where, **settings)}"
            answers = pair.run(name, "-q", "-", table, stdin=LINES)
            server.shutdown()
            outcome[name] = answers, server.seen
    assert outcome["theirs"] == outcome["ours"]


def test_keys_memcached_cannot_hold_are_not_sent(pair):
    for key in ("a b", "a\tb", "a\r\nset x 0 0 1\r\n1"):
        for name in ("theirs", "ours"):
            with Memcached({}) as server:
                table = f"memcache:{pair.settings('memcache.cf', memcache=server.where)}"
                assert pair.run(name, "-q", key, table) == (1, b"", False)
                server.shutdown()
                assert server.seen == []
