"""Power-cut model: no success is reported before the message is on stable storage.

strace records the system calls of the whole process tree in the order in which they happened. For every "250 ... queued as ID" that
smtpd sends, and every sendmail that exits with 0, the calls before it must contain either
  - all writes to the message's queue file followed by an fsync or fdatasync of that file (and, had it been renamed after that sync,
    an fsync of the directory), or
  - a write of the message's queue id to a journal segment followed by a sync of that segment.
Both modes (queue_journal) are traced. With the journal, a completion that names the message must be written before its file is removed.
A freshly created file's directory entry is durable with the file's own fsync on ext4, xfs and btrfs.
"""

import os
import re
import shutil
import subprocess

import pytest

from support import procs
from support.mta import QUEUES, Instance
from support.sink import Sink
from support.waiting import wait_for

CALLS = ("write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendfile,fsync,fdatasync,syncfs,sync_file_range,openat,open,creat,rename,renameat,"
         "renameat2,link,linkat,unlink,unlinkat,fchmod,exit_group")
LINE = re.compile(r"^(?P<pid>\d+) +(?:(?P<resumed><\.\.\. (?P<name2>\w+) resumed>)|(?P<name>\w+)\()(?P<rest>.*)$")
QUEUE_FILE = re.compile(r"/(?:%s)/(?:[0-9A-F]/)*(\w{6,})$" % "|".join(QUEUES))
RESULT = re.compile(r" = (-?\d+|\?)(<[^>]*>)?(?: \w+ \(.*\))?$")


class Call:
    """One finished system call: `started` and `ended` are positions in the trace."""
    __slots__ = ("pid", "name", "arguments", "result", "result_path", "started", "ended")

    def __init__(self, pid, name, arguments, started):
        self.pid, self.name, self.arguments, self.started = pid, name, arguments, started
        self.result, self.result_path, self.ended = None, None, None

    def finish(self, rest, ended):
        match = RESULT.search(rest)
        if match:
            self.result = int(match[1]) if match[1] not in "?" else None
            self.result_path = match[2][1:-1] if match[2] else None
            self.arguments += rest[:match.start()]
        else:
            self.arguments += rest
        self.ended = ended

    @property
    def path(self):
        """The path behind the descriptor in the first argument (strace -y)."""
        match = re.match(r"\d+<([^>]*)>", self.arguments)
        return match[1] if match else None


def parse(trace):
    """All finished calls in order of their start."""
    calls, pending = [], {}
    with open(trace, encoding="utf-8", errors="backslashreplace") as file:
        for position, line in enumerate(file):
            match = LINE.match(line.rstrip("\n"))
            if not match:
                continue
            pid, rest = int(match["pid"]), match["rest"]
            if match["resumed"]:
                call = pending.pop((pid, match["name2"]), None)
                if call:
                    call.finish(rest, position)
                continue
            call = Call(pid, match["name"], "", position)
            calls.append(call)
            if rest.endswith("<unfinished ...>"):
                call.arguments = rest[:-len("<unfinished ...>")]
                pending[(pid, call.name)] = call
            else:
                call.finish(rest, position)
    return calls


WRITES = {"write", "writev", "pwrite64", "pwritev", "pwritev2", "sendfile"}
SYNCS = {"fsync", "fdatasync"}


