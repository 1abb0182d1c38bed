"""Follows the log file of an instance and waits for lines by regular expression."""

import collections
import itertools
import os
import re
import socket

from .waiting import WaitTimeout, wait_for

LINE = re.compile(r"^(?P<stamp>\S+\s+\S+ \S+|\S+) (?P<host>\S+) (?P<program>[^\s\[]+)\[(?P<pid>\d+)\]: (?P<text>.*)$")

_SETTLED = b"settled "

Line = collections.namedtuple("Line", "program pid text raw")


class LogFollower:
    """Reads `path` incrementally. Positions returned by mark() limit a search to what was logged afterwards.

    `postlog`: socket of the running system's postlogd. Processes and postlogd hold lines for some milliseconds; what does not wait
    for a line that must come (mark, find, parsed, tail) first waits until everything logged so far is in the file.
    """

    _questions = itertools.count(1)

    def __init__(self, path, postlog=None):
        self.path = path
        self.postlog = postlog
        self._offset = 0
        self._partial = b""
        self._answered = set()
        self.raw = []

    def refresh(self):
        """Reads what was added since the last call; a log that does not exist yet is empty."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        self._offset += len(data)
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()
        self.raw.extend(line.decode("utf-8", "backslashreplace") for line in lines if not line.startswith(_SETTLED))
        self._answered.update(line for line in lines if line.startswith(_SETTLED))

    def settle(self):
        """Waits until what was logged before this call is in the file. postlogd writes lines in the order of their times, so a line
        of our own shows it; when nobody listens the log is what it is."""
        if self.postlog:
            question = b"%s%d.%d" % (_SETTLED, os.getpid(), next(self._questions))
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(1)
                try:
                    sender.sendto(question, os.fspath(self.postlog))
                    wait_for(lambda: self.refresh() or question in self._answered, 1, "postlogd")
                except (OSError, WaitTimeout):
                    pass
        self.refresh()

    def mark(self):
        """The current end of the log, for `since=`."""
        self.settle()
        return len(self.raw)

    def find(self, pattern, since=0):
        """All matches of `pattern` (anywhere in a line), oldest first."""
        self.settle()
        return self._find(pattern, since)

    def _find(self, pattern, since):
        self.refresh()
        expression = re.compile(pattern)
        return [m for m in map(expression.search, self.raw[since:]) if m]

    def wait(self, pattern, since=0, timeout=20.0, count=1):
        """The `count`th match of `pattern`; fails with the end of the log when it does not come."""
        found = wait_for(
            lambda: (lambda m: m if len(m) >= count else None)(self._find(pattern, since)),
            timeout, f"log line /{pattern}/ (x{count})", self.tail)
        return found[count - 1]

    def parsed(self, since=0):
        """The lines as (program, pid, text, raw); lines in another format are left out."""
        self.settle()
        result = []
        for raw in self.raw[since:]:
            match = LINE.match(raw)
            if match:
                result.append(Line(match["program"], int(match["pid"]), match["text"], raw))
        return result

    def tail(self, lines=60):
        self.settle()
        return "\n".join(self.raw[-lines:]) or f"(nothing in {os.path.basename(self.path)})"
