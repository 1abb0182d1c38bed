"""mysql:, pgsql: and ldap: tables with real servers: answers, keys that try to be more than keys, and servers that are down, slow,
restarted, or do not like the password."""

import os
import pathlib
import re
import subprocess

import pytest

from support import database_servers
from support.database_servers import ENTRIES, PASSWORD, SERVERS, WANDA
from support.mta import stagepost_suite
from support.ports import free_port
from support.required import not_there
from support.sink import make_certificate
from support.waiting import wait_for

SUITE = stagepost_suite()
MODULES = pathlib.Path(SUITE.daemon_directory).parent / "modules"
HOSTILE = [
    "' OR '1'='1", "' OR 1=1 -- ", '" OR "1"="1', "x'; DROP TABLE entries; -- ", "\\' OR 1=1 -- ", "\\", "'", "''", '"', "`", "%", "%s", "%d@%u", "_",
    "*", "*)(entryname=*", "a)(|(entryname=*)", "(", ")", "\\2a", "&", "|", "!", "hidden*", "cn=entry1,dc=ex,dc=test", "$1", "$$", "\\x27",
    "' UNION SELECT value FROM entries -- ", "x' || (SELECT value FROM entries LIMIT 1) || '", "/*", "--", ";", "k" * 10_000, "'" * 5_000, "\\" * 5_001,
    "*" * 3_000, "\x01\x7f\x1b[31m", "\u00fc\u4e2d\U0001f600", "\ufeff", "\u2019",
]


@pytest.fixture(name="server", scope="module", params=sorted(SERVERS))
def _server(request):
    kind = SERVERS[request.param]
    if kind.missing():
        not_there(f"not installed: {', '.join(kind.missing())}")
    if not (MODULES / f"postfix-{kind.kind}.so").exists():
        not_there(f"the module for {kind.kind} is not built")
    if not os.access(SUITE.program("postmap"), os.X_OK):
        not_there("postmap is not built")
    server = kind()
    yield server
    server.close()


class Area:
    """A configuration directory for postmap."""

    def __init__(self, directory, server):
        self.directory, self.server, self.count = directory, server, 0
        self.main("")

    def main(self, text):
        (self.directory / "main.cf").write_text(
            f"compatibility_level = 3.6\nqueue_directory = {self.directory}/queue\ndata_directory = {self.directory}/data\n"
            f"shlib_directory = {MODULES}\nmeta_directory = {self.directory}\n{text}")

    def table(self, *hosts, **settings):
        self.count += 1
        path = self.directory / f"table{self.count}.cf"
        path.write_text("".join(f"{name} = {value}\n" for name, value in self.server.settings(*hosts, **settings).items()))
        return f"{self.server.kind}:{path}"

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
        assert "fatal: " in errors and PASSWORD not in errors and "wrong-password" not in errors, errors
        return errors


@pytest.fixture(name="area")
def _area(tmp_path, server):
    return Area(tmp_path, server)


def test_answers(area, server):
    table = area.table()
    assert area.query(table, "one@ex.test") == "first@hub.test"
    assert area.query(table, "ONE@Ex.Test") == "first@hub.test"
    assert area.query(table, "plain") == "bare"
    assert area.query(table, "@catch.test") == "all@hub.test"
    assert area.query(table, "nobody@ex.test") is None
    assert sorted(area.query(table, "many@ex.test").split(",")) == ["a@hub.test", "b@hub.test"]
    for key, value in [entry for entry in ENTRIES if not entry[0].startswith("many")]:
        assert area.query(table, key) == value
    status, found, errors = area.postmap("-q", "-", table, stdin=b"one@ex.test\nnone\nplain\n")
    assert (status, found, errors) == (0, "one@ex.test\tfirst@hub.test\nplain\tbare\n", "")


