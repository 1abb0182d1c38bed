"""The scenarios with many sessions, large queues, bad destinations and overload. See scenarios.py for what run() returns."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import time

from load import finish_source
from scenarios import Scenario
from support.waiting import wait_for
from systems import MESSAGE_SIZE, System

# Idle sessions


def greeting_ms(port, samples=20):
    """Median and largest time from connecting to the greeting."""
    times = []
    for _ in range(samples):
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            if not client.recv(4096).startswith(b"220"):
                raise RuntimeError("no greeting while sessions are idle")
            times.append((time.monotonic() - begun) * 1000)
            client.sendall(b"QUIT\r\n")
            client.recv(4096)
    return statistics.median(times), max(times)


def hold(bench, port, count, starttls):
    """Starts smtp-source --hold; the process and what it says about the opening."""
    command = [bench.tools.source_path, "--hold", "-s", str(count), *(["--starttls"] if starttls else []), f"inet:127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"smtp-source --hold: {process.communicate()[1]}")
    return process, json.loads(line)


def idle(starttls):
    def run(bench, shared, count):
        bench.tools.need_ours("idle sessions")
        # The default of 100 processes is what Postfix could serve at most; both get as many as the sessions need.
        limit = count + 100
        listener = "tls/inet" if starttls else "smtp/inet"
        system = System(f"{shared.name} idle", shared.suite, bench.ports, main={"default_process_limit": limit, **bench.variant_main(shared)},
                        master={listener: {"maxproc": limit}})
        try:
            system.start()
            port = system.instance.port("tls" if starttls else "smtp")
            greeting_ms(port, 3)
            before = system.pss_kib()
            process, opened = hold(bench, port, count, starttls)
            try:
                after = system.pss_kib()
                typical, largest = greeting_ms(port)
                output, errors = process.communicate(timeout=120)  # ends its input
            finally:
                process.kill()
                process.wait()
            if opened["held"] < count or json.loads(output)["still_open"] < count:
                raise RuntimeError(f"{opened}, then {output.strip()}: {errors.strip()}")
        finally:
            system.close()
        return count, opened["seconds"], {"sessions": count, "seconds to open": opened["seconds"], "opened/s": count / opened["seconds"],
                                          "KiB/session": (after - before) / count, "greeting ms": typical, "greeting max ms": largest}
    return run


# Large queues


def timed(action):
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


def list_queue(system, option):
    with open("/dev/null", "wb") as sink:
        subprocess.run([system.suite.program("postqueue"), option], stdout=sink, env=system.instance.environment(), check=True, timeout=3600,
                       preexec_fn=system.cgroup.join)


def accepts(system):
    """Until a message is accepted: connections are refused before the first process listens."""
    def attempt():
        with contextlib.suppress(OSError):
            system.instance.submit("to@discard.test")
            return True
        return False
    wait_for(attempt, 600, "an accepted message", system.instance.log.tail)


# Sent as mail; a longer queue is filled up with copies, which takes minutes instead of hours.
SENT_DEFERRED = 20000


def copy_file(source, target, modified=None):
    """A copy of `source` that its owner can open; `target(inode)` is its name."""
    status = source.stat()
    temporary = source.parent / "copy"
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, status.st_mode & 0o777)
    try:
        os.write(descriptor, source.read_bytes())
        os.fchown(descriptor, status.st_uid, status.st_gid)
        if modified:
            os.utime(descriptor, ns=(modified, modified))
        path = target(os.fstat(descriptor).st_ino)
    finally:
        os.close(descriptor)
    os.rename(temporary, path)
    return path


def add_deferred(system, count):
    """Copies of a deferred message and its log under names of their own, not due before an hour has passed. The system is stopped."""
    deferred, logs = system.instance.queue / "deferred", system.instance.queue / "defer"
    directories = [each for each in deferred.iterdir() if (logs / each.name).is_dir()]
    samples = {each.name: next(each.iterdir()) for each in directories}
    due = time.time_ns() + 3600 * 10**9
    for number in range(count):
        # The first digit of the microseconds chooses the directory.
        place = directories[number % len(directories)].name
        microseconds = f"{int(place, 16) * 0x10000 + number // len(directories) % 0x4000:05X}"
        sample = samples[place]
        copy = copy_file(sample, lambda inode, place=place, head=microseconds: deferred / place / f"{head}{inode:X}", due)
        copy_file(logs / place / sample.name, lambda _, place=place, name=copy.name: logs / place / name)


def queue(bench, system, count):
    sent = min(count, SENT_DEFERRED)
    bench.tools.source(system.instance.port(), "to@queue.test", sent, 20, MESSAGE_SIZE, reuse=True, timeout=7200)
    system.wait_deferred(sent)
    system.wait_empty()
    if count > sent:
        system.stop()
        add_deferred(system, count - sent)
        system.start()
    metrics = {f"list {option} s": timed(lambda option=option: list_queue(system, option)) for option in ("-p", "-j")}
    # As a monitoring script does, once a minute: most of the queue is as it was.
    metrics["list -p again s"] = timed(lambda: list_queue(system, "-p"))
    system.stop()

    def restart():
        system.instance.start()
        accepts(system)
    metrics["restart s"] = timed(restart)
    # Resident, so with the libraries that all processes share; what the queue's length adds is what matters.
    metrics["qmgr peak MiB"] = system.peak_mib("qmgr")
    metrics["delete all s"] = timed(lambda: system.instance.postsuper("-d", "ALL", check=True, timeout=7200))
    system.delete_all()
    return count, None, metrics


# One dead and one slow destination beside good ones


class DeadEnd:
    """A destination that answers nothing: its queue of connections is full, so further ones are not even refused."""

    def __init__(self, port):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(0)
        self.fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", port))
            self.fillers.append(filler)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in (*self.fillers, self.listener):
            each.close()


def good_seconds(bench, system, count, others):
    """Sends `count` messages to four good destinations and a quarter as many to each of `others`; seconds until the last good one arrived."""
    share = count // 4
    with bench.tools.sink(bench.ports.good, "--report-every", 1) as sink:
        port = system.instance.port()
        begun = time.monotonic()
        running = [bench.tools.start_source(port, f"to@good{i}.test", share, 4, MESSAGE_SIZE) for i in range(1, 5)]
        running += [bench.tools.start_source(port, f"to@{domain}", share, 4, MESSAGE_SIZE) for domain in others]
        for process in running:
            finish_source(process, begun, bench.tools.ours)
        # With all destinations well the sink gets the others' mail too.
        expected = 4 * share + (2 * share if "well1.test" in others else 0)
        last = begun
        while True:
            report = sink.next_report(600)
            if report["messages"] <= expected:
                last = report["last"]
            if report["messages"] >= expected:
                return last - begun


def destinations(bench, system, count):
    bench.tools.need_ours("the comparison of destinations")
    alone = good_seconds(bench, system, count, ["well1.test", "well2.test"])
    system.wait_empty()
    with DeadEnd(bench.ports.dead), bench.tools.sink(bench.ports.slow, "-W", ".:2"):
        beside = good_seconds(bench, system, count, ["dead.test", "slow.test"])
        system.instance.postsuper("-d", "ALL", check=True, timeout=600)
    # What was being delivered returns with an error now that both destinations are gone, and is deleted then.
    system.delete_all()
    # Nothing shall be remembered as unreachable in the next run.
    system.stop()
    system.start()
    return count, beside, {"good/s alone": count / alone, "good/s beside": count / beside, "good keep %": 100 * min(1.0, alone / beside)}


# Overload with a throttled destination


def backpressure(bench, system, count):
    """More load than a throttled destination takes, for --overload-seconds; then everything must arrive."""
    bench.tools.need_ours("back-pressure")
    throttle, seconds = bench.options.throttle, bench.options.overload_seconds
    series = []
    with bench.tools.sink(bench.ports.throttled, "--rate", throttle) as sink:
        process = bench.tools.start_source(system.instance.port(), "to@throttled.test", 10**9, 20, MESSAGE_SIZE, reuse=True,
                                           more=["-A", "--duration", str(seconds), "--report-interval", "1"])
        reports = []
        begun = time.monotonic()
        for line in process.stdout:
            report = json.loads(line)
            reports.append(report)
            tree = system.instance.tree()
            memory = {}
            for pid, command in tree.items():
                memory.setdefault(command, []).append(pid)
            active = sum(len(files) for name in ("incoming", "active") for files in [[*(system.instance.queue / name).iterdir()]])
            series.append({"seconds": time.monotonic() - begun, "accepted": report["messages"], "queued": active,
                           "KiB": {command: bench.procs.pss_kib(pids) for command, pids in memory.items()}})
        if process.wait(30) != 0:
            raise RuntimeError(f"smtp-source: {process.stderr.read()[-2000:]}")
        accepted = reports[-1]["messages"]
        sink.process.send_signal(signal.SIGUSR1)  # without the limit, the rest need not take as long again
        system.wait_empty(1800)
        arrived = sink.stop()["messages"]
    if arrived < accepted:
        raise RuntimeError(f"{accepted} messages accepted, {arrived} arrived")
    half = len(series) // 2
    late = series[half:] if half else series
    accepted_late = late[-1]["accepted"] - late[0]["accepted"]
    time_late = max(1e-9, late[-1]["seconds"] - late[0]["seconds"])
    if bench.options.series:
        path = pathlib.Path(f"{bench.options.series}-{system.name.replace(' ', '-').replace('=', '')}.json")
        path.write_text(json.dumps(series) + "\n", encoding="utf-8")
    peaks = {}
    for sample in series:
        for command, kib in sample["KiB"].items():
            peaks[command] = max(peaks.get(command, 0), kib)
    return accepted, seconds, {"sink/s": throttle, "input/s first half": series[max(0, half - 1)]["accepted"] / max(1e-9, series[max(0, half - 1)]["seconds"]),
                               "input/s second half": accepted_late / time_late, "largest queue": max(sample["queued"] for sample in series),
                               "arrived less accepted": arrived - accepted,
                               **{f"{command} peak MiB": peaks[command] / 1024 for command in ("qmgr", "smtpd", "cleanup", "smtp") if command in peaks}}


HEAVY = [
    Scenario("destinations", destinations, 400, 1600, factor=2, events=False, rate=False),
    Scenario("idle", idle(False), 60, 400, factor=25, events=False, rate=False, most_runs=2, own_instances=True),
    Scenario("idle-tls", idle(True), 60, 400, factor=25, events=False, rate=False, most_runs=2, own_instances=True),
    Scenario("queue", queue, 1000, 20000, factor=1, events=False, rate=False, most_runs=2),
    Scenario("backpressure", backpressure, 1, 1, factor=1, events=False, rate=False, most_runs=1, default=False),
]
