"""What a mail system costs: CPU time, context switches, system calls, syncs and disk flushes, and what else the machine did meanwhile.

Each system runs in a cgroup of its own (version 2, beside version 1 hierarchies too), so that processes that have ended count, commands
count, and nothing else does. perf counts events by cgroup, in a pass of its own. Without cgroups CPU time comes from /proc, master's
ended children included, and events are not counted.
"""

import os
import re
import shutil
import subprocess
import time

# Calls that wait for the disk.
SYNC_CALLS = ("fsync", "fdatasync", "syncfs", "sync_file_range", "sync")


def cgroup_mount():
    """Where version 2 cgroups can be made, or None."""
    with open("/proc/mounts", encoding="ascii", errors="replace") as file:
        mounts = [line.split()[1] for line in file if line.split()[2] == "cgroup2"]
    return next((path for path in mounts if os.access(path, os.W_OK)), None)


class Cgroup:
    """A cgroup of this run. All descendants of a process that joined are in it."""

    def __init__(self, name):
        mount = cgroup_mount()
        self.name = f"stagepost-bench-{os.getpid()}-{re.sub(r'[^a-z0-9]+', '-', name.lower())}"
        self.path = None
        if mount:
            try:
                os.mkdir(os.path.join(mount, self.name))
                self.path = os.path.join(mount, self.name)
            except OSError:
                pass

    def __bool__(self):
        return self.path is not None

    def join(self):
        """Moves the calling process; safe between fork and exec."""
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write("0")

    def cpu_seconds(self):
        with open(os.path.join(self.path, "cpu.stat"), encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("usage_usec")) / 1e6

    def remove(self):
        """Once its processes are gone; those that are not yet reaped may take a moment."""
        if not self.path:
            return
        parent = os.path.join(os.path.dirname(self.path), "cgroup.procs")
        for _ in range(100):
            try:
                os.rmdir(self.path)
                return
            except OSError:
                # What must not end with the run (this process) goes back to where it came from.
                with open(os.path.join(self.path, "cgroup.procs"), encoding="ascii") as file:
                    if str(os.getpid()) in file.read().split():
                        with open(parent, "w", encoding="ascii") as target:
                            target.write("0")
                time.sleep(0.05)


def events_available():
    """Whether perf can count system calls (tracepoints need tracefs)."""
    if not shutil.which("perf"):
        return False
    done = subprocess.run(["perf", "stat", "-x", ",", "-e", "context-switches,raw_syscalls:sys_enter", "true"], capture_output=True, text=True,
                          check=False)
    return done.returncode == 0 and "raw_syscalls" in done.stderr and "not supported" not in done.stderr


class EventCount:
    """Events in a cgroup between start() and stop(), counted on all CPUs."""

    EVENTS = ("context-switches", "raw_syscalls:sys_enter", *(f"syscalls:sys_enter_{call}" for call in SYNC_CALLS))

    def __init__(self, cgroup):
        self.cgroup = cgroup
        self.process = None

    def start(self):
        groups = ",".join([self.cgroup.name] * len(self.EVENTS))
        self.process = subprocess.Popen(["perf", "stat", "-a", "-x", ",", "-e", ",".join(self.EVENTS), "-G", groups, "cat"],
                                        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)  # perf has no way to say that it counts

    def stop(self):
        """{"switches", "syscalls", "syncs"}: counts; a missing one could not be counted."""
        # perf ends with its command, and cat with its input.
        output = self.process.communicate(timeout=30)[1]
        found = {}
        for line in output.splitlines():
            fields = line.split(",")
            if len(fields) > 2 and fields[0].replace(".", "").isdigit():
                found[fields[2]] = int(float(fields[0]))
        counts = {"switches": found.get("context-switches"), "syscalls": found.get("raw_syscalls:sys_enter")}
        syncs = [found[event] for event in self.EVENTS[2:] if event in found]
        counts["syncs"] = sum(syncs) if syncs else 0
        return {name: value for name, value in counts.items() if value is not None}


def disk_flushes(path):
    """Flush requests the device below `path` has completed, or None where the kernel does not say."""
    number = os.stat(path).st_dev
    try:
        with open(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat", encoding="ascii") as file:
            fields = file.read().split()
    except OSError:
        return None
    return int(fields[15]) if len(fields) > 15 else None


def filesystem(path):
    """"ext4 on /dev/vda (rw,relatime)" for a path."""
    best = ("", "unknown")
    with open("/proc/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            device, point, kind, options = line.split()[:4]
            inside = point == "/" or str(path) == point or str(path).startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best[0]):
                best = (point, f"{kind} on {device} ({options})")
    return best[1]


class Foreign:
    """CPU time of everything that is not part of this run, as a share of the machine."""

    def __init__(self, cgroups):
        self.cgroups = [cgroup for cgroup in cgroups if cgroup]
        self.begun = time.monotonic()
        self.busy, self.own = self._read()

    def _read(self):
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK"), sum(group.cpu_seconds() for group in self.cgroups)

    def share(self):
        """0 to 1 since the beginning; None without cgroups. The kernel's own threads (journal, write-back) count too."""
        if not self.cgroups:
            return None
        busy, own = self._read()
        capacity = (time.monotonic() - self.begun) * os.cpu_count()
        return max(0.0, (busy - self.busy) - (own - self.own)) / capacity
