"""The same tables and keys given to Postfix's postmap and postalias and to ours: output, warnings and exit status."""

import json
import os
import random

import pytest
from table_commands import BUILD, NEEDED, OURS, POSTFIX, SUFFIX, TYPES, batch, both, make_area, needs, needs_lmdb, put, run, same

pytestmark = NEEDED


@pytest.fixture(name="area")
def _area(tmp_path):
    return make_area(tmp_path)


SOURCE = (
    "# comment\nKey1 value one\n\tcontinued  more   \n   # comment inside\n  still cont\n\n"
    '"quoted key" val\n"q\\"uo\\\\te" val2\nkey2\nkey3\t   tabs\ndup a\nDUP b\n   leading line\n'
    '"unterminated val\nk"ey v\nbad# # v\na"b c"d val\nkey: value\nx,y z\n1.2.0.0/16 net\n"" emptykey\n'
    '"k"  "quoted value"\n"k2"x v\n\\k3 v\nk\\ 4 v\n@dom.tld v\nk5 v \\\n  w\n"onlykey"\n"k6":\nk8: v w\n\t\n'
    "Éx folded\nlast nonl"
)
SOURCE_KEYS = ["key1", "KEY1", "quoted key", '"quoted key"', "key2", "key3", "dup", "leading", 'a"b c"d', "key:",
               "x,y", "1.2.0.0/16", '""', '"k"', "\\k3", "@dom.tld", "k5", "éx", "ÉX", "last", "none"]


def test_texthash(area):
    put(area / "t", SOURCE)
    batch(area, "texthash:t", SOURCE_KEYS)
    theirs, ours = both(area, "-s", "texthash:t")
    assert sorted(ours[1].splitlines()) == sorted(theirs[1].splitlines())


def test_a_first_line_that_continues_nothing(area):
    put(area / "t", "   startws x\nk v\n")
    batch(area, "texthash:t", ["startws", "k"])


def test_bytes_that_are_not_utf8(area):
    put(area / "t", b"a\x80b val\nkey \xff\nok fine\n")
    batch(area, "texthash:t", ["ok", "key", "a\udc80b"])
    same(area, "-u", "-q", "key", "texthash:t")
    same(area, "-q", "key", "static:\udcff")


@needs_lmdb
def test_each_reads_the_lmdb_file_of_the_other(area):
    put(area / "t", SOURCE)
    theirs, ours = both(area, "lmdb:t")
    assert ours == theirs
    for program in (POSTFIX["postmap"], str(BUILD / "bin" / "postmap")):
        run(program, area, "lmdb:t")
        batch(area, "lmdb:t", SOURCE_KEYS)
        same(area, "-s", "lmdb:t")


@needs_lmdb
def test_lmdb_update_delete_and_options(area):
    put(area / "t", "a 1\nb 2\n")
    steps = [
        (("lmdb:t",), b""),
        (("-i", "lmdb:t"), b"a 3\nc 4\n"),
        (("-i", "-r", "lmdb:t"), b"A 5\n"),
        (("-i", "-w", "lmdb:t"), b"a 6\n"),
        (("-i", "lmdb:t"), b"bad\n"),
        (("-d", "c", "lmdb:t"), b""),
        (("-d", "c", "lmdb:t"), b""),
        (("-d", "-", "lmdb:t"), b"B\nnone\n"),
        (("-f", "-i", "lmdb:t"), b"Mixed x\n"),
        (("-f", "-q", "Mixed", "lmdb:t"), b""),
        (("-q", "Mixed", "lmdb:t"), b""),
        (("-n", "lmdb:t"), b""),
        (("-N", "-q", "a", "lmdb:t"), b""),
        (("-n", "-q", "a", "lmdb:t"), b""),
        (("-q", "a", "lmdb:t"), b""),
        (("-s", "lmdb:t"), b""),
        (("-q", "k" * 600, "lmdb:t"), b""),
    ]
    results = {}
    for who, program in (("theirs", POSTFIX["postmap"]), ("ours", str(BUILD / "bin" / "postmap"))):
        for name in ("t.lmdb",):
            (area / name).unlink(missing_ok=True)
        results[who] = []
        for args, stdin in steps:
            results[who].append((args, run(program, area, *args, stdin=stdin), run(program, area, "-s", "lmdb:t")))
    assert results["ours"] == results["theirs"]


