"""memcached and redis-server on loopback, started by tests: stopped, frozen and restarted at will, on the same port."""

import os
import shutil
import signal
import socket
import subprocess

from .ports import free_port
from .waiting import wait_for

# Debian's redis-tools has the server under the name of a tool: the program goes by the name it was called with.
REDIS = shutil.which("redis-server") or shutil.which("redis-check-rdb")
MEMCACHED = shutil.which("memcached")


class TableServer:
    """A server process with its own directory and port."""

    def __init__(self, directory, port=None):
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.process = None

    def command(self):
        raise NotImplementedError

    def ready(self):
        """True when it answers."""
        raise NotImplementedError

    def start(self):
        arguments, program = self.command()
        with open(self.directory / "output", "ab") as output:
            self.process = subprocess.Popen(arguments, executable=program, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=output)
        wait_for(self.ready, 20, f"{arguments[0]} to answer", lambda: (self.directory / "output").read_text(errors="replace"))
        return self

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def freeze(self):
        """The kernel still accepts connections for it, but nothing is answered."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def talk(self, data, end=b"\r\n", timeout=5):
        """Sends bytes on a new connection and reads until `end`; b"" when nobody answers."""
        answer = b""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout) as connection:
                connection.sendall(data)
                while not answer.endswith(end):
                    piece = connection.recv(65536)
                    if not piece:
                        break
                    answer += piece
        except OSError:
            return b""
        return answer


class Memcached(TableServer):
    def command(self):
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        return ["memcached", "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-t", "2", *user], MEMCACHED

    def ready(self):
        return self.talk(b"version\r\n").startswith(b"VERSION")

    def get(self, key):
        """Flags and value as the server has them; None: not there."""
        answer = self.talk(f"get {key}\r\n".encode(), b"END\r\n")
        if answer == b"END\r\n":
            return None
        header, rest = answer.split(b"\r\n", 1)
        size = int(header.split()[3])
        return int(header.split()[2]), rest[:size].decode()

    def set(self, key, value, flags=0):
        data = value.encode()
        assert self.talk(f"set {key} {flags} 0 {len(data)}\r\n".encode() + data + b"\r\n") == b"STORED\r\n"


class Redis(TableServer):
    """`options` are words of redis.conf: Redis(directory, requirepass="x"). `sentinel`: text of a sentinel.conf instead."""

    def __init__(self, directory, port=None, sentinel=None, **options):
        super().__init__(directory, port)
        self.sentinel = sentinel
        self.options = options
        self.login = ["--user", "default", "-a", options["requirepass"]] if "requirepass" in options else []

    def command(self):
        if self.sentinel is not None:
            config = self.directory / "sentinel.conf"
            if not config.exists():
                config.write_text(f"port {self.port}\nbind 127.0.0.1\n{self.sentinel}\n")
            return ["redis-sentinel", str(config), "--sentinel"], REDIS
        words = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "no", "--dir",
                 str(self.directory)]
        if "tls_port" not in self.options:
            words += ["--port", str(self.port)]
        for name, value in self.options.items():
            words += ["--" + name.replace("_", "-"), str(value)]
        return words, REDIS

    def cli(self, *words, check=True):
        tls = ["--tls", "--insecure"] if "tls_port" in self.options else []
        done = subprocess.run(["redis-cli", "-h", "127.0.0.1", "-p", str(self.port), "--no-auth-warning", *self.login, *tls,
                               *map(str, words)], capture_output=True, text=True, timeout=20, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def ready(self):
        return self.cli("ping", check=False) == "PONG"
