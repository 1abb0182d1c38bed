"""A small MongoDB server on loopback, since Debian has none: the wire protocol (OP_QUERY, OP_MSG), SCRAM-SHA-256, TLS, `find` with
cursors, and switches for all that can go wrong. BSON is Debian's python3-bson, so that it is not our reading of it."""

import base64
import hashlib
import hmac
import itertools
import os
import re
import socket
import ssl
import struct
import threading

import bson

from .ports import free_port

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013


class Refused(Exception):
    """A command that is answered with an error."""

    def __init__(self, code, name, text):
        super().__init__(text)
        self.reply = {"ok": 0.0, "errmsg": text, "code": code, "codeName": name}


class HangUp(Exception):
    """The connection is closed instead of an answer."""


class MongoServer:
    """`documents` is a dict "database.collection" -> list of documents. `login` is (user, password); `certificate` one of
    support.sink.make_certificate; `replica_set` (name, list of "host:port")."""

    def __init__(self, documents, login=None, certificate=None, replica_set=None, port=None):
        self.documents, self.login, self.replica_set = documents, login, replica_set
        self.primary = True
        self.port = port or free_port()
        self.batch = 101             # documents in one reply
        self.filters = []            # of each find, in order of arrival
        self.finds = []              # the whole commands
        self.accepted = 0
        self.failing = None          # a Refused: what find answers
        self.hang_up_in = None       # number of finds until one closes the connection instead
        self._answering = threading.Event()
        self._answering.set()
        self._open = set()
        self._listener = None
        self._tls = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate.cert, certificate.key)
        self._ids = itertools.count(1)
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self):
        """How many are open now."""
        return len(self._open)

    def start(self):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(100)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self):
        """Closes everything, as a server that ends does; start() brings it back on the same port."""
        self.thaw()
        if self._listener is None:
            return
        for one in [self._listener, *self._open]:
            _close(one)
        self._listener = None

    def restart(self):
        self.stop()
        self.start()

    def freeze(self):
        """The kernel still accepts connections for it, but nothing is answered."""
        self._answering.clear()

    def thaw(self):
        self._answering.set()

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
            self.accepted += 1
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        session = Session(self)
        plain = connection
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            while (message := _read(connection)) is not None:
                reply = session.answer(*message, next(self._ids))
                self._answering.wait()
                connection.sendall(reply)
        except (OSError, HangUp):
            pass
        finally:
            self._open.discard(plain)
            _close(connection)
            _close(plain)


class Session:
    """One connection."""

    def __init__(self, server):
        self.server = server
        self.scram = None
        self.authenticated = server.login is None
        self.cursors = {}

    def answer(self, opcode, request, body, number):
        if opcode == OP_QUERY:
            end = body.index(b"\0", 4)
            document = self._command(bson.decode(body[end + 9:]), "admin")
            reply = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(document)
            return struct.pack("<iiii", 16 + len(reply), number, request, OP_REPLY) + reply
        assert opcode == OP_MSG, opcode
        assert body[4] == 0, "the first section is the command"
        size = struct.unpack_from("<i", body, 5)[0]
        command = bson.decode(body[5:5 + size])
        reply = struct.pack("<iB", 0, 0) + bson.encode(self._command(command, command.get("$db")))
        return struct.pack("<iiii", 16 + len(reply), number, request, OP_MSG) + reply

    def _command(self, command, database):
        name = next(iter(command))
        commands = {"hello": self._hello, "ismaster": self._hello, "isMaster": self._hello, "ping": self._nothing, "endSessions": self._nothing,
                    "killCursors": self._nothing, "saslStart": self._sasl_start, "saslContinue": self._sasl_continue, "find": self._find,
                    "getMore": self._get_more}
        try:
            if name not in commands:
                raise Refused(59, "CommandNotFound", f"no such command: '{name}'")
            if name in ("find", "getMore") and not self.authenticated:
                raise Refused(13, "Unauthorized", f"command {name} requires authentication")
            return {**commands[name](command, database), "ok": 1.0}
        except Refused as refused:
            return refused.reply

    def _nothing(self, _command, _database):
        return {}

    def _hello(self, command, _database):
        reply = {"helloOk": True, "ismaster": self.server.primary, "isWritablePrimary": self.server.primary, "maxBsonObjectSize": 16777216,
                 "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000, "logicalSessionTimeoutMinutes": 30, "minWireVersion": 0,
                 "maxWireVersion": 17, "readOnly": False}
        if self.server.replica_set:
            name, hosts = self.server.replica_set
            reply |= {"setName": name, "hosts": hosts, "me": self.server.address, "secondary": not self.server.primary, "setVersion": 1}
            if self.server.primary:
                reply["primary"] = self.server.address
        if "saslSupportedMechs" in command:
            reply["saslSupportedMechs"] = ["SCRAM-SHA-256"]
        return reply

    # RFC 5802 and 7677.
    def _sasl_start(self, command, _database):
        if command["mechanism"] != "SCRAM-SHA-256" or not self.server.login:
            raise Refused(2, "BadValue", f"Unsupported mechanism '{command['mechanism']}'")
        first = bytes(command["payload"]).decode().removeprefix("n,,")
        fields = dict(field.split("=", 1) for field in first.split(","))
        if fields["n"] != self.server.login[0]:
            raise Refused(18, "AuthenticationFailed", "Authentication failed.")
        # The length of the salt is that of MongoDB; its driver takes no other.
        salt, nonce = os.urandom(28), fields["r"] + base64.b64encode(os.urandom(18)).decode()
        reply = f"r={nonce},s={base64.b64encode(salt).decode()},i=4096"
        self.scram = (first, reply, salt)
        return {"conversationId": 1, "done": False, "payload": reply.encode()}

    def _sasl_continue(self, command, _database):
        payload = bytes(command["payload"]).decode()
        if not payload:
            return {"conversationId": 1, "done": True, "payload": b""}
        first, reply, salt = self.scram
        bare, proof = payload.rsplit(",p=", 1)
        message = f"{first},{reply},{bare}".encode()
        salted = hashlib.pbkdf2_hmac("sha256", self.server.login[1].encode(), salt, 4096)

        def mac(key, data):
            return hmac.digest(key, data, "sha256")
        client_key = mac(salted, b"Client Key")
        signature = mac(hashlib.sha256(client_key).digest(), message)
        if bytes(a ^ b for a, b in zip(client_key, signature)) != base64.b64decode(proof):
            raise Refused(18, "AuthenticationFailed", "Authentication failed.")
        self.authenticated = True
        verifier = base64.b64encode(mac(mac(salted, b"Server Key"), message)).decode()
        return {"conversationId": 1, "done": False, "payload": f"v={verifier}".encode()}

    def _find(self, command, database):
        self.server.finds.append(command)
        self.server.filters.append(command["filter"])
        if self.server.hang_up_in is not None:
            self.server.hang_up_in -= 1
            if self.server.hang_up_in < 0:
                self.server.hang_up_in = None
                raise HangUp
        if self.server.failing:
            raise self.server.failing
        if self.server.replica_set and not self.server.primary:
            raise Refused(10107, "NotWritablePrimary", "not primary")
        name = f"{database}.{command['find']}"
        found = [project(document, command.get("projection", {})) for document in self.server.documents.get(name, [])
                 if matches(document, command["filter"])]
        return self._batch("firstBatch", found, name)

    def _get_more(self, command, database):
        return self._batch("nextBatch", self.cursors.pop(command["getMore"]), f"{database}.{command['collection']}")

    def _batch(self, which, documents, name):
        now, later = documents[:self.server.batch], documents[self.server.batch:]
        number = 0
        if later:
            number = len(self.cursors) + 1000
            self.cursors[number] = later
        return {"cursor": {which: now, "id": bson.Int64(number), "ns": name}}


