"""Crash test: under load from 20 SMTP sessions and sendmail, random processes, master, or everything at once get kill -9.

Afterwards the system is started again and drained. Every message that got 250 (or exit 0 from sendmail) must have arrived or have
been bounced. Duplicates are allowed and counted: a delivery whose record was lost with its process is repeated.

STAGEPOST_CRASH_KILLS   number of kills, half of them with the journal and half without (default 60, about a minute and a half; the long
                        run of a release uses at least 200)
STAGEPOST_CRASH_SEED    seed of the choice of victims and pauses (printed)
"""

import collections
import os
import random
import re
import subprocess
import threading
import time

import pytest

from support import procs
from support.mta import Instance
from support.sink import Sink
from support.smtp_client import Disconnected, RawSmtp
from support.waiting import SCALE, wait_for

KILLS = int(os.environ.get("STAGEPOST_CRASH_KILLS", "60"))
SEED = int(os.environ.get("STAGEPOST_CRASH_SEED", str(random.SystemRandom().randrange(1 << 32))))
SESSIONS, SENDMAILS = 20, 2
# Messages per second over all clients: enough that every process is busy when it dies, little enough to drain in time.
RATE = float(os.environ.get("STAGEPOST_CRASH_RATE", "80"))


class Ledger:
    """What was acknowledged. A token stands for one message to one recipient."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acknowledged = {}   # token -> how it was submitted
        self.attempts = 0

    def attempt(self):
        with self.lock:
            self.attempts += 1
            return f"{self.attempts:06d}"

    def acknowledge(self, tokens, how):
        with self.lock:
            self.acknowledged.update(dict.fromkeys(tokens, how))


def recipients_of(number, generator):
    """The recipients of one message as {token: address}: relay, Maildir, a rejected one (must bounce), or several."""
    kinds = generator.choice([["r"], ["r"], ["m"], ["m"], ["x"], ["r", "m"], ["r", "m", "x"]])
    domain = {"r": "remote.test", "m": "virtual.test", "x": "remote.test"}
    prefix = {"r": "ok", "m": "box", "x": "reject"}
    return {f"{kind}{number}": f"{prefix[kind]}+{kind}{number}@{domain[kind]}" for kind in kinds}


def content(number, generator):
    size = generator.choice([100, 1000, 5000, 40000])
    return (f"Subject: crash {number}\r\nX-Number: {number}\r\n\r\n" + "x" * 70 + "\r\n" * 1).encode() + (b"y" * 70 + b"\r\n") * (size // 72)


def smtp_worker(port, ledger, stopped, seed):
    """One client: sends, and remembers what was acknowledged; anything else it forgets, as a client that tries later."""
    generator = random.Random(seed)
    pause = (SESSIONS + SENDMAILS) / RATE
    while not stopped.is_set():
        try:
            with RawSmtp(port, timeout=20) as client:
                client.ehlo()
                for _ in range(generator.randrange(1, 6)):
                    number = ledger.attempt()
                    recipients = recipients_of(number, generator)
                    reply = client.transaction(f"back+{number}@remote.test", list(recipients.values()), content(number, generator))
                    if reply.code == 250:
                        ledger.acknowledge(recipients, "smtp")
                    if stopped.wait(pause * generator.uniform(0.5, 1.5)):
                        break
                client.send("QUIT\r\n")
        except (OSError, Disconnected, AssertionError):
            stopped.wait(0.05)


def sendmail_worker(mta, ledger, stopped, seed):
    generator = random.Random(seed)
    while not stopped.is_set():
        number = ledger.attempt()
        recipients = recipients_of(number, generator)
        try:
            done = mta.sendmail("-i", "-f", f"back+{number}@remote.test", *recipients.values(), message=content(number, generator).decode())
        except (subprocess.TimeoutExpired, OSError):
            continue
        if done.returncode == 0:
            ledger.acknowledge(recipients, "sendmail")
        stopped.wait((SESSIONS + SENDMAILS) / RATE * generator.uniform(0.5, 1.5))


def start_again(mta):
    """Starts after a crash; what is left of the old system may need a moment to go."""
    complaints = []

    def started():
        if mta.master_pid():
            return True
        done = mta.postfix("start")
        complaints.append(f"exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.returncode == 0

    wait_for(started, 60, "a start after the crash", lambda: "\n".join(complaints[-2:]) + mta.log.tail())


def crash(mta, generator, figures):
    """One kill; returns after the system runs again. False when the chosen victim was already gone."""
    choice = generator.random()
    if choice < 0.7:
        candidates = sorted(mta.tree().items())
        victims = [pid for pid, name in candidates if name != "master"]
        if not victims:
            return False
        pid = generator.choice(victims)
        if not procs.send(pid):
            return False
        figures[dict(candidates)[pid]] += 1
    elif choice < 0.85:
        pid = mta.master_pid()
        if not pid or not procs.send(pid):
            return False
        figures["master"] += 1
        start_again(mta)
    else:
        mta.kill_all()
        figures["everything"] += 1
        start_again(mta)
    return True


def waiting_files(mta):
    """Messages still to be delivered. A file without the execute bit was never complete, so never acknowledged."""
    result = []
    for path in mta.queue_files("maildrop", "incoming", "active", "deferred").values():
        try:
            if path.stat().st_mode & 0o100:
                result.append(path)
        except FileNotFoundError:
            continue
    return result


def drain(mta):
    """Flushes until nothing is left; the limit grows with what is there."""
    start_again(mta)
    end = time.monotonic() + (60 + len(waiting_files(mta)) / 20) * SCALE
    flushed = 0.0
    while waiting_files(mta):
        if time.monotonic() > end:
            raise AssertionError(f"queue does not drain: {[str(p) for p in waiting_files(mta)[:10]]}\n{mta.log.tail()}")
        if time.monotonic() - flushed > 2:
            mta.run("postkick", "public", "pickup", "W")
            mta.postqueue("-f")
            flushed = time.monotonic()
        time.sleep(0.1)


def arrivals(mta, sink):
    """Counts per token: relayed, in the Maildir, and named in a bounce."""
    delivered, bounced = collections.Counter(), collections.Counter()
    for message in sink.messages:
        for recipient in message.recipients:
            token = re.fullmatch(r"ok\+(\w+)@remote\.test", recipient)
            if token:
                delivered[token[1]] += 1
            elif recipient.startswith("back+"):
                bounced.update(set(re.findall(rb"Final-Recipient: rfc822; \w+\+(\w+)@", message.data)))
    for entry in (mta.vmail / "box" / "new").iterdir() if (mta.vmail / "box" / "new").exists() else ():
        found = re.search(rb"^X-Original-To: box\+(\w+)@", entry.read_bytes()[:2000], re.M)
        if found:
            delivered[found[1].decode()] += 1
    return delivered, collections.Counter({token.decode(): count for token, count in bounced.items()})


@pytest.mark.parametrize("journal", ["yes", "no"])
def test_no_acknowledged_message_is_lost(suite, capsys, journal):
    if suite.is_postfix and journal == "yes":
        pytest.skip("Postfix has no journal")
    mode = {} if suite.is_postfix else {"queue_journal": journal}
    kills = KILLS // 2
    generator = random.Random(SEED)
    ledger, stopped, figures = Ledger(), threading.Event(), collections.Counter()
    fast = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s", "transport_retry_time": "1s",
            "service_throttle_time": "1s", "in_flow_delay": "0", "smtpd_error_sleep_time": "0", "smtpd_hard_error_limit": "1000"}
    with Sink() as sink, Instance(suite, relayhost=sink.nexthop, virtual_mailbox_domains="virtual.test",
                                  virtual_mailbox_maps="inline:{ {box@virtual.test=box/} }", **fast, **mode) as mta:
        sink.on("EOD", delay=0.03)  # so that kills find deliveries in flight
        sink.on("RCPT", "550 5.1.1 rejected by the test", match=r"<reject\+")
        workers = [threading.Thread(target=smtp_worker, args=(mta.port(), ledger, stopped, SEED + n)) for n in range(SESSIONS)]
        workers += [threading.Thread(target=sendmail_worker, args=(mta, ledger, stopped, SEED + 1000 + n)) for n in range(SENDMAILS)]
        begun = time.monotonic()
        for worker in workers:
            worker.start()
        try:
            for _ in range(kills):
                time.sleep(generator.uniform(0.1, 1.5))
                wait_for(lambda: crash(mta, generator, figures), 30, "something to kill", mta.log.tail)
            # A last crash of everything under full load, so that recovery of a busy queue is always tested.
            mta.kill_all()
            figures["everything"] += 1
        finally:
            stopped.set()
            for worker in workers:
                worker.join(120)
        loaded = time.monotonic() - begun
        left = len(waiting_files(mta))
        drain(mta)
        delivered, bounced = arrivals(mta, sink)
        corrupt = mta.queue_files("corrupt")
        lost = sorted(t for t in ledger.acknowledged if not (bounced[t] if t[0] == "x" else delivered[t] or bounced[t]))
        wrongly_bounced = sorted(t for t in bounced if t[0] != "x")
        duplicates = sum(count - 1 for count in delivered.values())
        double_reports = sum(count - 1 for count in bounced.values())
        unacknowledged = len(set(delivered) - set(ledger.acknowledged))
        with capsys.disabled():
            print(f"\ncrash test of {suite.name}, journal {journal}: seed {SEED}, {sum(figures.values())} kills in {loaded:.0f} s "
                  f"({', '.join(f'{name} {count}' for name, count in figures.most_common())})\n"
                  f"  {ledger.attempts} messages tried, {len(ledger.acknowledged)} recipients acknowledged "
                  f"({sum(h == 'sendmail' for h in ledger.acknowledged.values())} by sendmail), {left} files in the queue at the last crash\n"
                  f"  {len(delivered)} delivered, {len(bounced)} bounced, {len(lost)} LOST, {len(corrupt)} files in corrupt/\n"
                  f"  {duplicates} duplicate deliveries and {double_reports} repeated bounces (delivered, but the process died before the record "
                  f"was written), {unacknowledged} delivered without an acknowledgement having reached the client")
        assert sum(figures.values()) == kills + 1
        assert len(ledger.acknowledged) > kills * 5, "too little load to prove anything"
        assert not lost, f"seed {SEED}: {len(lost)} lost, e.g. {lost[:10]}\n{mta.log.tail()}"
        assert not wrongly_bounced, f"seed {SEED}: bounced though deliverable: {wrongly_bounced[:10]}"
        # A kill can repeat what was in flight, not more: a system that always delivers twice must not pass.
        assert duplicates <= sum(figures.values()) * SESSIONS


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-s"]))
