"""Power cuts: what may be on the disk after a cut at any point of a recorded run, and what recovery makes of it.

strace records a short run under load: SMTP sessions, sendmail, deliveries, deferrals, held and deleted messages, a stop. From the record
power_cut_states builds disk states (tests/README.md says by which rules), runs the real recovery on each and checks that every message
that was acknowledged before the cut is there and intact, that none comes twice beyond the window of docs/journal.md, and that the
recovery never fails.

STAGEPOST_POWER_CUTS      number of states for each mode (default 1000; the long run of a release uses at least 50000)
STAGEPOST_POWER_CUT_SEED  seed of the run and of the states (printed)
"""

import os
import pathlib
import random
import re
import shutil
import subprocess
import tempfile
import threading

import pytest

from support.disk_trace import Events, Recorder, parse
from support.mta import SOURCE, Instance
from support.sink import Sink
from support.waiting import SCALE, wait_for

STATES = int(os.environ.get("STAGEPOST_POWER_CUTS", "1000"))
SEED = int(os.environ.get("STAGEPOST_POWER_CUT_SEED", str(random.SystemRandom().randrange(1 << 32))))
SESSIONS, PER_SESSION, SENDMAILS = 5, 9, 4
TOOL = pathlib.Path(os.environ.get("STAGEPOST_BUILD", SOURCE / "build" / "dev")) / "crash" / "power_cut_states"


class Shell:
    """A shell whose children are traced too, and whose output is part of the trace."""

    def __init__(self, mta):
        self.process = subprocess.Popen(["/bin/sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        env={**mta.environment(), "PATH": f"{mta.suite.command_directory}:{os.environ['PATH']}"}, text=True)

    def run(self, command):
        """Runs one command; fails unless it exits with 0."""
        self.process.stdin.write(f"{command}\necho DONE $?\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("DONE "):
                assert line == "DONE 0\n", (command, lines)
                return
        raise AssertionError((command, lines))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(20)


def content(token, generator):
    size = generator.choice([10, 300, 1500, 3000, 5000, 20000, 90000])
    lines = bytes(generator.randrange(97, 123) for _ in range(size))
    return b"X-Token: " + token.encode() + b".\r\n\r\n" + b"\r\n".join(lines[i:i + 70] for i in range(0, size, 70)) + b"\r\n"


def session(port, number, replies, errors):
    """One client; `replies` gets the queue ID of each token."""
    from support.smtp_client import RawSmtp
    generator = random.Random(SEED + number)
    try:
        with RawSmtp(port, timeout=60 * SCALE) as client:
            client.ehlo()
            for n in range(PER_SESSION):
                token = f"t{number}x{n}"
                recipients = generator.choice([["a@remote.test"], ["later@remote.test"], ["b@remote.test", "later@remote.test", "c@remote.test"]])
                reply = client.transaction("s@example.test", recipients, content(token, generator))
                assert reply.code == 250, reply
                replies.append((re.search(r"queued as (\w+)", str(reply))[1], token))
            client.send("QUIT\r\n")
    except Exception as error:  # pylint: disable=broad-except
        errors.append(error)


def record(suite, journal, directory):
    """A recorded run; returns its events."""
    replies, errors = [], []
    with Sink() as sink, Instance(suite, relayhost=sink.nexthop, minimal_backoff_time="300s", queue_run_delay="300s", queue_journal=journal,
                                  smtpd_error_sleep_time="0", in_flow_delay="0", enable_long_queue_ids="yes") as mta:
        sink.on("RCPT", "451 4.2.0 later", match="later")
        shell = Shell(mta)
        recorder = None
        try:
            recorder = Recorder(mta, directory / "trace", [shell.process.pid])
            clients = [threading.Thread(target=session, args=(mta.port(), n, replies, errors)) for n in range(SESSIONS)]
            for client in clients:
                client.start()
            generator = random.Random(SEED)
            for n in range(SENDMAILS):
                (directory / "mail").write_bytes(content(f"m{n}x0", generator).replace(b"\r\n", b"\n"))
                shell.run(f"sendmail -i -f s@example.test a@remote.test < {directory / 'mail'} && echo ACCEPTED m{n}x0.")
            for client in clients:
                client.join(120 * SCALE)
            assert not errors, errors
            wait_for(lambda: not mta.queue_files("maildrop", "incoming", "active"), 60, "the first attempts", mta.log.tail)
            left = sorted(mta.queue_files("deferred"))
            assert len(left) > 4, "nothing is deferred"
            shell.run(f"postsuper -h {left[0]} && postsuper -d {left[1]} && postsuper -r {left[2]}")
            shell.run("postfix stop")
            wait_for(lambda: not mta.master_pid(), 30, "the end", mta.log.tail)
        finally:
            shell.close()
            if recorder:
                recorder.stop()
        tokens = dict(replies)

        def acknowledged(data):
            found = re.match(rb"250 2\.0\.0 Ok: (?:\d+ bytes )?queued as (\w+)\r\n", data)
            if found:
                return tokens[found[1].decode()]
            found = re.match(rb"ACCEPTED (\w+)\.\n", data)
            return found[1].decode() if found else None

        events = Events(mta.queue, acknowledged)
        for call in parse(directory / "trace"):
            events.add(call)
        events.check()
        return events


def states(log, *options):
    return subprocess.run([TOOL, "--log", str(log), "--seed", str(SEED), *options], capture_output=True, text=True, timeout=3600, check=False)


@pytest.fixture(scope="module", params=["yes", "no"], ids=["journal", "sync-each-file"])
def run(request, suite, tmp_path_factory):
    if suite.is_postfix:
        pytest.skip("about our own queue")
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    directory = tmp_path_factory.mktemp("run")
    events = record(suite, request.param, directory)
    os.unlink(directory / "trace")
    (directory / "log").write_bytes(b"".join(events.log))
    return {"log": directory / "log", "events": events, "journal": request.param}


def test_every_acknowledged_message_survives(run, capsys):
    expected = SESSIONS * PER_SESSION + SENDMAILS
    assert run["events"].count["K"] == expected, "an acknowledgement is missing in the trace"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        done = states(run["log"], "--states", str(STATES), "--scratch", scratch)
    with capsys.disabled():
        print(f"\npower cuts, journal {run['journal']}: seed {SEED}, {dict(sorted(run['events'].count.items()))}\n{done.stdout}", end="")
    assert done.returncode == 0, f"seed {SEED}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"


def test_the_check_finds_a_missing_sync(run):
    """The check must be able to fail: as if the syncs had not been made."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        done = states(run["log"], "--states", "200", "--scratch", scratch, "--without-syncs")
    assert done.returncode == 1, done.stdout + done.stderr
    assert " 0 lost" not in done.stdout, done.stdout


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-s"]))