@pytest.mark.parametrize("kind", ["hash", "btree", "cdb"])
def test_each_reads_the_file_of_the_other(area, kind):
    needs(kind)
    put(area / "t", SOURCE)
    theirs, ours = both(area, f"{kind}:t")
    assert ours == theirs
    listings = []
    for program in (POSTFIX["postmap"], OURS):
        assert run(program, area, f"{kind}:t")[0] == 0
        batch(area, f"{kind}:t", SOURCE_KEYS)
        status, output, errors = run(OURS, area, "-s", f"{kind}:t")
        assert (status, errors) == (0, [])
        listings.append(sorted(output.splitlines()))
        if kind != "cdb":  # Postfix 3.7 cannot list it
            assert sorted(run(POSTFIX["postmap"], area, "-s", f"{kind}:t")[1].splitlines()) == listings[-1]
    assert listings[0] == listings[1]


@pytest.mark.parametrize("kind", ["hash", "btree"])
def test_berkeley_db_update_delete_and_options(area, kind):
    needs(kind)
    put(area / "t", "a 1\nb 2\n")
    steps = [
        ((f"{kind}:t",), b""), (("-i", f"{kind}:t"), b"a 3\nc 4\n"), (("-i", "-r", f"{kind}:t"), b"A 5\n"),
        (("-i", "-w", f"{kind}:t"), b"a 6\n"), (("-d", "c", f"{kind}:t"), b""), (("-d", "c", f"{kind}:t"), b""),
        (("-d", "-", f"{kind}:t"), b"B\nnone\n"), (("-f", "-i", f"{kind}:t"), b"Mixed x\n"),
        (("-f", "-q", "Mixed", f"{kind}:t"), b""), (("-q", "Mixed", f"{kind}:t"), b""), (("-n", f"{kind}:t"), b""),
        (("-N", "-q", "a", f"{kind}:t"), b""), (("-n", "-q", "a", f"{kind}:t"), b""), (("-q", "a", f"{kind}:t"), b""),
        (("-q", "k" * 600, f"{kind}:t"), b""), (("-w", f"{kind}:t"), b""), (("-i", f"{kind}:new"), b"x 1\n"),
        (("-q", "x", f"{kind}:new"), b""),
    ]
    results = {}
    for who, program in (("theirs", POSTFIX["postmap"]), ("ours", OURS)):
        for name in ("t.db", "new.db"):
            (area / name).unlink(missing_ok=True)
        results[who] = [
            (args, run(program, area, *args, stdin=stdin), sorted(run(program, area, "-s", f"{kind}:t")[1].splitlines()))
            for args, stdin in steps
        ]
    assert results["ours"] == results["theirs"]


@pytest.mark.parametrize("kind", ["hash", "btree", "cdb", "lmdb"])
@pytest.mark.parametrize("problem", ["missing", "directory", "garbage", "unreadable source", "empty source"])
def test_what_is_no_table(area, kind, problem):
    needs(kind)
    file = area / f"t{SUFFIX[kind]}"
    if problem == "directory":
        file.mkdir()
    elif problem == "garbage":
        put(file, "garbage\n")
    elif problem == "empty source":
        put(area / "t", "# nothing\n")
    building = "source" in problem
    theirs, ours = both(area, *([] if building else ["-q", "a"]), f"{kind}:t")
    assert (ours[0], ours[1]) == (theirs[0], theirs[1])
    assert bool(ours[2]) == bool(theirs[2])
    # What the libraries say differs, also between Postfix's own types.
    if problem in ("missing", "unreadable source") or (problem, kind) == ("garbage", "lmdb"):
        assert ours[2] == theirs[2]
    if problem == "empty source":
        assert run(OURS, area, "-s", f"{kind}:t") == (0, b"", [])
        assert run(POSTFIX["postmap"], area, "-q", "a", f"{kind}:t")[0] == 1


@pytest.mark.parametrize("kind", ["hash", "cdb", "lmdb"])
def test_a_big_table_is_the_same_to_both(area, kind):
    """Ten thousand entries, some with long values: several levels of pages, buckets and overflow pages."""
    needs(kind)
    choose = random.Random(11)
    entries = {f"user{number}@example{number % 97}.com": "x" * choose.choice([1, 20, 300]) + str(number) for number in range(10_000)}
    for number in range(20):
        entries[f"big{number}"] = "y" * choose.randrange(5_000, 50_000)
    put(area / "t", "".join(f"{key} {value}\n" for key, value in entries.items()))
    keys = list(entries)[:: 7] + [f"none{number}" for number in range(200)]
    for program in (POSTFIX["postmap"], OURS):
        assert run(program, area, f"{kind}:t") == (0, b"", [])
        answers = both(area, "-q", "-", f"{kind}:t", stdin="\n".join(keys).encode())
        assert answers[0] == answers[1]
        assert answers[1][1].decode() == "".join(f"{key}\t{entries[key]}\n" for key in keys if key in entries)


