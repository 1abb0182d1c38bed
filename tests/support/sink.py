"""A scriptable SMTP/LMTP server that records everything it is told. Each test says how it misbehaves with on()."""

import dataclasses
import os
import re
import socket
import ssl
import subprocess
import threading
import time

from .ports import free_port
from .waiting import SCALE, wait_for


@dataclasses.dataclass
class Rule:
    """What to do at one stage. `times` limits how often it applies (None: always)."""
    stage: str
    reply: str | None = None
    match: re.Pattern | None = None
    times: int | None = None
    delay: float = 0.0
    drop: bool = False        # close the connection without (or after) the reply
    gate: threading.Event | None = None  # wait for this before replying
    used: int = 0


@dataclasses.dataclass
class Message:
    sender: str
    recipients: list
    data: bytes
    session: "Session"
    mail_command: str = ""
    rcpt_commands: list = dataclasses.field(default_factory=list)

    @property
    def header_text(self):
        return self.data.partition(b"\r\n\r\n")[0].decode("utf-8", "backslashreplace")

    @property
    def body(self):
        return self.data.partition(b"\r\n\r\n")[2]

    def headers(self, name):
        """Values of header `name`, unfolded."""
        unfolded = re.sub(r"\r\n([ \t])", r"\1", self.header_text)
        return [line.split(":", 1)[1].strip() for line in unfolded.split("\r\n")
                if line.lower().startswith(name.lower() + ":")]


@dataclasses.dataclass
class Session:
    peer: tuple
    started: float
    commands: list = dataclasses.field(default_factory=list)
    messages: list = dataclasses.field(default_factory=list)
    tls: bool = False
    pipelined: bool = False   # more than one command arrived in one piece
    ended: str | None = None
    left: bool = False        # no longer counted in Sink.active


class _Close(Exception):
    pass


