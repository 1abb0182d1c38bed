"""Tables in memcached, Redis and SQLite: what they answer, and that a server which is down, frozen or restarted, and keys that
try to be more than keys, cost neither a session nor a wrong answer."""

import os
import pathlib
import re
import sqlite3
import subprocess

import pytest

from support.mta import stagepost_suite
from support.required import REQUIRED, not_there
from support.sink import make_certificate
from support.keyvalue_servers import MEMCACHED, REDIS, Memcached, Redis
from support.ports import free_port
from support.waiting import wait_for

SUITE = stagepost_suite()
MODULES = pathlib.Path(SUITE.daemon_directory).parent / "modules"
HOSTILE = ["o'hara@example.com", '"x y"@example.com', "a\r\nset injected 0 0 1\r\nx", "a\r\n*1\r\n$8\r\nFLUSHALL\r\n", "%s%n$(id)`id`",
           "' OR '1'='1", '" OR "1"="1', "x'; DROP TABLE t; --", "[x]", "a*", "k" * 10_000, "\u00fc@example.com", "\x7f\x1b[31m"]


@pytest.fixture(name="area")
def _area(tmp_path):
    """A configuration directory for postmap; area.table(type, settings) names a table of its own."""
    for program in ("postmap", "postconf"):
        if not os.access(SUITE.program(program), os.X_OK):
            not_there(f"{program} is not built")
    return Area(tmp_path)


