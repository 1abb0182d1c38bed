"""Private instances of the mail system under test: Stagepost from the build tree, or the installed Postfix.

STAGEPOST_MTA    "stagepost" (default) or "postfix": the same tests run against both where behaviour is common.
STAGEPOST_BUILD  build tree with libexec/ and bin/ (default build/dev of this source tree).
STAGEPOST_TEST_DIR  where instance directories are made (default /var/tmp, a real disk).
"""

import dataclasses
import grp
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile

from . import procs
from .log import LogFollower
from .ports import free_port
from .smtp_client import RawSmtp
from .waiting import SCALE, wait_for

SOURCE = pathlib.Path(__file__).resolve().parents[2]
LOCALHOST = "127.0.0.1"

# name, type, private, unpriv, chroot, wakeup, maxproc, command: Debian's stock master.cf without chroot, which would need copies
# of system files in each instance. The SMTP server comes from Instance.smtpd_services.
STOCK_SERVICES = """
pickup    unix  n - n 60    1 pickup
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 300   1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
verify    unix  - - n -     1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -     - proxymap
proxywrite unix - - n -     1 proxymap
smtp      unix  - - n -     - smtp
relay     unix  - - n -     - smtp
showq     unix  n - n -     - showq
error     unix  - - n -     - error
retry     unix  - - n -     - error
discard   unix  - - n -     - discard
local     unix  - n n -     - local
virtual   unix  - n n -     - virtual
lmtp      unix  - - n -     - lmtp
anvil     unix  - - n -     1 anvil
scache    unix  - - n -     1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

QUEUES = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")


@dataclasses.dataclass
class Suite:
    """Where the programs of one mail system are."""
    name: str
    daemon_directory: str
    command_directory: str

    @property
    def is_postfix(self):
        return self.name == "postfix"

    def program(self, name):
        return os.path.join(self.command_directory, name)

    def missing(self):
        """A reason why the suite cannot run, or None."""
        needed = [os.path.join(self.daemon_directory, "master"), self.program("postfix"), self.program("sendmail")]
        absent = [path for path in needed if not os.access(path, os.X_OK)]
        return f"{self.name} is not built or installed: {', '.join(absent)} missing" if absent else None


def postfix_suite():
    return Suite("postfix", "/usr/lib/postfix/sbin", "/usr/sbin")


def stagepost_suite():
    build = os.path.abspath(os.environ.get("STAGEPOST_BUILD", SOURCE / "build" / "dev"))
    return Suite("stagepost", os.path.join(build, "libexec"), os.path.join(build, "bin"))


def suite_under_test():
    name = os.environ.get("STAGEPOST_MTA", "stagepost")
    return {"postfix": postfix_suite, "stagepost": stagepost_suite}[name]()


def _account(names):
    for name in filter(None, names):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


def mail_owner():
    """As root: the unprivileged owner of the queue. Otherwise ourselves."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    owner = _account([os.environ.get("STAGEPOST_TEST_OWNER"), "postfix", "stagepost"])
    if owner is None:
        raise RuntimeError("no mail_owner account (postfix or stagepost); scripts/deps creates it")
    return owner


def setgid_group():
    if os.geteuid() != 0:
        return grp.getgrgid(os.getegid()).gr_name
    for name in filter(None, [os.environ.get("STAGEPOST_TEST_GROUP"), "postdrop", "stagedrop"]):
        try:
            return grp.getgrnam(name).gr_name
        except KeyError:
            continue
    raise RuntimeError("no setgid_group (postdrop); scripts/deps creates it")


