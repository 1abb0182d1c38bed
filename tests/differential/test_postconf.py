"""postconf of Stagepost against an installed Postfix 3.7: same files in, same standard output and exit status.

Values that differ on purpose (src/lib/config/registry_differences.hpp) are listed here; everything else must be equal
byte for byte. Warnings go to standard error and are compared as sets where they have the same words.
"""
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", "build/dev"))
OURS = (BUILD if BUILD.is_absolute() else ROOT / BUILD) / "bin" / "postconf"
THEIRS = next((path for path in ("/usr/sbin/postconf", shutil.which("postconf")) if path and os.path.exists(path)), None)


def postfix_version():
    if THEIRS is None:
        return None
    result = subprocess.run([THEIRS, "-dh", "mail_version"], capture_output=True, text=True, timeout=30)
    return result.stdout.strip()


VERSION = postfix_version()
pytestmark = [
    pytest.mark.skipif(THEIRS is None, reason="no Postfix is installed (apt-get install postfix)"),
    pytest.mark.skipif(VERSION is not None and not VERSION.startswith("3.7."), reason=f"Postfix {VERSION}, not 3.7"),
    pytest.mark.skipif(not OURS.exists(), reason=f"{OURS} is not built"),
]

# Deliberate differences: installation directories, the table type, safer defaults, our own parameters, the process.
DIFFERENT_DEFAULTS = {
    "address_verify_map", "alias_database", "alias_maps", "command_directory", "config_directory", "daemon_directory",
    "data_directory", "default_database_type", "html_directory", "mail_owner", "mail_release_date", "mail_version",
    "mailq_path", "manpage_directory", "meta_directory", "newaliases_path", "postscreen_cache_map", "process_id",
    "queue_directory", "readme_directory", "sample_directory", "sendmail_path", "setgid_group", "shlib_directory",
    "smtpd_forbid_bare_newline", "smtpd_forbid_unauth_pipelining",
}
# Every deliberate difference is a row of this file, our own parameters as well.
DIFFERENCES = "".join((ROOT / "src/lib/config" / name).read_text()
                      for name in ("registry_differences.hpp", "registry_later_releases.hpp"))
# Values that contain one of the above when expanded.
EXPANDED_DIFFERENCES = {"tls_random_exchange_name", "proxy_read_maps", "proxy_write_maps", "local_recipient_maps"}

STOCK_MASTER = """
smtp      inet  n       -       y       -       -       smtpd
#smtp      inet  n       -       y       -       1       postscreen
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
  -o { smtpd_client_restrictions = $mua_client_restrictions, reject }
#  -o smtpd_relay_restrictions=
  -o smtpd_sasl_auth_enable=yes -v
pickup    unix  n       -       y       60      1       pickup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       y       1000?   1       tlsmgr
relay     unix  -       -       y       -       -       smtp
        -o syslog_name=postfix/$service_name
#       -o smtp_helo_timeout=5 -o smtp_connect_timeout=5
smtp      unix  -       -       y       -       -       smtp
local     unix  -       n       n       -       -       local
discard   unix  -       -       y       -       -       discard
postlog   unix-dgram n  -       n       -       1       postlogd
policy    unix  -       n       n       -       0       spawn
  user=nobody argv=/usr/bin/policyd
scalemail-backend unix -       n       n       -       2       pipe
  flags=R user=scalemail argv=/usr/lib/scalemail/bin/scalemail-store ${nexthop} ${user} ${extension}
mailman   unix  -       n       n       -       -       pipe
  flags=FRX user=list argv=/usr/lib/mailman/bin/postfix-to-mailman.py ${nexthop} ${user}
"""

