"""Follows the log file of an instance and waits for lines by regular expression."""

import collections
import os
import re

from .waiting import wait_for

LINE = re.compile(r"^(?P<stamp>\S+\s+\S+ \S+|\S+) (?P<host>\S+) (?P<program>[^\s\[]+)\[(?P<pid>\d+)\]: (?P<text>.*)$")

Line = collections.namedtuple("Line", "program pid text raw")


class LogFollower:
    """Reads `path` incrementally. Positions returned by mark() limit a search to what was logged afterwards."""

    def __init__(self, path):
        self.path = path
        self._offset = 0
        self._partial = b""
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
        self.raw.extend(line.decode("utf-8", "backslashreplace") for line in lines)

    def mark(self):
        """The current end of the log, for `since=`."""
        self.refresh()
        return len(self.raw)

    def find(self, pattern, since=0):
        """All matches of `pattern` (anywhere in a line), oldest first."""
        self.refresh()
        expression = re.compile(pattern)
        return [m for m in map(expression.search, self.raw[since:]) if m]

    def wait(self, pattern, since=0, timeout=20.0, count=1):
        """The `count`th match of `pattern`; fails with the end of the log when it does not come."""
        found = wait_for(
            lambda: (lambda m: m if len(m) >= count else None)(self.find(pattern, since)),
            timeout, f"log line /{pattern}/ (x{count})", self.tail)
        return found[count - 1]

    def parsed(self, since=0):
        """The lines as (program, pid, text, raw); lines in another format are left out."""
        self.refresh()
        result = []
        for raw in self.raw[since:]:
            match = LINE.match(raw)
            if match:
                result.append(Line(match["program"], int(match["pid"]), match["text"], raw))
        return result

    def tail(self, lines=60):
        self.refresh()
        return "\n".join(self.raw[-lines:]) or f"(nothing in {os.path.basename(self.path)})"
