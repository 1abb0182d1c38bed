"""Tables without a file, tables of tables, and what each command says to a table it cannot work with: as Postfix does."""

import concurrent.futures
import os
import shutil
import subprocess

import pytest
from table_commands import BUILD, NEEDED, OURS, PARALLEL, PATH, TYPES, both, differences, make_area, put, run

pytestmark = NEEDED


@pytest.fixture(name="area")
def _area(tmp_path):
    area = make_area(tmp_path)
    put(area / "t", "k v\n")
    return area


def nested(kind, depth, leaf):
    return (kind + ":{") * depth + leaf + "}" * depth


COMBINED = [
    "unionmap:{static:{a,b},static:c}", "unionmap:{static:a,{static:b}}", "unionmap:{ {static:a} }", "unionmap:{static:{}}",
    "unionmap:{inline:{a=b},static:{x y}}", "unionmap:{unionmap:{static:a,static:b},static:c}",
    "unionmap:{unionmap:{static:a},pipemap:{static:b}}", "unionmap:{static:a", "unionmap:static:a}", "unionmap:{static:a}}",
    "unionmap:{static:a}x", "unionmap: {static:a}", "unionmap:{,}", "unionmap:{ }", "unionmap:{static}", "unionmap:{:a}",
    "unionmap:{static:}", "unionmap:", "unionmap:{", "unionmap:}", "unionmap:{}}", "unionmap:{{static:a}}",
    "unionmap:{static:a}}{", "unionmap:{inline:{k=},static:a}", "unionmap:{static:a,inline:{k=}}",
    "unionmap:{static:{},static:{}}", "unionmap:{texthash:nope}", "unionmap:{texthash:t,texthash:nope}",
    "unionmap:{randmap:{a},randmap:{b}}", "unionmap:{regexp:{{/(k)/ $1$1}},static:x}", nested("unionmap", 30, "static:a"),
    "pipemap:{pipemap:{inline:{k=l}},inline:{l=m}}", "pipemap:{static:a", "pipemap:{static}", "pipemap:{static:}", "pipemap:{:}",
    "pipemap:{ , }", "pipemap:{regexp:{{/k/ l}}, inline:{l=m}}", "pipemap:{texthash:t,inline:{v=w}}", "pipemap:{texthash:nope}",
    "pipemap:{static:{},static:a}", "pipemap:{inline:{k=},static:a}", "pipemap:{static:a}}", "pipemap:{inline:{z=k},fail:x}",
    "pipemap:{randmap:{k},inline:{k=l}}", nested("pipemap", 30, "static:a"),
    "pipemap:{unionmap:{inline:{k=a},static:b},regexp:{{/^(.*),(.*)$/ $2-$1}}}",
    "randmap:{ }", "randmap:{,}", "randmap:{a}x", "randmap:{{a b}}", "randmap:{ {a} }", "randmap:{a", "randmap:{a,,a}",
    "randmap:{static:a}", "randmap:{a}}", "randmap:{{a}", "randmap:{{a}b}",
]
SMALL = [
    "static:{}", "static:{ }", "static: a", "static:a b", "static:}", "static:{a}b", "static:{{a}}", "static:{a}}", 'static:"a"',
    "static:a:b", "static:{a", "static:{a} ", "static:{ {a} }", "static:{a}{b}",
    "inline:{k}", "inline:{k=}", "inline:{=v}", "inline:{k=v=w}", "inline:{{k=v}}", "inline:{ {k = v} }", "inline:{k = v}",
    "inline:{k= v}", "inline:{{k}}", "inline:{{}}", "inline:{{ }}", "inline:{}", "inline:{ }", "inline:{,}", "inline:{k=v",
    "inline:k=v}", "inline:{k=v}}", "inline:{{k=v}", "inline:{{k=v}x}", "inline:{{k=v},{k=w}}", "inline:{{ k x = v}}",
    "inline:{K=v}", "inline:{k={a}}", "inline:{k={a b}}", "inline:{{k={a b}}}", "inline:{{=v}}", "inline:{{k v=x}}",
    "inline:{k,v}", "inline:{k v}", "inline:{{a}=b}", "inline:",
    "environ:", "environ:foo", "internal:", "internal:a", "fail:", "fail:a", "fail:{a}", "unix:", "unix:passwd", "unix:passwd.byuid",
    "texthash:", "texthash:.", "texthash:/dev/null", "texthash:/nope/x", "cidr:nope", "regexp:nope", "thash:t", "", "static",
    "k:v:w", "STATIC:a", "Static:a", " static:a", "static:a ",
]
RULES = [
    "regexp:{/k/ v}", "regexp:{{/k/ v}", "regexp:{{/k/ v}} ", "regexp:{{/k/ v},x}", "regexp:{{/k/ v} {/j/ w}}", "regexp:{}",
    "regexp:{ }", "regexp:{{}}", "regexp:{{ }}", "regexp:{{if /k/} {/k/ v} {endif}}", "regexp:{{/k/ v\n x}}", "regexp:{{/k/ v}}}",
    "regexp:{{/k/ v}y}", "regexp:{ {/^k{1}$/ v} }", "regexp:{{/k/ {v}}}", "regexp:{{/a}/ v},{/k/ w}}", "cidr:{{1.2.3.4 x}}",
    "cidr:{{1.2.3.4 x}", "cidr:{{}}", "cidr:{}", "cidr:{{1.2.3.4 x}}}", "cidr:{{1.2.3.4 x}y}", "cidr:{ {1.2.3.4 x} }", "cidr:{x}",
    "cidr:{{!1.2.3.5 y}}",
]
PCRE = ["pcre:{{/(k)/ a$1}}", "pcre:{{/k}}", "pcre:{{/k/ v}}}", "pcre:{{/k/ v}y}", "pcre:{{/k/ v}", "pcre:{x}", "pcre:nope"]