MAIN_FILES = {
    "empty": "",
    "debian": """
# comment
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
append_dot_mydomain = no
compatibility_level = 3.6
myhostname = mail.example.com
alias_maps = hash:/etc/aliases
mydestination = $myhostname, example.com, localhost.example.com, , localhost
relayhost =
mynetworks = 127.0.0.0/8,
  # loopback
   [::ffff:127.0.0.0]/104   [::1]/128
mailbox_size_limit = 0
recipient_delimiter = +
inet_interfaces = all
mua_client_restrictions = permit_sasl_authenticated
""",
    "expressions": """
myhostname = h.example.org
mynetworks = 127.0.0.1
first = ${second?{$second}:{none}}
second = x  y
smtpd_banner = $(first)  ${nope:{ a }} $$ ${{$compatibility_level} <level {3.6} ? {old} : {new}}
myorigin = ${{10}<{9}?{x}:{y}}${{a10}<{a9}?{x}:{y}}
mydestination = ${mail_name? a b }x, ${{a}=={a}}
relay_domains=
forward_path = $home/x
transport_maps = inline:{ {a = b}, c=d }
""",
    "names": """
myhostname = h.example.org
mynetworks = 127.0.0.1
smtpd_restriction_classes = cls
cls = reject
unused_name = 1
virtual_maps = hash:/x
a = $b
b = 1
relay_destination_recipient_limit = 5
policy_time_limit = 1h
nosuch_destination_recipient_limit = 5
""",
    "duplicates": "myhostname = a\nmynetworks=127.0.0.1\nmydomain = b\nmydomain = c\n   d\nmyorigin = $mydomain\n",
}


def write(directory, main_cf, master_cf):
    """The two files, with an old date: Postfix reads a file that has just changed again and again until a second has gone by."""
    directory.mkdir(exist_ok=True)
    for file, text in (("main.cf", main_cf), ("master.cf", master_cf)):
        (directory / file).write_text(text)
    return make_old(directory)


def make_old(directory):
    for file in ("main.cf", "master.cf"):
        os.utime(directory / file, (1_600_000_000, 1_600_000_000))
    return directory


@pytest.fixture(params=sorted(MAIN_FILES))
def directory(request, tmp_path):
    return write(tmp_path, MAIN_FILES[request.param], STOCK_MASTER)


def run(program, directory, *arguments):
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    return subprocess.run(
        [str(program), "-c", str(directory), *arguments], capture_output=True, text=True, timeout=30, env=environment)


def settings(text):
    result = {}
    for line in text.splitlines():
        name, _, value = line.partition(" =")
        result[name] = value
    return result


def warnings(result):
    return {line.split("warning: ", 1)[1] for line in result.stderr.splitlines() if "warning: " in line}


@pytest.mark.parametrize("option", ["-d", "-x", "-p"])
def test_full_listings_differ_only_on_purpose(directory, option):
    theirs, ours = run(THEIRS, directory, option), run(OURS, directory, option)
    assert ours.returncode == theirs.returncode == 0
    expected, got = settings(theirs.stdout), settings(ours.stdout)
    own = set(got) - set(expected)
    assert {"process_session_limit", "queue_journal", "stagepost_version"} <= own
    assert {name for name in own if f'("{name}", ' not in DIFFERENCES} == set()
    assert set(expected) - set(got) == set()
    allowed = DIFFERENT_DEFAULTS | (EXPANDED_DIFFERENCES if option == "-x" else set())
    assert {name for name in expected if got[name] != expected[name]} <= allowed
    # Same order and same shape of lines, too.
    assert [name for name in got if name not in own] == list(expected)


@pytest.mark.parametrize("arguments", [
    ["-n"], ["-nx"], ["-nf"], ["-nh"], ["-nH"], ["-nhf"], ["-C", "user"], ["-C", "service"], ["-C", "user,service", "-x"],
    ["-M"], ["-Mf"], ["-Mx"], ["-M", "smtp"], ["-M", "smtp/inet", "relay/unix"], ["-M", "*/unix"], ["-Mf", "nosuch"],
    ["-F"], ["-Ff"], ["-F", "smtp/inet/chroot"], ["-F", "*/unix/command"], ["-Fh", "relay"], ["-FH", "relay"],
    ["-P"], ["-Px"], ["-P", "submission/inet/syslog_name"], ["-Ph", "relay"], ["-PH"],
    ["-h", "mydestination", "nosuch", "mail_name"], ["-x", "mydestination", "smtpd_banner", "myorigin"],
    ["-xh", "smtputf8_enable", "append_dot_mydomain", "smtpd_timeout"], ["mydomain", "myhostname", "mynetworks"],
    ["-d", "forward_path", "smtpd_expansion_filter", "smtpd_relay_restrictions"], ["-df", "proxy_read_maps"],
    ["-x", "-o", "stress=yes", "smtpd_timeout", "smtpd_hard_error_limit"], ["-n", "mydomain", "mail_name"],
    ["-o", "mydomain=qq", "-x", "mydomain", "myorigin"], ["-H", "mail_name", "mydomain"],
    ["-x", "luser_relay", "default_rbl_reply", "command_execution_directory"],
], ids=" ".join)
def test_same_output(directory, arguments):
    theirs, ours = run(THEIRS, directory, *arguments), run(OURS, directory, *arguments)
    assert ours.stdout == theirs.stdout
    assert ours.returncode == theirs.returncode == 0


