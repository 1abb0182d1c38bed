"""The scenarios with steady load: relay, acceptance, mailbox delivery, TLS, many recipients, submission, latency.

A scenario's run(bench, system, count) puts `count` messages through and returns (units, seconds, {metric: value}): what the costs are divided by,
the time that counts, and what else it measured. The queue is empty afterwards.
"""

import dataclasses
import os
import subprocess
import time
from collections.abc import Callable

from load import sendmail_loop
from systems import MESSAGE_SIZE


@dataclasses.dataclass
class Scenario:
    """`short` and `full`: messages per run for Postfix; ours gets `factor` times as many, so that runs last about as long."""
    name: str
    run: Callable
    short: int
    full: int
    factor: float = 3
    unit: str = "msg"           # what the costs are counted per
    variants: bool = False      # also measured on the variants of ours
    events: bool = True         # system calls and switches are counted in a pass of its own
    event_count: int = 200
    most_runs: int = 99
    own_instances: bool = False  # run() makes instances of its own, the shared ones are stopped meanwhile
    default: bool = True        # part of a run without --scenario
    rate: bool = True           # messages/s is a result


def relay(reuse):
    def run(bench, system, count):
        with bench.tools.sink(bench.ports.relay):
            begun = time.monotonic()
            bench.tools.source(system.instance.port(), "to@relay.test", count, 20, MESSAGE_SIZE, reuse=reuse)
            system.wait_empty()
            return count, time.monotonic() - begun, {}
    return run


def accept(sessions):
    def run(bench, system, count):
        begun = time.monotonic()
        bench.tools.source(system.instance.port(), "to@discard.test", count, sessions, MESSAGE_SIZE)
        replied = time.monotonic() - begun
        system.wait_empty()
        return count, replied, {}
    return run


def maildir(bench, system, count):
    begun = time.monotonic()
    bench.tools.source(system.instance.port(), "box@virtual.test", count, 20, MESSAGE_SIZE)
    system.wait_empty()
    seconds = time.monotonic() - begun
    system.clear_maildir()
    return count, seconds, {}


def starttls(bench, system, count):
    bench.tools.need_ours("STARTTLS")
    begun = time.monotonic()
    report = bench.tools.source(system.instance.port("tls"), "to@discard.test", count, 10, MESSAGE_SIZE, starttls=True)
    replied = time.monotonic() - begun
    system.wait_empty()
    # A stall of small records and delayed acknowledgements shows as 40 ms here.
    return count, replied, {"reply p50 ms": report["reply_us"]["p50"] / 1000, "reply p99 ms": report["reply_us"]["p99"] / 1000}


RECIPIENTS = 1000


def recipients(bench, system, count):
    with bench.tools.sink(bench.ports.relay):
        begun = time.monotonic()
        bench.tools.source(system.instance.port(), "to@relay.test", count, 2, MESSAGE_SIZE, recipients=RECIPIENTS)
        system.wait_empty()
        return count * RECIPIENTS, time.monotonic() - begun, {}


def message_file(system):
    path = system.directory / "submitted"
    path.write_text("Subject: bench\n\n" + ("y" * 71 + "\n") * (MESSAGE_SIZE // 72), encoding="ascii")
    return path


def sendmail_running(bench, system, count):
    seconds = sendmail_loop(system, count, message_file(system))
    system.wait_empty()
    return count, seconds, {"ms each": seconds * 1000 / count}


def start_up_cpu(system, count=8):
    """CPU ms that sendmail and postdrop need until they find out that they have nothing to do; the least of some runs of each."""
    total = 0
    for program in ("sendmail", "postdrop"):
        # Side by side, because Postfix's programs sleep for a second after an error.
        running = [subprocess.Popen([system.suite.program(program)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                    env=system.instance.environment()) for _ in range(count)]
        used = []
        for process in running:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            used.append(usage.ru_utime + usage.ru_stime)
        total += min(used)
    return total * 1000


def sendmail_stopped(bench, system, count):
    system.stop()
    try:
        cpu = system.cpu_seconds()
        seconds = sendmail_loop(system, count, message_file(system))
        cpu = system.cpu_seconds() - cpu  # without the stopping and starting
        start_up = start_up_cpu(system)
        # Postfix's postsuper deletes, and then cannot log it to a file of root's while no postlogd runs: its status says nothing.
        system.instance.postsuper("-d", "ALL", timeout=600)
        if not system.queue_is_empty():
            raise RuntimeError("postsuper -d ALL left messages in maildrop")
    finally:
        system.start()
    return count, seconds, {"ms each": seconds * 1000 / count, "CPU ms/msg": cpu * 1000 / count, "start-up CPU ms": start_up}


RATE = 50


def latency(bench, system, count):
    bench.tools.need_ours("latency")
    with bench.tools.sink(bench.ports.latency, "--latency") as sink:
        report = bench.tools.source(system.instance.port(), "to@latency.test", count, 20, MESSAGE_SIZE, rate=RATE, stamp=True)
        system.wait_empty()
        arrived = sink.stop()
    if arrived["messages"] < count or arrived["latency_us"]["count"] < count:
        raise RuntimeError(f"{arrived['messages']} of {count} messages arrived, {arrived['latency_us']['count']} with a time")
    metrics = {}
    for name, times in (("reply", report["reply_us"]), ("sink", arrived["latency_us"])):
        metrics |= {f"{name} p50 ms": times["p50"] / 1000, f"{name} p99 ms": times["p99"] / 1000}
    return count, count / RATE, metrics


STEADY = [
    Scenario("relay", relay(False), 500, 1600, variants=True),
    Scenario("relay-reuse", relay(True), 500, 1600),
    Scenario("accept-1", accept(1), 300, 1000),
    Scenario("accept-10", accept(10), 500, 1600, factor=4, variants=True),
    Scenario("accept-100", accept(100), 500, 1800, factor=4, variants=True),
    Scenario("maildir", maildir, 400, 1500, factor=2),
    Scenario("starttls", starttls, 200, 800),
    Scenario("recipients", recipients, 4, 20, unit="rcpt", event_count=2),
    Scenario("sendmail-running", sendmail_running, 100, 500, factor=1, event_count=50, rate=False),
    Scenario("sendmail-stopped", sendmail_stopped, 100, 500, factor=1, events=False, rate=False, most_runs=3),
    Scenario("latency", latency, 250, 1000, factor=1, events=False, most_runs=3, rate=False),
]
