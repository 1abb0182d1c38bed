"""A tiny authoritative DNS server with scripted answers, over UDP and TCP on one port.

Names it was not told about are NXDOMAIN. Records: A, AAAA, MX, CNAME, PTR, TXT, NS, or any other type as raw bytes.
"""

import ipaddress
import socket
import struct
import threading

from .ports import free_port

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "OPT": 41, "TLSA": 52}
NAMES = {number: name for name, number in TYPES.items()}
RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}


def encode_name(name):
    out = b""
    for label in name.rstrip(".").split(".") if name.rstrip(".") else []:
        raw = label.encode("ascii")
        out += bytes([len(raw)]) + raw
    return out + b"\0"


def decode_name(packet, position):
    """A name without compression, as questions have it; returns (lower-case name, next position)."""
    labels = []
    while True:
        length = packet[position]
        position += 1
        if length == 0:
            return ".".join(labels).lower(), position
        if length > 63 or len(labels) > 127:
            raise ValueError("bad name in question")
        labels.append(packet[position:position + length].decode("ascii", "replace"))
        position += length


def encode_data(kind, value):
    if isinstance(value, bytes):
        return value
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(value).packed
    if kind == "MX":
        return struct.pack("!H", value[0]) + encode_name(value[1])
    if kind in ("CNAME", "PTR", "NS"):
        return encode_name(value)
    if kind == "TXT":
        raw = value.encode()
        return b"".join(bytes([len(raw[i:i + 255])]) + raw[i:i + 255] for i in range(0, len(raw) or 1, 255))
    raise ValueError(f"no encoding for {kind}")


class DnsServer:
    """add() records, fail() names; `queries` lists (name, type, transport) in order of arrival."""

    def __init__(self, host="127.0.0.1", port=None):
        self.host, self.port = host, port or free_port()
        self.records, self.failures, self.queries = {}, {}, []
        self.truncate = False   # answer every UDP query with TC, so that the client must use TCP
        self.authentic = False  # set the AD bit
        self._lock = threading.Lock()
        self._sockets = []

    def add(self, name, kind, *values, ttl=60):
        """Adds records: add("example.test", "MX", (10, "mx.example.test")). Without values the name exists with no such data."""
        with self._lock:
            self.records.setdefault(name.lower().rstrip("."), {}).setdefault(kind, []).extend((value, ttl) for value in values)

    def fail(self, name, how, kind=None):
        """Answers `name` (all types, or one) with "SERVFAIL", "REFUSED", "NXDOMAIN", or not at all ("TIMEOUT")."""
        with self._lock:
            self.failures[(name.lower().rstrip("."), kind)] = how

    def reset(self):
        with self._lock:
            self.records.clear()
            self.failures.clear()
            self.queries.clear()
            self.truncate = self.authentic = False

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def start(self):
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((self.host, self.port))
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        listener.listen(64)
        self._sockets = [datagrams, listener]
        threading.Thread(target=self._serve_udp, args=(datagrams,), daemon=True).start()
        threading.Thread(target=self._serve_tcp, args=(listener,), daemon=True).start()
        return self

    def stop(self):
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        self._sockets = []

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _serve_udp(self, sock):
        while True:
            try:
                packet, peer = sock.recvfrom(4096)
            except OSError:
                return
            reply = self.answer(packet, "udp")
            if reply:
                try:
                    sock.sendto(reply, peer)
                except OSError:
                    return

    def _serve_tcp(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._tcp_session, args=(connection,), daemon=True).start()

    def _tcp_session(self, connection):
        connection.settimeout(30)
        with connection, connection.makefile("rb") as file:
            while True:
                try:
                    head = file.read(2)
                    if len(head) < 2:
                        return
                    reply = self.answer(file.read(struct.unpack("!H", head)[0]), "tcp")
                    if reply:
                        connection.sendall(struct.pack("!H", len(reply)) + reply)
                except OSError:
                    return

    def answer(self, packet, transport):
        """The reply to one query packet, or None for silence."""
        if len(packet) < 17:
            return None
        try:
            name, position = decode_name(packet, 12)
            number, _ = struct.unpack("!HH", packet[position:position + 4])
        except (ValueError, IndexError, struct.error):
            return None
        kind = NAMES.get(number, str(number))
        question = packet[12:position + 4]
        with self._lock:
            self.queries.append((name, kind, transport))
            how = self.failures.get((name, kind), self.failures.get((name, None)))
            records = {key: {k: list(v) for k, v in value.items()} for key, value in self.records.items()}
        if how == "TIMEOUT":
            return None
        if how:
            return self._packet(packet, question, RCODES[how], [])
        answers, seen = [], set()
        while name in records and name not in seen:
            seen.add(name)
            if kind in records[name]:
                answers += [(name, number, ttl, encode_data(kind, value)) for value, ttl in records[name][kind]]
                break
            if "CNAME" not in records[name]:
                break
            target, ttl = records[name]["CNAME"][0]
            answers.append((name, TYPES["CNAME"], ttl, encode_name(target)))
            name = target.lower().rstrip(".")
        rcode = RCODES["NOERROR"] if name in records else RCODES["NXDOMAIN"]
        if transport == "udp" and self.truncate:
            return self._packet(packet, question, rcode, [], truncated=True)
        return self._packet(packet, question, rcode, answers)

    def _packet(self, query, question, rcode, answers, truncated=False):
        flags = 0x8400 | (struct.unpack("!H", query[2:4])[0] & 0x0100) | 0x0080 | rcode
        if truncated:
            flags |= 0x0200
        if self.authentic:
            flags |= 0x0020
        authority = b""
        if not answers:  # a negative answer needs a SOA to be cached properly (RFC 2308)
            data = encode_name("ns.test") + encode_name("root.test") + struct.pack("!5I", 1, 60, 60, 60, 60)
            authority = encode_name("test") + struct.pack("!HHIH", TYPES["SOA"], 1, 60, len(data)) + data
        body = b"".join(encode_name(n) + struct.pack("!HHIH", t, 1, ttl, len(d)) + d for n, t, ttl, d in answers)
        return query[:2] + struct.pack("!HHHHH", flags, 1, len(answers), 1 if authority else 0, 0) + question + body + authority