def test_same_warnings_about_names(directory):
    def about_names(result):
        return {text for text in warnings(result) if "unused parameter" in text or "undefined parameter" in text}

    assert about_names(run(OURS, directory, "-n")) == about_names(run(THEIRS, directory, "-n"))


BAD_VALUES = ["a${b", "$", "a $ b", "${}", "${a-b}", "${mail_name?{x}y}", "${mail_name?{x}:{y}z}", "${mail_name:{x}:{y}}",
              "${{x}>level{3.9}?{x}:{y}}", "${{a}~{b}?{x}:{y}}", "${smtpd_banner}", "$myorigin", "${mail_name?{a:b}"]


@pytest.fixture(scope="module")
def bad_expression_answers(tmp_path_factory):
    def compare(directory, value):
        write(directory, f"mynetworks = 127.0.0.1\nmyorigin = $smtpd_banner\nsmtpd_banner = {value}\n", "")
        return {program: run(program, directory, "-x", "smtpd_banner") for program in (THEIRS, OURS)}

    return side_by_side(tmp_path_factory, BAD_VALUES, compare)


@pytest.mark.parametrize("value", BAD_VALUES)
def test_bad_expressions_are_fatal_for_both(bad_expression_answers, value):
    for program, result in bad_expression_answers[value].items():
        assert (result.returncode, result.stdout) == (1, ""), program
        assert "fatal" in result.stderr


@pytest.mark.parametrize("text", ["foo\n", "= x\n", "my host = x\n"])
def test_bad_files_are_fatal_for_both(tmp_path, text):
    write(tmp_path, "myhostname = a\n" + text, "")
    theirs, ours = run(THEIRS, tmp_path, "-n"), run(OURS, tmp_path, "-n")
    assert theirs.returncode == ours.returncode == 1
    assert "line 2" in theirs.stderr and "line 2" in ours.stderr


EDITED = """# top comment
myhostname = a.example.com
  # comment inside
   cont1
# c2

   cont2

# about foo
foo = 1
mid = 2
foo = 3
#myorigin = commented
relayhost =
\t[a]:25
"""


@pytest.mark.parametrize("arguments", [
    ["-e", "myhostname=b", "foo = 9", "new_one = a b", "relayhost=x   y"], ["relayhost="], ["-X", "myhostname", "foo", "no"],
    ["-#", "myhostname", "foo", "relayhost"], ["-X", "nosuch"], ["-e", "z"], ["-e", "=z"], ["a b=z"], ["q=a\nb"],
], ids=" ".join)
def test_edits_leave_the_same_main_cf(tmp_path, arguments):
    results = []
    for name, program in (("theirs", THEIRS), ("ours", OURS)):
        directory = tmp_path / name
        write(directory, EDITED, "")
        code = run(program, directory, *arguments).returncode
        text = (directory / "main.cf").read_text()
        results.append((code, text, sorted(os.listdir(directory))))
    assert results[0] == results[1]


@pytest.mark.parametrize("arguments", [
    ["-M", "submissions/inet=submissions inet n - y - - smtpd -o a=b"], ["-M", "smtp/inet=smtp inet n - n - - smtpd -v"],
    ["-MX", "relay/unix"], ["-M#", "smtp/inet", "smtp/unix"], ["-MX", "nosuch/unix"], ["-M", "smtp/inet=smtp inet n"],
    ["-F", "smtp/inet/foo=n"], ["-P", "relay/unix/syslog_name=zz top"],
], ids=" ".join)
def test_edits_leave_the_same_master_cf(tmp_path, arguments):
    results = []
    for name, program in (("theirs", THEIRS), ("ours", OURS)):
        directory = tmp_path / name
        write(directory, "", STOCK_MASTER)
        code = run(program, directory, *arguments).returncode
        results.append((code, (directory / "master.cf").read_text()))
    assert results[0] == results[1]


