"""What a mail system did to its queue, from strace: every change of a file, every sync, every acknowledgement, in order.

Recorder runs strace on a running instance; events() turns its output into the log that power_cut_states reads (tests/crash). Files are
followed as inodes, so that a write after a rename still belongs to its file. check() compares the result with the files that are there
at the end: a system call that this module does not understand cannot go unnoticed.
"""

import dataclasses
import os
import re
import subprocess

from . import procs
from .waiting import wait_for

CALLS = ("open,openat,creat,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendfile,copy_file_range,fsync,fdatasync,syncfs,sync,"
         "rename,renameat,renameat2,link,linkat,unlink,unlinkat,chmod,fchmod,fchmodat,truncate,ftruncate,fallocate,lseek")
# Longer data is cut off by strace; only the zeros that fill a new segment may be longer.
DATA_LIMIT = 128 * 1024
TOPS = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt", "saved", "journal")
HEAD = re.compile(r"(\d+) +([\d.]+) (?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$", re.S)
RESULT = re.compile(r"= (-?\d+|\?)(<[^>]*>)?(?: \w+ \([^()]*\))?$")
STRING = re.compile(r'"([^"]*)"(\.\.\.)?')


@dataclasses.dataclass
class Call:
    pid: int
    time: float
    name: str
    arguments: str
    start: int
    end: int | None = None   # None: had not returned at the end of the trace
    result: int | None = None
    result_path: str | None = None

    def finish(self, rest, position):
        match = RESULT.search(rest[-2000:])
        self.arguments += rest
        self.end = position
        if match:
            self.result = int(match[1]) if match[1] != "?" else None
            self.result_path = text(match[2][1:-1]) if match[2] else None


def raw(escaped):
    return bytes.fromhex(escaped.replace("\\x", ""))


def text(escaped):
    return os.fsdecode(raw(escaped))


class Recorder:
    """strace on the whole process tree of an instance, and on `pids` besides."""

    def __init__(self, mta, path, pids=()):
        self.path = path
        watched = [*mta.tree(), *pids]
        options = [argument for pid in watched for argument in ("-p", str(pid))]
        self.process = subprocess.Popen(["strace", "-f", "-y", "-qq", "-xx", "-ttt", "-s", str(DATA_LIMIT), "-e", f"trace={CALLS}", "-e", "signal=none",
                                         "-o", str(path), *options], stderr=subprocess.PIPE)
        wait_for(lambda: self.process.poll() is None and all(traced(pid) for pid in watched), 15, "strace to attach")

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def traced(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in file)
    except FileNotFoundError:
        return not procs.alive(pid)


def parse(path):
    """All calls in order of their start."""
    calls, pending = [], {}
    with open(path, encoding="latin-1") as file:
        for position, line in enumerate(file):
            match = HEAD.match(line.rstrip("\n"))
            if not match:
                continue
            pid, rest = int(match[1]), match[5]
            if match[3]:
                call = pending.pop((pid, match[3]), None)
                if call:
                    call.finish(rest, position)
                continue
            call = Call(pid, float(match[2]), match[4], "", position)
            calls.append(call)
            if rest.endswith("<unfinished ...>"):
                call.arguments = rest[:-len("<unfinished ...>")].rstrip()
                pending[(pid, call.name)] = call
            else:
                call.finish(rest, position)
    return calls


