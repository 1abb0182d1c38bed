"""The load tools: smtp-source and smtp-sink, ours or Postfix's, and submission by sendmail(1)."""

import json
import os
import queue
import shutil
import subprocess
import threading
import time

from support.mta import postfix_suite, stagepost_suite
from support.waiting import wait_for


class Unavailable(Exception):
    """A scenario that the chosen load tools cannot do."""


class Tools:
    """`kind` is "stagepost" or "postfix"; every tool runs in `cgroup`."""

    def __init__(self, kind, cgroup):
        suite = stagepost_suite() if kind == "stagepost" else postfix_suite()
        self.ours = kind == "stagepost"
        self.cgroup = cgroup
        self.source_path, self.sink_path = suite.program("smtp-source"), suite.program("smtp-sink")
        for path in (self.source_path, self.sink_path):
            if not os.access(path, os.X_OK):
                raise SystemExit(f"{path} is missing (--load-tools {'postfix' if self.ours else 'stagepost'} takes the other's)")

    def need_ours(self, what):
        if not self.ours:
            raise Unavailable(f"{what} needs Stagepost's load tools")

    def source_command(self, port, recipient, messages, sessions, size, reuse=False, recipients=1, starttls=False, rate=None, stamp=False, more=()):
        command = [self.source_path, "-s", str(sessions), "-m", str(messages), "-l", str(size), "-f", "from@origin.test", "-t", recipient,
                   "-r", str(recipients)]
        if reuse:
            command.append("-d")
        extra = ["--report"] + (["--starttls"] if starttls else []) + (["--rate", str(rate)] if rate else []) + (["--stamp"] if stamp else [])
        if len(extra) > 1 or more:
            self.need_ours("this load")
        return [*command, *(extra if self.ours else []), *more, f"inet:127.0.0.1:{port}"]

    def start_source(self, port, recipient, messages, sessions, size, **options):
        """Runs smtp-source in the background."""
        return subprocess.Popen(self.source_command(port, recipient, messages, sessions, size, **options), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def source(self, *arguments, timeout=1800, **options):
        """Runs smtp-source to its end: its report with "seconds" until the last reply (with Postfix's tool until its end)."""
        begun = time.monotonic()
        process = self.start_source(*arguments, **options)
        return finish_source(process, begun, self.ours, timeout)

    def sink(self, port, *options):
        return Sink(self, port, options)


def finish_source(process, begun, ours, timeout=1800):
    output, errors = process.communicate(timeout=timeout)
    if process.returncode != 0:
        raise RuntimeError(f"smtp-source exited {process.returncode}: {errors.strip()[-2000:]}")
    if ours:
        return json.loads(output.splitlines()[-1])
    return {"seconds": time.monotonic() - begun}


class Sink:
    """A running smtp-sink. With our tool, reports (--report-every, --report-interval) are read as they come."""

    def __init__(self, tools, port, options):
        self.ours = tools.ours
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        if self.ours:
            options = [*options, "--report"]
        self.process = subprocess.Popen([tools.sink_path, *user, "-m", "5000", *map(str, options), f"inet:127.0.0.1:{port}", "2048"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.reports = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        # Not by connecting: that would be a session in the counts.
        wait_for(lambda: listening(port) or self.process.poll() is not None, 10, "a listening sink")
        if self.process.poll() is not None:
            raise RuntimeError(f"smtp-sink ended with status {self.process.returncode}")

    def _read(self):
        for line in self.process.stdout:
            self.reports.put(json.loads(line) if self.ours else line)

    def next_report(self, timeout):
        return self.reports.get(timeout=timeout)

    def latest(self):
        """The last report that has come, or None."""
        report = None
        while not self.reports.empty():
            report = self.reports.get()
        return report

    def stop(self):
        """Ends it; its last report (ours) or None."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)
        self.reader.join(30)
        return self.latest() if self.ours else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def listening(port):
    with open("/proc/net/tcp", encoding="ascii") as file:
        return any(line.split()[1] == f"0100007F:{port:04X}" and line.split()[3] == "0A" for line in file.readlines()[1:])


SUBMIT_LOOP = 'i=0; while [ $i -lt "$2" ]; do "$0" -f from@origin.test to@discard.test <"$1" || exit 1; i=$((i+1)); done'


def sendmail_loop(system, count, message_file):
    """Runs sendmail(1) `count` times, one after the other, in the system's cgroup; the seconds it took."""
    begun = time.monotonic()
    subprocess.run([shutil.which("sh"), "-c", SUBMIT_LOOP, system.suite.program("sendmail"), str(message_file), str(count)],
                   env=system.instance.environment(), check=True, stdin=subprocess.DEVNULL, timeout=1800, preexec_fn=system.cgroup.join)
    return time.monotonic() - begun