def recipient_user():
    """A real account that may receive mail; local(8) delivers with its rights."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    return _account([os.environ.get("STAGEPOST_TEST_USER"), "stagepost-test", "games"])


class Instance:
    """One private mail system in its own directory, listening on 127.0.0.1 above port 2500.

    main.cf overrides are keyword arguments; `master` maps "name/type" to a dict of changed columns (maxproc=2, command="...",
    options={"smtpd_timeout": "2s"}) or to None to remove the service; `smtpd` maps extra listener names to option dicts, each on
    its own port (see port()).
    """

    def __init__(self, suite=None, master=None, smtpd=None, directory=None, extra_services=(), **main):
        self.suite = suite or suite_under_test()
        base = os.environ.get("STAGEPOST_TEST_DIR", "/var/tmp")
        self.own_directory = directory is None
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="sp-", dir=base))
        os.chmod(self.directory, 0o755)
        self.config = self.directory / "config"
        self.queue = self.directory / "queue"
        self.data = self.directory / "data"
        self.vmail = self.directory / "vmail"      # virtual mailboxes
        self.spool = self.directory / "spool"      # mail_spool_directory of local(8)
        self.ports = {"smtp": free_port(), **{name: free_port() for name in smtpd or {}}}
        self.smtpd_options = {"smtp": {}, **(smtpd or {})}
        self.master_changes = dict(master or {})
        self.extra_services = list(extra_services)
        self.owner = mail_owner()
        self.user = recipient_user()
        self.log = LogFollower(self.directory / "mail.log", None if self.suite.is_postfix else self.queue / "public" / "postlog")
        self.main = self._defaults()
        if "relayhost" in main:
            self.main["default_transport"] = "smtp"
        self.main.update({name: str(value) for name, value in main.items()})
        self._make_directories()
        self.write_config()

    # configuration
    def _defaults(self):
        values = {
            "compatibility_level": "3.6",
            "queue_directory": self.queue, "data_directory": self.data, "daemon_directory": self.suite.daemon_directory,
            "command_directory": self.suite.command_directory, "mail_owner": self.owner.pw_name, "setgid_group": setgid_group(),
            "maillog_file": self.directory / "mail.log", "maillog_file_prefixes": self.directory,
            "myhostname": "mx.stagepost.test", "mydomain": "stagepost.test", "mydestination": "$myhostname, localhost, local.test",
            "mynetworks": "127.0.0.0/8", "inet_interfaces": LOCALHOST, "inet_protocols": "ipv4",
            "alias_maps": "", "alias_database": "", "biff": "no", "append_dot_mydomain": "no",
            "mail_spool_directory": self.spool, "virtual_mailbox_base": self.vmail,
            "virtual_uid_maps": f"static:{self._vmail_ids()[0]}", "virtual_gid_maps": f"static:{self._vmail_ids()[1]}",
            "virtual_minimum_uid": "1", "recipient_delimiter": "+",
            # Nothing may leave the machine, whatever a test forgets to route; a relayhost= replaces this.
            "default_transport": "error:5.4.4 no delivery to outside from a test instance",
            # The smuggling defences are on by default in Stagepost (and in Postfix 3.9); 3.7 knows the first one only by name.
            "smtpd_forbid_bare_newline": "normalize", "smtpd_forbid_unauth_pipelining": "yes", "smtpd_forbid_bare_newline_exclusions": "",
        }
        return {name: str(value) for name, value in values.items()}

    def _vmail_ids(self):
        user = self.user
        return (user.pw_uid, user.pw_gid)

    def _make_directories(self):
        for path in (self.config, self.queue, self.data, self.vmail, self.spool):
            path.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            os.chown(self.data, self.owner.pw_uid, self.owner.pw_gid)
            os.chown(self.vmail, *self._vmail_ids())
        os.chmod(self.spool, 0o1777)

    def service_lines(self):
        services = {}
        for line in STOCK_SERVICES.strip().splitlines():
            fields = line.split(None, 7)
            services[f"{fields[0]}/{fields[1]}"] = fields
        for name, port in self.ports.items():
            services[f"{name}/inet"] = [f"{LOCALHOST}:{port}", "inet", "n", "-", "n", "-", "-", "smtpd"]
        columns = {"private": 2, "unpriv": 3, "chroot": 4, "wakeup": 5, "maxproc": 6, "command": 7}
        options = {"relay/unix": {"syslog_name": "postfix/$service_name"}}
        options |= {f"{name}/inet": dict(values) for name, values in self.smtpd_options.items()}
        for key, changes in self.master_changes.items():
            if changes is None:
                services.pop(key, None)
                continue
            for column, value in changes.items():
                if column == "options":
                    options.setdefault(key, {}).update(value)
                else:
                    services[key][columns[column]] = str(value)
        for key, fields in services.items():
            yield " ".join(fields)
            for name, value in options.get(key, {}).items():
                yield f"  -o {{ {name} = {value} }}"
        yield from self.extra_services

    def write_config(self):
        """Writes main.cf and master.cf from self.main and the services; reload() makes a running instance read them."""
        lines = [f"{name} = {value}" if value else f"{name} =" for name, value in self.main.items()]
        self.write("config/main.cf", "\n".join(lines) + "\n")
        self.write("config/master.cf", "\n".join(self.service_lines()) + "\n")

    def set(self, **main):
        """Changes main.cf parameters (None removes one) without telling the running processes."""
        for name, value in main.items():
            if value is None:
                self.main.pop(name, None)
            else:
                self.main[name] = str(value)
        self.write_config()

    def write(self, relative, text, mode=0o644):
        """Writes a file below the instance directory atomically, as an editor does; returns its path."""
        path = self.directory / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".new")
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(mode)
        temporary.rename(path)
        return path

    def port(self, name="smtp"):
        return self.ports[name]

    # commands
    def environment(self, **more):
        return {**{k: v for k, v in os.environ.items() if not k.startswith("MAIL_")}, "MAIL_CONFIG": str(self.config), "LC_ALL": "C.UTF-8",
                **more}

    def run(self, program, *arguments, input=None, check=False, timeout=60, **options):
        """Runs a command of the suite with this configuration; output as text."""
        data = input.encode("utf-8", "surrogateescape") if isinstance(input, str) else input
        done = subprocess.run([self.suite.program(program), *map(str, arguments)], input=data if data is not None else b"",
                              capture_output=True, timeout=timeout * SCALE, env=self.environment(), check=False, **options)
        done.stdout, done.stderr = (out.decode("utf-8", "backslashreplace") for out in (done.stdout, done.stderr))
        if check and done.returncode != 0:
            raise AssertionError(f"{program} {arguments} exited {done.returncode}\n{done.stdout}{done.stderr}\n{self.log.tail(20)}")
        return done

    def postfix(self, *arguments, **options):
        return self.run("postfix", *arguments, **options)

    def postqueue(self, *arguments, **options):
        return self.run("postqueue", *arguments, **options)

    def postsuper(self, *arguments, **options):
        return self.run("postsuper", *arguments, **options)

    def postcat(self, *arguments, **options):
        return self.run("postcat", *arguments, **options)

    def sendmail(self, *arguments, message="Subject: test\n\nbody\n", **options):
        """Runs sendmail with `message` on its input; returns the finished process (exit code not checked)."""
        return self.run("sendmail", *arguments, input=message, **options)

    def smtp(self, name="smtp", **options):
        """A raw SMTP connection, banner read."""
        return RawSmtp(self.ports[name], **options)

    def submit(self, recipients, sender="sender@example.test", subject="test", body="body", headers=(), port="smtp"):
        """Sends one message by SMTP and returns its queue id, from the server's reply."""
        lines = [f"From: <{sender}>", "To: undisclosed-recipients:;", f"Subject: {subject}", *headers, "", body]
        with self.smtp(port) as client:
            client.ehlo()
            reply = client.transaction(sender, recipients, "\r\n".join(lines).encode() + b"\r\n")
            assert reply.code == 250, reply
            client.quit()
        return queue_id(reply)

    # life
    def start(self):
        done = self.postfix("start")
        if done.returncode != 0:
            raise AssertionError(f"postfix start exited {done.returncode}\n{done.stdout}{done.stderr}\n{self.log.tail()}")
        wait_for(self.master_pid, 10, "a running master", self.log.tail)
        return self

    def stop(self):
        """The administrator's way; waits until everything has gone."""
        tree = self.tree()
        done = self.postfix("stop")
        wait_for(lambda: not any(map(procs.alive, tree)), 20, "all processes to end", self.log.tail)
        return done

    def terminate(self):
        """SIGTERM to master, then SIGKILL to what is left: for the end of a test."""
        tree = self.tree()
        pid = self.master_pid()
        if pid:
            procs.send(pid, signal.SIGTERM)
        try:
            wait_for(lambda: not any(map(procs.alive, tree)), 5, "processes to end")
        except AssertionError:
            for left in tree:
                procs.send(left)

    def kill_all(self):
        """kill -9 of master and everything below it, as a crash of the whole system does; returns the number of victims."""
        # Frozen first, master before all: it would restart what dies before it, and they would end in good order without it.
        victims = self.tree()
        for pid in victims:
            procs.send(pid, signal.SIGSTOP)
        victims = sorted(set(victims) | set(self.tree()) | set(self.strays()))
        killed = sum(procs.send(pid, signal.SIGKILL) for pid in victims)
        wait_for(lambda: not any(map(procs.alive, victims)), 10, "killed processes to go")
        return killed

    def strays(self):
        """Processes of this instance that are no longer below master: found by their environment."""
        found = []
        needle = b"MAIL_CONFIG=" + os.fsencode(self.config) + b"\0"
        for pid in procs.all_pids():
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if needle in file.read() + b"\0" and os.readlink(f"/proc/{pid}/exe").startswith(self.suite.daemon_directory + "/"):
                        found.append(pid)
            except OSError:
                continue
        return found

    def reload(self):
        mark = self.log.mark()
        self.postfix("reload", check=True)
        self.log.wait(r"master\[\d+\]: reload -- version", since=mark)

    def master_pid(self):
        """Process id of the running master, or None."""
        try:
            pid = int((self.queue / "pid" / "master.pid").read_text().strip())
        except (FileNotFoundError, ValueError):
            return None
        return pid if procs.alive(pid) and procs.command(pid) == "master" else None

    def tree(self):
        """master and all its descendants: {pid: command}; empty when it does not run."""
        pid = self.master_pid()
        return {pid: "master", **procs.descendants(pid)} if pid else {}

    def daemons(self, command):
        """Process ids of the running daemons with this program name."""
        return sorted(pid for pid, name in self.tree().items() if name == command)

    def close(self):
        """Ends everything and removes the directory (kept when STAGEPOST_TEST_KEEP is set)."""
        self.terminate()
        # Sanitizer builds: what was found is logged, a leak is an exit status of its own.
        findings = self.log.find(r"panic: .*(AddressSanitizer|UndefinedBehaviorSanitizer): .*|warning: process .* exit status 86$")
        if self.own_directory and not os.environ.get("STAGEPOST_TEST_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)
        assert not findings, f"{findings[0][0]}\n{self.log.tail(100)}"

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    # the queue
    def queue_files(self, *queues):
        """{queue id: path} of the files in these queues (default: all that hold messages)."""
        found = {}
        for name in queues or QUEUES:
            for root, _, files in os.walk(self.queue / name):
                found.update({file: pathlib.Path(root) / file for file in files})
        return found

    def queue_file(self, message_id, timeout=10):
        return wait_for(lambda: self.queue_files().get(message_id), timeout, f"queue file {message_id}", self.log.tail)

    def in_queue(self, message_id, *queues):
        return message_id in self.queue_files(*queues)

    def wait_in_queue(self, message_id, queue, timeout=20):
        """Waits until the message is in this queue; returns its path."""
        return wait_for(lambda: self.queue_files(queue).get(message_id), timeout, f"{message_id} in {queue}", self.log.tail)

    def wait_removed(self, message_id, timeout=20, since=0):
        """Waits for the log line that ends a message's life."""
        return self.log.wait(rf"qmgr\[\d+\]: {message_id}: removed$", since=since, timeout=timeout)

    def wait_empty(self, timeout=30, ignore=("corrupt", "hold")):
        """Waits until no message is left (in maildrop, incoming, active and deferred)."""
        names = [name for name in QUEUES if name not in ignore]
        wait_for(lambda: not self.queue_files(*names), timeout, "an empty queue",
                 lambda: f"still there: {list(self.queue_files(*names).values())[:10]}\n{self.log.tail()}")

    def listing(self):
        """postqueue -j as a list of dicts."""
        done = self.postqueue("-j", check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def status(self, recipient, since=0, timeout=20):
        """The delivery log line of `recipient` as a dict: id, relay, delay, delays, dsn, status, text."""
        match = self.log.wait(
            rf"/(?P<agent>[\w-]+)\[\d+\]: (?P<id>\w+): to=<{re.escape(recipient)}>,(?: orig_to=<(?P<orig_to>[^>]*)>,)? "
            r"relay=(?P<relay>[^,]+), (?:conn_use=\d+, )?delay=(?P<delay>[\d.]+), delays=(?P<delays>[\d./]+), dsn=(?P<dsn>[\d.]+), "
            r"status=(?P<status>\w+) \((?P<text>.*)\)$", since=since, timeout=timeout)
        return match.groupdict()

    # mailboxes
    def mailbox(self, user=None):
        """The mbox of a local user."""
        return self.spool / (user or self.user.pw_name)


def maildir_messages(path, folder="new"):
    """Contents of the messages in one Maildir, in order of their names."""
    directory = pathlib.Path(path) / folder
    try:
        return [entry.read_bytes() for entry in sorted(directory.iterdir())]
    except FileNotFoundError:
        return []


def wait_maildir(path, count=1, timeout=20):
    """Waits until the Maildir has `count` new messages; returns them."""
    return wait_for(lambda: (lambda m: m if len(m) >= count else None)(maildir_messages(path)), timeout, f"{count} message(s) in {path}")


def queue_id(reply):
    """The queue id in "250 2.0.0 Ok: queued as ID"."""
    match = re.search(r"queued as (\w+)", str(reply))
    assert match, f"no queue id in {reply}"
    return match[1]
