"""mongodb: tables with a server of the tests' own: answers, keys that try to be more than keys, and servers that are down, slow,
restarted, hang up, or do not like the password."""

import contextlib
import os
import pathlib
import re
import subprocess
import time

import bson
import pytest

from support.mongo_server import MongoServer, Refused
from support.mta import stagepost_suite
from support.ports import free_port
from support.required import not_there
from support.sink import make_certificate
from support.waiting import wait_for

SUITE = stagepost_suite()
MODULES = pathlib.Path(SUITE.daemon_directory).parent / "modules"
LOGIN = ("mail", "se-cret")
FILTER = '{"$or": [{"name": "%s"}, {"alias.address": "%s"}], "active": 1}'
DOCUMENTS = {"mail.people": [
    {"_id": bson.ObjectId(), "name": "one@ex.test", "value": "first@hub.test", "active": 1},
    {"_id": bson.ObjectId(), "name": "plain", "value": "bare", "quota": 17, "big": bson.Int64(5_000_000_000), "active": 1},
    {"_id": bson.ObjectId(), "name": "many@ex.test", "value": ["a@hub.test", "b@hub.test", "", ["c@hub.test"]], "active": 1},
    {"_id": bson.ObjectId(), "name": "twice@ex.test", "value": "x@hub.test", "active": 1},
    {"_id": bson.ObjectId(), "name": "twice@ex.test", "value": "y@hub.test", "active": 1},
    {"_id": bson.ObjectId(), "name": "gone@ex.test", "value": "hidden@hub.test", "active": 0},
    {"_id": bson.ObjectId(), "name": "deep@ex.test", "value": "deep", "alias": [{"address": "al@ex.test"}, {"address": "ias@ex.test"}],
     "home": {"host": "h1", "port": 25}, "active": 1},
    {"_id": bson.ObjectId(), "name": "odd@ex.test", "value": True, "more": 1.5, "text": "left", "active": 1},
    {"_id": bson.ObjectId(), "name": "@catch.test", "value": "all@hub.test", "active": 1},
    {"_id": bson.ObjectId(), "name": "listed@local.test", "value": "REJECT listed", "active": 1},
]}
HOSTILE = [
    '"', '\\', '\\"', '", "active": {"$ne": 2}, "x": "', '"}], "active": 0, "$or": [{"name": "gone@ex.test', '{"$ne": ""}', '{"$gt": ""}', "$ne", "$where",
    "$name", "$$ROOT", "' || '1'=='1", "'; return true; //", "[$ne]", ".*", "^", "%", "%s", "%d@%u", "*", "\\u0022", "\\x22", "k" * 10_000, '"' * 5_000,
    "\\" * 5_001, "\x01\x7f\x1b[31m", "\u00fc\u4e2d\U0001f600", "\ufeff", "\u2019", "true", "null", "1",
]


@pytest.fixture(name="server")
def _server():
    with MongoServer(DOCUMENTS, login=LOGIN) as server:
        yield server


@pytest.fixture(name="area")
def _area(tmp_path):
    if not (MODULES / "postfix-mongodb.so").exists():
        not_there("the module for mongodb is not built")
    if not os.access(SUITE.program("postmap"), os.X_OK):
        not_there("postmap is not built")
    return Area(tmp_path)


def uri(*servers, login=LOGIN, options=""):
    account = f"{login[0]}:{login[1]}@" if login else ""
    return f"mongodb://{account}{','.join(server if isinstance(server, str) else server.address for server in servers)}/?{options}"


def settings(*servers, **more):
    values = {"uri": uri(*servers), "dbname": "mail", "collection": "people", "query_filter": FILTER, "result_attribute": "value"}
    return {name: value for name, value in {**values, **more}.items() if value is not None}