@pytest.mark.parametrize("arguments", [
    ["-F", "*/*/chroot=n"], ["-F", "smtp/inet/command=smtpd -v"], ["-P", "smtp/inet/content_filter=x:y"],
    ["-PX", "relay/unix/syslog_name"], ["-P", "nosuch/inet/x=y"],
], ids=" ".join)
def test_field_edits_have_the_same_effect(tmp_path, arguments):
    """Postfix moves an entry behind comments that follow it; we keep its place, so the meaning is compared."""
    views = []
    for name, program in (("theirs", THEIRS), ("ours", OURS)):
        directory = tmp_path / name
        write(directory, "", STOCK_MASTER)
        code = run(program, directory, *arguments).returncode
        views.append((code, sorted(run(THEIRS, make_old(directory), "-M").stdout.splitlines())))
    assert views[0] == views[1]


def both(tmp_path, main_cf, master_cf, *arguments, edits=False):
    """What both programs say (warnings in any order: Postfix's come out of a hash table) and what they leave behind."""
    results = []
    for name, program in (("theirs", THEIRS), ("ours", OURS)):
        directory = tmp_path / name
        write(directory, main_cf, master_cf)
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        done = subprocess.run(["postconf", "-c", str(directory), *arguments], executable=str(program), capture_output=True,
                              text=True, timeout=60, env=environment)
        result = [done.returncode, done.stdout.replace(str(directory), "DIR"),
                  sorted(done.stderr.replace(str(directory), "DIR").splitlines())]
        if edits:
            result += [(directory / "main.cf").read_text(), (directory / "master.cf").read_text()]
        results.append(result)
    return results


PLAIN = "myhostname = h.example.org\nmynetworks = 127.0.0.1\n"
SMALL_MASTER = """smtp inet n - n - - smtpd
relay unix - - n - - smtp -o syslog_name=postfix/$service_name
"""


COMMAND_LINES = """-a -A|-a -n|-b -d|-b -t|-t -F|-b x y|-d -n|-d -X|-d -o a=b|-e -x|-f -X|-F -d|-F -M|-F -X|-F -#|-h -H -n|-l -m|-M -h|-M -n|-M -T x|-M -P|-p -M
-n -X myhostname|-o a=b -X|-P -#|-P -n|-T x -x|-X -#|-e|-X|-#|-MX|-M#|-PX|-M -e|-T foo|-C foo -n|-C builtin,foo -n|-C ,|-X a=b|-e a|a=b -X|-o a|-o =x
-P -e a/b/c|-P -e a/b=c|-M a=b|-M a/b=c|-M smtp/inet=|-MX smtp|-F smtp/inet=n|-F smtp/inet/*=n|-F smtp/inet/foo=n|-F smtp/inet/private=x
-F smtp/inet/type=xx|-F smtp/inet/wakeup=1??|-F smtp/inet/process_limit=-1|-F smtp/inet/chroot=yes|-F a/b/c/d|-P a/b/c/d|-M a/b/c|-PX */*/*
-P smtp/inet/*=b|-P smtp/inet/a={b c}|-P nosuch/unix/a=b|-F nosuch/unix/chroot=n|-MX nosuch/unix|#a=b|-X #a|-# #a|nosuch|-d nosuch|-h nosuch|-X nosuch
-l|-l foo|-C all -n|-C user -l""".replace("\n", "|").split("|")


def side_by_side(tmp_path_factory, cases, compare):
    """compare(directory, case) of all cases: Postfix waits a second before each fatal end."""
    directories = [tmp_path_factory.mktemp("case") for _ in cases]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return dict(zip(cases, pool.map(compare, directories, cases)))


@pytest.fixture(scope="module")
def command_line_answers(tmp_path_factory):
    def compare(directory, line):
        words = line.split(" ")
        if "{" in line:
            words = [words[0], " ".join(words[1:])]
        return both(directory, PLAIN, SMALL_MASTER, *words, edits=True)

    return side_by_side(tmp_path_factory, COMMAND_LINES, compare)


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_same_words_about_the_command_line(command_line_answers, line):
    theirs, ours = command_line_answers[line]
    assert ours == theirs


