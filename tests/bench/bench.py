#!/usr/bin/python3
"""Benchmark: the same scenarios against the installed Postfix and Stagepost, interleaved in one run.

Both run with their default settings, their queues on the same real disk (STAGEPOST_TEST_DIR, default /var/tmp), and log to a file. Load comes
from Stagepost's smtp-source and goes to its smtp-sink, for both. Run as root with Debian's postfix and linux-perf installed, on a machine that
does nothing else, with an optimised build (STAGEPOST_BUILD=build/release).

    tests/bench/bench.py                      everything, five repetitions: about 20 minutes
    tests/bench/bench.py --short              small runs, one repetition: about 4 minutes
    tests/bench/bench.py --markdown           the table of docs/benchmarks.md
    tests/bench/bench.py --plot docs/benchmarks    how cost grows, as SVG files
    tests/bench/bench.py --scenario backpressure   ten minutes of overload

Scenarios
  relay, relay-reuse     20 sessions -> MTA -> smtp-sink, one or several messages per session, until the queue is empty
  accept-N               N sessions, delivered to the discard transport; until the last reply to the client
  maildir                20 sessions to one virtual Maildir, until the queue is empty
  starttls               10 sessions, STARTTLS and one message in each; until the last reply
  recipients             messages with 1,000 recipients to a fast sink, until the queue is empty
  sendmail-running, sendmail-stopped    one submission after the other while the mail system runs, or does not
  latency                50 messages a second: end of data to reply, and to the sink
  destinations           the rate of good destinations beside a dead and a slow one, against that with all well
  idle, idle-tls         sessions that have said EHLO and wait: time to open, memory, greeting of another one meanwhile
  queue                  many deferred messages: list, restart, delete (--queue-size 1000000 --only stagepost)
  backpressure           (not by default) more than a throttled destination takes: input rate, memory, nothing lost
  disk                   grouped fdatasync rate of the disk, and the share of it that accept-N reaches
  load                   the load tools without a mail system, source to sink: what no mail system on this machine can surpass
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import costs  # noqa: E402
import plot  # noqa: E402
from heavy import HEAVY  # noqa: E402
from load import Tools, Unavailable  # noqa: E402
from results import DISK, FOREIGN_LIMIT, LOAD, POSTFIX, STAGEPOST, Results  # noqa: E402
from scenarios import STEADY  # noqa: E402
from support import procs  # noqa: E402
from support.mta import postfix_suite, stagepost_suite  # noqa: E402
from support.ports import free_port  # noqa: E402
from systems import MESSAGE_SIZE, Ports, System, knows_parameter  # noqa: E402

SCENARIOS = {scenario.name: scenario for scenario in STEADY + HEAVY}
DISK_WRITERS = (1, 10, 100)
LOAD_SESSIONS = (1, 10, 20, 100)
# A record of the journal: the message and some of its envelope.
DISK_RECORD = MESSAGE_SIZE + 900


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--short", action="store_true", help="small runs, one repetition")
    parser.add_argument("--runs", type=int, help="repetitions; medians are reported (default 5, with --short 1)")
    parser.add_argument("--only", choices=[POSTFIX, STAGEPOST], help="measure one system")
    parser.add_argument("--scenario", action="append", choices=[*SCENARIOS, DISK, LOAD], help="only these (may be repeated)")
    parser.add_argument("--no-variants", action="store_true", help="leave out Stagepost's other modes")
    parser.add_argument("--load-tools", choices=[STAGEPOST, POSTFIX], default=STAGEPOST, help="whose smtp-source and smtp-sink")
    parser.add_argument("--scale", type=float, default=1, help="multiply the sizes of all runs, to try things out")
    parser.add_argument("--queue-size", type=int, help="messages of the scenario queue")
    parser.add_argument("--idle-sessions", type=int, help="sessions of idle and idle-tls, for both systems")
    parser.add_argument("--overload-seconds", type=float, default=600, help="length of backpressure (default 600)")
    parser.add_argument("--throttle", type=float, default=100, help="messages a second that backpressure's sink takes (default 100)")
    parser.add_argument("--series", metavar="PREFIX", help="write backpressure's samples to PREFIX-SYSTEM.json")
    parser.add_argument("--plot", metavar="DIRECTORY", help="instead of the scenarios: measure how cost grows, write SVG files")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument("--json", metavar="FILE", help="also write all single results")
    parser.add_argument("--record", metavar="FILE", help="write the ratios for --check")
    parser.add_argument("--check", metavar="FILE", help="fail when a ratio is 20 %% below the recorded one")
    return parser.parse_args()


class Bench:
    """One run: its systems, tools and results."""

    procs = procs

    def __init__(self, options):
        self.options = options
        self.tools_cgroup = costs.Cgroup("tools")
        self.tools_cgroup.join()
        self.tools = Tools(options.load_tools, self.tools_cgroup)
        self.ports = Ports(free_port)
        self.results = Results()
        self.systems = []
        self.events = False
        self.begun = time.monotonic()
        self.variants = {}
        self.failed = False

    # systems
    def suites(self):
        found = [suite for suite in (postfix_suite(), stagepost_suite()) if self.options.only in (None, suite.name)]
        for suite in found:
            if suite.missing():
                raise SystemExit(f"{suite.missing()} (--only {'postfix' if suite.name == STAGEPOST else 'stagepost'} measures the other)")
        return found

    def variant_settings(self, suite):
        """Other modes of Stagepost: name and main.cf settings."""
        if self.options.no_variants or suite.is_postfix:
            return {}
        settings = {}
        journal = knows_parameter(suite, "queue_journal")
        if journal is None:
            self.note("this build does not know queue_journal: not measured apart")
        else:
            other = "no" if journal == "yes" else "yes"
            settings[f"queue_journal={other}"] = {"queue_journal": other}
        if knows_parameter(suite, "process_session_limit"):
            settings["process_session_limit=1"] = {"process_session_limit": "1"}
        return settings

    def make_systems(self, scenarios):
        for suite in self.suites():
            self.systems.append(System(suite.name, suite, self.ports))
            if any(scenario.variants for scenario in scenarios):
                for name, main in self.variant_settings(suite).items():
                    self.variants[name] = main
                    self.systems.append(System(name, suite, self.ports, main=main))
        for system in self.systems:
            system.start()
        self.events = bool(self.systems and self.systems[0].cgroup) and costs.events_available()
        if not self.events:
            self.note("no cgroup or no perf with tracepoints: switches, system calls and syncs are not counted")

    def variant_main(self, system):
        return self.variants.get(system.name, {})

    def note(self, text):
        if text not in self.results.notes:
            self.results.notes.append(text)
            self.say(text)

    def say(self, text):
        print(f"[{time.monotonic() - self.begun:5.0f} s] {text}", file=sys.stderr, flush=True)

    # measuring
    def count(self, scenario, system):
        options = self.options
        if scenario.name == "queue" and options.queue_size:
            return options.queue_size
        if scenario.name.startswith("idle") and options.idle_sessions:
            return options.idle_sessions
        size = scenario.short if options.short else scenario.full
        factor = 1 if system.suite.is_postfix else scenario.factor
        return max(4, int(size * factor * options.scale))

    def measure(self, scenario, system, count, timed=True):
        """One repetition: its metrics, and the share of the machine that others used."""
        os.sync()  # nobody pays for what another left
        watch = costs.Foreign([self.tools_cgroup, *(each.cgroup for each in self.systems)]) if not scenario.own_instances else None
        cpu = system.cpu_seconds()
        flushes = costs.disk_flushes(system.directory)
        units, seconds, metrics = scenario.run(self, system, count)
        cpu = system.cpu_seconds() - cpu
        if scenario.rate and timed:
            metrics = {("recipients/s" if scenario.unit == "rcpt" else "messages/s"): units / seconds, **metrics}
        if not scenario.own_instances and scenario.name not in ("queue", "destinations", "backpressure"):
            metrics.setdefault(f"CPU ms/{scenario.unit}", cpu * 1000 / units)
            if flushes is not None and scenario.events:
                metrics[f"disk flushes/{scenario.unit}"] = (costs.disk_flushes(system.directory) - flushes) / units
        return metrics, watch.share() if watch else None

    def count_events(self, scenario, system):
        counter = costs.EventCount(system.cgroup)
        counter.start()
        try:
            units, _, _ = scenario.run(self, system, scenario.event_count)
        finally:
            counts = counter.stop()
        self.results.add(scenario.name, system.name, {f"{name}/{scenario.unit}": value / units for name, value in counts.items()})

    def run_scenario(self, scenario):
        systems = [system for system in self.systems if system.name in (POSTFIX, STAGEPOST) or scenario.variants]
        runs = min(scenario.most_runs, self.options.runs or (1 if self.options.short else 5))
        if scenario.own_instances:
            for system in self.systems:
                system.stop()
        try:
            if scenario.events:
                for system in systems:
                    self.say(f"{scenario.name}, {system.name}: warming up, counting")
                    if self.events:
                        self.count_events(scenario, system)
                    else:
                        scenario.run(self, system, scenario.event_count)
            spare = 2 if runs > 1 else 0
            done = 0
            while done < runs:
                disturbed = False
                for system in systems if done % 2 == 0 else systems[::-1]:
                    metrics, foreign = self.measure(scenario, system, self.count(scenario, system))
                    self.results.add(scenario.name, system.name, metrics, foreign)
                    disturbed = disturbed or (foreign or 0) > FOREIGN_LIMIT
                    others = f", others used {foreign:.0%} of the machine" if foreign is not None else ""
                    self.say(f"{scenario.name}, {system.name}: " + ", ".join(f"{key} {value:.4g}" for key, value in metrics.items()) + others)
                if disturbed and spare:
                    spare -= 1
                else:
                    done += 1
        except Unavailable as reason:
            self.note(f"{scenario.name} left out: {reason}")
        except Exception as error:  # pylint: disable=broad-except
            # The other scenarios' results are worth having, and the exit status tells.
            self.failed = True
            self.say(traceback.format_exc())
            self.note(f"{scenario.name} FAILED: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            self.recover()
        finally:
            for system in self.systems:
                if not system.instance.master_pid():
                    system.start()

    def recover(self):
        """After a failure: systems that run and have no mail."""
        for system in self.systems:
            if not system.instance.master_pid():
                system.start()
            system.delete_all()
            system.clear_maildir()

    def run_disk(self):
        """The disk's grouped-commit rates, and what share of them acceptance reached in this run."""
        program = pathlib.Path(os.environ.get("STAGEPOST_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build/dev")) / "bench/grouped_sync"
        if not program.exists():
            self.note(f"disk left out: {program} is not built (target grouped_sync)")
            return
        directory = os.environ.get("STAGEPOST_TEST_DIR", "/var/tmp")
        for _ in range(1 if self.options.short else self.options.runs or 5):
            for writers in DISK_WRITERS:
                with tempfile.TemporaryDirectory(prefix="sp-disk-", dir=directory) as scratch:
                    done = subprocess.run([program, f"{scratch}/log", str(writers), "0.5" if self.options.short else "1", str(DISK_RECORD)],
                                          capture_output=True, text=True, check=True)
                self.results.add(DISK, DISK, {f"{writers} writers, commits/s": json.loads(done.stdout)["per_second"]})
        for writers in DISK_WRITERS:
            rate = self.results.median(DISK, f"{writers} writers, commits/s", DISK)
            for system in self.results.systems():
                reached = self.results.median(f"accept-{writers}", "messages/s", system)
                if rate and reached:
                    self.results.add(f"accept-{writers}", system, {"disk share %": 100 * reached / rate})

    def run_load(self):
        """The rate of smtp-source against smtp-sink, and what both cost together."""
        port = free_port()
        for _ in range(1 if self.options.short else self.options.runs or 5):
            for sessions in LOAD_SESSIONS:
                count = 500 if self.options.short else 4000
                with self.tools.sink(port):
                    cpu = self.tools_cgroup.cpu_seconds() if self.tools_cgroup else 0
                    seconds = self.tools.source(port, "to@sink.test", count, sessions, MESSAGE_SIZE)["seconds"]
                    metrics = {f"{sessions} sessions, messages/s": count / seconds}
                    if self.tools_cgroup:
                        metrics[f"{sessions} sessions, CPU ms/msg"] = (self.tools_cgroup.cpu_seconds() - cpu) * 1000 / count
                self.results.add(LOAD, LOAD, metrics)

    def run(self):
        wanted = self.options.scenario or [*(name for name, scenario in SCENARIOS.items() if scenario.default), DISK, LOAD]
        scenarios = [SCENARIOS[name] for name in wanted if name not in (DISK, LOAD)]
        if scenarios:
            self.make_systems(scenarios)
        for scenario in scenarios:
            self.run_scenario(scenario)
        if DISK in wanted:
            self.run_disk()
        if LOAD in wanted:
            self.run_load()

    def close(self):
        for system in self.systems:
            system.close()
        self.tools_cgroup.remove()

    # reporting
    def about(self):
        version = subprocess.run(["postconf", "-dh", "mail_version"], capture_output=True, text=True, check=False).stdout.strip()
        where = os.environ.get("STAGEPOST_TEST_DIR", "/var/tmp")
        return (f"{os.cpu_count()} CPUs, Linux {os.uname().release}, Postfix {version}, {MESSAGE_SIZE} byte messages, queues on "
                f"{costs.filesystem(os.path.realpath(where))}, load by {self.options.load_tools}'s tools, "
                f"{time.monotonic() - self.begun:.0f} s in all")

    def report(self):
        print(f"{self.about()}; ratio above 1: Stagepost is better\n")
        print(self.results.table(self.options.markdown))
        for line in [*self.results.disk_lines(), *self.results.load_lines(), *self.results.notes, *self.results.disturbed()]:
            print(f"\n{line}")
        if self.options.json:
            pathlib.Path(self.options.json).write_text(self.results.to_json(), encoding="utf-8")
        if self.options.record:
            self.results.record(self.options.record, self.about())
        if self.options.check:
            failed = self.results.check(self.options.check)
            for line in failed:
                print(f"worse than recorded: {line}", file=sys.stderr)
            return 1 if failed or self.failed else 0
        return 1 if self.failed else 0


def main():
    options = arguments()
    if os.geteuid() != 0:
        raise SystemExit("bench.py needs root: Postfix does not run without it")
    # So that what was started also ends when the run is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    bench = Bench(options)
    try:
        if options.plot:
            plot.run(bench, pathlib.Path(options.plot))
            return 0
        bench.run()
        return bench.report()
    finally:
        bench.close()


if __name__ == "__main__":
    sys.exit(main())
