#!/usr/bin/python3
"""Benchmark: the same scenarios against the installed Postfix and Stagepost, interleaved in one run.

Both run with their default settings, their queues on the same real disk (STAGEPOST_TEST_DIR, default /var/tmp), and log to a file.
Load comes from Postfix's smtp-source, relayed mail goes to its smtp-sink. Run as root with Debian's postfix, strace and linux-perf
packages installed; without perf the context switches are left out.

    tests/bench/bench.py --short              a few minutes
    tests/bench/bench.py --markdown           the table of docs/benchmarks.md

Scenarios
  relay        20 sessions -> MTA -> smtp-sink, until the queue is empty
  accept-N     N sessions, delivered to the discard transport; measured until the last reply to the client
  sendmail     two parallel submitters running sendmail(1), to the discard transport, until the queue is empty
  maildir      20 sessions to one virtual Maildir, until the queue is empty
  idle         memory (PSS of all processes, above an idle system) per open session
  queue        postqueue -p and -j over a large deferred queue, and the time from start to the first accepted message with it
"""

import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import procs  # noqa: E402
from support.mta import Instance, postfix_suite, stagepost_suite  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.waiting import wait_for  # noqa: E402

SIZES = {  # messages per run: (short, full)
    "relay": (600, 5000), "accept-1": (200, 2000), "accept-10": (600, 6000), "accept-100": (600, 6000), "sendmail": (100, 1000),
    "maildir": (600, 5000), "idle": (80, 400), "queue": (1000, 20000),
}
MESSAGE_SIZE = 4096
SYNC_CALLS = ("fsync", "fdatasync", "syncfs", "sync_file_range")