ODD_MASTER = """smtp      inet  y       -       y       -       -       smtpd
  -o a=>=b -o c=$foo
  -o { d = $foo }  -o {e=x,y}
# comment
  -o  f=
#  -o g=h
s2 inet n - n - - smtpd -v -o a=b -D -o a=c
s3 inet n - n - - smtpd -oa=b -vo c=d
s4 unix - - n - - pipe flags=F a{b c} { z  q }
s5 unix - - n 10? 0 spawn argv={/bin/foo bar} user=x
s6 unix - - n - - foo/bar -o a
s7 unix - - n - - smtp -o a=b foo -o c=d -x -y
s8 unix - - n - 99999999999 smtp -o smtp_tls_security_level=$foo $nosuch2 -o x=$service_name
s9 unix - - n ? - smtp -o {a
s10 unix - - n - - smtp {a}b -o
a/b unix - - n - - smtp -o smtp_bind_address={1.2.3.4}
[::1]:25 inet n - n - - smtpd -o { smtpd_x_restrictions = reject_y {a b}, { c d } }
long unix - - n - - smtp -o aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb -o b=c
l2 unix - - n - - pipe aaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb ccccccccccccccccccccccccc ddddddddddd -o a=b eeeeee
"""


@pytest.mark.parametrize("option", ["-M", "-Mf", "-Mx", "-F", "-Ff", "-Fx", "-FH", "-P", "-Pf", "-Px", "-Ph"])
def test_same_view_of_services_that_master_would_refuse(tmp_path, option):
    theirs, ours = both(tmp_path, PLAIN + "foo = $bar\nbar = baz $foo2\nfoo2 = x\n", ODD_MASTER, option)
    assert ours == theirs


@pytest.mark.parametrize("arguments", [
    ["-P", "s7/unix/a=q"], ["-P", "s7/unix/n=q"], ["-P", "s2/inet/n=q"], ["-P", "s2/inet/a=q"], ["-PX", "s3/inet/a"],
    ["-P", "[::1]:25/inet/a=b"], ["-MX", "s4/unix", "s2/inet"], ["-M", "s3/inet=s3 inet n - y - - smtpd -o { a = b c } -v"],
    ["-M#", "l2/unix"], ["-F", "s5/unix/command=spawn user=y {a b}"],
], ids=" ".join)
def test_edits_of_services_that_master_would_refuse(tmp_path, arguments):
    master = "\n".join(line for line in ODD_MASTER.splitlines() if not line.startswith(("s9 ", "s10 ", "#"))) + "\n"
    theirs, ours = both(tmp_path, PLAIN, master, *arguments, edits=True)
    assert ours == theirs


TABLES = """virtual_alias_maps = unionmap:{ldap:uf,proxy:mysql:pm}, pipemap:{pgsql:pp} ldap:FILES/l.cf proxy:mysql:FILES/m.cf
  mysql:FILES/none.cf memcache:FILES/mc.cf ldap:$ldname
ldname = zork
zork_server_host = 1
uf_server_host = a
uf_zip = 1
pm_user = 1
pp_user = 2
in_main = 3
smtpd_client_restrictions = check_client_access ldap:acc, check_recipient_access proxy:pgsql:acc2, check_x {ldap:acc3, default_action=accept}
acc_bind = no
acc2_user = b
acc3_bind = 1
smtpd_restriction_classes = cls
cls = check_client_access ldap:c4
c4_bind = no
q3 = $q4
q4 = ldap:n4
n4_bind = 1
virtual_mailbox_maps = $q3 hash:/x proxy:sqlite:p5 proxy:unix:passwd.byname
p5_dbpath = 1
p5_bind = 1
transport_maps = inline:{a={ldap:in1}}, !ldap:in2
in1_bind = 1
in2_bind = 1
forward_path = ldap:fw
fw_bind = 1
relay_maps_of_mine = ldap:mine
mine_bind = 1
"""


@pytest.mark.parametrize("option", ["-n", "-nxf", "-M", "-P"])
def test_tables_are_looked_into_for_their_parameters(tmp_path, option):
    files = tmp_path / "tables"
    files.mkdir()
    (files / "l.cf").write_text("server_host = a\nnosuch = b\nbind = $in_main\nbind_dn = $undefined\n")
    (files / "m.cf").write_text("user = a\nhosts = b\nquery = $q\nzap = 1\nresult_format = %s\n")
    (files / "mc.cf").write_text("memcache = inet:a\nbackup = proxy:ldap:x\nfoo = 1\n")
    (files / "o.cf").write_text("ouser = a\n")
    master = SMALL_MASTER + f"z unix - - n - - smtp -o smtp_sasl_password_maps=ldap:mm -o mm_bind=1 -o foox=ldap:{files}/n.cf\n" \
        f"  -o smtp_generic_maps=ldap:{files}/o.cf -o smtp_tls_policy_maps=$undefined_m\n"
    theirs, ours = both(tmp_path, PLAIN + TABLES.replace("FILES", str(files)), master, option)
    assert ours == theirs


