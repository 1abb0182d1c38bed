"""The second half of scripts/demo: a private mail system, six messages, and where each of them went.

The configuration is the shipped conf/main.cf and conf/master.cf, changed with postconf as an administrator would. Everything
is below one directory and on 127.0.0.1; nothing is delivered to anyone outside it. The second mail server is the scriptable
one of the tests.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import textwrap

SOURCE = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SOURCE / "tests"))
sys.dont_write_bytecode = True

from support import procs  # noqa: E402
from support.mta import Instance, Suite  # noqa: E402
from support.sink import Sink  # noqa: E402
from support.waiting import wait_for  # noqa: E402

HOST = "mail.stagepost.example"
BOXES = "box.example"         # our virtual mailbox domain
PARTNER = "partner.example"   # the domain behind the second server


class Missing(Exception):
    """A message did not arrive where it belongs."""


class DemoMail(Instance):
    """The instance of the tests, but with the shipped configuration files instead of generated ones."""

    def __init__(self, suite, directory, partner):
        self.partner = partner
        super().__init__(suite, directory=directory)

    def write_config(self):
        if not (self.config / "main.cf").exists():
            shutil.copy(SOURCE / "conf/main.cf", self.config)
            # In a private instance no service is chrooted (that needs copies of system files), and SMTP has a high port.
            services = (SOURCE / "conf/master.cf").read_text()
            services = re.sub(r"(?m)^(\w+\s+\S+\s+\S+\s+\S+\s+)y(?=\s)", r"\1n", services)
            services = re.sub(r"(?m)^smtp(?=\s+inet)", f"127.0.0.1:{self.port()}", services)
            self.write("config/master.cf", services)
            self.write("config/aliases", f"postmaster: {self.user.pw_name}\nhostmaster: postmaster\n")
            self.write("config/mailboxes", f"alice@{BOXES}  alice/\n")
        own = ("queue_directory", "data_directory", "daemon_directory", "command_directory", "mail_owner", "setgid_group",
               "maillog_file", "maillog_file_prefixes", "mail_spool_directory", "virtual_mailbox_base", "virtual_uid_maps",
               "virtual_gid_maps", "virtual_minimum_uid")
        settings = {name: self.main[name] for name in own} | {
            "myhostname": HOST, "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4",
            "alias_maps": f"lmdb:{self.config}/aliases", "alias_database": f"lmdb:{self.config}/aliases",
            # Nobody's ~/.forward takes part, and no mail leaves this machine.
            "forward_path": "", "default_transport": "error:5.4.4 the demo sends nothing outside",
            "virtual_mailbox_domains": BOXES, "virtual_mailbox_maps": f"lmdb:{self.config}/mailboxes",
            "transport_maps": f"inline:{{{PARTNER}=smtp:{self.partner.nexthop}}}",
        }
        self.run("postconf", "-e", *(f"{name} = {value}" for name, value in settings.items()), check=True)

    def mailbox_files(self):
        folder = self.vmail / "alice" / "new"
        return sorted(folder.iterdir()) if folder.is_dir() else []


def say(text=""):
    print(text, flush=True)


def wrapped(text):
    say(textwrap.fill(text, 110))


def step(number, title, text):
    say()
    say(f"{number}. {title}")
    say("-" * (len(title) + 3))
    wrapped(text)


def shown(lines, prefix="    "):
    for line in lines:
        say(prefix + line)


class Story:
    def __init__(self, mail, partner):
        self.mail, self.partner = mail, partner
        self.results = []
        self.seen = 0

    # sending
    def by_smtp(self, sender, recipient, subject, body):
        """Sends one message; returns its queue ID from the server's reply."""
        with smtplib.SMTP("127.0.0.1", self.mail.port(), local_hostname="client.example", timeout=30) as client:
            shown([f"C: MAIL FROM:<{sender}> RCPT TO:<{recipient}> DATA ..."])
            client.ehlo()
            for code, text in (client.mail(sender), client.rcpt(recipient)):
                if code != 250:
                    raise Missing(f"refused: {code} {text.decode()}")
            code, text = client.data(self.message(sender, recipient, subject, body))
            shown([f"S: {code} {text.decode()}"])
        found = re.search(rb"queued as (\w+)", text)
        if code != 250 or not found:
            raise Missing(f"not accepted: {code} {text.decode()}")
        return found[1].decode()

    def by_sendmail(self, sender, recipient, subject, body):
        """Submits one message with the sendmail command; returns its queue ID, found in the log by its Message-ID."""
        shown([f"$ sendmail -f {sender} {recipient} < message"])
        done = self.mail.sendmail("-f", sender, recipient, message=self.message(sender, recipient, subject, body))
        if done.returncode != 0:
            raise Missing(f"sendmail exited {done.returncode}: {done.stderr.strip()}")
        return self.mail.log.wait(rf"cleanup\[\d+\]: (\w+): message-id=<{re.escape(self.message_id(subject))}>")[1]

    @staticmethod
    def message_id(subject):
        return re.sub(r"\W+", "-", subject.lower()) + "@client.example"

    def message(self, sender, recipient, subject, body):
        return (f"From: {sender}\nTo: {recipient}\nSubject: {subject}\nMessage-ID: <{self.message_id(subject)}>\n\n{body}\n")

    # watching
    def log_of(self, *queue_ids):
        """Prints what the log says about these messages, without time and host name, as far as not shown before."""
        lines = self.mail.log.parsed()
        names = "|".join(queue_ids)
        for line in lines[self.seen:]:
            if re.search(rf"\b(?:{names})\b", line.text):
                say(textwrap.fill(f"{line.program.removeprefix('postfix/')}: {line.text}", 106, initial_indent="    log  ",
                                  subsequent_indent="           ", break_long_words=False, break_on_hyphens=False))
        self.seen = len(lines)

    def arrived(self, place, headers):
        self.results[-1] = (self.results[-1][0], place, None)
        say(f"    ==>  {place}")
        shown(headers, "         ")

    def in_maildir(self, subject):
        """The one message with this Subject in alice's Maildir."""
        def find():
            return [path for path in self.mail.mailbox_files() if f"\nSubject: {subject}\n" in path.read_text(errors="replace")]
        wait_for(find, 20, f"'{subject}' in the Maildir", self.mail.log.tail)
        paths = find()
        if len(paths) != 1:
            raise Missing(f"'{subject}' is in the Maildir {len(paths)} times")
        return paths[0]

    def at_partner(self, subject):
        found = wait_for(lambda: [m for m in self.partner.messages if m.headers("Subject") == [subject]], 20,
                         f"'{subject}' at the second server", self.mail.log.tail)
        if len(found) != 1:
            raise Missing(f"the second server got '{subject}' {len(found)} times")
        return found[0]

    def short(self, path):
        return str(path.relative_to(self.mail.directory))

    @staticmethod
    def first_headers(text, *names):
        header = text.partition("\n\n")[0]
        return [line for line in header.splitlines() if line.split(":")[0] in names]

    # the messages
    def to_maildir(self):
        """From the network to a Maildir"""
        step(1, self.to_maildir.__doc__, f"A program speaks SMTP to port {self.mail.port()}: a message for alice@{BOXES}, a virtual mailbox.")
        queue_id = self.by_smtp("bob@client.example", f"alice@{BOXES}", "Hello Maildir", "First message.")
        self.mail.wait_removed(queue_id)
        self.log_of(queue_id)
        path = self.in_maildir("Hello Maildir")
        self.arrived(f"Maildir file {self.short(path)}",
                     self.first_headers(path.read_text(), "Return-Path", "Delivered-To", "Subject"))

    def to_mbox(self):
        """From the sendmail command to an mbox"""
        user = self.mail.user.pw_name
        step(2, self.to_mbox.__doc__, f"A script calls sendmail for hostmaster@{HOST}, which the alias table turns into the account {user}.")
        queue_id = self.by_sendmail("cron@stagepost.example", f"hostmaster@{HOST}", "Hello mbox", "Second message.")
        self.mail.wait_removed(queue_id)
        self.log_of(queue_id)
        mbox = self.mail.mailbox()
        text = mbox.read_text()
        if text.count("\nSubject: Hello mbox\n") != 1 or not text.startswith("From cron@stagepost.example "):
            raise Missing(f"'Hello mbox' is not in {mbox} once")
        self.arrived(f"mbox {self.short(mbox)}", self.first_headers(text, "Return-Path", "X-Original-To", "Delivered-To", "Subject"))

    def to_partner(self):
        """To another mail server"""
        step(3, self.to_partner.__doc__, f"The transport table sends {PARTNER} to a second server on {self.partner.nexthop}.")
        queue_id = self.by_smtp("bob@client.example", f"carol@{PARTNER}", "Hello partner", "Third message.")
        self.mail.wait_removed(queue_id)
        self.log_of(queue_id)
        message = self.at_partner("Hello partner")
        self.arrived(f"the second server accepted it for {', '.join(message.recipients)}", message.header_text.splitlines()[:3])

    def to_busy_partner(self):
        """To a server that is busy at first"""
        step(4, self.to_busy_partner.__doc__, "The second server says 450 once. The message waits in the queue, where mailq shows it, "
             "until its next attempt; \"postqueue -f\" asks for one now.")
        self.partner.on("RCPT", "450 4.3.2 busy, try again later", match="busy@", times=1)
        queue_id = self.by_smtp("bob@client.example", f"busy@{PARTNER}", "Hello queue", "Fourth message.")
        self.mail.wait_in_queue(queue_id, "deferred")
        self.log_of(queue_id)
        say("    $ mailq")
        listing = self.mail.run("mailq", check=True).stdout
        shown(listing.splitlines(), "      ")
        if queue_id not in listing:
            raise Missing(f"mailq does not list {queue_id}")
        say("    $ postqueue -f")
        self.mail.postqueue("-f", check=True)
        self.mail.wait_removed(queue_id)
        self.log_of(queue_id)
        message = self.at_partner("Hello queue")
        self.arrived(f"the second server accepted it for {', '.join(message.recipients)}", [])

    def to_bounce(self):
        """To nobody: a bounce"""
        step(5, self.to_bounce.__doc__, f"alice writes to an address that {PARTNER} does not have. She gets her message back with the reason.")
        self.partner.on("RCPT", "550 5.1.1 no such user here", match="nobody@")
        queue_id = self.by_sendmail(f"alice@{BOXES}", f"nobody@{PARTNER}", "Hello nobody", "Fifth message.")
        self.mail.wait_removed(queue_id)
        bounce_id = self.mail.log.wait(rf"bounce\[\d+\]: {queue_id}: sender non-delivery notification: (\w+)$")[1]
        self.mail.wait_removed(bounce_id)
        self.log_of(queue_id, bounce_id)
        path = self.in_maildir("Undelivered Mail Returned to Sender")
        text = path.read_text()
        report = re.search(r"(?m)^Final-Recipient: .*(?:\n.+)*", text)
        if report is None or f"nobody@{PARTNER}" not in report[0] or "\nSubject: Hello nobody\n" not in text:
            raise Missing(f"{path} does not report the failed recipient or lacks the returned message")
        self.arrived(f"bounce in Maildir file {self.short(path)}",
                     self.first_headers(text, "From", "Subject", "To") + ["..."] + report[0].splitlines())

    def to_the_door(self):
        """Not even in: an unknown recipient"""
        step(6, self.to_the_door.__doc__, f"{BOXES} is ours, so an address it does not have is refused before any message is taken.")
        mark = self.mail.log.mark()
        with smtplib.SMTP("127.0.0.1", self.mail.port(), local_hostname="client.example", timeout=30) as client:
            client.ehlo()
            client.mail("bob@client.example")
            shown([f"C: RCPT TO:<stranger@{BOXES}>"])
            code, text = client.rcpt(f"stranger@{BOXES}")
            shown([f"S: {code} {text.decode()}"])
        if code != 550:
            raise Missing(f"expected 550, got {code}")
        line = self.mail.log.wait(r"smtpd\[\d+\]: (NOQUEUE: reject: RCPT .*)", since=mark)[1]
        say(textwrap.fill(f"smtpd: {line}", 106, initial_indent="    log  ", subsequent_indent="           "))
        self.arrived("refused: no message, no bounce", [])

    def tell(self):
        """All messages; one that went missing does not keep the others from being sent."""
        for part in (self.to_maildir, self.to_mbox, self.to_partner, self.to_busy_partner, self.to_bounce, self.to_the_door):
            self.results.append((part.__doc__, None, "not finished"))
            try:
                part()
            except (AssertionError, Missing, OSError, smtplib.SMTPException, subprocess.SubprocessError) as error:
                self.results[-1] = (part.__doc__, None, str(error).splitlines()[0] if str(error) else repr(error))
                say(f"    ==>  MISSING: {self.results[-1][2]}")
        return not any(problem for _, _, problem in self.results)