class Area:
    """A configuration directory for postmap."""

    def __init__(self, directory):
        self.directory, self.count = directory, 0
        self.main("")

    def main(self, text):
        (self.directory / "main.cf").write_text(
            f"compatibility_level = 3.6\nqueue_directory = {self.directory}/queue\ndata_directory = {self.directory}/data\n"
            f"shlib_directory = {MODULES}\nmeta_directory = {self.directory}\n{text}")

    def table(self, *servers, **more):
        self.count += 1
        path = self.directory / f"table{self.count}.cf"
        path.write_text("".join(f"{name} = {value}\n" for name, value in settings(*servers, **more).items()))
        return f"mongodb:{path}"

    def postmap(self, *arguments, stdin=b""):
        done = subprocess.run([SUITE.program("postmap"), "-c", str(self.directory), *arguments], input=stdin, capture_output=True, timeout=120,
                              check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def query(self, table, key):
        """The value; None: not found."""
        status, value, errors = self.postmap("-q", key, table)
        assert errors == "", errors
        return value.removesuffix("\n") if status == 0 else None

    def failure(self, table, key="one@ex.test"):
        """What is said when a lookup fails; never the password."""
        status, value, errors = self.postmap("-q", key, table)
        assert (status, value) == (1, ""), (status, value, errors)
        assert "fatal: " in errors and LOGIN[1] not in errors and "wrong-password" not in errors, errors
        return errors


def test_answers(area, server):
    table = area.table(server)
    assert area.query(table, "one@ex.test") == "first@hub.test"
    assert area.query(table, "ONE@Ex.Test") == "first@hub.test"
    assert area.query(table, "plain") == "bare"
    assert area.query(table, "@catch.test") == "all@hub.test"
    assert area.query(table, "many@ex.test") == "a@hub.test,b@hub.test,c@hub.test"
    assert area.query(table, "twice@ex.test") == "x@hub.test,y@hub.test"
    assert area.query(table, "al@ex.test") == "deep"
    for key in ("nobody@ex.test", "gone@ex.test"):
        assert area.query(table, key) is None
    status, found, errors = area.postmap("-q", "-", table, stdin=b"one@ex.test\nnone\nplain\n")
    assert (status, found, errors) == (0, "one@ex.test\tfirst@hub.test\nplain\tbare\n", "")
    assert server.finds[-1]["find"] == "people" and server.finds[-1]["$db"] == "mail"
    assert server.finds[-1]["projection"] == {"value": 1, "_id": 0}


def test_fields_and_projections(area, server):
    assert area.query(area.table(server, result_attribute="value, quota big"), "plain") == "bare,17,5000000000"
    assert area.query(area.table(server, result_attribute="home.host,alias.address home.port"), "deep@ex.test") == "al@ex.test,ias@ex.test,h1,25"
    assert area.query(area.table(server, result_attribute=None, projection='{"home.host": 1}'), "deep@ex.test") == "h1"
    assert area.query(area.table(server, result_attribute=None, projection='{"_id": 0, "active": 0, "name": 0}'), "plain") == "bare,17,5000000000"
    assert area.query(area.table(server, result_attribute=None), "one@ex.test") == "one@ex.test,first@hub.test,1"
    status, value, errors = area.postmap("-q", "odd@ex.test", area.table(server, result_attribute="value more text"))
    assert (status, value) == (0, "left\n")
    assert 'neither text nor a whole number: "value" (boolean), "more" (double)' in errors
    status, value, errors = area.postmap("-q", "deep@ex.test", area.table(server, result_attribute="home"))
    assert (status, value) == (1, "") and '"home" (document)' in errors


def test_more_documents_than_one_reply_holds(area, server):
    server.documents = {"mail.people": [{"name": "k", "active": 1, "value": f"v{number}"} for number in range(250)]}
    server.batch = 100
    table = area.table(server)
    assert area.query(table, "k") == ",".join(f"v{number}" for number in range(250))
    assert "limit exceeded" in area.failure(area.table(server, expansion_limit="249"), "k")


def test_formats_parts_domains_and_limits(area, server):
    assert area.query(area.table(server, result_format="<%u|%d|%S|%1>"), "one@ex.test") == "<first|hub.test|one@ex.test|test>"
    assert area.query(area.table(server, result_format="smtp:[%d]"), "plain") is None
    parts = area.table(server, query_filter='{"name": "%u@%2.%1"}')
    assert area.query(parts, "one@any.ex.test") == "first@hub.test"
    count = len(server.finds)
    for key in ("one@test", "plain"):
        assert area.query(parts, key) is None
    domains = area.table(server, domain="none.test, ex.test")
    for key in ("plain", "@catch.test", "one@sub.ex.test", "listed@local.test"):
        assert area.query(domains, key) is None
    assert len(server.finds) == count, "asked for keys that cannot be there"
    assert area.query(domains, "one@ex.test") == "first@hub.test"
    limited = area.table(server, expansion_limit="1")
    assert area.query(limited, "one@ex.test") == "first@hub.test"
    assert "limit exceeded" in area.failure(limited, "many@ex.test")


def test_settings_in_main_cf_and_dynamicmaps(area, server):
    values = settings(server)
    area.main("".join(f"people_{name} = {value.replace('$', '$$')}\n" for name, value in values.items()))
    assert area.query("mongodb:people", "one@ex.test") == "first@hub.test"
    assert "nowhere_uri" in area.failure("mongodb:nowhere")
    postconf = [SUITE.program("postconf"), "-c", str(area.directory)]
    assert "mongodb" in subprocess.run([*postconf, "-m"], capture_output=True, text=True, check=True).stdout.split()
    (area.directory / "dynamicmaps.cf").write_text(f"mongodb {MODULES}/postfix-mongodb.so dict_mongodb_open\n")
    (area.directory / "main.cf").write_text((area.directory / "main.cf").read_text().replace(f"shlib_directory = {MODULES}", "shlib_directory = no"))
    if os.stat(MODULES / "postfix-mongodb.so").st_uid == os.geteuid():
        assert area.query("mongodb:people", "one@ex.test") == "first@hub.test"


def test_bad_configuration_names_the_file_and_what_is_wrong(area, server):
    def said(**more):
        return area.failure(area.table(server, **more))
    for name in ("uri", "dbname", "collection", "query_filter"):
        assert re.search(rf"table\d+\.cf: bad string length 0 < 1: {name} = ", said(**{name: None}))
    assert "table5.cf: uri: Invalid URI" in said(uri="mango://host")
    assert "uri: " in said(uri="mongodb://mail:se-cret@x@127.0.0.1:1/?x")
    assert 'uri: Password "..." must not have unescaped' in said(uri="mongodb://mail:se-cret:wrong-password@127.0.0.1:1/")
    assert "uri: " in said(uri='mongodb://mail:wrong-password"/127.0.0.1')
    assert "cannot both be set" in said(projection='{"value": 1}')
    assert "projection: not a JSON object" in said(projection="value", result_attribute=None)
    assert "query_filter: not a JSON object" in said(query_filter='{"name": %s}')
    assert "a part of the key cannot be in $where" in said(query_filter='{"$where": "this.name == \'%s\'"}')
    assert "template" in said(query_filter='{"name": "%x"}')
    assert "expansion_limit = many" in said(expansion_limit="many")
    assert "dbname: longer than" in said(dbname="x" * 64)
    assert "No such file or directory" in area.failure(f"mongodb:{area.directory}/none.cf")
    status, value, errors = area.postmap("-q", "key", area.table(server, query_filter='{"name": "plain"}'))
    assert (status, value) == (0, "bare\n") and "probably useless" in errors


def test_hostile_keys_find_nothing_and_are_one_string(area, server):
    table = area.table(server)
    lines = "".join(f"{key}\n" for key in HOSTILE).encode()
    status, found, errors = area.postmap("-f", "-q", "-", table, stdin=lines)
    assert (status, found, errors) == (1, "", "")
    assert server.filters == [{"$or": [{"name": key}, {"alias.address": key}], "active": 1} for key in HOSTILE]
    # And each is a key that can be found by its own name, also through a regular expression.
    server.documents = {"mail.people": [{"name": key, "value": f"v{number}"} for number, key in enumerate(HOSTILE)]}
    everybody = "".join(f"{key}\tv{number}\n" for number, key in enumerate(HOSTILE))
    for query in ('{"name": "%s"}', '{"name": {"$regex": "^%s$"}}'):
        status, found, errors = area.postmap("-f", "-q", "-", area.table(server, query_filter=query), stdin=lines)
        assert (status, errors, found) == (0, "", everybody)
    count = len(server.finds)
    assert area.postmap("-q", "-", table, stdin=b"one\xff@ex.test\none\0@ex.test\n")[:2] == (1, "")
    assert len(server.finds) == count


def test_a_wrong_password_is_a_failure_with_the_hosts_name(area, server):
    for login in ((LOGIN[0], "wrong-password"), ("nobody", LOGIN[1])):
        said = area.failure(area.table(server, uri=uri(server, login=login)))
        assert server.address in said and "Authentication failed" in said
    assert "requires authentication" in area.failure(area.table(server, uri=uri(server, login=None)))
    assert server.filters == []


def test_tls_is_used_and_the_servers_certificate_checked(area, tmp_path):
    certificate, stranger = make_certificate(str(tmp_path)), make_certificate(str(tmp_path), "stranger.test")
    with MongoServer(DOCUMENTS, login=LOGIN, certificate=certificate) as server:
        assert area.query(area.table(server, uri=uri(server, options=f"tls=true&tlsCAFile={certificate.cert}")), "plain") == "bare"
        said = area.failure(area.table(server, uri=uri(server, options=f"tls=true&tlsCAFile={stranger.cert}")))
        assert re.search("certificate|TLS", said), said
        assert server.address in area.failure(area.table(server, uri=uri(server)))


def test_errors_are_failures(area, server):
    table = area.table(server)
    server.failing = Refused(96, "OperationFailed", "disk on fire")
    said = area.failure(table)
    assert f"host {server.address}: disk on fire" in said
    server.failing = None
    assert area.query(table, "plain") == "bare"
    assert "unknown operator: $bad" in area.failure(area.table(server, query_filter='{"name": {"$bad": "%s"}}'))
    # One that hangs up is asked again.
    server.hang_up_in = 0
    assert area.query(table, "plain") == "bare"
    server.stop()
    began = time.monotonic()
    assert f"host {server.address}: " in area.failure(table)
    assert time.monotonic() - began < 10
    with MongoServer({}, login=LOGIN) as slow:
        slow.freeze()
        limits = area.table(slow, uri=uri(slow, options="connectTimeoutMS=500&socketTimeoutMS=500&serverSelectionTimeoutMS=500"))
        assert f"host {slow.address}: " in area.failure(limits)


def test_the_driver_finds_a_member_that_answers(area, server, tmp_path):
    dead = f"127.0.0.1:{free_port()}"
    members = [MongoServer(DOCUMENTS, login=LOGIN) for _ in range(2)]
    try:
        for member in members:
            member.replica_set = ("rs", [one.address for one in members])
        members[1].primary = False
        where = uri(dead, *members, options="replicaSet=rs")
        table = area.table(uri=where)
        assert area.query(table, "one@ex.test") == "first@hub.test"
        assert members[0].finds and not members[1].finds
        members[0].stop()
        members[1].primary = True
        assert area.query(table, "one@ex.test") == "first@hub.test"
        assert members[1].finds
        members[1].stop()
        said = area.failure(table)
        assert dead in said and members[0].address in said
    finally:
        for member in members:
            member.stop()


def test_a_session_outlives_all_that_happens_to_its_server(server, make_instance):
    """One SMTP session asks the table while its server is well, frozen, hangs up, is down, back, and restarted."""
    if not (MODULES / "postfix-mongodb.so").exists():
        not_there("the module for mongodb is not built")
    instance = make_instance(start=False, shlib_directory=MODULES, local_recipient_maps="", smtpd_peername_lookup="no")
    options = "connectTimeoutMS=1000&socketTimeoutMS=1000&serverSelectionTimeoutMS=1000&maxIdleTimeMS=1000"
    values = settings(server, uri=uri(server, options=options))
    table = instance.write("table.cf", "".join(f"{name} = {value}\n" for name, value in values.items()), 0o640)
    if instance.owner and os.geteuid() == 0:
        os.chown(table, instance.owner.pw_uid, 0)
    instance.set(smtpd_recipient_restrictions=f"check_recipient_access mongodb:{table}, permit_mynetworks, reject", smtpd_delay_reject="yes",
                 smtpd_error_sleep_time="0")
    instance.start()
    name = rf"mongodb:{re.escape(str(table))}"
    with instance.smtp(timeout=60) as client, instance.smtp(timeout=60) as other:
        for session in (client, other):
            session.ehlo()
            session.expect(250, "MAIL FROM:<sender@example.test>")

        def well():
            client.expect(554, "RCPT TO:<listed@local.test>")
            client.expect(250, "RCPT TO:<free@local.test>")

        well()
        client.expect(250, f"RCPT TO:<{'o' * 60}'$ne'@local.test>")
        client.expect(250, 'RCPT TO:<"a\\", \\"active\\": {\\"$ne\\": 2}, \\"x\\": \\""@local.test>')
        # A connection that nobody uses goes away.
        wait_for(lambda: server.connections == 0, 20, "idle connections to close")
        well()

        mark = instance.log.mark()
        server.freeze()
        client.send(b"RCPT TO:<listed@local.test>\r\n")
        # Who does not need the table does not wait for it.
        other.expect(250, "NOOP")
        reply = client.read()
        server.thaw()
        assert reply.code == 451, reply
        instance.log.wait(rf"warning: .*{name}.*(127\.0\.0\.1:{server.port}|no answer in time)", since=mark)
        wait_for(lambda: client.command("RCPT TO:<listed@local.test>").code == 554, 20, "the server to be asked again")
        well()

        mark = instance.log.mark()
        server.failing = Refused(96, "OperationFailed", "disk on fire")
        client.expect(451, "RCPT TO:<listed@local.test>")
        instance.log.wait(rf"warning: .*{name}.*127\.0\.0\.1:{server.port}: disk on fire", since=mark)
        server.failing = None
        well()
        server.hang_up_in = 0
        well()

        mark = instance.log.mark()
        server.stop()
        client.expect(451, "RCPT TO:<listed@local.test>")
        instance.log.wait(rf"warning: .*{name}.*127\.0\.0\.1:{server.port}", since=mark)
        server.start()
        well()

        server.restart()
        well()

        mark = instance.log.mark()
        server.login = (LOGIN[0], "changed")
        server.restart()
        client.expect(451, "RCPT TO:<listed@local.test>")
        instance.log.wait(rf"warning: .*{name}.*Authentication failed", since=mark)
        server.login = LOGIN
        well()
        client.expect(250, "RSET")
        client.quit()
    assert not instance.log.find(re.escape(LOGIN[1]))
    assert not instance.log.find("killed by signal|fatal:|panic:")


def test_the_sessions_of_a_process_share_two_connections(server, make_instance):
    if not (MODULES / "postfix-mongodb.so").exists():
        not_there("the module for mongodb is not built")
    instance = make_instance(start=False, shlib_directory=MODULES, local_recipient_maps="", smtpd_peername_lookup="no")
    values = settings(server, uri=uri(server, options="connectTimeoutMS=60000&socketTimeoutMS=60000"))
    table = instance.write("table.cf", "".join(f"{name} = {value}\n" for name, value in values.items()), 0o640)
    if instance.owner and os.geteuid() == 0:
        os.chown(table, instance.owner.pw_uid, 0)
    instance.set(smtpd_recipient_restrictions=f"check_recipient_access mongodb:{table}, permit_mynetworks, reject", smtpd_delay_reject="yes")
    instance.start()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(instance.smtp(timeout=60)) for _ in range(20)]
        for client in clients:
            client.ehlo()
            client.expect(250, "MAIL FROM:<sender@example.test>")
        server.freeze()
        for client in clients:
            client.send(b"RCPT TO:<listed@local.test>\r\nRCPT TO:<free@local.test>\r\n")
        wait_for(lambda: server.accepted >= 2, 20, "two connections")
        server.thaw()
        for client in clients:
            assert client.read().code == 554
            assert client.read().code == 250
        # The sessions spread over as many processes as there are processors.
        assert server.accepted <= 2 * len(instance.daemons("smtpd"))
        for client in clients:
            client.quit()