class Area:
    def __init__(self, directory):
        self.directory = directory
        self.count = 0
        self.main("")

    def main(self, text):
        (self.directory / "main.cf").write_text(
            f"compatibility_level = 3.6\nqueue_directory = {self.directory}/queue\ndata_directory = {self.directory}/data\n"
            f"shlib_directory = {MODULES}\nmeta_directory = {self.directory}\n{text}")

    def table(self, kind, **settings):
        if not (MODULES / f"postfix-{kind}.so").exists():
            not_there(f"the module for {kind} is not built")
        self.count += 1
        path = self.directory / f"{kind}{self.count}.cf"
        path.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        return f"{kind}:{path}"

    def postmap(self, *arguments, stdin=""):
        done = subprocess.run([SUITE.program("postmap"), "-c", str(self.directory), *map(str, arguments)], input=stdin.encode(),
                              capture_output=True, timeout=60, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def query(self, table, key):
        """The value; None: not found. Anything else on standard error fails the test."""
        status, value, errors = self.postmap("-q", key, table)
        assert errors == "", errors
        return value.removesuffix("\n") if status == 0 else None

    def failure(self, table, key="key"):
        status, value, errors = self.postmap("-q", key, table)
        assert (status, value) == (1, ""), (status, value, errors)
        assert "fatal: " in errors, errors
        return errors


needs_memcached = pytest.mark.skipif(MEMCACHED is None and not REQUIRED, reason="memcached is not installed")
needs_redis = pytest.mark.skipif(REDIS is None and not REQUIRED, reason="redis-tools is not installed")


@pytest.fixture(name="memcached")
def _memcached(tmp_path):
    with Memcached(tmp_path / "memcached") as server:
        yield server


@pytest.fixture(name="redis")
def _redis(tmp_path):
    with Redis(tmp_path / "redis") as server:
        yield server


def test_postconf_lists_the_types(area):
    done = subprocess.run([SUITE.program("postconf"), "-c", str(area.directory), "-m"], capture_output=True, text=True, check=True)
    built = {name for name in ("memcache", "redis", "sqlite") if (MODULES / f"postfix-{name}.so").exists()}
    assert built and built <= set(done.stdout.split())


# memcache

@needs_memcached
def test_memcache_alone(area, memcached):
    table = area.table("memcache", memcache=f"inet:127.0.0.1:{memcached.port}")
    assert area.query(table, "key") is None
    memcached.set("key", "value with blanks")
    assert area.query(table, "KEY") == "value with blanks"
    assert area.postmap("-s", table)[2].endswith("only a table with a backup can be listed\n")
    for key in HOSTILE:
        assert area.query(table, key) is None
    assert memcached.get("injected") is None


@needs_memcached
def test_memcache_is_a_cache_before_its_backup(area, memcached):
    source = area.directory / "backup"
    source.write_text("one first\n\"x y\"@example.com quoted\nbig " + "v" * 20 + "\n")
    assert area.postmap(f"lmdb:{source}")[0] == 0
    table = area.table("memcache", memcache=f"inet:127.0.0.1:{memcached.port}", backup=f"lmdb:{source}", flags=7, ttl=100,
                       key_format="t:%s", data_size_limit=10)
    assert area.query(table, "one") == "first"
    assert memcached.get("t:one") == (7, "first")
    memcached.set("t:one", "cached")
    assert area.query(table, "one") == "cached"
    # What the server cannot store is in the backup all the same.
    assert area.query(table, '"x y"@example.com') == "quoted"
    assert area.query(table, "big") == "v" * 20
    assert memcached.get("t:big") is None
    assert sorted(area.postmap("-s", table)[1].split()) == sorted(f"big {'v' * 20} one first \"x y\"@example.com quoted".split())
    memcached.stop()
    status, value, errors = area.postmap("-q", "one", table)
    assert (status, value) == (0, "first\n")
    assert f"warning: {table}: connect to 127.0.0.1:{memcached.port}: Connection refused" in errors


@needs_memcached
def test_memcache_changes(area, memcached):
    source = area.directory / "backup"
    source.write_text("old entry\n")
    assert area.postmap(f"lmdb:{source}")[0] == 0
    where = {"memcache": f"inet:127.0.0.1:{memcached.port}", "key_format": "t:%s", "ttl": 0, "flags": 3}
    alone = area.table("memcache", **where)
    assert area.postmap("-i", alone, stdin="one first value\nwith\ttab\n") == (0, "", "")
    assert memcached.get("t:one") == (3, "first value")
    assert "duplicate entry" in area.postmap("-i", alone, stdin="one other\n")[2]
    assert area.postmap("-ir", alone, stdin="one other\n") == (0, "", "")
    assert area.query(alone, "one") == "other"
    assert area.postmap("-d", "one", alone)[0] == 0 and memcached.get("t:one") is None
    assert area.postmap("-d", "one", alone) == (1, "", "")
    both = area.table("memcache", **where, backup=f"lmdb:{source}")
    assert area.postmap("-i", both, stdin="new thing\n") == (0, "", "")
    assert memcached.get("t:new") == (3, "thing") and area.query(f"lmdb:{source}", "new") == "thing"
    # A key that the server cannot hold is kept by the backup; one without the parts of the format nowhere.
    assert area.postmap("-i", both, stdin="k" * 300 + " long\n") == (0, "", "")
    assert area.query(both, "k" * 300) == "long"
    parts = area.table("memcache", **{**where, "key_format": "%u-%d"}, backup=f"lmdb:{source}")
    assert "update skipped" in area.postmap("-i", parts, stdin="plain x\n")[2]
    assert area.query(f"lmdb:{source}", "plain") is None
    assert area.query(both, "old") == "entry"
    assert area.postmap("-d", "-", both, stdin="old\nnew\n")[0] == 0
    assert memcached.get("t:old") is None and memcached.get("t:new") is None and area.query(f"lmdb:{source}", "old") is None
    memcached.stop()
    status, _, errors = area.postmap("-i", both, stdin="while down\n")
    assert status == 0 and "Connection refused" in errors and area.query(f"lmdb:{source}", "while") == "down"
    assert area.postmap("-i", alone, stdin="while down\n")[0] == 1


@needs_memcached
def test_memcache_keys_are_made_by_their_format(area, memcached):
    where = f"inet:127.0.0.1:{memcached.port}"
    memcached.set("user|example.com|com", "found")
    table = area.table("memcache", memcache=where, key_format="%u|%d|%1")
    assert area.query(table, "user@example.com") == "found"
    assert area.query(table, "user") is None
    memcached.set("a@in.test", "1")
    memcached.set("a@out.test", "2")
    table = area.table("memcache", memcache=where, domain="in.test")
    assert [area.query(table, key) for key in ("a@in.test", "a@out.test", "in.test", "@in.test")] == ["1", None, None, None]


@needs_memcached
def test_memcache_failures(area, memcached):
    where = f"inet:127.0.0.1:{memcached.port}"
    small = area.table("memcache", memcache=where, data_size_limit=3, max_try=1)
    memcached.set("key", "four")
    assert "data from server has 4 bytes, more than 3" in area.failure(small)
    table = area.table("memcache", memcache=where, timeout=1, max_try=1)
    memcached.freeze()
    assert f"127.0.0.1:{memcached.port}: no answer in time" in area.failure(table)
    memcached.thaw()
    assert area.query(table, "key") == "four"
    memcached.stop()
    assert f"connect to 127.0.0.1:{memcached.port}: Connection refused" in area.failure(table)
    assert "bad server address" in area.failure(area.table("memcache", memcache="127.0.0.1:1"))
    assert "bad numerical configuration: max_try = x" in area.failure(area.table("memcache", max_try="x"))


@needs_memcached
def test_memcache_may_not_be_its_own_backup(area, memcached):
    table = area.table("memcache", memcache=f"inet:127.0.0.1:{memcached.port}")
    path = table.split(":", 1)[1]
    pathlib.Path(path).write_text(f"memcache = inet:127.0.0.1:{memcached.port}\nbackup = {table}\n")
    assert "nested too deeply" in area.failure(table)


# redis

@needs_redis
def test_redis_strings_and_hashes(area, redis):
    where = f"127.0.0.1:{redis.port}"
    redis.cli("set", "alias:one@example.com", "two@example.com")
    redis.cli("hset", "transports", "example.com", "smtp:[mx]")
    redis.cli("hset", "user:one@example.com", "quota", "17")
    strings = area.table("redis", hosts=where, prefix="alias:")
    assert area.query(strings, "One@Example.com") == "two@example.com"
    assert area.query(strings, "none") is None
    hashes = area.table("redis", hosts=where, key_format="transports", field_format="%s")
    assert area.query(hashes, "example.com") == "smtp:[mx]"
    fields = area.table("redis", hosts=where, key_format="user:%s", field_format="quota", result_format="q=%s of %U")
    assert area.query(fields, "one@example.com") == "q=17 of one"
    assert "WRONGTYPE" in area.failure(area.table("redis", hosts=where), "transports")
    redis.cli("-n", "3", "set", "key", "third")
    assert area.query(area.table("redis", hosts=where, db=3), "key") == "third"
    assert "select db 99: ERR" in area.failure(area.table("redis", hosts=where, db=99))
    for key in HOSTILE:
        assert area.query(strings, key) is None
        redis.cli("set", "alias:" + key.lower(), "found " + str(len(key)))
        assert area.query(strings, key) == "found " + str(len(key))
    assert int(redis.cli("dbsize")) >= len(HOSTILE)


@needs_redis
def test_redis_changes(area, redis):
    where = {"hosts": f"127.0.0.1:{redis.port}"}
    strings = area.table("redis", **where, prefix="s:", ttl=100)
    assert area.postmap("-i", strings, stdin="One first value\ntwo 2\n") == (0, "", "")
    assert redis.cli("get", "s:one") == "first value" and 0 < int(redis.cli("ttl", "s:one")) <= 100
    assert "duplicate entry" in area.postmap("-i", strings, stdin="one other\n")[2]
    assert area.postmap("-ir", strings, stdin="one other\n")[0] == 0 and area.query(strings, "one") == "other"
    assert area.postmap("-d", "ONE", strings)[0] == 0 and redis.cli("exists", "s:one") == "0"
    assert area.postmap("-d", "one", strings) == (1, "", "")
    hashes = area.table("redis", **where, key_format="h", field_format="%s")
    assert area.postmap("-i", hashes, stdin="field value\n") == (0, "", "")
    assert redis.cli("hget", "h", "field") == "value"
    assert area.postmap("-d", "field", hashes)[0] == 0 and redis.cli("exists", "h") == "0"
    assert "fields of a hash have no ttl" in area.failure(area.table("redis", **where, field_format="%s", ttl=1))
    redis.cli("config", "set", "maxmemory", 1)
    assert "OOM" in area.postmap("-i", strings, stdin="x y\n")[2]


@needs_redis
def test_redis_password(area, tmp_path):
    with Redis(tmp_path / "locked", requirepass="se cret'\"") as server:
        where = f"127.0.0.1:{server.port}"
        server.cli("set", "key", "value")
        server.cli("acl", "setuser", "reader", "on", ">pass", "~*", "+get")
        assert "NOAUTH" in area.failure(area.table("redis", hosts=where))
        wrong = area.failure(area.table("redis", hosts=where, password="wrong-one"))
        assert f"127.0.0.1:{server.port}: authentication failed: WRONGPASS" in wrong and "wrong-one" not in wrong
        assert area.query(area.table("redis", hosts=where, password="se cret'\""), "key") == "value"
        assert area.query(area.table("redis", hosts=where, username="reader", password="pass"), "key") == "value"


@needs_redis
def test_redis_tls(area, tmp_path):
    certificate = make_certificate(str(tmp_path))
    other = make_certificate(str(tmp_path), "other.test")
    server = Redis(tmp_path / "tls", tls_cert_file=certificate.cert, tls_key_file=certificate.key, tls_ca_cert_file=certificate.cert,
                   tls_auth_clients="optional", port=None, tls_port=0)
    server.options |= {"tls_port": server.port, "port": 0}
    with server:
        server.cli("set", "key", "value " * 5000)
        where = f"127.0.0.1:{server.port}"
        trusted = {"tls": "yes", "tls_CAfile": certificate.cert}
        assert area.query(area.table("redis", hosts=where, **trusted), "key") == "value " * 5000
        assert area.query(area.table("redis", hosts=where, **trusted, tls_server_name="localhost"), "key") == "value " * 5000
        assert area.query(area.table("redis", hosts=where, tls="yes", tls_verify_cert="no"), "key") == "value " * 5000
        assert "TLS: server certificate: " in area.failure(area.table("redis", hosts=where, tls="yes", tls_CAfile=other.cert))
        assert "hostname mismatch" in area.failure(area.table("redis", hosts=where, **trusted, tls_server_name="x.test"))
        assert "reset by peer" in area.failure(area.table("redis", hosts=where))
        assert "tls_CAfile" in area.failure(area.table("redis", hosts=where, tls="yes", tls_CAfile="/no/such/file"))


@needs_redis
def test_redis_hosts_fail_over(area, redis, tmp_path):
    with Redis(tmp_path / "second") as second:
        redis.cli("set", "key", "first")
        second.cli("set", "key", "second")
        table = area.table("redis", hosts=f"127.0.0.1:{redis.port}, inet:127.0.0.1:{second.port}", timeout="1s")
        assert area.query(table, "key") == "first"
        redis.freeze()
        assert area.query(table, "key") == "second"
        redis.thaw()
        redis.stop()
        assert area.query(table, "key") == "second"
        second.stop()
        assert f"connect to 127.0.0.1:{redis.port}: Connection refused" in area.failure(table)


@needs_redis
def test_redis_sentinel_names_the_master(area, tmp_path):
    with Redis(tmp_path / "a") as first, Redis(tmp_path / "b", replicaof=f"127.0.0.1 {first.port}") as second:
        watch = (f"sentinel monitor mail 127.0.0.1 {first.port} 1\nsentinel down-after-milliseconds mail 500\n"
                 "sentinel failover-timeout mail 2000\n")
        with Redis(tmp_path / "sentinel", sentinel=watch) as sentinel:
            first.cli("set", "key", "value")
            table = area.table("redis", hosts=f"127.0.0.1:{sentinel.port}", sentinel_master="mail", timeout="2s")
            assert area.query(table, "key") == "value"
            assert "knows no master \"other\"" in area.failure(
                area.table("redis", hosts=f"127.0.0.1:{sentinel.port}", sentinel_master="other"))
            wait_for(lambda: "num-slaves\n1" in sentinel.cli("sentinel", "master", "mail"), 20, "the Sentinel to know the replica")
            wait_for(lambda: second.cli("get", "key") == "value", 20, "the replica to have the key")
            first.stop()
            wait_for(lambda: sentinel.cli("sentinel", "get-master-addr-by-name", "mail").split()[-1] == str(second.port), 30,
                     "the failover")
            wait_for(lambda: area.postmap("-q", "key", table)[:2] == (0, "value\n"), 20, "the new master to be asked")


@needs_redis
def test_redis_cluster_is_followed(area, tmp_path):
    nodes = [Redis(tmp_path / f"node{i}", cluster_enabled="yes", cluster_node_timeout=2000, cluster_port=free_port()).start()
             for i in range(3)]
    try:
        for i, node in enumerate(nodes):
            node.cli("cluster", "addslotsrange", i * 5461, 16383 if i == 2 else i * 5461 + 5460)
            node.cli("cluster", "set-config-epoch", i + 1)
            nodes[0].cli("cluster", "meet", "127.0.0.1", node.port, node.options["cluster_port"])
        wait_for(lambda: all("cluster_state:ok" in node.cli("cluster", "info") for node in nodes), 30, "the cluster")
        for i in range(20):
            nodes[0].cli("-c", "set", f"key{i}", f"value{i}")
        where = f"127.0.0.1:{nodes[1].port}, 127.0.0.1:{nodes[0].port}"
        table = area.table("redis", hosts=where, cluster="yes", timeout="1s")
        status, found, errors = area.postmap("-q", "-", table, stdin="".join(f"key{i}\n" for i in range(20)))
        assert (status, errors) == (0, "") and found == "".join(f"key{i}\tvalue{i}\n" for i in range(20))
        assert "(needs \"cluster = yes\")" in "".join(
            area.postmap("-q", f"key{i}", area.table("redis", hosts=where))[2] for i in range(5))
        # A slot on its way: the old node says ASK for keys it no longer has.
        slot = nodes[0].cli("cluster", "keyslot", "moving")
        ids = [node.cli("cluster", "myid") for node in nodes]
        source = min(int(slot) // 5461, 2)
        target = (source + 1) % 3
        nodes[target].cli("cluster", "setslot", slot, "importing", ids[source])
        nodes[source].cli("cluster", "setslot", slot, "migrating", ids[target])
        assert nodes[target].cli("eval", "return 1", "0") == "1"
        done = subprocess.run(["redis-cli", "-h", "127.0.0.1", "-p", str(nodes[target].port)], input="asking\nset moving there\n",
                              capture_output=True, text=True, check=True, timeout=20)
        assert done.stdout.split() == ["OK", "OK"]
        assert area.query(table, "moving") == "there"
        # Without one of its masters a cluster answers nothing, and then again.
        nodes[2].stop()
        wait_for(lambda: "cluster_state:fail" in nodes[0].cli("cluster", "info"), 30, "the cluster to fail")
        assert "CLUSTERDOWN" in area.failure(table)
        nodes[2].start()
        wait_for(lambda: area.postmap("-q", "key7", table)[:2] == (0, "value7\n"), 30, "the cluster to answer again")
    finally:
        for node in nodes:
            node.stop()


# sqlite

@pytest.fixture(name="database")
def _database(tmp_path):
    path = tmp_path / "mail.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (k TEXT, v TEXT, n INTEGER)")
        database.executemany("INSERT INTO t VALUES (?, ?, ?)", [
            ("one@example.com", "first", 1), ("two@example.com", "a@x.test", 2), ("two@example.com", "b", 2), ("two@example.com", "", 2),
            ("two@example.com", None, 2), ("o'hara@example.com", "irish", 3), ("' or '1'='1", "literal", 4), ("[x]", "brackets", 5)])
    database.close()
    return path


def test_sqlite_queries(area, database):
    plain = area.table("sqlite", dbpath=database, query="SELECT v FROM t WHERE k = '%s'")
    assert area.query(plain, "ONE@example.com") == "first"
    assert area.query(plain, "two@example.com") == "a@x.test,b"
    assert area.query(plain, "o'hara@example.com") == "irish"
    legacy = area.table("sqlite", dbpath=database, table="t", select_field="v", where_field="k", additional_conditions="AND n < 2")
    assert [area.query(legacy, key) for key in ("one@example.com", "two@example.com")] == ["first", None]
    formatted = area.table("sqlite", dbpath=database, query="SELECT v FROM t WHERE k LIKE '%u@%d'", result_format="%u at %d for %S")
    assert area.query(formatted, "two@example.com") == "a at x.test for two@example.com"
    limited = area.table("sqlite", dbpath=database, query="SELECT v FROM t WHERE k = '%s'", expansion_limit=1)
    assert area.query(limited, "one@example.com") == "first"
    assert "limit" in area.failure(limited, "two@example.com")
    domain = area.table("sqlite", dbpath=database, query="SELECT 'yes'", domain="example.com")
    assert [area.query(domain, key) for key in ("a@example.com", "a@x.test", "example.com")] == ["yes", None, None]
    area.main(f"mail_dbpath = {database}\nmail_query = SELECT v FROM t WHERE k = '%s'\n")
    assert area.query("sqlite:mail", "one@example.com") == "first"


def test_sqlite_keys_stay_values(area, database):
    stored = {"o'hara@example.com": "irish", "' or '1'='1": "literal", "[x]": "brackets"}
    for query in ("SELECT v FROM t WHERE k = '%s'", "SELECT v FROM t WHERE k = %s"):
        table = area.table("sqlite", dbpath=database, query=query)
        for key in HOSTILE:
            assert area.query(table, key) == stored.get(key.lower())
    doubled = area.table("sqlite", dbpath=database, query='SELECT v FROM t WHERE k = "%s"')
    status, value, errors = area.postmap("-q", '" or "1"="1', doubled)
    assert (status, value) == (1, "") and "use single quotes" in errors
    for option, stdin in (("-d", "one@example.com\n"), ("-i", "new entry\n")):
        status, _, errors = area.postmap(*([option, "-"] if option == "-d" else [option]), doubled, stdin=stdin)
        assert status == 1 and "fatal: " in errors
    writing = area.table("sqlite", dbpath=database, query="DELETE FROM t WHERE k = '%s'")
    assert "fatal" in area.failure(writing, "one@example.com")
    with sqlite3.connect(database) as check:
        assert check.execute("SELECT count(*) FROM t").fetchone() == (8,)


def test_sqlite_failures(area, database, tmp_path):
    missing = area.table("sqlite", dbpath=tmp_path / "missing.db", query="SELECT 1")
    assert "No such file or directory" in area.failure(missing)
    (tmp_path / "text.db").write_text("this is no database, although it is long enough to look at\n" * 100)
    assert "file is not a database" in area.failure(area.table("sqlite", dbpath=tmp_path / "text.db", query="SELECT v FROM t"))
    assert "no such column" in area.failure(area.table("sqlite", dbpath=database, query="SELECT other FROM t"))
    assert "dbpath" in area.failure(area.table("sqlite", query="SELECT 1"))
    (tmp_path / "cut.db").write_bytes(database.read_bytes()[:4096])
    assert "malformed" in area.failure(area.table("sqlite", dbpath=tmp_path / "cut.db", query="SELECT v FROM t WHERE k = '%s'"))


# Sessions: the same for each type

class Source:
    """A table for check_recipient_access with `reject@x.test` in it, whose server can be taken away."""

    def __init__(self, kind, directory):
        self.kind = kind
        self.database = directory / "access.db"
        if kind == "memcache":
            self.server = Memcached(directory / "server").start()
            self.settings = {"memcache": f"inet:127.0.0.1:{self.server.port}", "timeout": 1, "max_try": 1}
        elif kind == "redis":
            self.server = Redis(directory / "server").start()
            self.settings = {"hosts": f"127.0.0.1:{self.server.port}", "timeout": "1s"}
        else:
            self.server = None
            self.settings = {"dbpath": self.database, "query": "SELECT v FROM t WHERE k = '%s'"}
        self.fill()

    def fill(self):
        if self.kind == "memcache":
            self.server.set("reject@x.test", "REJECT no mail")
        elif self.kind == "redis":
            self.server.cli("set", "reject@x.test", "REJECT no mail")
        else:
            new = self.database.with_suffix(".new")
            with sqlite3.connect(new) as database:
                database.execute("CREATE TABLE t (k, v)")
                database.execute("INSERT INTO t VALUES ('reject@x.test', 'REJECT no mail')")
            database.close()
            new.chmod(0o644)
            new.rename(self.database)

    def stop(self):
        if self.server:
            self.server.stop()
        else:
            self.database.write_bytes(b"damaged" * 1000)

    def start(self):
        if self.server:
            self.server.start()
        self.fill()

    def freeze(self):
        if self.server:
            self.server.freeze()
        else:
            self.lock = sqlite3.connect(self.database, isolation_level=None)
            self.lock.execute("BEGIN EXCLUSIVE")

    def thaw(self):
        if self.server:
            self.server.thaw()
        else:
            self.lock.execute("ROLLBACK")
            self.lock.close()

    def close(self):
        if self.server:
            self.server.stop()


@pytest.mark.parametrize("kind", ["memcache", "redis", "sqlite"])
@pytest.mark.parametrize("through", ["", "proxy:"])
def test_sessions_outlive_their_table(make_instance, only_stagepost, tmp_path, kind, through):
    """Also behind proxymap, for an smtpd that sees neither the settings nor the module."""
    if {"memcache": MEMCACHED, "redis": REDIS, "sqlite": "built in"}[kind] is None:
        not_there(f"no server for {kind}")
    if not (MODULES / f"postfix-{kind}.so").exists():
        not_there(f"the module for {kind} is not built")
    tmp_path.chmod(0o755)
    source = Source(kind, tmp_path)
    try:
        jail = {"smtp/inet": {"chroot": "y"}} if through and os.geteuid() == 0 else {}
        table = f"{through}{kind}:{tmp_path}/access.cf"
        instance = make_instance(start=False, master=jail, shlib_directory=MODULES, meta_directory=tmp_path, proxy_read_maps=table,
                                 smtpd_recipient_restrictions=f"check_recipient_access {table}, permit",
                                 smtpd_hard_error_limit=10000, smtpd_soft_error_limit=10000, smtpd_recipient_limit=10000,
                                 default_transport="discard:")
        (tmp_path / "access.cf").write_text("".join(f"{name} = {value}\n" for name, value in source.settings.items()))
        (tmp_path / "access.cf").chmod(0o644)
        instance.start()
        session = instance.smtp()
        session.ehlo()
        session.expect(250, "MAIL FROM:<sender@example.test>")

        def verdicts():
            return [session.command(f"RCPT TO:<{name}@x.test>").code for name in ("reject", "other")]

        wait_for(lambda: verdicts() == [554, 250], 20, "the table's answer", lambda: instance.log.tail(12))
        mark = instance.log.mark()
        source.stop()
        wait_for(lambda: verdicts() == [451, 451], 20, "temporary failures", lambda: instance.log.tail(12))
        instance.log.wait(rf"warning: .*{kind}:{re.escape(str(tmp_path))}/access\.cf lookup error for \"", since=mark)
        source.start()
        wait_for(lambda: verdicts() == [554, 250], 20, "the table's answer after a restart", lambda: instance.log.tail(12))
        source.freeze()
        # While this session waits, another one of the same process does not.
        session.send(b"RCPT TO:<other@x.test>\r\n")
        with instance.smtp() as second:
            second.ehlo()
            second.expect(250, "MAIL FROM:<sender@example.test>")
            second.quit()
        assert session.read().code == 451
        source.thaw()
        wait_for(lambda: verdicts() == [554, 250], 30, "the table's answer after a pause", lambda: instance.log.tail(12))
        session.quit()
        assert not instance.log.find(r"(fatal|panic): |process .* killed")
    finally:
        source.close()


@needs_redis
def test_delivery_looks_into_tables_on_the_network(make_instance, only_stagepost, tmp_path):
    """cleanup's, trivial-rewrite's, local's and virtual's tables: each process may make connections, and waits for a server that is
    away with mail in the queue."""
    if not (MODULES / "postfix-redis.so").exists():
        not_there("the module for redis is not built")
    tmp_path.chmod(0o755)
    with Redis(tmp_path / "server") as server:
        for name in ("alias", "domain", "box", "local"):
            path = tmp_path / f"{name}.cf"
            path.write_text(f"hosts = 127.0.0.1:{server.port}\nprefix = {name}:\ntimeout = 1s\n")
            path.chmod(0o644)
        server.cli("set", "alias:first@virtual.test", "second@virtual.test")
        server.cli("set", "domain:virtual.test", "yes")
        server.cli("set", "box:second@virtual.test", "second/")
        server.cli("set", "local:list", "second@virtual.test")
        instance = make_instance(
            shlib_directory=MODULES, meta_directory=tmp_path, virtual_alias_maps=f"redis:{tmp_path}/alias.cf",
            virtual_mailbox_domains=f"redis:{tmp_path}/domain.cf", virtual_mailbox_maps=f"redis:{tmp_path}/box.cf",
            alias_maps=f"redis:{tmp_path}/local.cf", minimal_backoff_time="1s", maximal_backoff_time="1s", queue_run_delay="1s",
            smtpd_recipient_restrictions="permit")

        def mailbox():
            return list((instance.vmail / "second" / "new").glob("*"))

        instance.submit(["first@virtual.test"])
        wait_for(lambda: len(mailbox()) == 1, 20, "mail through virtual_alias_maps", lambda: instance.log.tail(20))
        instance.submit(["list@local.test"])
        wait_for(lambda: len(mailbox()) == 2, 20, "mail through alias_maps", lambda: instance.log.tail(20))
        # Mail that was accepted waits while the server is away.
        server.stop()
        instance.sendmail("first@virtual.test", check=True)
        instance.log.wait(r"warning: .*redis:.*Connection refused")
        assert not instance.log.find(r"status=bounced")
        server.start()
        instance.run("postkick", "public", "pickup", "W", check=True)  # it would look again within a minute
        wait_for(lambda: len(mailbox()) == 3, 40, "mail that waited", lambda: instance.log.tail(30))
        assert not instance.log.find(r"status=bounced|(fatal|panic): ")