def test_an_owner_is_kept(area):
    if os.getuid() != 0:
        pytest.skip("only root gives files away")
    put(area / "t", "a 1\n")
    area.chmod(0o777)
    for kind in ("hash", "cdb", "lmdb"):
        file = area / f"t{SUFFIX[kind]}"
        assert run(OURS, area, f"{kind}:t")[0] == 0
        os.chown(file, 12345, 12346)
        file.chmod(0o604)
        before = file.stat().st_ino
        assert run(OURS, area, f"{kind}:t")[0] == 0
        after = file.stat()
        assert (after.st_uid, after.st_gid, after.st_mode & 0o777) == (12345, 12346, 0o604)
        assert kind in ("hash", "lmdb", "cdb") and after.st_ino != before
        assert [name for name in os.listdir(area) if "tmp" in name] == []


def test_json(area):
    put(area / "t", 'a 1\nb "x\\y" é\n')
    assert run(OURS, area, "lmdb:t")[0] == 0
    lines = run(OURS, area, "-j", "-s", "lmdb:t")[1].decode().splitlines()
    assert [json.loads(line) for line in lines] == [{"key": "a", "value": "1"}, {"key": "b", "value": '"x\\y" é'}]
    assert json.loads(run(OURS, area, "-j", "-q", "A", "lmdb:t")[1]) == {"key": "A", "value": "1"}
    assert run(OURS, area, "-j", "lmdb:t")[0] == 1


@needs_lmdb
def test_lmdb_file_values(area):
    put(area / "one", "first\n")
    put(area / "two", "second\n")
    put(area / "t", "k one, two\nbad missing\n")
    for args in (("-F", "lmdb:t"), ("-s", "lmdb:t"), ("-F", "-s", "lmdb:t"), ("-F", "-q", "k", "lmdb:t")):
        same(area, *args)
    put(area / "u", "k b!\n")
    same(area, "lmdb:u")
    same(area, "-F", "-q", "k", "lmdb:u")


@needs_lmdb
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666])
@pytest.mark.parametrize("options", [(), ("-p",)])
def test_mode_of_a_new_file(area, mode, options):
    modes = []
    for program in (POSTFIX["postmap"], str(BUILD / "bin" / "postmap")):
        put(area / "t", "k v\n")
        (area / "t").chmod(mode)
        (area / "t.lmdb").unlink(missing_ok=True)
        assert run(program, area, *options, "lmdb:t")[0] == 0
        modes.append((area / "t.lmdb").stat().st_mode)
    assert modes[0] == modes[1]


@needs_lmdb
def test_default_type(area):
    put(area / "t", "k v\n")
    same(area, "t")
    same(area, "-q", "k", "t")


RULES = (
    "# comment\n/^abc(.*)$/ found $1 end\n!/^[a-z]/ negated\n/noresult/\n/flag/q y\nif /^if/\n/one$/ one\n"
    "if !/two/\n/x(.)z/i case $1 ${1} $(1) $$ \nendif\nendif\nendif\n#EOF\n|alt|  pipe delim\n/esc\\/aped/ esc\n"
    "/a(b)c(d)/ $1\n/trail/x\t  a   b  \n/cont/\n   inued\n/cs/i case sens\nXxx foo\n/unterm\n/d(e)(f)?/ r ${2}.$1x\n"
    "/g(h)/ $(1)) $1abc $x $\n/^k(.)/ ${1\n/^l(.)/ $1$\n/^m(.)/ ${1a}\n/^n(.)/ $10\n/^o(.)/ $0\n!/^./ neg $1\n"
    "if /^p(.)/ text here\n/pp/ yes\nendif text\nif\n!if /x/\n  /q/ z\n/r(s)/\t$1/$$1\n/^nl$/ x\n!!/twice/ t\n"
    "iffy /x/ z\nif!/q/\n/zz/ k\nendif\nif /unclosed/\n/x/ y\n"
)
RULE_KEYS = ["abcX", "9", "noresult", "ifone", "ifx1z", "ifX2Z", "ifxtwo", "alt", "esc/aped", "abcd", "trail", "TRAIL",
             "cont", "CS", "cs", "unclosedx", "xx", "def", "gh", "kx", "pp", "rs", "nl", "twice", "zz", "none", ""]