def test_a_table_file_that_cannot_be_parsed_is_fatal(tmp_path):
    (tmp_path / "m.cf").write_text("user = a\nbroken\n")
    main_cf = PLAIN + f"virtual_alias_maps = proxy:mysql:{tmp_path}/m.cf\n"
    theirs, ours = both(tmp_path, main_cf, "", "-n")
    assert ours == theirs and ours[0] == 1


OLD_NAMES = """virtual_maps fallback_relay authorized_verp_clients postscreen_blacklist_action postscreen_dnsbl_ttl
postscreen_dnsbl_whitelist_threshold postscreen_whitelist_interfaces smtpd_client_connection_limit_exceptions
smtp_per_record_deadline lmtp_per_record_deadline smtpd_per_record_deadline tlsproxy_client_level tlsproxy_client_policy
tlsproxy_tls_session_cache_timeout sender_based_routing enable_errors_to extract_recipient_limit stress""".split()


def test_old_names_are_accepted_as_postfix_accepts_them(tmp_path):
    theirs, ours = both(tmp_path, PLAIN + "".join(f"{name} = x\n" for name in OLD_NAMES), SMALL_MASTER, "-n")
    assert ours == theirs


@pytest.mark.parametrize("level", ["0", "1", "2", "3.6", "3.7", "9999", "3.x", "3.6.0.1"])
def test_defaults_follow_the_compatibility_level(tmp_path, level):
    names = ["append_dot_mydomain", "smtputf8_enable", "mynetworks_style", "relay_domains", "smtpd_relay_restrictions",
             "smtpd_tls_fingerprint_digest", "respectful_logging", "smtpd_relay_before_recipient_restrictions"]
    theirs, ours = both(tmp_path, PLAIN + f"compatibility_level = {level}\n", SMALL_MASTER, "-x", *names)
    assert ours[:2] == theirs[:2]


def test_views_are_input_again(tmp_path):
    """-n becomes the next main.cf and -M the next -M argument without any change of meaning."""
    main_cf, master_cf = MAIN_FILES["debian"], STOCK_MASTER
    shown = both(tmp_path, main_cf, master_cf, "-n")[1][1]
    settings_only = "".join(line + "\n" for line in shown.splitlines() if not line.startswith("config_directory"))
    assert both(tmp_path, settings_only, master_cf, "-n")[1][1] == shown
    lines = both(tmp_path, main_cf, master_cf, "-M")[1][1].splitlines()
    edits = [f"{line.split()[0]}/{line.split()[1]}={line}" for line in lines]
    theirs, ours = both(tmp_path, main_cf, "", "-M", *edits, edits=True)
    assert ours == theirs
    assert both(tmp_path, main_cf, ours[4], "-M")[1][1].splitlines() == lines


def test_a_correct_configuration_is_shown_without_a_word(tmp_path):
    for arguments in (["-n"], ["-M"], ["-F"], ["-P"], ["-nx"], ["-d", "mydomain"], ["-j", "-n"]):
        assert both(tmp_path, PLAIN, SMALL_MASTER, "-n")[1][2] == [], arguments


def test_a_syntax_error_leaves_the_file_untouched(tmp_path):
    broken = PLAIN + "no assignment\n"
    for arguments in (["-e", "myorigin=x"], ["-X", "myhostname"], ["-#", "myhostname"]):
        theirs, ours = both(tmp_path, broken, SMALL_MASTER, *arguments, edits=True)
        assert ours[0] != 0 and ours[3] == broken, arguments
    for arguments in (["-M", "x/unix=x unix y"], ["-F", "smtp/inet/chroot=q"], ["-P", "smtp/inet/a={b c}"]):
        theirs, ours = both(tmp_path, PLAIN, SMALL_MASTER, *arguments, edits=True)
        assert ours == theirs and ours[0] == 1 and ours[4] == SMALL_MASTER, arguments
    (tmp_path / "ours" / "master.cf").write_text("broken\n")
    assert run(OURS, tmp_path / "ours", "-F", "smtp/inet/chroot=y").returncode == 1
    assert (tmp_path / "ours" / "master.cf").read_text() == "broken\n"


