"""Servers for tcp_table(5) and socketmap_table(5) lookups, whose every byte a test decides."""

import socket
import threading
import time
import urllib.parse


def netstring(payload):
    return b"%d:%s," % (len(payload), payload)


class TableServer:
    """`answer(key, server)` gets the decoded key as bytes and returns the value, None for "not found", or Raw(bytes) to send as it
    is; b"" in a Raw closes the connection instead. `kind` is "tcp" or "socketmap". Listens on 127.0.0.1, or at `path`."""

    def __init__(self, kind, answer, path=None):
        self.kind, self.answer, self.path = kind, answer, path
        self.connections = 0
        self.keys = []           # in order of arrival
        self.port = 0
        self._open = set()
        self._listener = None
        self.start()

    def start(self):
        if self.path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self.path))
        else:
            self._listener = socket.socket()
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]
        self._listener.listen(100)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self):
        """Closes everything, as a server that ends does; start() brings it back at the same place."""
        # close() alone would leave a thread in accept(), and the port open.
        for one in [self._listener, *self._open]:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
        if self.path:
            self.path.unlink()

    @property
    def table(self):
        if self.kind == "tcp":
            return f"tcp:127.0.0.1:{self.port}"
        return f"socketmap:unix:{self.path}:map" if self.path else f"socketmap:inet:127.0.0.1:{self.port}:map"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection.makefile("rb") as file:
                while (key := self._read(file)) is not None:
                    self.keys.append(key)
                    reply = self._encode(self.answer(key, self))
                    if not reply:
                        return
                    connection.sendall(reply)
        except OSError:
            pass
        finally:
            self._open.discard(connection)
            connection.close()

    def _read(self, file):
        if self.kind == "tcp":
            line = file.readline()
            assert not line or (line.startswith(b"get ") and line.endswith(b"\n")), line
            return urllib.parse.unquote_to_bytes(line[4:-1]) if line else None
        length = b""
        while (digit := file.read(1)) != b":":
            if not digit:
                return None
            length += digit
        payload = file.read(int(length))
        assert file.read(1) == b"," and payload.startswith(b"map "), payload
        return payload[4:]

    def _encode(self, answer):
        if isinstance(answer, Raw):
            return answer.data
        if self.kind == "tcp":
            return b"500 not here\n" if answer is None else b"200 " + urllib.parse.quote_from_bytes(answer).encode() + b"\n"
        return netstring(b"NOTFOUND " if answer is None else b"OK " + answer)


class Raw:
    def __init__(self, data):
        self.data = data


def temporary(kind, reason):
    return Raw(b"400 " + reason + b"\n" if kind == "tcp" else netstring(b"TEMP " + reason))


class Gate:
    """An answer that the test holds back: wait() in the server, open() in the test."""

    def __init__(self):
        self._event = threading.Event()
        self.waiting = 0

    def wait(self):
        self.waiting += 1
        assert self._event.wait(60), "the test never opened the gate"

    def open(self):
        self._event.set()


def eventually(function, *arguments):
    """Runs a blocking call in a thread; join() of the result returns its value."""
    return _Call(function, arguments)


class _Call:
    def __init__(self, function, arguments):
        self.value = self.error = None
        self.began = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(function, arguments), daemon=True)
        self._thread.start()

    def _run(self, function, arguments):
        try:
            self.value = function(*arguments)
        except BaseException as error:  # handed to the test by join()
            self.error = error

    @property
    def running(self):
        return self._thread.is_alive()

    def join(self, timeout=60):
        self._thread.join(timeout)
        assert not self.running, "still running"
        if self.error:
            raise self.error
        return self.value