class Sink:
    """Stages for on(): CONNECT EHLO HELO LHLO STARTTLS MAIL RCPT DATA EOD RSET NOOP VRFY QUIT.

    EOD is the end of the message: its reply decides whether the message is recorded (2xx). In LMTP mode EOD is asked once per
    recipient and `match` is compared with the recipient's RCPT line.
    """

    def __init__(self, lmtp=False, tls=None, keywords=("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "DSN"),
                 host="127.0.0.1", port=None, keep_data=True, on_message=None):
        self.host, self.port = host, port or free_port()
        self.lmtp, self.keywords, self.keep_data, self.on_message = lmtp, list(keywords), keep_data, on_message
        self.certificate = tls
        self.rules, self.sessions, self.messages = [], [], []
        self.active = self.peak = 0              # connections
        self.transactions = self.busiest = 0     # from MAIL to the reply after the message
        self._lock = threading.Condition()
        self._sockets = set()
        self._listener = None
        self._thread = None

    # life cycle
    def start(self):
        self._listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((self.host, self.port))
        self._listener.listen(512)
        self._thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._thread.start()
        return self

    def stop(self):
        """Stops listening and closes every connection."""
        if self._listener:
            try:
                self._listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._listener.close()
            self._thread.join(5)
            self._listener = None
        with self._lock:
            sockets = list(self._sockets)
        for connection in sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        wait_for(lambda: self.active == 0, 10, "sink sessions to end")

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def nexthop(self):
        return f"[{self.host}]:{self.port}"

    # script
    def on(self, stage, reply=None, match=None, times=None, delay=0.0, drop=False, gate=None):
        """Adds a rule; the first rule that applies wins, newest first. `match` is searched in the command line."""
        rule = Rule(stage.upper(), reply, re.compile(match, re.I) if match else None, times, delay, drop, gate)
        with self._lock:
            self.rules.insert(0, rule)
        return rule

    def reset(self):
        """Forgets rules, sessions and messages; running sessions go on."""
        with self._lock:
            self.rules.clear()
            self.sessions.clear()
            self.messages.clear()
            self.peak, self.busiest = self.active, self.transactions

    # results
    def wait_messages(self, count=1, timeout=20.0, where=lambda message: True):
        """Waits until `count` recorded messages satisfy `where`, and returns them."""
        def enough():
            found = [m for m in self.messages if where(m)]
            return found if len(found) >= count else None
        return wait_for(enough, timeout, f"{count} message(s) at the sink", lambda: f"sink has {len(self.messages)}: " + "; ".join(
            f"{m.sender} -> {m.recipients}" for m in self.messages[-10:]) + "\nlast sessions: " + "\n".join(str(s.commands[-8:]) for s in self.sessions[-5:]))

    def wait_for_recipient(self, recipient, timeout=20.0):
        return self.wait_messages(1, timeout, lambda m: recipient in m.recipients)[0]

    def commands(self, verb):
        """All command lines with `verb`, in order of arrival within each session."""
        return [c for s in list(self.sessions) for c in list(s.commands) if c.upper().startswith(verb.upper())]

    # server
    def _accept(self, listener):
        while True:
            try:
                connection, peer = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, peer), daemon=True).start()

    def _serve(self, connection, peer):
        session = Session(peer, time.monotonic())
        connection.settimeout(120 * SCALE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self.sessions.append(session)
            self._sockets.add(connection)
            self.active += 1
            self.peak = max(self.peak, self.active)
        dialogue = _Dialogue(self, session, connection)
        try:
            dialogue.run()
            session.ended = session.ended or "eof"
        except _Close:
            session.ended = session.ended or "closed"
        except OSError as error:
            session.ended = str(error)
        finally:
            self._leave(session)
            with self._lock:
                self._sockets.discard(connection)
            dialogue.close()

    def _leave(self, session):
        """Before the reply to QUIT and before the close: a client that connects again at once must not count twice."""
        with self._lock:
            if not session.left:
                session.left = True
                self.active -= 1

    def _rule(self, stage, line):
        with self._lock:
            for rule in self.rules:
                if rule.stage != stage or (rule.times is not None and rule.used >= rule.times):
                    continue
                if rule.match and not rule.match.search(line):
                    continue
                rule.used += 1
                return rule
        return None

    def _count(self, change):
        with self._lock:
            self.transactions += change
            self.busiest = max(self.busiest, self.transactions)

    def _record(self, message):
        if self.on_message:
            self.on_message(message)
        with self._lock:
            message.session.messages.append(message)
            self.messages.append(message)


class _Dialogue:
    """One connection: reads commands, asks the rules, replies."""

    def __init__(self, sink, session, connection):
        self.sink, self.session, self.socket = sink, session, connection
        self.buffer = b""
        self.mail, self.rcpts = None, []
        self.counted = False

    def in_transaction(self, yes):
        """Ends before the reply that ends it: a client that goes on at once must not count twice."""
        if yes != self.counted:
            self.counted = yes
            self.sink._count(1 if yes else -1)

    def close(self):
        self.in_transaction(False)
        try:
            self.socket.close()
        except OSError:
            pass

    def line(self):
        while b"\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                return None
            self.buffer += data
        raw, self.buffer = self.buffer.split(b"\n", 1)
        if self.buffer:
            self.session.pipelined = True
        return raw.rstrip(b"\r").decode("utf-8", "backslashreplace")

    def content(self):
        """Message content up to CRLF.CRLF, dots removed; None at end of file."""
        while not (self.buffer.startswith(b".\r\n") or b"\r\n.\r\n" in self.buffer):
            data = self.socket.recv(262144)
            if not data:
                return None
            self.buffer += data
        if self.buffer.startswith(b".\r\n"):
            data, self.buffer = b"", self.buffer[3:]
        else:
            data, self.buffer = self.buffer.split(b"\r\n.\r\n", 1)
            data += b"\r\n"
        return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in data.split(b"\r\n"))

    def say(self, stage, line, default):
        """Applies the rule for this stage, if any; returns the reply that was sent."""
        rule = self.sink._rule(stage, line)
        reply = default
        if rule:
            if rule.gate:
                rule.gate.wait(60 * SCALE)
            if rule.delay:
                time.sleep(rule.delay)
            reply = rule.reply if rule.reply is not None else default
            if rule.drop:
                if rule.reply is not None:
                    self.send(rule.reply)
                self.session.ended = f"dropped at {stage}"
                self.socket.shutdown(socket.SHUT_RDWR)
                raise _Close
        self.send(reply)
        if reply.startswith("421"):
            self.session.ended = "421"
            raise _Close
        return reply

    def send(self, reply):
        self.socket.sendall((reply.replace("\n", "\r\n") + "\r\n").encode())

    def run(self):
        kind = "LMTP" if self.sink.lmtp else "ESMTP"
        self.say("CONNECT", "", f"220 sink.example.test {kind}")
        while True:
            line = self.line()
            if line is None:
                return
            self.session.commands.append(line)
            verb = line.split(" ", 1)[0].upper()
            handler = getattr(self, "do_" + verb.lower(), None)
            if handler:
                handler(line)
            else:
                self.send("500 5.5.2 unknown command")

    def greet(self, stage, line):
        keywords = list(self.sink.keywords)
        if self.sink.certificate and not self.session.tls:
            keywords.append("STARTTLS")
        lines = ["sink.example.test", *keywords]
        self.say(stage, line, "\n".join(f"250{'-' if i + 1 < len(lines) else ' '}{text}" for i, text in enumerate(lines)))

    def do_ehlo(self, line):
        self.greet("EHLO", line)

    def do_lhlo(self, line):
        self.greet("LHLO", line)

    def do_helo(self, line):
        self.say("HELO", line, "250 sink.example.test")

    def do_starttls(self, line):
        if not self.sink.certificate:
            self.say("STARTTLS", line, "502 5.5.1 not available")
            return
        if not self.say("STARTTLS", line, "220 2.0.0 go ahead").startswith("220"):
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.sink.certificate.cert, self.sink.certificate.key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.buffer, self.session.tls = b"", True

    def do_mail(self, line):
        self.mail, self.rcpts = None, []
        if self.say("MAIL", line, "250 2.1.0 ok").startswith("2"):
            self.mail = line
            self.in_transaction(True)

    def do_rcpt(self, line):
        if self.mail is None:
            self.send("503 5.5.1 need MAIL")
        elif self.say("RCPT", line, "250 2.1.5 ok").startswith("2"):
            self.rcpts.append(line)

    def do_data(self, line):
        if not self.rcpts:
            self.send("554 5.5.1 no valid recipients")
            return
        if not self.say("DATA", line, "354 go ahead").startswith("3"):
            return
        data = self.content()
        if data is None:
            self.session.ended = "eof in data"
            raise _Close
        message = Message(_path(self.mail), [_path(r) for r in self.rcpts], data if self.sink.keep_data else b"", self.session,
                          self.mail, list(self.rcpts))
        if self.sink.lmtp:
            accepted = [_path(r) for r in self.rcpts if self.say("EOD", r, "250 2.0.0 delivered").startswith("2")]
            if accepted:
                message.recipients = accepted
                self.sink._record(message)
        else:
            self.end_of_data(message)
        self.mail, self.rcpts = None, []

    def end_of_data(self, message):
        # A dropped connection or a slow reply must not record the message twice or too late: record before a 2xx is sent.
        rule = self.sink._rule("EOD", self.mail)
        if rule is None:
            self.sink._record(message)
            self.in_transaction(False)
            self.send("250 2.0.0 ok, recorded")
            return
        if rule.gate:
            rule.gate.wait(60 * SCALE)
        if rule.delay:
            time.sleep(rule.delay)
        reply = rule.reply if rule.reply is not None else ("" if rule.drop else "250 2.0.0 ok, recorded")
        if reply.startswith("2"):
            self.sink._record(message)
        self.in_transaction(False)
        if reply:
            self.send(reply)
        if rule.drop or reply.startswith("421"):
            self.session.ended = "dropped at EOD"
            self.socket.shutdown(socket.SHUT_RDWR)
            raise _Close

    def do_rset(self, line):
        self.mail, self.rcpts = None, []
        self.in_transaction(False)
        self.say("RSET", line, "250 2.0.0 ok")

    def do_noop(self, line):
        self.say("NOOP", line, "250 2.0.0 ok")

    def do_vrfy(self, line):
        self.say("VRFY", line, "252 2.0.0 maybe")

    def do_quit(self, line):
        self.sink._leave(self.session)
        self.say("QUIT", line, "221 2.0.0 bye")
        self.session.ended = "quit"
        raise _Close


def _path(command):
    """The address between the angle brackets of a MAIL or RCPT line."""
    match = re.search(r"<(.*?)>", command)
    return match[1] if match else ""


@dataclasses.dataclass
class Certificate:
    cert: str
    key: str


def make_certificate(directory, name="localhost"):
    """A self-signed certificate and key in `directory`."""
    cert, key = os.path.join(directory, f"{name}.crt"), os.path.join(directory, f"{name}.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return Certificate(cert, key)