def test_formats_parts_domains_and_limits(area, server):
    assert area.query(area.table(result_format="<%u|%d|%S|%1>"), "one@ex.test") == "<first|hub.test|one@ex.test|test>"
    assert area.query(area.table(result_format="smtp:[%d]"), "plain") is None
    parts = area.table(**server.query("%u@%2.%1"))
    assert area.query(parts, "one@any.ex.test") == "first@hub.test"
    assert area.query(parts, "one@test") is None
    assert area.query(parts, "plain") is None
    domains = area.table(domain="none.test, ex.test")
    assert area.query(domains, "one@ex.test") == "first@hub.test"
    for key in ("plain", "@catch.test", "one@sub.ex.test", "listed@local.test"):
        assert area.query(domains, key) is None
    limited = area.table(expansion_limit="1")
    assert area.query(limited, "one@ex.test") == "first@hub.test"
    assert re.search("limit exceeded", area.failure(limited, "many@ex.test"))


def test_settings_in_main_cf(area, server):
    area.main("".join(f"people_{name} = {value}\n" for name, value in server.settings().items()))
    assert area.query(f"{server.kind}:people", "one@ex.test") == "first@hub.test"
    assert f"{server.kind}:nowhere" in area.failure(f"{server.kind}:nowhere") or "nowhere_" in area.failure(f"{server.kind}:nowhere")


def test_bad_configuration_names_the_file_and_what_is_wrong(area, server):
    path = area.directory / "bad.cf"
    table = f"{server.kind}:{path}"
    path.write_text("hosts = x\nfoo\n")
    assert f"{path}, line 2: missing '=' after attribute name" in area.failure(table)
    assert "expansion_limit = many" in area.failure(area.table(expansion_limit="many"))
    assert "template" in area.failure(area.table(**server.query("%x")))
    assert "No such file or directory" in area.failure(f"{server.kind}:{area.directory}/none.cf")


def test_hostile_keys_find_nothing_and_change_nothing(area, server):
    table = area.table()
    keys = [key for key in HOSTILE if "\n" not in key]
    status, found, errors = area.postmap("-q", "-", table, stdin="".join(f"{key}\n" for key in keys).encode())
    assert (status, found, errors) == (1, "", "")
    # And each is still a key that can be found by its own name.
    if server.kind != "ldap":
        echo = area.table(query="SELECT '%s'")
        status, found, errors = area.postmap("-f", "-q", "-", echo, stdin="".join(f"{key}\n" for key in keys).encode())
        assert (status, errors) == (0, "")
        assert found.splitlines() == [f"{key}\t{key}" for key in keys]
        assert server.rows() == len(ENTRIES)
    status, found, errors = area.postmap("-q", "-", table, stdin=b"one\xff@ex.test\none\0@ex.test\none@ex.test\n")
    assert found.splitlines()[-1] == "one@ex.test\tfirst@hub.test"
    assert "hidden" not in found


def test_what_quoting_cannot_make_safe_is_refused(area, server):
    if server.kind == "pgsql":
        table = area.table(query="SELECT E'%s'")
        assert area.query(table, "key") == "key"
        assert "E''" in area.failure(table, "\\' OR 1=1 --")
    elif server.kind == "mysql":
        server.without_backslash_escapes(True)
        try:
            table = area.table(query='SELECT "%s"')
            assert area.query(table, "key") == "key"
            assert "NO_BACKSLASH_ESCAPES" in area.failure(table, '" OR "1"="1')
            assert area.query(area.table(query="SELECT '%s'"), "a'b\\") == "a'b\\"
        finally:
            server.without_backslash_escapes(False)
    else:
        table = area.table(search_base="cn=%s,dc=ex,dc=test", query_filter="(cn=%s)", scope="base", result_attribute="maildrop")
        assert area.query(table, "odd , + name") == "odd@hub.test"
        assert area.query(table, "auser,dc=ex") is None
        assert area.query(table, "auser") == "auser@hub.test"


def test_a_wrong_password_is_a_failure_with_the_hosts_name(area, server):
    said = area.failure(area.table(password="wrong-password"))
    assert f"127.0.0.1:{server.port}" in said
    assert re.search("password|Access denied|Invalid credentials", said), said


def test_tls_is_used_and_the_servers_certificate_checked(area, server, tmp_path):
    settings, value = server.tls(server.certificate.cert)
    assert area.query(area.table(**settings), "one@ex.test") == value
    settings, _ = server.tls(make_certificate(tmp_path, "stranger").cert)
    said = area.failure(area.table(**settings))
    assert re.search("certificate|TLS|SSL", said), said