class System:
    """One suite with a running instance that knows all scenarios' destinations."""

    def __init__(self, suite, sink_port, process_limit):
        self.suite = suite
        self.instance = Instance(
            suite, default_transport="discard:", virtual_mailbox_domains="virtual.test", virtual_mailbox_maps="inline:{ {box@virtual.test=box/} }",
            transport_maps=f"inline:{{ {{relay.test=smtp:[127.0.0.1]:{sink_port}}} {{queue.test=wait:}} }}", defer_transports="wait",
            extra_services=["wait unix - - n - - smtp"], default_process_limit=process_limit, smtpd_recipient_limit=1000)
        self.instance.start()

    @property
    def name(self):
        return self.suite.name

    def queue_is_empty(self):
        for queue in ("maildrop", "incoming", "active"):
            with os.scandir(self.instance.queue / queue) as entries:
                if any(entry.is_file() for entry in entries):
                    return False
        return True

    def wait_empty(self):
        wait_for(self.queue_is_empty, 600, "an empty queue", self.instance.log.tail)

    def source(self, sessions, count, recipient):
        """Runs smtp-source to its end."""
        subprocess.run(["smtp-source", "-s", str(sessions), "-m", str(count), "-l", str(MESSAGE_SIZE), "-f", "from@origin.test", "-t", recipient,
                        f"inet:127.0.0.1:{self.instance.port()}"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=1800)


def submit_with_sendmail(system, count):
    message = b"Subject: bench\n\n" + b"x" * 71 + b"\n" + (b"y" * 71 + b"\n") * (MESSAGE_SIZE // 72)

    def work(share):
        for _ in range(share):
            subprocess.run([system.suite.program("sendmail"), "-f", "from@origin.test", "to@discard.test"], input=message,
                           env=system.instance.environment(), check=True, timeout=60)

    workers = [threading.Thread(target=work, args=(count // 2,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def load(system, scenario, count):
    """Puts `count` messages through; returns the seconds that count for this scenario. The queue is empty afterwards."""
    begun = time.monotonic()
    if scenario == "sendmail":
        submit_with_sendmail(system, count)
    elif scenario == "relay":
        system.source(20, count, "to@relay.test")
    elif scenario == "maildir":
        system.source(20, count, "box@virtual.test")
    else:
        system.source(int(scenario.split("-")[1]), count, "to@discard.test")
    replied = time.monotonic() - begun
    system.wait_empty()
    return replied if scenario.startswith("accept") else time.monotonic() - begun


def measure_throughput(system, scenario, count):
    """Messages/s and CPU ms per message of the whole system (for sendmail also of the commands)."""
    load(system, scenario, max(20, count // 20))  # processes started, caches warm
    children_before = resource.getrusage(resource.RUSAGE_CHILDREN)
    before = procs.cpu_seconds(system.instance.tree())
    seconds = load(system, scenario, count)
    cpu = procs.cpu_seconds(system.instance.tree()) - before
    if scenario == "sendmail":
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu += children.ru_utime + children.ru_stime - children_before.ru_utime - children_before.ru_stime
    clear_maildir(system)
    return {"messages/s": count / seconds, "CPU ms/msg": cpu * 1000 / count}


def clear_maildir(system):
    shutil.rmtree(system.instance.vmail / "box", ignore_errors=True)


def pid_arguments(system):
    return [argument for pid in system.instance.tree() for argument in ("-p", str(pid))]


def measure_calls(system, scenario, count):
    """Context switches and syncs per message, in short runs of their own because tracing slows things down."""
    result = {}
    if shutil.which("perf"):
        pids = ",".join(map(str, system.instance.tree()))
        tracer = subprocess.Popen(["perf", "stat", "-x", ",", "-e", "context-switches", "-p", pids], stderr=subprocess.PIPE, text=True)
        time.sleep(0.3)  # perf has no way to say that it is attached
        load(system, scenario, count)
        tracer.send_signal(2)
        output = tracer.communicate(timeout=30)[1]
        found = re.search(r"^(\d+)(?:\.\d+)?,[^,]*,context-switches", output, re.M)
        if found:
            result["switches/msg"] = int(found[1]) / count
    if shutil.which("strace") and scenario != "sendmail":
        with tempfile.NamedTemporaryFile("r") as report:
            tracer = subprocess.Popen(["strace", "-f", "-c", "-qq", "-e", "trace=" + ",".join(SYNC_CALLS), "-o", report.name, *pid_arguments(system)],
                                      stderr=subprocess.DEVNULL)
            wait_for(lambda: all(traced(pid) for pid in system.instance.tree()), 20, "strace to attach")
            load(system, scenario, count)
            tracer.terminate()
            tracer.wait(30)
            text = report.read()
        calls = sum(int(line.split()[3]) for line in text.splitlines() if line.split() and line.split()[-1] in SYNC_CALLS)
        result["syncs/msg"] = calls / count
    clear_maildir(system)
    return result


def traced(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in file)
    except FileNotFoundError:
        return True


def measure_idle(system, count):
    """PSS per open session that has said EHLO and waits."""
    with system.instance.smtp() as client:
        client.ehlo()
        client.quit()
    before = procs.pss_kib(system.instance.tree())
    clients = []
    try:
        for _ in range(count):
            clients.append(system.instance.smtp(timeout=60))
            clients[-1].ehlo()
        after = procs.pss_kib(system.instance.tree())
    finally:
        for client in clients:
            client.close()
    return {"KiB/session": (after - before) / count}


def measure_queue(system, count):
    """Listing and restart with a large deferred queue."""
    system.source(10, count, "to@queue.test")
    instance = system.instance
    wait_for(lambda: len(instance.queue_files("deferred")) >= count, 600, "the deferred queue", instance.log.tail)
    result = {}
    for option in ("-p", "-j"):
        begun = time.monotonic()
        with open(os.devnull, "wb") as sink:
            subprocess.run([system.suite.program("postqueue"), option], stdout=sink, env=instance.environment(), check=True, timeout=600)
        result[f"postqueue {option} s"] = time.monotonic() - begun
    instance.stop()
    begun = time.monotonic()
    instance.start()
    instance.submit("to@discard.test")
    result["start s"] = time.monotonic() - begun
    instance.postsuper("-d", "ALL", check=True, timeout=600)
    return result


def measure(system, scenario, count):
    if scenario == "idle":
        return measure_idle(system, count)
    if scenario == "queue":
        return measure_queue(system, count)
    return measure_throughput(system, scenario, count)


# Which direction is better, for the ratio: above 1 means that Stagepost is better.
HIGHER_IS_BETTER = {"messages/s"}


def ratio(metric, stagepost, postfix):
    if not stagepost or not postfix:
        return None
    return stagepost / postfix if metric in HIGHER_IS_BETTER else postfix / stagepost


def number(value):
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def rows(results, names):
    for scenario, metrics in results.items():
        for metric, values in metrics.items():
            medians = {name: statistics.median(values[name]) if values.get(name) else None for name in names}
            row = [scenario, metric] + [number(medians[name]) for name in names]
            if len(names) == 2:
                row.append(number(ratio(metric, medians["stagepost"], medians["postfix"])))
            yield row


def print_table(results, names, markdown):
    head = ["scenario", "metric", *names] + (["ratio"] if len(names) == 2 else [])
    table = [head, *rows(results, names)]
    if markdown:
        table.insert(1, ["---", "---"] + ["--:"] * (len(head) - 2))
        for row in table:
            print("| " + " | ".join(row) + " |")
        return
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for row in table:
        print("  ".join(cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))).rstrip())


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--short", action="store_true", help="small runs, one repetition")
    parser.add_argument("--runs", type=int, help="repetitions; medians are reported (default 3, with --short 1)")
    parser.add_argument("--only", choices=["postfix", "stagepost"], help="measure one system")
    parser.add_argument("--scenario", action="append", choices=list(SIZES), help="only these (may be repeated)")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument("--json", metavar="FILE", help="also write all single results")
    return parser.parse_args()


def run(options, systems):
    """{scenario: {metric: {system: [values]}}}; the systems take turns in every repetition."""
    results = {}
    scenarios = options.scenario or list(SIZES)
    for scenario in scenarios:
        count = SIZES[scenario][0 if options.short else 1]
        for turn in range(options.runs or (1 if options.short else 3)):
            for system in systems if turn % 2 == 0 else systems[::-1]:
                print(f"{scenario}, run {turn + 1}, {system.name} ...", file=sys.stderr)
                for metric, value in measure(system, scenario, count).items():
                    results.setdefault(scenario, {}).setdefault(metric, {}).setdefault(system.name, []).append(value)
        if scenario not in ("idle", "queue"):
            for system in systems:
                for metric, value in measure_calls(system, scenario, min(count, 200)).items():
                    results[scenario].setdefault(metric, {}).setdefault(system.name, []).append(value)
    return results


def main():
    options = arguments()
    if os.geteuid() != 0:
        raise SystemExit("bench.py needs root: Postfix does not run without it")
    suites = [suite for suite in (postfix_suite(), stagepost_suite()) if options.only in (None, suite.name)]
    for suite in suites:
        if suite.missing():
            raise SystemExit(suite.missing() + f" (--only {'postfix' if suite.name == 'stagepost' else 'stagepost'} measures the other)")
    sink_port = free_port()
    sink = subprocess.Popen(["smtp-sink", "-u", "nobody", f"inet:127.0.0.1:{sink_port}", "1024"], stdout=subprocess.DEVNULL)
    systems = []
    try:
        for suite in suites:
            systems.append(System(suite, sink_port, SIZES["idle"][1] + 100))
        begun = time.monotonic()
        results = run(options, systems)
        names = [system.name for system in systems]
        version = subprocess.run(["postconf", "-dh", "mail_version"], capture_output=True, text=True, check=False).stdout.strip()
        print(f"{os.cpu_count()} CPUs, Linux {os.uname().release}, Postfix {version}, {MESSAGE_SIZE} byte messages, "
              f"{time.monotonic() - begun:.0f} s in all; ratio above 1: Stagepost is better\n")
        print_table(results, names, options.markdown)
        if options.json:
            pathlib.Path(options.json).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    finally:
        for system in systems:
            system.instance.close()
        sink.terminate()
        sink.wait(10)


if __name__ == "__main__":
    main()
