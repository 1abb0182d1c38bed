"""The journal (docs/journal.md): used, emptied, replayed, and harmless when it is damaged or cannot be written."""

import contextlib
import os
import re
import smtplib
import time

import pytest

from support import procs
from support.mta import Instance
from support.sink import Sink
from support.waiting import wait_for

pytestmark = pytest.mark.usefixtures("own_suite")


@pytest.fixture(scope="module")
def own_suite(suite):
    if suite.is_postfix:
        pytest.skip("Postfix has no journal")


@pytest.fixture
def sink():
    with Sink() as running:
        yield running


def system(suite, sink, **main):
    return Instance(suite, relayhost=sink.nexthop, **{"minimal_backoff_time": "300s", "queue_run_delay": "300s", **main})


def journal_files(mta, prefix=""):
    """Names in journal/, without what was moved aside and the directory where queue files begin."""
    return sorted(name for name in os.listdir(mta.queue / "journal") if name.startswith(prefix) and name != "new" and not name.startswith("damaged."))


def wait_for_segment(mta):
    wait_for(lambda: journal_files(mta, "segment."), 20, "a segment", mta.log.tail)


def submit_with_journal(mta, recipients, subject="test", **options):
    """Sends until a message is in a segment: a process has none for its first message. Returns queue id and subject, which
    tells the attempts apart."""
    for attempt in range(50):
        message_id = mta.submit(recipients, subject=f"{subject}-{attempt}", **options)
        for name in journal_files(mta, "segment."):
            if message_id.encode() in (mta.queue / "journal" / name).read_bytes():
                return message_id, f"{subject}-{attempt}"
        wait_for_segment(mta)
    raise AssertionError(f"no message reached the journal\n{mta.log.tail()}")


def start_and_replay(mta):
    """Starts after a crash; postsuper, which postfix start calls, says what it found (nobody keeps a log file at that time)."""
    done = mta.postfix("start")
    assert done.returncode == 0, done
    assert "journal: replayed" in done.stderr, done.stderr
    wait_for(mta.master_pid, 10, "a running master", mta.log.tail)


def deliver_all(mta):
    """Flushes until nothing waits: a flush does not reach what is on its way to deferred/."""
    def empty():
        mta.postqueue("-f")
        time.sleep(0.3)
        return not mta.queue_files("maildrop", "incoming", "active", "deferred")
    wait_for(empty, 30, "an empty queue", mta.log.tail)


def body_counts(sink):
    counts = {}
    for message in sink.messages:
        subject = message.headers("Subject")[0]
        counts[subject] = counts.get(subject, 0) + 1
    return counts


def test_mail_goes_through_the_journal_and_stop_leaves_it_empty(suite, sink):
    with system(suite, sink) as mta:
        sink.on("RCPT", "450 4.2.0 later", match="wait@")
        submit_with_journal(mta, ["a@remote.test"])
        waiting = dict(submit_with_journal(mta, ["wait@remote.test"], subject=f"w{n}") for n in range(3))
        for message_id in waiting:
            mta.wait_in_queue(message_id, "deferred")
        assert mta.stop().returncode == 0
        assert journal_files(mta) == []
        assert set(waiting) <= set(mta.queue_files())
        sink.rules.clear()
        mta.start()
        deliver_all(mta)
        assert not mta.log.find("journal: replayed")
        counts = body_counts(sink)
        assert all(counts[subject] == 1 for subject in waiting.values()), counts


def contents(paths):
    """Of those files that are still there: the queue manager moves them meanwhile."""
    found = set()
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            found.add(path.read_bytes())
    return found


def test_the_first_segment_is_made_while_the_first_message_is_coming(suite, sink):
    with system(suite, sink) as mta, smtplib.SMTP("127.0.0.1", mta.port()) as client:
        client.ehlo("client.test")
        assert client.mail("from@origin.test")[0] == 250 and client.rcpt("to@remote.test")[0] == 250
        wait_for_segment(mta)
        assert client.data("Subject: first\r\n\r\ntext\r\n")[0] == 250
        sink.wait_for_recipient("to@remote.test")