def test_an_edit_keeps_permissions(tmp_path):
    write(tmp_path, PLAIN, SMALL_MASTER)
    for name, arguments in (("main.cf", ["a=b"]), ("master.cf", ["-F", "smtp/inet/chroot=y"])):
        os.chmod(tmp_path / name, 0o640)
        assert run(OURS, tmp_path, *arguments).returncode == 0
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o640


def test_json_has_what_the_text_has(tmp_path):
    write(tmp_path, PLAIN + 'odd = "a\\ b\n', STOCK_MASTER)
    document = json.loads(run(OURS, tmp_path, "-jn").stdout)
    assert document == {name: value.strip() for name, value in settings(run(OURS, tmp_path, "-n").stdout).items()}
    fields = json.loads(run(OURS, tmp_path, "-jF").stdout)
    assert fields["smtp/inet"]["process_limit"] == "-" and fields["policy/unix"]["arguments"] == ["user=nobody", "argv=/usr/bin/policyd"]
    assert json.loads(run(OURS, tmp_path, "-jP", "submission/inet/smtpd_sasl_auth_enable").stdout) == \
        {"submission/inet": {"smtpd_sasl_auth_enable": "yes"}}


TEMPLATE = """# mine
failure_template = <<END
Charset: us-ascii
From: Robot <robot@example.org>
Subject: Not delivered
Postmaster-Subject: Copy: not delivered

From $myhostname: $$5 after $delay_warning_time_minutes minutes,
  $maximal_queue_lifetime_hours hours ${mail_name}.
END
"""


@pytest.mark.parametrize("option", ["-b", "-t"])
def test_report_templates_of_a_file_are_shown_alike(tmp_path, option):
    """The first of the four; the built-in ones have our own words."""
    (tmp_path / "bounce.cf").write_text(TEMPLATE)
    main_cf = PLAIN + "delay_warning_time = 4h\nmaximal_queue_lifetime = 2\nbounce_template_file = /nonexistent\n"
    theirs, ours = both(tmp_path, main_cf, SMALL_MASTER, option, str(tmp_path / "bounce.cf"))
    end = theirs[1].index("EOF\n\n")
    assert ours[1][:end] == theirs[1][:end] and ours[::2] == theirs[::2]
    sections = [line.split(" ")[0] for line in theirs[1].splitlines() if line.endswith("= <<EOF")]
    assert [line.split(" ")[0] for line in ours[1].splitlines() if line.endswith("= <<EOF")] == sections


def test_an_unknown_name_in_a_template_is_fatal(tmp_path):
    (tmp_path / "bounce.cf").write_text(TEMPLATE.replace("$$5", "$nosuch"))
    theirs, ours = both(tmp_path, PLAIN, SMALL_MASTER, "-b", str(tmp_path / "bounce.cf"))
    assert ours[:2] == theirs[:2] == [1, ""] and "undefined $n" in ours[2][0] and "undefined $n" in theirs[2][0]


STOCK_FILE = pathlib.Path("/usr/share/postfix/master.cf.dist")


@pytest.mark.skipif(not STOCK_FILE.exists(), reason="no stock master.cf of Debian")
def test_shipped_master_cf_has_the_stock_services(tmp_path):
    """Also the lines that are commented out: installers enable them by pattern."""
    stock, ours = STOCK_FILE.read_text(), (ROOT / "conf" / "master.cf").read_text()
    write(tmp_path, "", stock)
    assert run(OURS, ROOT / "conf", "-M").stdout == run(THEIRS, tmp_path, "-M").stdout
    types = (" inet ", " unix ", " pass ", " fifo ")

    def optional(text):
        return [line for line in text.splitlines()
                if line.startswith("#") and (line.startswith(("#  -o", "#       -o")) or any(t in line for t in types))
                and len(line.split()) >= 2 and not line.startswith(("# ", "#  lmtp", "#     "))
                or line.startswith(("#  -o", "#       -o"))]

    assert optional(ours) == optional(stock)


def test_shipped_main_cf_is_understood_by_both():
    for program in (THEIRS, OURS):
        result = run(program, ROOT / "conf", "-nx")
        assert result.returncode == 0
        assert warnings(result) == set()
