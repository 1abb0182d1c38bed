"""The process tree as /proc shows it: children, command names, CPU time, memory."""

import os
import signal

TICKS = os.sysconf("SC_CLK_TCK")


def stat(pid):
    """Fields of /proc/PID/stat after the command name, or None when the process is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    start, end = text.index("("), text.rindex(")")
    fields = text[end + 2:].split()
    if fields[0] in "ZX":
        return None
    return {"comm": text[start + 1:end], "ppid": int(fields[1]), "utime": int(fields[11]), "stime": int(fields[12]),
            "cutime": int(fields[13]), "cstime": int(fields[14]), "starttime": int(fields[19])}


def alive(pid):
    return stat(pid) is not None


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children(pid):
    """{pid: command name} of the direct children of `pid`."""
    result = {}
    for candidate in all_pids():
        info = stat(candidate)
        if info and info["ppid"] == pid:
            result[candidate] = command(candidate) or info["comm"]
    return result


def descendants(pid):
    """{pid: command name} of everything below `pid`, without `pid` itself."""
    parents = {}
    for candidate in all_pids():
        info = stat(candidate)
        if info:
            parents.setdefault(info["ppid"], []).append(candidate)
    result, pending = {}, [pid]
    while pending:
        for child in parents.get(pending.pop(), ()):
            result[child] = command(child)
            pending.append(child)
    return result


def command(pid):
    """The program's base name from its command line (comm is cut at 15 characters), "" when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return os.path.basename(file.read().split(b"\0")[0].decode("latin-1"))
    except (FileNotFoundError, ProcessLookupError):
        return ""


def effective_uid(pid):
    """The effective user id, or None when the process is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[2]) for line in file if line.startswith("Uid:"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def cpu_seconds(pids):
    """User + system time of `pids` and of the children they have reaped."""
    total = 0
    for pid in pids:
        info = stat(pid)
        if info:
            total += info["utime"] + info["stime"] + info["cutime"] + info["cstime"]
    return total / TICKS


def pss_kib(pids):
    """Proportional set size of `pids` together, in KiB."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def anonymous_kib(pid):
    """Anonymous memory one process holds (heap and stacks), in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon:"))


def context_switches(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                total += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def send(pid, number=signal.SIGKILL):
    """Signals one process; says whether it was there."""
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False