def test_cleanup_waits_out_an_outage(server, make_instance):
    """An alias in the table, through proxymap: while the server is down mail is put off, afterwards it is rewritten."""
    if not (MODULES / "postfix-mongodb.so").exists():
        not_there("the module for mongodb is not built")
    server.documents = {"mail.people": [{"name": "info@alias.test", "value": ["a@alias.test", "b@alias.test"], "active": 1}]}
    instance = make_instance(start=False, shlib_directory=MODULES, local_recipient_maps="", smtpd_peername_lookup="no")
    values = settings(server, uri=uri(server, options="connectTimeoutMS=1000&socketTimeoutMS=1000"))
    table = instance.write("table.cf", "".join(f"{name} = {value}\n" for name, value in values.items()), 0o640)
    if instance.owner and os.geteuid() == 0:
        os.chown(table, instance.owner.pw_uid, 0)
    instance.set(virtual_alias_maps=f"proxy:mongodb:{table}", virtual_alias_domains="alias.test", default_transport="discard",
                 virtual_transport="discard", smtpd_recipient_restrictions="permit_mynetworks, reject")
    instance.start()
    with instance.smtp(timeout=60) as client:
        client.ehlo()
        server.stop()
        client.expect(250, "MAIL FROM:<sender@example.test>")
        reply = client.command("RCPT TO:<info@alias.test>")
        assert reply.code in (250, 451), reply
        if reply.code == 250:
            client.expect(354, "DATA")
            client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
            assert client.read().code == 451
        instance.log.wait(rf"mongodb:{re.escape(str(table))}.*127\.0\.0\.1:{server.port}")
        client.expect(250, "RSET")
        server.start()
        client.expect(250, "MAIL FROM:<sender@example.test>")
        client.expect(250, "RCPT TO:<info@alias.test>")
        client.expect(550, "RCPT TO:<nobody@alias.test>")
        client.expect(354, "DATA")
        client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert client.read().code == 250
        client.quit()
    instance.log.wait(r"to=<a@alias\.test>, orig_to=<info@alias\.test>")
    instance.log.wait(r"to=<b@alias\.test>, orig_to=<info@alias\.test>")
