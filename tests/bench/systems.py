"""The systems that are compared: a running instance of each, with all destinations that the scenarios use, in a cgroup of its own."""

import os
import resource
import subprocess
import time

from costs import Cgroup
from support import procs
from support.mta import Instance
from support.sink import make_certificate
from support.waiting import wait_for

MESSAGE_SIZE = 4096


class Ports:
    """Where the sinks of a run listen; taken once, because they stand in the systems' transport tables."""

    NAMES = ("relay", "good", "slow", "dead", "latency", "throttled")

    def __init__(self, free_port):
        for name in self.NAMES:
            setattr(self, name, free_port())


class BenchInstance(Instance):
    """An instance whose daemons and commands all run in one cgroup."""

    def __init__(self, suite, cgroup, **options):
        self.cgroup = cgroup
        super().__init__(suite, **options)

    def run(self, program, *arguments, **options):
        return super().run(program, *arguments, preexec_fn=self.cgroup.join, **options)


class System:
    """One suite, with default settings but for what `main` changes."""

    def __init__(self, name, suite, ports, main=None, master=None, message_size_limit=None):
        self.name = name
        self.suite = suite
        self.cgroup = Cgroup(name)
        destinations = {"relay.test": ports.relay, "latency.test": ports.latency, "throttled.test": ports.throttled,
                        **{f"good{i}.test": ports.good for i in range(1, 5)},
                        # The same mail for the comparison: as it is with all destinations well.
                        "dead.test": ports.dead, "slow.test": ports.slow, "well1.test": ports.good, "well2.test": ports.good}
        transports = " ".join(f"{{{domain}=smtp:[127.0.0.1]:{port}}}" for domain, port in destinations.items())
        options = {
            "default_transport": "discard:", "virtual_mailbox_domains": "virtual.test", "virtual_mailbox_maps": "inline:{ {box@virtual.test=box/} }",
            "transport_maps": f"inline:{{ {transports} {{queue.test=wait:}} }}", "defer_transports": "wait", **(main or {})}
        if message_size_limit:
            options |= {"message_size_limit": message_size_limit, "virtual_mailbox_limit": 0}
        self.instance = BenchInstance(suite, self.cgroup, extra_services=["wait unix - - n - - smtp"], smtpd={"tls": {
            "smtpd_tls_security_level": "may"}}, master=master, **options)
        certificate = make_certificate(str(self.instance.directory))
        self.instance.set(smtpd_tls_cert_file=certificate.cert, smtpd_tls_key_file=certificate.key)

    def start(self):
        self.instance.start()
        return self

    def stop(self):
        self.instance.stop()

    def close(self):
        self.instance.close()
        self.cgroup.remove()

    @property
    def directory(self):
        return self.instance.directory

    def queue_is_empty(self):
        for queue in ("maildrop", "incoming", "active"):
            with os.scandir(self.instance.queue / queue) as entries:
                if any(entry.is_file() for entry in entries):
                    return False
        return True

    def wait_empty(self, timeout=900):
        """Looks every 5 ms, so that the time a run took is known that well."""
        end = time.monotonic() + timeout
        while not self.queue_is_empty():
            if time.monotonic() > end:
                raise TimeoutError(f"{self.name}: the queue did not get empty\n{self.instance.log.tail()}")
            time.sleep(0.005)

    def deferred(self):
        return sum(len(files) for _, _, files in os.walk(self.instance.queue / "deferred"))

    def wait_deferred(self, count, timeout=3600):
        """Counting a large queue takes time that the system needs, so it is done seldom."""
        end = time.monotonic() + timeout
        while True:
            begun = time.monotonic()
            if self.deferred() >= count:
                return
            if begun > end:
                raise TimeoutError(f"{self.name}: fewer than {count} deferred messages\n{self.instance.log.tail()}")
            time.sleep(max(0.1, 5 * (time.monotonic() - begun)))

    def delete_all(self):
        """Removes every message, also those being delivered; these return as soon as their deliveries have ended."""
        def gone():
            self.instance.postsuper("-d", "ALL", check=True, timeout=1800)
            return self.queue_is_empty() and self.deferred() == 0
        wait_for(gone, 600, "a queue without messages", self.instance.log.tail)

    def cpu_seconds(self):
        """Of all its processes and commands so far. Without cgroups: of the daemons and their ended children."""
        if self.cgroup:
            return self.cgroup.cpu_seconds()
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return procs.cpu_seconds(self.instance.tree()) + children.ru_utime + children.ru_stime

    def pss_kib(self, command=None):
        tree = self.instance.tree()
        return procs.pss_kib(pid for pid, name in tree.items() if command in (None, name))

    def peak_mib(self, command):
        """Largest resident set that the running processes of this name ever had."""
        peak = 0
        for pid in self.instance.daemons(command):
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                peak += next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)
        return peak / 1024

    def clear_maildir(self):
        """Puts it aside. Deleted now, it would slow the next run: ext4 searches for a free inode past all that were deleted within a minute,
        1.6 ms of CPU time for each new file after some thousand deletions."""
        box = self.instance.vmail / "box"
        if box.exists():
            box.rename(self.instance.vmail / f"was-{time.monotonic_ns()}")


def knows_parameter(suite, name):
    """The default of a parameter, or None when the suite does not have it."""
    done = subprocess.run([suite.program("postconf"), "-dh", name], capture_output=True, text=True, check=False,
                          env={**os.environ, "MAIL_CONFIG": "/nonexistent"})
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() and "unknown" not in done.stderr else None