def durable_before(calls, identities, limit):
    """Checks that one of these file names (ids) was durable before position `limit`; returns a reason why not, or None."""
    written, synced, renamed, directory_synced = None, None, None, None
    journal_written = None
    for call in calls:
        if call.started >= limit:
            break
        path = call.path or ""
        base = os.path.basename(path.replace(" (deleted)", ""))
        is_file = base in identities and QUEUE_FILE.search(path)
        if call.name in WRITES and is_file:
            written = call.started
        elif call.name in SYNCS and is_file and call.result == 0 and call.ended < limit:
            synced = call.started
        elif call.name.startswith("rename") and call.result == 0 and any(re.search(rf'[/"]{i}"', call.arguments) for i in identities):
            # Moving between queues under one name is harmless, whichever directory survives: recovery reads them all.
            if len({os.path.basename(p) for p in re.findall(r'"([^"]+)"', call.arguments)}) > 1:
                renamed = call.ended
        elif call.name in SYNCS and call.result == 0 and call.ended < limit and re.search(r"/(?:%s)(?:/[0-9A-F])*$" % "|".join(QUEUES), path):
            directory_synced = call.started
        elif "/journal/" in path and call.name in WRITES and any(i in call.arguments for i in identities):
            journal_written = (call.ended, path)
        elif "/journal/" in path and call.name in SYNCS and call.result == 0 and call.ended < limit:
            if journal_written is not None and path == journal_written[1] and call.started > journal_written[0]:
                return None
    if written is None:
        return "its queue file was never written"
    if synced is None or synced < written:
        return "it was not synced after the last write"
    if renamed is not None and renamed > synced and (directory_synced is None or directory_synced < renamed):
        return "it got its final name after the sync and the directory was not synced"
    return None