def test_a_crash_that_loses_queue_files_loses_no_mail(suite, sink):
    """What a power cut does: files that were never synced are gone, empty, or cut."""
    with system(suite, sink) as mta:
        sink.on("RCPT", "450 4.2.0 later")
        subjects = dict(submit_with_journal(mta, ["a@remote.test", "b@remote.test"], subject=f"m{n}", body="x\r\n" * 2000) for n in range(5))
        ids = list(subjects)
        for message_id in ids:
            mta.wait_in_queue(message_id, "deferred")
        mta.kill_all()
        files = mta.queue_files()
        intact = {message_id: files[message_id].read_bytes() for message_id in ids}
        files[ids[0]].unlink()
        files[ids[1]].unlink()
        os.truncate(files[ids[2]], 0)
        os.truncate(files[ids[3]], len(intact[ids[3]]) // 2)
        sink.rules.clear()
        mta.set(relayhost="", default_transport="retry:4.0.0 held for the test")
        start_and_replay(mta)
        # The repair gives what was written anew a name that fits its inode.
        wait_for(lambda: set(intact.values()) <= contents(mta.queue_files("deferred").values()), 20,
                 "the messages as they were", mta.log.tail)
        mta.set(relayhost=sink.nexthop, default_transport="smtp")
        mta.reload()
        deliver_all(mta)
        counts = body_counts(sink)
        assert all(counts[subject] == 1 for subject in subjects.values()), counts
        assert not mta.queue_files("corrupt")


def test_delivered_and_deleted_mail_does_not_come_back(suite, sink):
    with system(suite, sink) as mta:
        sink.on("RCPT", "450 4.2.0 later", match="wait@")
        sent, _ = submit_with_journal(mta, ["a@remote.test"], subject="sent")
        mta.wait_removed(sent)
        deleted, deleted_subject = submit_with_journal(mta, ["wait@remote.test"], subject="deleted")
        requeued, requeued_subject = submit_with_journal(mta, ["wait@remote.test"], subject="requeued")
        for message_id in (deleted, requeued):
            mta.wait_in_queue(message_id, "deferred")
        mta.postsuper("-d", deleted, check=True)
        sink.rules.clear()
        mta.postsuper("-r", requeued, check=True)
        mta.run("postkick", "public", "pickup", "W")
        sink.wait_for_recipient("wait@remote.test")
        mta.wait_empty()
        wait_for(lambda: journal_files(mta, "completed."), 10, "completions")
        mta.kill_all()
        delivered = body_counts(sink)
        start_and_replay(mta)
        again = mta.submit(["z@remote.test"], subject="after")
        mta.wait_removed(again)
        mta.wait_empty()
        assert body_counts(sink) == {**delivered, "after": 1}
        assert delivered[requeued_subject] == 1 and deleted_subject not in delivered


def test_a_cleanup_that_dies_alone_is_cleared_up_after(suite, sink):
    with system(suite, sink) as mta:
        sink.on("RCPT", "450 4.2.0 later")
        message_id, subject = submit_with_journal(mta, ["a@remote.test"], subject="kept")
        mta.wait_in_queue(message_id, "deferred")
        victims = mta.daemons("cleanup")
        for pid in victims:
            procs.send(pid)
        mta.log.wait(r"qmgr\[\d+\]: journal: replayed", timeout=30)
        assert not any(name.startswith(f"segment.{pid}.") for name in journal_files(mta) for pid in victims)
        sink.rules.clear()
        deliver_all(mta)
        counts = body_counts(sink)
        assert counts[subject] == 1 and set(counts.values()) == {1}


def test_damaged_journal_files_do_not_hold_up_the_start(suite, sink):
    with system(suite, sink) as mta:
        message_id, _ = submit_with_journal(mta, ["a@remote.test"])
        mta.wait_removed(message_id)
        mta.kill_all()
        journal = mta.queue / "journal"
        for name, content in {"segment.1.1": b"garbage" * 1000, "segment.1.2": b"", "segment.1.3": b"SPJRNL1\n\x09" + bytes(5000),
                              "completed.1.1": b"garbage", "new.1.1": b"x", "unknown": b"x"}.items():
            (journal / name).write_bytes(content)
            if os.geteuid() == 0:
                os.chown(journal / name, mta.owner.pw_uid, mta.owner.pw_gid)
        done = mta.postfix("start")
        assert done.returncode == 0, done
        warnings = re.findall(r"warning: journal: segment\.1\.\d: .*; moved aside as journal/damaged\.segment\.1\.\d\.0", done.stderr)
        assert len(warnings) == 3, done.stderr
        mta.wait_removed(mta.submit(["b@remote.test"]))


def test_mail_is_accepted_without_a_journal_directory_to_write_to(suite, sink):
    with system(suite, sink) as mta:
        mta.stop()
        (mta.queue / "journal").chmod(0o500)
        mta.start()
        mta.wait_removed(mta.submit(["a@remote.test"]))
        mta.log.wait(r"cleanup\[\d+\]: warning: journal: cannot make a segment: .*Permission denied")


def test_the_parameter_can_be_changed_while_mail_waits(suite, sink):
    with system(suite, sink) as mta:
        sink.on("RCPT", "450 4.2.0 later")
        message_id, _ = submit_with_journal(mta, ["a@remote.test"])
        mta.wait_in_queue(message_id, "deferred")
        mta.set(queue_journal="no")
        mta.reload()
        mta.submit(["b@remote.test"])
        wait_for(lambda: not journal_files(mta, "segment."), 30, "an empty journal", mta.log.tail)
        mta.submit(["c@remote.test"])
        assert not journal_files(mta, "segment.")
        sink.rules.clear()
        deliver_all(mta)