def test_the_next_host_answers(area, server):
    dead = f"127.0.0.1:{free_port()}"
    table = area.table(dead, f"127.0.0.1:{server.port}")
    for _ in range(4):
        status, found, errors = area.postmap("-q", "-", table, stdin=b"one@ex.test\nplain\n")
        assert (status, found) == (0, "one@ex.test\tfirst@hub.test\nplain\tbare\n")
        # Which is tried first is chance; what failed is left alone by the next lookup.
        assert errors.count(dead) <= 2 and errors.count("warning") <= 1, errors
    said = area.failure(area.table(dead, f"127.0.0.1:{free_port()}"))
    assert said.count("host ") >= 2 and dead in said


def test_stored_procedures(area, server):
    if server.kind != "mysql":
        pytest.skip("only MySQL has result sets of procedures")
    assert area.query(area.table(query="CALL lookup('%s')"), "one@ex.test") == "first@hub.test"
    assert area.query(area.table(query="CALL lookup('%s')"), "none") is None
    assert "require_result_set" in area.failure(area.table(query="CALL nothing('%s')"))
    assert area.query(area.table(query="CALL nothing('%s')", require_result_set="no"), "one@ex.test") is None


def test_older_queries(area, server):
    if server.kind == "ldap":
        pytest.skip("only SQL has them")
    parts = {"query": None, "table": "entries", "select_field": "value", "where_field": "name", "additional_conditions": "AND value <> 'bare'"}
    table = area.table(**parts)
    assert area.query(table, "one@ex.test") == "first@hub.test"
    assert area.query(table, "plain") is None


def test_groups(area, server):
    if server.kind != "ldap":
        pytest.skip("only directories have them")
    groups = area.table(query_filter="(cn=%s)", result_attribute="memberaddr", special_result_attribute="memberdn memberurl",
                        leaf_result_attribute="address", terminal_result_attribute="maildrop")
    assert sorted(area.query(groups, "agroup").split(",")) == ["auser@hub.test", "buser@ex.test", "direct@ex.test"]
    assert area.query(groups, "bgroup") == "bgroup@lists.test"
    assert sorted(area.query(groups, "urls").split(",")) == ["auser@ex.test", "auser@hub.test", "bgroup@lists.test", "buser@ex.test"]
    assert "leads back to itself" in area.failure(groups, "loop")
    shallow = area.table(query_filter="(cn=%s)", special_result_attribute="memberdn", recursion_limit="1")
    assert "recursion limit exceeded" in area.failure(shallow, "agroup")
    assert "Invalid DN syntax" in area.failure(groups, "badurl")
    status, found, errors = area.postmap("-q", "top", groups)
    assert status == 0 and "cn=missing,dc=ex,dc=test not found, skipped" in errors
    assert sorted(found.strip().split(",")) == ["auser@hub.test", "bgroup@lists.test", "buser@ex.test", "direct@ex.test"]
    assert "limit" in area.failure(area.table(query_filter="(cn=*%s)", size_limit="1"), "user")


def test_options_of_the_client_library(area, server, tmp_path):
    if server.kind != "mysql":
        pytest.skip("only MySQL's library has a file of options")
    options = tmp_path / "my.cnf"
    options.write_text(f"[client]\npassword = wrong-password\n[readers]\nuser = {database_servers.USER}\npassword = {PASSWORD}\n")
    own = {"user": None, "password": None, "option_file": options}
    assert area.query(area.table(**own, option_group="readers"), "one@ex.test") == "first@hub.test"
    # The group is "client" unless it is said; what the table says goes before both.
    assert "Access denied" in area.failure(area.table(**own))
    assert area.query(area.table(option_file=options), "one@ex.test") == "first@hub.test"


