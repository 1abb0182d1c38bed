"""A raw SMTP client: sends exactly the bytes a test wants and parses replies strictly (RFC 5321 section 4.2)."""

import re
import socket
import ssl

from .waiting import SCALE

REPLY = re.compile(rb"^(\d{3})([ -])(.*)\r\n$", re.S)


class Reply:
    """One reply: code, text lines, and the same as one string."""

    def __init__(self, code, lines):
        self.code = code
        self.lines = lines

    @property
    def text(self):
        return "\n".join(self.lines)

    def __repr__(self):
        return f"{self.code} {' / '.join(self.lines)}"

    def __str__(self):
        return repr(self)


class Disconnected(Exception):
    """The server closed the connection where a reply was expected."""


class RawSmtp:
    def __init__(self, port, host="127.0.0.1", timeout=30.0, banner=True, source=None):
        self.socket = socket.create_connection((host, port), timeout * SCALE, source)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.banner = self.read() if banner else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        """Raw bytes; text is sent as UTF-8. Nothing is added."""
        try:
            self.socket.sendall(data.encode() if isinstance(data, str) else data)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise Disconnected(str(error)) from error

    def read(self):
        """The next reply. Raises Disconnected at end of file, AssertionError when it is not well formed."""
        lines, code = [], None
        while True:
            try:
                raw = self.file.readline(65536)
            except (ConnectionResetError, BrokenPipeError) as error:
                raise Disconnected(str(error)) from error
            if not raw:
                raise Disconnected("end of file")
            match = REPLY.match(raw)
            assert match, f"malformed reply line {raw!r}"
            assert code in (None, match[1]), f"reply codes differ within one reply: {raw!r}"
            code = match[1]
            lines.append(match[3].decode("utf-8", "backslashreplace"))
            if match[2] == b" ":
                return Reply(int(code), lines)

    def command(self, line):
        """Sends one line (CRLF is added) and reads its reply."""
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.read()

    def expect(self, code, line):
        reply = self.command(line)
        assert reply.code == code, f"{line!r} got {reply}, expected {code}"
        return reply

    def ehlo(self, name="client.example.test"):
        """EHLO; returns {keyword: parameters}."""
        reply = self.expect(250, f"EHLO {name}")
        words = [line.split(" ", 1) for line in reply.lines[1:]]
        return {w[0].upper(): (w[1] if len(w) > 1 else "") for w in words}

    def envelope(self, sender, recipients):
        self.expect(250, f"MAIL FROM:<{sender}>")
        for recipient in [recipients] if isinstance(recipients, str) else recipients:
            self.expect(250, f"RCPT TO:<{recipient}>")

    def data(self, content):
        """DATA with dot-stuffing of `content` (bytes with CRLF line ends); returns the final reply."""
        self.expect(354, "DATA")
        if content and not content.endswith(b"\r\n"):
            content += b"\r\n"
        stuffed = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in content.split(b"\r\n"))
        self.send(stuffed + b".\r\n")
        return self.read()

    def transaction(self, sender, recipients, content):
        """MAIL to end of data; returns the final reply."""
        self.envelope(sender, recipients)
        return self.data(content)

    def starttls(self, context=None):
        """STARTTLS; afterwards the connection is encrypted (certificate not verified unless a context is given)."""
        self.expect(220, "STARTTLS")
        if context is None:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self.file.close()
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.file = self.socket.makefile("rb")

    def at_eof(self):
        """True when the server closes the connection (now or within the time limit) without sending more."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True

    def quit(self):
        reply = self.command("QUIT")
        assert reply.code == 221, reply
        self.close()

    def abort(self):
        """Closes with a reset, as a vanished client does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()