@pytest.fixture(scope="module", params=["yes", "no"], ids=["journal", "sync-each-file"])
def trace(request, suite, tmp_path_factory):
    """Runs mail through a traced instance; gives the parsed calls, the acknowledged ids and the instance's queue directory."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    out = tmp_path_factory.mktemp("trace") / "trace"
    submitted = tmp_path_factory.mktemp("trace") / "sendmail"
    if suite.is_postfix and request.param == "yes":
        pytest.skip("Postfix has no journal")
    mode = {} if suite.is_postfix else {"queue_journal": request.param}
    with Sink() as sink, Instance(suite, relayhost=sink.nexthop, minimal_backoff_time="300s", queue_run_delay="300s", **mode) as mta:
        sink.on("RCPT", "550 5.1.1 no", match="reject")
        pids = [argument for pid in mta.tree() for argument in ("-p", str(pid))]
        tracer = subprocess.Popen(["strace", "-f", "-y", "-qq", "-s", "400", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(out), *pids],
                                  stderr=subprocess.PIPE)
        try:
            wait_for(lambda: tracer.poll() is None and all(traced(pid) for pid in mta.tree()), 15, "strace to attach")
            ids = [mta.submit(f"r{n}@remote.test", body="line\r\n" * (200 * n)) for n in range(12)]
            bounced = mta.submit("reject@remote.test", sender="back@remote.test")
            sink.wait_for_recipient("back@remote.test")
            mta.wait_removed(bounced)
            # A sanitizer build's leak checker is a tracer too; there can be only one.
            environment = mta.environment(ASAN_OPTIONS="detect_leaks=0")
            exits = [subprocess.run(["strace", "-f", "-y", "-qq", "-s", "400", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", f"{submitted}{n}",
                                     mta.suite.program("sendmail"), f"s{n}@remote.test"], input=b"Subject: x\n\n" + b"line\n" * 100 * (n + 1),
                                    env=environment, timeout=60, check=False).returncode for n in range(3)]
            mta.wait_empty()
            log = mta.log
            log.settle()
        finally:
            tracer.terminate()
            tracer.wait(20)
        yield {"calls": parse(out), "ids": ids, "bounced": bounced, "exits": exits, "sendmail": [parse(f"{submitted}{n}") for n in range(3)],
               "log": log, "mta": mta, "journal": request.param == "yes"}


def traced(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in file)
    except FileNotFoundError:
        return not procs.alive(pid)


def acknowledgement(calls, message_id):
    return next((c.started for c in calls if c.name in ("write", "sendto", "sendmsg", "writev")
                 and re.search(rf"250 2\.0\.0 Ok: (\d+ bytes )?queued as {message_id}\b", c.arguments)), None)


def test_smtp_reply_comes_after_the_sync(trace):
    for message_id in trace["ids"] + [trace["bounced"]]:
        position = acknowledgement(trace["calls"], message_id)
        assert position is not None, f"no 250 for {message_id} in the trace"
        assert durable_before(trace["calls"], {message_id}, position) is None, f"{message_id}: {durable_before(trace['calls'], {message_id}, position)}"


def test_sendmail_exits_after_the_sync(trace):
    assert trace["exits"] == [0, 0, 0]
    for calls in trace["sendmail"]:
        first = calls[0].pid
        end = next(c.started for c in calls if c.name == "exit_group" and c.pid == first)
        names = {os.path.basename(c.path) for c in calls if c.name in WRITES and c.path and "/maildrop/" in c.path}
        assert names, "no write to a maildrop file in the trace"
        # The file may be created under another name first; all names of the file count as one.
        for call in calls:
            if call.name.startswith("rename") and any(n in call.arguments for n in names):
                names |= {os.path.basename(p) for p in re.findall(r'"([^"]+)"', call.arguments)}
        reason = durable_before(calls, names, end)
        assert reason is None, f"{names}: {reason}"


def test_bounced_message_is_removed_after_its_bounce_is_durable(trace):
    notice = trace["log"].find(rf"{trace['bounced']}: sender non-delivery notification: (\w+)$")[0][1]
    removal = next(c.started for c in trace["calls"] if c.name.startswith("unlink") and c.result == 0
                   and re.search(rf'"(?:\S*/)?active/(?:\w/)?{trace["bounced"]}"', c.arguments))
    assert durable_before(trace["calls"], {notice}, removal) is None, durable_before(trace["calls"], {notice}, removal)


def test_failed_recipient_is_marked_as_done_after_its_report_is_durable(trace):
    calls, bounced = trace["calls"], trace["bounced"]
    done = next(c.started for c in calls if c.name in WRITES and re.search(rf"/active/(?:\w/)?{bounced}$", c.path or "") and re.search(r', "D"', c.arguments))
    entry = next(c.ended for c in calls if c.name in WRITES and re.search(rf"/bounce/(?:\w/)?{bounced}$", c.path or ""))
    assert any(c.name in SYNCS and c.result == 0 and re.search(rf"/bounce/(?:\w/)?{bounced}$", c.path or "") and entry < c.started and c.ended < done
               for c in calls if c.ended is not None)


def test_maildrop_file_is_removed_after_cleanup_made_it_durable(trace):
    """pickup hands the message on; the old copy may go only when the new one is safe."""
    calls = trace["calls"]
    removals = [c for c in calls if c.name.startswith("unlink") and c.result == 0 and re.search(r'"(?:\S*/)?maildrop/', c.arguments)]
    assert len(removals) >= 3
    picked = trace["log"].find(r"pickup\[\d+\]: (\w+): uid=")
    assert len(picked) == 3
    # Submissions that come together are picked up side by side: which removal belongs to which message is not known, how many are safe is.
    syncs = sorted(call.ended for call in calls if call.name in SYNCS and call.ended is not None)
    safe = [next(end for end in syncs if durable_before(calls, {match[1]}, end + 1) is None) for match in picked]
    for count, removal in enumerate(sorted(removals, key=lambda call: call.started)[:len(picked)], start=1):
        assert sum(end < removal.started for end in safe) >= count


def test_the_mode_is_the_one_that_was_asked_for(trace):
    segments = [c for c in trace["calls"] if c.name in SYNCS and "/journal/segment." in (c.path or "")]
    assert bool(segments) == trace["journal"]


def test_whoever_sent_the_message_is_answered_before_the_queue_manager_is_told(trace):
    if trace["mta"].suite.is_postfix:
        pytest.skip("an order of ours")
    for message_id in trace["ids"]:
        sent = [c for c in trace["calls"] if c.name == "sendto"]
        told = next(c for c in sent if f'"N{message_id}' in c.arguments)
        complete = next(c for c in trace["calls"] if c.name == "fchmod" and c.result == 0 and os.path.basename(c.path or "") == message_id)
        before = [c for c in sent if c.pid == told.pid and c.started < told.started][-1]
        assert before.started > complete.ended and message_id not in before.arguments, f"{message_id}: {before.arguments}"


def test_a_new_segment_is_stored_in_small_pieces(trace):
    """Several MiB at once would keep the disk from those who wait for a sync."""
    if not trace["journal"]:
        pytest.skip("only with the journal")
    steps = {}
    for call in trace["calls"]:
        if "/journal/new." in (call.path or "") and call.name in WRITES | SYNCS | {"sync_file_range"}:
            steps.setdefault(call.path, []).append(call)
    assert steps
    for path, calls in steps.items():
        assert [call.name for call in calls[-2:]] == ["pwrite64", "fsync"], f"{path}: the header, then all of it"
        pieces = calls[:-2]
        assert pieces and {call.name for call in pieces[0::2]} == {"pwrite64"}, path
        assert {(call.name, call.result) for call in pieces[1::2]} == {("sync_file_range", 0)}, path
        assert max(call.result for call in pieces[0::2]) <= 256 * 1024, path


def test_completion_is_written_before_the_file_is_removed(trace):
    if not trace["journal"]:
        pytest.skip("only with the journal")
    for message_id in trace["ids"] + [trace["bounced"]]:
        removal = next(c.started for c in trace["calls"] if c.name.startswith("unlink") and c.result == 0
                       and re.search(rf'"(?:\S*/)?active/(?:\w/)?{message_id}"', c.arguments))
        assert any(c.ended < removal and c.name in WRITES and "/journal/completed." in (c.path or "") and message_id in c.arguments
                   for c in trace["calls"] if c.ended is not None), f"{message_id} was removed without a completion"


def test_the_checker_itself_finds_an_early_reply(tmp_path):
    """The check must be able to fail: the same trace with the reply before the fsync."""
    lines = ['10 openat(AT_FDCWD, "incoming/ABCDEF1", O_RDWR|O_CREAT|O_EXCL, 0600) = 5</q/incoming/ABCDEF1>', '10 write(5</q/incoming/ABCDEF1>, "C"..., 90) = 90']
    sync, reply = '10 fsync(5</q/incoming/ABCDEF1>) = 0', '11 write(9<TCP:[1]>, "250 2.0.0 Ok: queued as ABCDEF1\\r\\n", 33) = 33'
    for order, durable in (([sync, reply], True), ([reply, sync], False), ([reply], False)):
        path = tmp_path / "trace"
        path.write_text("\n".join(lines + order) + "\n", encoding="utf-8")
        calls = parse(path)
        assert (durable_before(calls, {"ABCDEF1"}, acknowledgement(calls, "ABCDEF1")) is None) == durable
    journal = '10 pwritev(6</q/journal/segment.10.1>, [{iov_base="SPR1\\0ABCDEF1", iov_len=74}], 1, 4096) = 74'
    others = '10 fdatasync(7</q/journal/segment.11.1>) = 0'
    own = '10 fdatasync(6</q/journal/segment.10.1>) = 0'
    for order, durable in (([journal, own, reply], True), ([journal, others, reply], False), ([own, journal, reply], False),
                           ([journal, own.replace("= 0", "= -1 EIO (Input/output error)"), reply], False)):
        path.write_text("\n".join(lines + order) + "\n", encoding="utf-8")
        calls = parse(path)
        assert (durable_before(calls, {"ABCDEF1"}, acknowledgement(calls, "ABCDEF1")) is None) == durable, order
    path.write_text("\n".join([lines[0], lines[1], '10 fsync(5</q/incoming/ABCDEF1> <unfinished ...>', reply, '10 <... fsync resumed>) = 0']) + "\n",
                    encoding="utf-8")
    calls = parse(path)
    assert durable_before(calls, {"ABCDEF1"}, acknowledgement(calls, "ABCDEF1")) is not None, "a sync that has not returned does not count"