@pytest.mark.parametrize("kind", ["regexp", "pcre"])
def test_patterns(area, kind):
    if kind not in TYPES:
        pytest.skip(f"Postfix has no {kind} support")
    put(area / "r", RULES)
    batch(area, f"{kind}:r", RULE_KEYS)
    for table in (f"{kind}:{{{{/x/ y}},{{/z/ k}}}}", f"{kind}:{{/x/ y}}", f"{kind}:{{{{/z/ k}}", f"{kind}:{{}}",
                  f"{kind}:{{{{if /x/}}, {{/x/ y}}, {{endif}}}}", f"{kind}:{{{{/x/}}}}"):
        for key in ("x", "z"):
            same(area, "-q", key, table)


def test_posix_errors(area):
    put(area / "r", "/bad[/ x\n/dup(/ q\n/a{2/ z\n/ok/ yes\n/a+/x basic\n")
    batch(area, "regexp:r", ["ok", "a+", "aa"])


def test_pcre_errors_and_flags(area):
    if "pcre" not in TYPES:
        pytest.skip("Postfix has no pcre support")
    put(area / "r", "/bad[/ x\n/dup(/ q\n/^a b$/x ext\n/anch/A anchored\n/(d+)x*/U $1\n/é/ accent\n/\\bw\\b/ word\n")
    batch(area, "pcre:r", ["ab", "xanch", "anch", "ddd", "É", "a w b", "none"])


CIDR = (
    "# comment\n10.0.0.0/8 ten\n192.168.1.1 host\n10.1.2.3/8 hostbits\n1.2.3 short\n1.2.3.4/33 toolong\n"
    "[2001:db8::]/32 v6\n2001:db8::1 v6host\n[1.2.3.4]/24 brk\n[1.2.3.4/24] brk2\nfoo bar\n1.2.3.4\n1.2.3.4/ x\n"
    "1.2.3.4/08 pad\n010.0.0.1 octal\n1.2.3.4/-1 neg\n::ffff:1.2.3.4 mapped\n[::1 x\n[::1]x y\n!\n"
)
CIDR_NESTED = (
    "if 1.0.0.0/8\n1.1.1.1 in\nif !1.1.1.2\n1.1.1.2 never\n1.1.1.3\tthree  words  here  \nendif\nendif\nendif x\nendif\n"
    "if 1.0.0.0/8 text\n!172.16.0.0/12 notpriv\n! 3.3.3.3 spc\n!!5.5.5.5 twice\nif ! 3.3.3.3\n0.0.0.0/0 any\n"
)
ADDRESSES = ["10.1.1.1", "2001:db8:1::2", "[2001:db8::1]", "[10.1.1.1]", "::1", "1.2.3.9", "8.0.0.1", "::ffff:1.2.3.4",
             "1.1.1.1", "1.1.1.2", "1.1.1.3", "foo", "", "010.1.1.1", "10.1", "2001:DB8::5", "172.16.0.1", "3.3.3.3",
             "5.5.5.5", "192.168.1.1"]


@pytest.mark.parametrize("rules", [CIDR, CIDR_NESTED])
def test_cidr(area, rules):
    put(area / "c", rules)
    batch(area, "cidr:c", ADDRESSES)


def test_cidr_index_agrees_with_a_scan(area):
    """Many overlapping networks in random order: the first one of the file counts."""
    choose = random.Random(5)
    lines = []
    for number in range(400):
        bits = choose.choice([8, 12, 16, 20, 24, 28, 32])
        address = (10 << 24 | choose.randrange(1 << 16) << 8 | choose.randrange(256)) & ~((1 << (32 - bits)) - 1)
        dotted = ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))
        if dotted.startswith("10."):
            lines.append(f"{dotted}/{bits} rule{number}")
    put(area / "c", "\n".join(lines) + "\n")
    keys = [f"10.{choose.randrange(256)}.{choose.randrange(256)}.{choose.randrange(256)}" for _ in range(500)]
    same(area, "-q", "-", "cidr:c", stdin="\n".join(keys).encode())