class Events:
    """The log for power_cut_states: a line of text for each event, followed by the data of a write.

    KIND START END MICROSECONDS INODE ...: START and END are positions in the trace, END is 0 for what never returned.
      C mode path    created         R from to   renamed         U path   unlinked        M mode   mode changed
      W offset size  written         T size      truncated       S        fsync           F        fdatasync
      A              everything synced (inode 0)                 D path   directory synced (inode 0)
      K token        acknowledged to the client (inode 0)
    """

    def __init__(self, queue, acknowledged):
        """`acknowledged(data)` gives the token of the message that these bytes acknowledge, or None."""
        self.queue, self.acknowledged = os.path.realpath(queue), acknowledged
        self.names, self.last, self.sizes, self.positions = {}, {}, {}, {}
        self.content, self.inodes, self.log, self.count = {}, 0, [], {}

    def relative(self, path, base=None):
        """Path below the queue directory, or None when it is not a file of ours."""
        full = os.path.normpath(os.path.join(base or self.queue, path.removesuffix(" (deleted)")))
        if not full.startswith(self.queue + "/"):
            return None
        found = full[len(self.queue) + 1:]
        return found if found.split("/")[0] in TOPS else None

    def paths(self, arguments):
        """The path arguments of a call, each relative to the descriptor before it."""
        found = []
        for match in re.finditer(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"', arguments):
            found.append(self.relative(text(match[2]), text(match[1]) if match[1] else None))
        return found

    def inode(self, path):
        # The path may be that of a moment ago, when another process renamed the file meanwhile.
        inode = self.names.get(path, self.last.get(path))
        assert inode is not None, f"{path} existed before the recording began"
        return inode

    def emit(self, call, kind, inode, *fields, data=b""):
        self.count[kind] = self.count.get(kind, 0) + 1
        head = " ".join(map(str, (kind, call.start, call.end or 0, int(call.time * 1e6), inode, *fields)))
        self.log.append(head.encode() + b"\n" + data)

    def add(self, call):
        if call.result is not None and call.result < 0:
            return
        name, arguments = call.name, call.arguments
        opened = re.match(r"(\d+)<([^>]*)>", arguments)
        path = self.relative(text(opened[2])) if opened and opened[2].startswith("\\x2f") else None
        if name in ("open", "openat", "creat"):
            self.open(call)
        elif name in ("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg"):
            if path:
                self.write(call, int(opened[1]), path)
            else:
                for match in STRING.finditer(arguments):
                    token = self.acknowledged(raw(match[1])) if len(match[1]) < 4000 else None
                    if token is not None:
                        self.emit(call, "K", 0, token)
        elif name in ("sendfile", "copy_file_range"):
            assert not path, f"{name} into a queue file is not understood"
        elif name in ("fsync", "fdatasync") and opened and opened[2].startswith("\\x2f"):
            full = text(opened[2])
            if path in self.names or path in self.last:
                self.emit(call, "F" if name == "fdatasync" else "S", self.inode(path))
            elif path or full == self.queue:
                self.emit(call, "D", 0, path or ".")
        elif name in ("syncfs", "sync"):
            self.emit(call, "A", 0)
        elif name.startswith("rename"):
            old, new = self.paths(arguments)
            if old and new and old in self.names:
                inode = self.names.pop(old)
                self.last[old] = inode
                self.names[new] = inode
                self.emit(call, "R", inode, old, new)
            else:
                assert not (old or new), f"rename of {old} to {new} is not understood"
        elif name.startswith("unlink"):
            old = self.paths(arguments)[0]
            if old in self.names:
                inode = self.last[old] = self.names.pop(old)
                self.emit(call, "U", inode, old)
        elif name.startswith("link"):
            assert not any(self.paths(arguments)), "links in the queue are not understood"
        elif name == "fchmod" and path in self.names | self.last:
            self.emit(call, "M", self.inode(path), int(re.search(r", 0?(\d+)\)", arguments)[1], 8))
        elif name in ("chmod", "fchmodat"):
            old = self.paths(arguments)[0]
            if old in self.names:
                self.emit(call, "M", self.names[old], int(re.search(r'", 0?(\d+)', arguments)[1], 8))
        elif name in ("ftruncate", "fallocate") and path in self.names | self.last:
            assert name == "ftruncate", "fallocate is not understood"
            self.truncate(call, self.inode(path), int(re.search(r">, (\d+)", arguments)[1]))
        elif name == "lseek" and path:
            self.positions[call.pid, int(opened[1]), self.inode(path)] = call.result

    def open(self, call):
        if call.result_path is None or not call.result_path.startswith("/"):
            return
        path = self.relative(call.result_path)
        if path is None or path.startswith("journal/new/") and path.count("/") == 2 and "O_CREAT" not in call.arguments:
            return
        if path not in self.names and ("O_CREAT" in call.arguments or call.name == "creat"):
            self.inodes += 1
            self.names[path] = self.inodes
            self.content[self.inodes] = bytearray()
            mode = re.findall(r", (0\d+)\)", call.arguments)
            self.emit(call, "C", self.inodes, int(mode[0], 8), path)
        elif "O_TRUNC" in call.arguments and path in self.names:
            self.truncate(call, self.names[path], 0)
        if path in self.names:
            self.positions[call.pid, call.result, self.names[path]] = -1 if "O_APPEND" in call.arguments else 0

    def truncate(self, call, inode, size):
        content = self.content[inode]
        del content[size:]
        content.extend(bytes(size - len(content)))
        self.emit(call, "T", inode, size)

    def write(self, call, descriptor, path):
        inode, size = self.inode(path), call.result
        data = bytearray()
        for match in STRING.finditer(call.arguments):
            data += raw(match[1])
            if match[2]:
                assert not data.strip(b"\0"), f"{path}: data too long for the trace"
                data = bytearray(size if size is not None else len(data))
        if size is None:  # never returned: all of it may be on the disk
            size = len(data)
        data = bytes(data[:size])
        assert len(data) == size, f"{path}: {len(data)} of {size} octets in the trace"
        content = self.content[inode]
        if call.name.startswith("pwrite"):
            numbers = re.search(r", (\d+), \w+\)" if call.name == "pwritev2" else r", (\d+)\)", call.arguments)
            offset = int(numbers[1])
        else:
            key = (call.pid, descriptor, inode)
            # An inherited descriptor, or one of another thread: such files are only appended to.
            at = self.positions.get(key, -1)
            offset = len(content) if at < 0 else at
            if at >= 0:
                self.positions[key] = offset + size
        if offset + size > len(content):
            content.extend(bytes(offset + size - len(content)))
        content[offset:offset + size] = data
        self.emit(call, "W", inode, offset, size, data=data)

    def check(self):
        """The files at the end must be those that the log leads to."""
        there = {}
        for top in TOPS:
            for root, _, files in os.walk(os.path.join(self.queue, top)):
                for name in files:
                    full = os.path.join(root, name)
                    there[os.path.relpath(full, self.queue)] = full
        assert set(there) == set(self.names), f"only on disk: {set(there) - set(self.names)}, only in the log: {set(self.names) - set(there)}"
        for path, full in there.items():
            with open(full, "rb") as file:
                assert file.read() == bytes(self.content[self.names[path]]), f"{path} differs from its log"