@pytest.mark.parametrize("tables", [COMBINED, SMALL, RULES, PCRE if "pcre" in TYPES else []], ids=["combined", "small", "rules", "pcre"])
def test_names_of_tables(area, tables):
    assert not differences(area, [["-q", key, table] for table in tables for key in ("k", "1.2.3.4")])


def test_empty_and_folded_keys_and_keys_of_two_lines(area):
    tables = ["static:a", "inline:{k=v}", "texthash:t", "regexp:{{/^$/ nl}}", "cidr:{{1.2.3.4 x}}", "randmap:{a}",
              "unionmap:{static:a}", "pipemap:{static:a}", "environ:x", "unix:passwd.byname", "regexp:{{/^a.b$/ nl}}",
              "regexp:{{/a$/m multi}}", "regexp:{{/a$/ one}}", "regexp:{{/K/i nl}}", "unionmap:{regexp:{{/K/i v}},inline:{k=z}}",
              "pipemap:{inline:{k=V},inline:{v=w}}", "pipemap:{inline:{k=V},inline:{V=w}}"]
    keys = [["-q", key, table] for table in tables for key in ("", "a\nb", "K")]
    keys += [["-f", "-q", "K", table] for table in tables] + [["-f", "-q", "K", "inline:{K=v}"]]
    assert not differences(area, keys)


def test_what_cannot_be_listed_changed_or_built(area):
    tables = ["static:a", "inline:{a=b}", "unionmap:{static:a}", "pipemap:{inline:{a=b}}", "randmap:{a}", "environ:x", "fail:x",
              "internal:x", "regexp:{{/a/ b}}", "cidr:{{1.2.3.4 a}}", "texthash:t"]
    cases = [["-s", table] for table in tables + ["texthash:nope"]]
    cases += [["-d", "a", table] for table in tables + ["unix:passwd.byname", "nosuch:t"]]
    cases += [[table] for table in tables if table != "texthash:t"] + [["regexp:t"], ["cidr:t"], ["texthash:t"], ["unix:passwd.byname"]]
    cases += [(["-i", table], b"a b\n") for table in tables if table != "fail:x"]
    if "lmdb" in TYPES:
        cases += [["-d", "a", "lmdb:nope/t"], ["lmdb:nope"], ["-d", "a", "lmdb:other"]]
    if "hash" in TYPES and (BUILD / "modules" / "postfix-bdb.so").exists():
        cases += [["-d", "a", "hash:other"], ["hash:nope"], ["-q", "a", "btree:other"]]
    assert not differences(area, cases)


def test_failures_inside_are_failures_of_the_whole(area):
    """What fails is the table that was asked, whichever member it was."""
    for table in ("pipemap:{static:a,fail:x}", "unionmap:{fail:x,static:b}", "pipemap:{fail:x,static:a}",
                  "unionmap:{static:a,unionmap:{fail:x}}", "pipemap:{unionmap:{fail:x}}"):
        theirs, ours = both(area, "-q", "k", table)
        assert theirs == ours == (1, b"", [f"postmap: fatal: table {table}: query error: Application error"])


def test_a_key_with_nul_is_not_what_comes_before_it(area):
    """Postfix's keys end at the first NUL; a key that has one is in no table of ours, and nobody gets a wrong answer."""
    for table, found in (("static:a", b"k\ta\n"), ("inline:{k=v}", b"k\tv\n"), ("texthash:t", b"k\tv\n")):
        assert run(OURS, area, "-q", "-", table, stdin=b"k\0x\nk\n\0\n") == (0, found, [])


