"""postconf of Stagepost against an installed Postfix 3.7: same files in, same standard output and exit status.

Values that differ on purpose (src/lib/config/registry_differences.cpp) are listed here; everything else must be equal
byte for byte. Warnings go to standard error and are compared as sets where they have the same words.
"""
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
                      for name in ("registry_differences.cpp", "registry_later_releases.cpp"))
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


@pytest.fixture(params=sorted(MAIN_FILES))
def directory(request, tmp_path):
    (tmp_path / "main.cf").write_text(MAIN_FILES[request.param])
    (tmp_path / "master.cf").write_text(STOCK_MASTER)
    return tmp_path


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


@pytest.mark.parametrize("value", BAD_VALUES)
def test_bad_expressions_are_fatal_for_both(tmp_path, value):
    (tmp_path / "main.cf").write_text(f"mynetworks = 127.0.0.1\nmyorigin = $smtpd_banner\nsmtpd_banner = {value}\n")
    (tmp_path / "master.cf").write_text("")
    for program in (THEIRS, OURS):
        result = run(program, tmp_path, "-x", "smtpd_banner")
        assert (result.returncode, result.stdout) == (1, ""), program
        assert "fatal" in result.stderr


@pytest.mark.parametrize("text", ["foo\n", "= x\n", "my host = x\n"])
def test_bad_files_are_fatal_for_both(tmp_path, text):
    (tmp_path / "main.cf").write_text("myhostname = a\n" + text)
    (tmp_path / "master.cf").write_text("")
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
        directory.mkdir()
        (directory / "main.cf").write_text(EDITED)
        (directory / "master.cf").write_text("")
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
        directory.mkdir()
        (directory / "main.cf").write_text("")
        (directory / "master.cf").write_text(STOCK_MASTER)
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
        directory.mkdir()
        (directory / "main.cf").write_text("")
        (directory / "master.cf").write_text(STOCK_MASTER)
        code = run(program, directory, *arguments).returncode
        views.append((code, sorted(run(THEIRS, directory, "-M").stdout.splitlines())))
    assert views[0] == views[1]


STOCK_FILE = pathlib.Path("/usr/share/postfix/master.cf.dist")


@pytest.mark.skipif(not STOCK_FILE.exists(), reason="no stock master.cf of Debian")
def test_shipped_master_cf_has_the_stock_services(tmp_path):
    """Also the lines that are commented out: installers enable them by pattern."""
    stock, ours = STOCK_FILE.read_text(), (ROOT / "conf" / "master.cf").read_text()
    (tmp_path / "main.cf").write_text("")
    (tmp_path / "master.cf").write_text(stock)
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
