"""PostgreSQL, MariaDB and OpenLDAP for tests: a server of one's own on 127.0.0.1, in a directory of its own, as an unprivileged account.

All hold the same entries, and each knows how the table of its type is told to find them, so that one test serves all three.
"""

import glob
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

from . import procs
from .ports import free_port
from .sink import make_certificate
from .waiting import SCALE, wait_for

USER, PASSWORD = "reader", "s3cret-of-reader"
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", *glob.glob("/usr/lib/postgresql/*/bin")])
ENTRIES = [
    ("one@ex.test", "first@hub.test"),
    ("many@ex.test", "a@hub.test"),
    ("many@ex.test", "b@hub.test"),
    ("plain", "bare"),
    ("@catch.test", "all@hub.test"),
    ("listed@local.test", "554 5.7.1 listed"),
    ("o'hara@ex.test", "quote@hub.test"),
    ("a*b(c)@ex.test", "filter@hub.test"),
    ("back\\slash@ex.test", "backslash@hub.test"),
    ("müller@ex.test", "utf8@hub.test"),
    ("hidden@ex.test", "nobody-may-see-this"),
]


def program(name):
    return shutil.which(name, path=PATH)


class Server:
    """`programs` are what it needs; missing() says which are not installed."""

    kind = ""
    programs = ()

    @classmethod
    def missing(cls):
        return [name for name in cls.programs if program(name) is None]

    def __init__(self):
        self.port = free_port()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sp-db-", dir=os.environ.get("STAGEPOST_TEST_DIR", "/var/tmp")))
        self.account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self.account:
            os.chown(self.directory, self.account.pw_uid, self.account.pw_gid)
        self.directory.chmod(0o755)
        self.certificate = make_certificate(self.directory)
        os.chmod(self.certificate.key, 0o600)
        if self.account:
            os.chown(self.certificate.key, self.account.pw_uid, self.account.pw_gid)
        self.process = None
        self.output = open(self.directory / "output", "wb")

    def _as_account(self):
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []} if self.account else {}

    def tool(self, *command, stdin=b"", check=True):
        environment = {"PATH": PATH, "HOME": str(self.directory), "LC_ALL": "C.UTF-8", "PGPASSWORD": PASSWORD}
        done = subprocess.run([program(command[0]), *map(str, command[1:])], input=stdin, capture_output=True, cwd=self.directory,
                              env=environment, timeout=120 * SCALE, check=False, **self._as_account())
        if check and done.returncode != 0:
            raise AssertionError(f"{command[0]} failed: {done.stderr.decode(errors='replace')}{done.stdout.decode(errors='replace')}")
        return done

    def _run(self, *command):
        self.process = subprocess.Popen([program(command[0]), *map(str, command[1:])], stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=self.output, start_new_session=True, cwd=self.directory,
                                        env={"PATH": PATH, "HOME": str(self.directory), "LC_ALL": "C.UTF-8"}, **self._as_account())

    def start(self):
        self.launch()
        wait_for(self._answers, 60, f"{self.kind} server", lambda: (self.directory / "output").read_text(errors="replace")[-2000:])
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError((self.directory / "output").read_text(errors="replace")[-2000:])
        return self.ready()

    def stop(self):
        if self.process is None:
            return
        self.thaw()
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(30 * SCALE)
        except subprocess.TimeoutExpired:
            for pid in [self.process.pid, *procs.descendants(self.process.pid)]:
                procs.send(pid)
            self.process.wait()
        self.process = None

    def restart(self):
        self.stop()
        self.start()

    # PostgreSQL's processes are groups of their own. The first one is stopped first, so that it makes no more of them.
    def freeze(self):
        procs.send(self.process.pid, signal.SIGSTOP)
        for pid in procs.descendants(self.process.pid):
            procs.send(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in [*procs.descendants(self.process.pid), self.process.pid]:
            procs.send(pid, signal.SIGCONT)

    def close(self):
        self.stop()
        self.output.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    stop_signal = signal.SIGTERM

    def launch(self):
        raise NotImplementedError

    def ready(self):
        raise NotImplementedError

    def settings(self, *hosts, password=PASSWORD, **more):
        """The settings of a table as a dict. `hosts` are "host:port", this server when there are none."""
        raise NotImplementedError

    def tls(self, ca):
        """Settings that demand TLS and a certificate signed by those in the file `ca`, and what one@ex.test has with them."""
        raise NotImplementedError

    def query(self, key="%s"):
        """Settings that look for the values of `key`."""
        raise NotImplementedError


class SqlServer(Server):
    def settings(self, *hosts, password=PASSWORD, **more):
        values = {"hosts": " ".join(hosts or [f"127.0.0.1:{self.port}"]), "user": USER, "password": password, "dbname": "mail",
                  **self.query()}
        return {name: value for name, value in {**values, **more}.items() if value is not None}

    def query(self, key="%s"):
        return {"query": f"SELECT value FROM entries WHERE name = '{key}' ORDER BY value"}

    def script(self):
        def quoted(text):
            return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'" if self.kind == "mysql" else "'" + text.replace("'", "''") + "'"
        rows = ", ".join(f"({quoted(name)}, {quoted(value)})" for name, value in ENTRIES)
        return f"CREATE TABLE entries (name varchar(300), value varchar(300)); INSERT INTO entries VALUES {rows};"

    def rows(self):
        """How many entries there are: still all of them."""
        raise NotImplementedError

    def connections(self):
        """How many the reader has open."""
        raise NotImplementedError


class Postgres(SqlServer):
    kind = "pgsql"
    programs = ("initdb", "postgres", "psql")
    stop_signal = signal.SIGINT

    def __init__(self):
        super().__init__()
        (self.directory / "password").write_text(PASSWORD)
        os.chmod(self.directory / "password", 0o644)
        self.tool("initdb", "-D", "data", "-A", "scram-sha-256", "-U", USER, "--pwfile=password", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()
        self._sql("CREATE DATABASE mail", "postgres")
        self._sql(self.script())

    def launch(self):
        self._run("postgres", "-D", "data", "-p", self.port, "-k", self.directory, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
                  "-c", "shared_buffers=1MB", "-c", "max_connections=20", "-c", "ssl=on", "-c", f"ssl_cert_file={self.certificate.cert}",
                  "-c", f"ssl_key_file={self.certificate.key}")

    def _sql(self, text, database="mail", check=True):
        return self.tool("psql", "-qAtX", "-h", "127.0.0.1", "-p", self.port, "-U", USER, "-d", database, "-v", "ON_ERROR_STOP=1",
                         stdin=text.encode(), check=check)

    def ready(self):
        return self._sql("SELECT 1", "postgres", check=False).returncode == 0

    def rows(self):
        return int(self._sql("SELECT count(*) FROM entries").stdout)

    def tls(self, ca):
        return {"hosts": f"postgresql://127.0.0.1:{self.port}/mail?sslmode=verify-full&sslrootcert={ca}",
                "query": "SELECT 'ssl is ' || ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"}, "ssl is true"

    def connections(self):
        return int(self._sql("SELECT count(*) FROM pg_stat_activity WHERE usename IS NOT NULL AND datname = 'mail' AND pid <> pg_backend_pid()").stdout)


class Mariadb(SqlServer):
    kind = "mysql"
    programs = ("mariadb-install-db", "mariadbd", "mariadb")

    def __init__(self):
        super().__init__()
        self.tool("mariadb-install-db", "--no-defaults", f"--datadir={self.directory}/data", "--auth-root-authentication-method=normal",
                  "--skip-test-db", "--skip-name-resolve", *self._small())
        self.start()
        self._sql("CREATE DATABASE mail CHARACTER SET utf8mb4", "")
        self._sql(self.script() + f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON mail.* TO {USER}@'127.0.0.1';"
                  "CREATE PROCEDURE lookup(IN k varchar(300)) SELECT value FROM entries WHERE name = k;"
                  "CREATE PROCEDURE nothing(IN k varchar(300)) SET @unused = k;")

    @staticmethod
    def _small():
        return ["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin",
                "--innodb-fast-shutdown=2"]

    def launch(self):
        self._run("mariadbd", "--no-defaults", f"--datadir={self.directory}/data", f"--socket={self.directory}/socket", f"--port={self.port}",
                  "--bind-address=127.0.0.1", f"--pid-file={self.directory}/pid", "--skip-name-resolve",
                  f"--ssl-cert={self.certificate.cert}", f"--ssl-key={self.certificate.key}", f"--ssl-ca={self.certificate.cert}", *self._small())

    def _sql(self, text, database="mail", check=True):
        return self.tool("mariadb", "--no-defaults", "-BN", "-S", self.directory / "socket", "-u", "root", *([database] if database else []),
                         stdin=text.encode(), check=check)

    def ready(self):
        return self._sql("SELECT 1", "", check=False).returncode == 0

    def rows(self):
        return int(self._sql("SELECT count(*) FROM entries").stdout)

    def tls(self, ca):
        return {"tls_CAfile": ca, "tls_verify_cert": "yes",
                "query": "SELECT LENGTH(VARIABLE_VALUE) > 0 FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_cipher'"}, "1"

    def connections(self):
        return int(self._sql(f"SELECT count(*) FROM information_schema.processlist WHERE user = '{USER}'").stdout)

    def without_backslash_escapes(self, on):
        self._sql(f"SET GLOBAL sql_mode = '{'NO_BACKSLASH_ESCAPES' if on else ''}'")


class Ldap(Server):
    kind = "ldap"
    programs = ("slapd", "slapadd", "ldapsearch", "ldapadd")
    suffix = "dc=ex,dc=test"
    admin = f"cn={USER},{suffix}"

    def __init__(self):
        super().__init__()
        (self.directory / "data").mkdir()
        if self.account:
            os.chown(self.directory / "data", self.account.pw_uid, self.account.pw_gid)
        (self.directory / "slapd.conf").write_text(SLAPD.format(directory=self.directory, certificate=self.certificate, suffix=self.suffix, admin=self.admin, password=PASSWORD, wanda=WANDA))
        self.tool("slapadd", "-q", "-f", "slapd.conf", stdin=self.ldif().encode())
        self.start()

    def ldif(self):
        entries = [f"dn: {self.suffix}\nobjectclass: dcObject\nobjectclass: organization\no: ex\ndc: ex\n"]
        values = {}
        for name, value in ENTRIES:
            values.setdefault(name, []).append(value)
        for number, (name, found) in enumerate(values.items()):
            lines = "".join(f"entryvalue: {value}\n" for value in found)
            entries.append(f"dn: cn=entry{number},{self.suffix}\nobjectclass: mailthing\ncn: entry{number}\nentryname: {name}\n{lines}")
        return "\n".join(entries) + "\n" + GROUPS.format(suffix=self.suffix, wanda=WANDA, password=PASSWORD)

    def add(self, entry):
        self.tool("ldapadd", "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", self.admin, "-w", PASSWORD, stdin=entry.encode())

    def launch(self):
        self._run("slapd", "-f", "slapd.conf", "-h", f"ldap://127.0.0.1:{self.port}", "-d", "0")

    def ready(self):
        return self.tool("ldapsearch", "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-b", self.suffix, "-s", "base", "dc", check=False).returncode == 0

    def settings(self, *hosts, password=PASSWORD, **more):
        values = {"server_host": " ".join(f"ldap://{host}" for host in hosts or [f"127.0.0.1:{self.port}"]), "bind_dn": self.admin,
                  "bind_pw": password, "search_base": self.suffix, "result_attribute": "entryvalue", **self.query()}
        return {name: value for name, value in {**values, **more}.items() if value is not None}

    def tls(self, ca):
        return {"start_tls": "yes", "tls_require_cert": "yes", "tls_ca_cert_file": ca}, "first@hub.test"

    def query(self, key="%s"):
        return {"query_filter": f"(entryname={key})"}


SLAPD = """
include /etc/ldap/schema/core.schema
attributetype ( 1.3.6.1.4.1.99999.1.1 NAME 'entryname' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.99999.1.2 NAME 'entryvalue' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.99999.1.3 NAME 'memberaddr' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.99999.1.4 NAME 'maildrop' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.99999.1.5 NAME 'address' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.99999.1.6 NAME 'memberdn' SUP distinguishedName )
attributetype ( 1.3.6.1.4.1.99999.1.7 NAME 'memberurl' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.3.6.1.4.1.99999.2.1 NAME 'mailthing' SUP top STRUCTURAL MUST cn MAY ( entryname $ entryvalue $ memberaddr $ maildrop $ address $ memberdn $ memberurl ) )
TLSCertificateFile {certificate.cert}
TLSCertificateKeyFile {certificate.key}
pidfile {directory}/pid
sasl-host localhost
password-hash {{CLEARTEXT}}
authz-regexp uid=([^,]*),cn=.*,cn=auth cn=$1,{suffix}
moduleload back_mdb
database mdb
suffix "{suffix}"
rootdn "{admin}"
rootpw {password}
directory {directory}/data
dbnosync
access to attrs=entryvalue by dn.exact=cn={wanda},{suffix} read by * none
access to attrs=userPassword by * auth
access to * by * read
"""

# Reads what nobody else may, and logs in with SASL: the server keeps her password as it is.
WANDA = "wanda"

GROUPS = """
dn: cn={wanda},{suffix}
objectclass: mailthing
objectclass: simpleSecurityObject
cn: {wanda}
userPassword: {password}

dn: cn=agroup,{suffix}
objectclass: mailthing
cn: agroup
address: agroup@ex.test
memberdn: cn=auser,{suffix}
memberdn: cn=buser,{suffix}
memberaddr: direct@ex.test

dn: cn=bgroup,{suffix}
objectclass: mailthing
cn: bgroup
address: bgroup@ex.test
maildrop: bgroup@lists.test
memberdn: cn=buser,{suffix}

dn: cn=auser,{suffix}
objectclass: mailthing
cn: auser
address: auser@ex.test
maildrop: auser@hub.test

dn: cn=buser,{suffix}
objectclass: mailthing
cn: buser
address: buser@ex.test

dn: cn=loop,{suffix}
objectclass: mailthing
cn: loop
memberdn: cn=loop,{suffix}

dn: cn=top,{suffix}
objectclass: mailthing
cn: top
memberdn: cn=agroup,{suffix}
memberdn: cn=missing,{suffix}
memberdn: cn=bgroup,{suffix}

dn: cn=urls,{suffix}
objectclass: mailthing
cn: urls
memberurl: ldap:///{suffix}?address?sub?(|(cn=auser)(cn=buser))
memberurl: ldap:///{suffix}?nothing?sub?(cn=auser)
memberurl: ldap:///cn=auser,{suffix}
memberurl: ldap:///{suffix}??one?(cn=bgroup)

dn: cn=badurl,{suffix}
objectclass: mailthing
cn: badurl
memberurl: http://x/y

dn: cn=odd \\2C \\+ name,{suffix}
objectclass: mailthing
cn: odd , + name
maildrop: odd@hub.test
"""

SERVERS = {server.kind: server for server in (Postgres, Mariadb, Ldap)}
