"""mysql:, pgsql: and ldap: tables: the same client configuration and keys, with a real server, given to Postfix's postmap and to ours.

What is said about failures differs (ours names the host); whether there is one, and what is found, may not.
"""

import concurrent.futures

import pytest
from table_commands import BUILD, NEEDED, PARALLEL, both, make_area, needs, put

from support.database_servers import SERVERS
from support.required import not_there

pytestmark = NEEDED
KEYS = ["one@ex.test", "ONE@EX.test", "many@ex.test", "plain", "@catch.test", "none@ex.test", "none", "listed@local.test", "o'hara@ex.test", "a*b(c)@ex.test",
        "back\\slash@ex.test", "müller@ex.test", "hidden*", "*", "' OR '1'='1", "u@", "@", "a@b@ex.test", "u@a..b", "u@.ex.test", "u@ex.test.", "%s", "k" * 2000]
GROUP_KEYS = ["agroup", "bgroup", "auser", "buser", "top", "loop", "urls", "badurl", "odd , + name", "*user", "nobody"]

# Settings put over those of the server. "%s" in the values of `query` is what the key looks for.
COMMON = [
    {},
    {"query": "%u@%d"}, {"query": "%U@%2.%1"}, {"query": "%%"}, {"query": "%x"}, {"query": "%s%"},
    {"result_format": "<%s>"}, {"result_format": "<%u|%d>"}, {"result_format": "<%s|%S|%U>"}, {"result_format": "<%s|%D>"}, {"result_format": "<%1%2%s>"},
    {"result_format": "x%%y"}, {"result_format": ""}, {"result_format": "%x"}, {"result_format": "constant"},
    {"expansion_limit": "1"}, {"expansion_limit": "2"}, {"expansion_limit": "x"},
    {"domain": "ex.test"}, {"domain": "!ex.test, static:all"}, {"domain": ".ex.test"}, {"domain": "EX.TEST local.test"},
]
SQL = [
    {"query_text": "SELECT value, name FROM entries WHERE name = '%s' ORDER BY value"},
    {"query_text": "SELECT NULL, value, '' FROM entries WHERE name = '%s' ORDER BY value"},
    {"query_text": "SELECT '%s'"}, {"query_text": "SELECT '%u', '%d'"}, {"query_text": "SELECT '%9'"}, {"query_text": "SELECT nonsense"}, {"query_text": "nonsense"},
    {"query_text": "", "table": "entries", "select_field": "value", "where_field": "name", "additional_conditions": "ORDER BY value"},
    {"query_text": "", "table": "entries"},
    {"dbname": "nowhere"}, {"password": "wrong"}, {"user": "nobody"}, {"hosts": "127.0.0.1:1"}, {"dbname": ""},
]
PGSQL = [{"query_text": "", "select_function": "upper"}, {"query_text": "DELETE FROM entries WHERE name = 'nobody'"},
         {"query_text": "SELECT value FROM entries WHERE name = '%s' AND 1 / 0 = 1"}]
MYSQL = [{"query_text": "CALL lookup('%s')"}, {"query_text": "CALL nothing('%s')"}, {"query_text": "CALL nothing('%s')", "require_result_set": "no"},
         {"require_result_set": "maybe"}, {"query_text": "DELETE FROM entries WHERE name = 'nobody'"}]
LDAP = [
    {"search_base": "dc=nowhere"}, {"search_base": "cn=%s,dc=nowhere"}, {"search_base": "dc=%1"}, {"search_base": "not a dn"}, {"query_text": "(entryname=%s"},
    {"scope": "one"}, {"scope": "base"}, {"scope": "other"}, {"size_limit": "1"}, {"version": "2"}, {"version": "4"}, {"bind": "no"}, {"bind": "NONE"},
    {"bind": "other"}, {"bind_pw": "wrong"}, {"dereference": "9"}, {"cache": "yes"}, {"start_tls": "yes"}, {"result_attribute": ""},
    {"result_attribute": "EntryValue, entryname"}, {"result_format": None, "result_filter": "old:%s"}, {"recursion_limit": "0"}, {"timeout": "x"},
]
GROUPS = [
    {"result_attribute": "maildrop", "special_result_attribute": "memberdn"},
    {"result_attribute": "address maildrop", "special_result_attribute": "memberdn, memberurl"},
    {"result_attribute": "memberaddr", "special_result_attribute": "memberdn memberurl", "leaf_result_attribute": "address",
     "terminal_result_attribute": "maildrop"},
    {"result_attribute": "", "special_result_attribute": "memberdn", "leaf_result_attribute": "address"},
    {"result_attribute": "address", "special_result_attribute": "memberdn", "recursion_limit": "1"},
    {"result_attribute": "address", "special_result_attribute": "memberdn", "recursion_limit": "2"},
    {"result_attribute": "address", "special_result_attribute": "memberdn", "expansion_limit": "2"},
]


@pytest.fixture(name="server", scope="module", params=sorted(SERVERS))
def _server(request):
    kind = SERVERS[request.param]
    needs(kind.kind)
    if kind.missing():
        not_there(f"not installed: {', '.join(kind.missing())}")
    if not (BUILD / "modules" / f"postfix-{kind.kind}.so").exists():
        not_there(f"the module for {kind.kind} is not built")
    server = kind()
    yield server
    server.close()


def settings_of(server, changes):
    # Until 3.8 Postfix speaks LATIN1 to PostgreSQL and has no setting for that; UTF8 is the default since.
    settings = server.settings(encoding="LATIN1") if server.kind == "pgsql" else server.settings()
    setting = "query_filter" if server.kind == "ldap" else "query"
    for name, value in changes.items():
        if name == "query":
            settings.update(server.query(value))
        elif name == "query_text":
            settings[setting] = value
        elif value is not None:
            settings[name] = value
    return settings


def outcome(result):
    """Exit status and output; that of a failure does not count: Postfix loses what it has not written yet."""
    status, output, errors = result
    failed = any("fatal: " in line for line in errors)
    return status, None if failed else output, failed


def compare(area, server, cases, keys):
    """Those (settings, outcome of Postfix, ours) that differ."""
    def one(numbered):
        number, changes = numbered
        path = area / f"table{number}.cf"
        put(path, "".join(f"{name} = {value}\n" for name, value in settings_of(server, changes).items()))
        table = f"{server.kind}:{path}"
        # All at once, and a failure ends that; so some by themselves.
        questions = [("-", "".join(f"{key}\n" for key in keys).encode()), *((key, b"") for key in (keys[0], keys[2]))]
        differing = []
        for key, stdin in questions:
            theirs, ours = both(area, "-q", key, table, stdin=stdin)
            if outcome(theirs) != outcome(ours):
                differing.append((changes, key, theirs, ours))
        return differing

    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        return [found for several in pool.map(one, enumerate(cases)) for found in several]


def test_answers_and_failures_are_postfix_s(tmp_path, server):
    more = {"pgsql": SQL + PGSQL, "mysql": SQL + MYSQL, "ldap": LDAP}[server.kind]
    assert compare(make_area(tmp_path), server, COMMON + more, KEYS) == []


def test_groups_are_postfix_s(tmp_path, server):
    if server.kind != "ldap":
        pytest.skip("only directories have them")
    assert compare(make_area(tmp_path), server, [{"query_text": "(cn=%s)", **case} for case in GROUPS], GROUP_KEYS) == []