@pytest.mark.parametrize(
    "table",
    ["static:", "static:all", "static:{ a b }", "static:{ a b", "static:a,b", "inline:{ x=1, { y = a b c } z=2 }",
     "inline:{ x }", "inline:{}", "inline:{x=1,x=2}", "inline:{X=1}", "inline:{x=}", "inline:x=1", "inline:{x=1}y",
     "inline:{ {=5}}", "inline:{ {x 5}}", "inline:{ { x y = 5}}", "environ:x", "fail:foo", "unionmap:{static:a,static:b}",
     "unionmap:{static:{a b},inline:{x=2}}", "unionmap:static:a", "unionmap:{}", "unionmap:{inline:{z=2},inline:{w=2}}",
     "unionmap:{inline:{x=2},fail:z}", "unionmap:{foo}", "unionmap:{inline:{y=2},nosuch:z}",
     "pipemap:{inline:{x=y},inline:{y=z}}", "pipemap:{inline:{x=y},inline:{n=z}}", "pipemap:{}", "pipemap:inline:{x=y}",
     "pipemap:{inline:{x=y} fail:z}", "randmap:{a}", "randmap:{a a,a}", "randmap:{}", "randmap:a", "unix:passwd.byname",
     "unix:group.byname", "unix:foo", "internal:foo", "texthash:missing", "regexp:missing", "lmdb:missing", "cidr:missing",
     "nosuch:x", ":x", "lmdb:", "texthash:etc"],
)
def test_small_tables(area, table):
    if table.startswith("lmdb:") and "lmdb" not in TYPES:
        pytest.skip("Postfix has no lmdb support")
    for key in ("x", "Y", "root"):
        theirs, ours = both(area, "-q", key, table)
        assert ours == theirs, key
        if any("fatal:" in line for line in theirs[2]):
            break  # Postfix sleeps a second each time it fails


@pytest.mark.parametrize(
    "args",
    [("-q", "a", "-d", "b", "static:x"), ("-q", "a", "-s", "static:x"), ("-d", "x", "static:x"), ("-d", "x", "texthash:t"),
     ("-s", "static:x"), ("-s", "fail:x"), ("-s", "cidr:t"), ("texthash:t",), ("cidr:t",), ("lmdb:missing",),
     ("-d", "x", "lmdb:missing"), ("-s", "inline:{b=2, a=1}")],
)
def test_command_errors(area, args):
    put(area / "t", "10.0.0.0/8 v\n")
    if any(arg.startswith("lmdb:") for arg in args) and "lmdb" not in TYPES:
        pytest.skip("Postfix has no lmdb support")
    theirs, ours = both(area, *args)
    assert (ours[0], sorted(ours[1].splitlines()), ours[2]) == (theirs[0], sorted(theirs[1].splitlines()), theirs[2])


ALIASES = (
    '# c\nroot: joe, jane\nPostmaster:\troot\n"Quoted Name": x@y\n"q\\"t": z\nlist: a,\n   b,\n\n   "c d"  , e\n'
    'prog: "|/bin/cat -x"\nfile: /dev/null\ninc: :include:/tmp/x\nempty:\nnocolon value\na b: c\ndup: 1\nDUP: 2\n'
    'addr@dom: x\nspaced   :   v\nowner-list: "x" <a@b>  ,  (comment) c\ncom (hi): d\na:b:c\n\'sq\': x\n'
    'grp: undisclosed: a, b;\n"a b"@dom: x\nunb: "abc\npar: (abc\nang: <abc\nx.y: \'a b\' "c"d\nbs: a\\ b\n'
    'user+ext: q\n"simple": q\n:: x\nsemi: a;b\nb: "x y"@z (c (n) d), q\nc: a,,b,\nd: , a\ne: |cat -x\n'
    'f: "|cat \\"x\\" y"\ng: a@[1.2.3.4], b@c . d\nh: x\\,y\ni: \\"a\\"\nj: (only comment)\nk: a (c)b\nl: g: a, b; , c\n'
    'm: "" x\nw2: a! b % c\nn: a"b"c\no: [a b] c\np: [a (b\nq: <a>b<c>\nr: a ( b\n"s" t: x\nu"v": x\nw.x: y\n(c) y: z\n<y>: z\n'
    "a,b: z\né: ü\ntab:\ta\tb\nlc: a.b..c\nat: a@b@c\ncol: a : b\n"
    'p2: "| a", |"b c"\n'
)


@needs_lmdb
def test_aliases(area):
    put(area / "a", ALIASES)
    dumps = []
    for program in (POSTFIX["postalias"], str(BUILD / "bin" / "postalias")):
        built = run(program, area, "lmdb:a")
        listed = run(program, area, "-s", "lmdb:a")
        lines = [line for line in listed[1].splitlines() if not line.startswith(b"YP_LAST_MODIFIED")]
        assert len(lines) == len(listed[1].splitlines()) - 1
        dumps.append((built, lines))
    assert dumps[1] == dumps[0]
    for key in ("root", "quoted name", '"quoted name"', "LIST", "none"):
        same(area, "-q", key, "lmdb:a", command="postalias")
    same(area, "-q", "-", "lmdb:a", command="postalias", stdin=b"root\nquoted name\nQUOTED NAME\nnone\n")