def test_certificate_of_the_client(area, server, tmp_path):
    """A key that cannot be read is an error, not a connection without it."""
    settings, value = server.tls(server.certificate.cert)
    names = {"mysql": ("tls_cert_file", "tls_key_file"), "ldap": ("tls_cert", "tls_key")}.get(server.kind)
    if names is None:
        pytest.skip("PostgreSQL's are in the connection string")
    mine = server.certificate
    assert area.query(area.table(**settings, **dict(zip(names, (mine.cert, mine.key)))), "one@ex.test") == value
    said = area.failure(area.table(**settings, **dict(zip(names, (mine.cert, tmp_path / "none.key")))))
    assert re.search("TLS|SSL|key|certificate|file|option", said), said


def test_a_directory_of_certificates(area, server, tmp_path):
    """Files named by a hash of the subject, as `openssl rehash` makes them; a directory without the right one is a failure."""
    if server.kind != "ldap":
        pytest.skip("of LDAP's parameters")
    for name, certificate in (("right", server.certificate.cert), ("wrong", make_certificate(tmp_path, "stranger").cert)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ca.pem").write_bytes(pathlib.Path(certificate).read_bytes())
        subprocess.run([database_servers.program("openssl"), "rehash", str(tmp_path / name)], check=True, capture_output=True)
    tls = {"start_tls": "yes", "tls_require_cert": "yes"}
    assert area.query(area.table(**tls, tls_ca_cert_dir=tmp_path / "right"), "one@ex.test") == "first@hub.test"
    said = area.failure(area.table(**tls, tls_ca_cert_dir=tmp_path / "wrong"))
    assert re.search("certificate|TLS|SSL|STARTTLS", said), said


@pytest.mark.parametrize("mechanism", ["DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "CRAM-MD5"])
def test_sasl_mechanisms(area, server, mechanism):
    if server.kind != "ldap":
        pytest.skip("only directories have them")
    sasl = {"bind": "sasl", "sasl_mechs": mechanism, "bind_dn": WANDA}
    assert area.query(area.table(**sasl), "one@ex.test") == "first@hub.test"
    said = area.failure(area.table(**sasl, password="wrong-password"))
    assert "SASL bind" in said and f"127.0.0.1:{server.port}" in said, said
    # It is the login that shows the value.
    assert area.query(area.table(bind="none"), "one@ex.test") is None
    assert area.query(area.table(bind_dn=f"cn={WANDA},{server.suffix}"), "one@ex.test") == "first@hub.test"


def test_a_sasl_mechanism_that_is_too_weak_is_not_used(area, server):
    if server.kind != "ldap":
        pytest.skip("only directories have them")
    sasl = {"bind": "sasl", "sasl_mechs": "DIGEST-MD5", "bind_dn": WANDA}
    assert area.query(area.table(**sasl, sasl_minssf="56"), "one@ex.test") == "first@hub.test"
    assert "SASL bind" in area.failure(area.table(**{**sasl, "sasl_mechs": "SCRAM-SHA-1"}, sasl_minssf="56"))
    # Nothing that the server has.
    assert "SASL bind" in area.failure(area.table(**{**sasl, "sasl_mechs": "KERBEROS_V4"}))


def test_referrals_are_followed_when_asked(area, server):
    if server.kind != "ldap":
        pytest.skip("only directories have them")
    other = type(server)()
    try:
        server.add(f"dn: cn=elsewhere,{server.suffix}\nobjectclass: referral\nobjectclass: extensibleObject\ncn: elsewhere\n"
                   f"ref: ldap://127.0.0.1:{other.port}/{other.suffix}\n")
        there = {"search_base": f"cn=elsewhere,{server.suffix}", "query_filter": "(cn=%s)", "result_attribute": "maildrop"}
        assert "Referral" in area.failure(area.table(**there), "auser")
        followed = area.table(**there, chase_referrals="1")
        assert area.query(followed, "auser") == "auser@hub.test"
        assert area.query(followed, "nobody") is None
        other.stop()
        assert area.failure(followed, "auser")
    finally:
        other.close()


def test_through_proxymap_from_a_chroot(server, make_instance):
    """smtpd has neither the settings nor the client library; what goes wrong is logged where the table is."""
    jail = {"smtp/inet": {"chroot": "y"}} if os.geteuid() == 0 else {}
    instance = make_instance(start=False, master=jail, shlib_directory=MODULES, local_recipient_maps="", smtpd_peername_lookup="no")
    table = instance.write("table.cf", "".join(f"{name} = {value}\n" for name, value in server.settings(timeout="2").items()), 0o640)
    if instance.owner and os.geteuid() == 0:
        os.chown(table, instance.owner.pw_uid, 0)
    name = f"proxy:{server.kind}:{table}"
    instance.set(smtpd_recipient_restrictions=f"check_recipient_access {name}, permit_mynetworks, reject", proxy_read_maps=name)
    instance.start()
    assert instance.run("postmap", "-q", "one@ex.test", name).stdout == "first@hub.test\n"
    with instance.smtp(timeout=60) as client:
        client.ehlo()
        client.expect(250, "MAIL FROM:<sender@example.test>")
        for _ in range(2):
            client.expect(554, "RCPT TO:<listed@local.test>")
            client.expect(250, "RCPT TO:<free@local.test>")
            mark = instance.log.mark()
            server.stop()
            client.expect(451, "RCPT TO:<listed@local.test>")
            line = instance.log.wait(rf"smtpd\[\d+\]: warning: {name} lookup error for \"listed@local.test\": .*", since=mark).group()
            assert line.count(str(table)) == 1 and f"127.0.0.1:{server.port}" in line, line
            server.start()
        client.expect(554, "RCPT TO:<listed@local.test>")
        client.quit()


def test_a_session_outlives_all_that_happens_to_its_server(server, make_instance):
    """One SMTP session asks the table while its server is well, frozen, down, back, and restarted."""
    instance = make_instance(start=False, shlib_directory=MODULES, local_recipient_maps="", smtpd_peername_lookup="no")
    times = {"timeout": "2"} if server.kind == "ldap" else {"timeout": "2", "idle_interval": "1"}
    table = instance.write("table.cf", "".join(f"{name} = {value}\n" for name, value in server.settings(**times).items()), 0o640)
    if instance.owner and os.geteuid() == 0:
        os.chown(table, instance.owner.pw_uid, 0)
    instance.set(smtpd_recipient_restrictions=f"check_recipient_access {server.kind}:{table}, permit_mynetworks, reject",
                 smtpd_delay_reject="yes")
    instance.start()
    with instance.smtp(timeout=60) as client, instance.smtp(timeout=60) as other:
        for session in (client, other):
            session.ehlo()
            session.expect(250, "MAIL FROM:<sender@example.test>")

        def well():
            client.expect(554, "RCPT TO:<listed@local.test>")
            client.expect(250, "RCPT TO:<free@local.test>")

        well()
        client.expect(250, f"RCPT TO:<{'o' * 60}'OR'1'='1@local.test>")
        if server.kind != "ldap":
            # A connection that nobody uses goes away.
            wait_for(lambda: server.connections() == 0, 20, "idle connections to close")
            well()

        mark = instance.log.mark()
        server.freeze()
        client.send(b"RCPT TO:<listed@local.test>\r\n")
        # Who does not need the table does not wait for it.
        other.expect(250, "NOOP")
        reply = client.read()
        server.thaw()
        assert reply.code == 451, reply
        instance.log.wait(rf"warning: .*{server.kind}:{table}.*(127\.0\.0\.1:{server.port}.*no answer|127\.0\.0\.1:{server.port}|no answer in time)", since=mark)
        wait_for(lambda: client.command("RCPT TO:<listed@local.test>").code == 554, 20, "the server to be asked again")
        well()

        mark = instance.log.mark()
        server.stop()
        client.expect(451, "RCPT TO:<listed@local.test>")
        instance.log.wait(rf"warning: .*{server.kind}:{table}.*127\.0\.0\.1:{server.port}", since=mark)
        server.start()
        well()

        server.restart()
        well()
        client.expect(250, "RSET")
        client.quit()
    assert not instance.log.find(re.escape(PASSWORD))
    assert not instance.log.find("killed by signal|fatal:|panic:")


def test_programs_are_named_for_each_server():
    """The lists of what a server needs are not empty, so that missing() can fail."""
    assert all(server.programs for server in SERVERS.values())
    assert database_servers.program("sh")