def stopped_cleanly(mail):
    """postfix stop; says what is left of the queue and of the processes."""
    say("$ postfix stop")
    try:
        mail.wait_empty(timeout=10)
        left = None
    except AssertionError:
        left = f"messages are left in the queue: {', '.join(map(str, mail.queue_files().values()))}"
    tree = mail.tree()
    done = mail.postfix("stop")
    try:
        wait_for(lambda: not any(map(procs.alive, tree)) and not mail.strays(), 20, "all processes to end")
    except AssertionError:
        left = f"still running after stop: {', '.join(f'{name}[{pid}]' for pid, name in tree.items() if procs.alive(pid))}"
    if done.returncode != 0:
        left = f"postfix stop exited {done.returncode}: {done.stderr.strip()}"
    panic = mail.log.find(r"\b(?:panic|fatal): .*|killed by signal \d+")
    if panic:
        left = f"the log has: {panic[0].string}"
    say(f"Not clean: {left}" if left else "The queue is empty and all processes have ended.")
    return left is None


def interrupted(*_):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description="Shows a private Stagepost at work (see scripts/demo).")
    parser.add_argument("--build", required=True, help="build tree with bin/ and libexec/")
    parser.add_argument("--keep", action="store_true", help="keep the demo's directory")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    build = os.path.abspath(arguments.build)
    suite = Suite("stagepost", os.path.join(build, "libexec"), os.path.join(build, "bin"))
    reason = suite.missing()
    if reason:
        sys.exit(f"scripts/demo: {reason}")

    directory = pathlib.Path(tempfile.mkdtemp(prefix="stagepost-demo-", dir=os.environ.get("STAGEPOST_TEST_DIR", "/var/tmp")))
    fine, mail = False, None
    try:
        with Sink() as partner:
            mail = DemoMail(suite, directory, partner)
            who = "root, with daemons as " + mail.owner.pw_name if os.geteuid() == 0 else f"{mail.owner.pw_name}, without any privilege"
            wrapped(f"Stagepost runs as {who}, from {build}. Its directory is {directory}; it listens on 127.0.0.1:{mail.port()}.")
            say("$ newaliases; postmap lmdb:mailboxes; postfix start")
            mail.run("newaliases", check=True)
            mail.run("postmap", f"lmdb:{mail.config}/mailboxes", check=True)
            mail.start()
            story = Story(mail, partner)
            fine = story.tell()
            say()
            fine = stopped_cleanly(mail) and fine
            say()
            for title, place, problem in story.results:
                say(f"  {'MISSING' if problem else 'ok':8}{title}: {problem or place}")
    except KeyboardInterrupt:
        say("interrupted")
    except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        say(f"scripts/demo: {error}")
    finally:
        if mail is not None:
            mail.terminate()
    if not fine:
        if mail is not None:
            say("\nThe end of the log:")
            shown(mail.log.tail(30).splitlines())
        say(f"\nSomething went wrong. Everything is kept in {directory}.")
        return 1
    if arguments.keep:
        say(f"\nAll messages arrived. Look around in {directory}.")
    else:
        shutil.rmtree(directory)
        say("\nAll messages arrived, and nothing is left on this machine.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