def values_at(document, path):
    """What a query compares: the value at a dotted path, each member of arrays on the way, and arrays as wholes."""
    head, _, rest = path.partition(".")
    if not isinstance(document, dict) or head not in document:
        return []
    value = document[head]
    members = [value, *value] if isinstance(value, list) else [value]
    if not rest:
        return members
    return [found for member in members for found in values_at(member, rest)]


def matches(document, query):
    for name, wanted in query.items():
        if name in ("$or", "$and"):
            if not (any if name == "$or" else all)(matches(document, one) for one in wanted):
                return False
        elif name.startswith("$"):
            raise Refused(2, "BadValue", f"unknown top level operator: {name}")
        elif not _field_matches(values_at(document, name), wanted):
            return False
    return True


def _field_matches(values, wanted):
    if isinstance(wanted, bson.Regex):
        return any(isinstance(value, str) and wanted.try_compile().search(value) for value in values)
    if isinstance(wanted, dict) and any(name.startswith("$") for name in wanted):
        return all(_operator(values, name, operand) for name, operand in wanted.items())
    return wanted in values


def _operator(values, name, operand):
    if name == "$eq":
        return operand in values
    if name == "$ne":
        return operand not in values
    if name == "$in":
        return any(_field_matches(values, one) for one in operand)
    if name == "$regex":
        return any(isinstance(value, str) and re.search(operand, value) for value in values)
    if name == "$not":
        return not _field_matches(values, operand)
    raise Refused(2, "BadValue", f"unknown operator: {name}")


def project(document, projection):
    """Fields with 1 are kept, or those with 0 left out; the order is the document's."""
    kept = {name.split(".", 1)[0] for name, how in projection.items() if how}
    left_out = {name for name, how in projection.items() if not how}
    made = {}
    for name, value in document.items():
        if name in left_out or (kept and name not in kept and name != "_id"):
            continue
        inner = {path.split(".", 1)[1]: 1 for path, how in projection.items() if how and path.startswith(name + ".")}
        if inner and isinstance(value, dict):
            value = project(value, inner)
        elif inner and isinstance(value, list):
            value = [project(member, inner) for member in value if isinstance(member, dict)]
        made[name] = value
    return made


def _read(connection):
    """(opcode, request, body); None at the end."""
    header = _exactly(connection, 16)
    if header is None:
        return None
    length, request, _, opcode = struct.unpack("<iiii", header)
    assert 16 < length < 48_000_000, length
    body = _exactly(connection, length - 16)
    return None if body is None else (opcode, request, body)


def _exactly(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            return None
        data += piece
    return data


def _close(connection):
    # close() alone would leave a thread in accept() or recv().
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()