def test_nesting_ends_somewhere(area):
    """Postfix recurses as deep as it is told to."""
    assert run(OURS, area, "-q", "k", nested("pipemap", 100, "static:a")) == (0, b"a\n", [])
    for kind in ("pipemap", "unionmap"):
        for table in (nested(kind, 101, "static:a"), nested(kind, 900, "static:a")):
            assert run(OURS, area, "-q", "k", table) == (1, b"", [f"postmap: fatal: {kind}: nested too deeply"])
    many = "unionmap:{" + ",".join(["static:{a}"] * 2_000) + "}"
    assert run(OURS, area, "-q", "k", many) == (1, b"", ["postmap: fatal: unionmap: too many tables"])


def test_a_table_of_the_configuration_that_names_itself(area):
    with open(area / "ours" / "main.cf", "a", encoding="ascii") as main_cf:
        main_cf.write("a = pipemap:{$b}\nb = unionmap:{$a}\nvirtual_alias_maps = $a\n")
    status, output, errors = run(OURS, area, "-q", "k", "static:a")
    assert (status, output) == (1, b"")
    assert errors[-1].endswith("main.cf, line 8: b refers to itself or is nested too deeply")


def test_debug_logs_and_answers(area):
    """Postfix 3.7 has no debug: tables yet."""
    for table, wanted in (("debug:inline:{k=v}", (0, b"v\n")), ("debug:debug:texthash:t", (0, b"v\n")), ("debug:inline:{a=b}", (1, b""))):
        status, output, errors = run(OURS, area, "-q", "k", table)
        assert (status, output) == wanted
        assert all("debug:" in line and "lookup" in line for line in errors)
    assert run(OURS, area, "-q", "k", "debug:a")[2] == ['postmap: fatal: bad syntax: "debug:a"; need "debug:type:name"']
    assert run(OURS, area, "-q", "k", "debug:nosuch:a")[2] == ["postmap: fatal: unsupported dictionary type: nosuch"]
    assert run(OURS, area, "-q", "k", "debug:" * 40 + "static:a")[2] == ["postmap: fatal: debug: nested too deeply"]


LISTS = [
    "static:all", "", "root", "ROOT", "other", "!root", "!root, static:all", "! root, static:all", "!!root", "!!root,other",
    "!other, root", "root, !root", "!root, root", "A/users", "!A/users, static:all", "A/remarks", "A/not", "!A/not", "A/include",
    "!A/include, static:all", "A/missing", "A/missing, root", "!A/missing, static:all", "A/empty", "A/itself", "inline:{root=x}",
    "!inline:{root=x}, static:all", "inline:{other=x}", "inline:{root=}", "regexp:{{/^r/ x}}", "!regexp:{{/^r/ x}}, static:all",
    "regexp:{{/^R/ x}}", "texthash:A/table", "nosuch:x", "nosuch:x, root", "fail:x", "root, fail:x", "fail:x, root", "!fail:x, root",
    "texthash:A/missing", "texthash:A/missing, root", "{root}", "*", "ro*", "root@", "inline:{root=x", "inline:{other=y,root=x}",
    "unionmap:{static:{}}", "static:{}", "environ:x", "!", "!,root", "root !", "hash:", "[root]", "1.2.3.4", "root/8", "root:x",
    "!static:all, root",
]


def test_lists_that_permit_users(area):
    """postdrop asks authorized_submit_users before it looks at the message; here there is none, so nothing is submitted."""
    theirs, ours = shutil.which("postdrop", path=PATH), str(BUILD / "bin" / "postdrop")
    if not theirs or not os.access(ours, os.X_OK) or os.geteuid() != 0:
        pytest.skip("needs root and postdrop of both")
    for name, text in (("users", "root\n"), ("remarks", "# c\nother, foo\n  root\n"), ("not", "!root\nstatic:all\n"),
                       ("include", f"{area}/users\n"), ("itself", f"{area}/itself\n"), ("table", "root x\n"), ("empty", "")):
        put(area / name, text)
    for directory in ("queue", "queue/maildrop", "data"):
        (area / directory).mkdir()

    def outcome(program, config, number, value):
        directory = area / f"{config}-{number}"
        directory.mkdir()
        main_cf = (area / config / "main.cf").read_text() + f"authorized_submit_users = {value.replace('A/', f'{area}/')}\n"
        put(directory / "main.cf", main_cf)
        done = subprocess.run([program, "-c", str(directory)], input=b"", capture_output=True, check=False, timeout=60)
        if b"is not allowed to submit mail" in done.stderr:
            return "refused"
        return "permitted" if done.returncode == 0 or b"malformed input" in done.stderr else "error"

    def one(numbered):
        number, value = numbered
        return value, outcome(theirs, "etc", number, value), outcome(ours, "ours", number, value)

    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        outcomes = list(pool.map(one, enumerate(LISTS)))
    assert not [found for found in outcomes if found[1] != found[2]]
    assert {found[2] for found in outcomes} == {"refused", "permitted", "error"}
