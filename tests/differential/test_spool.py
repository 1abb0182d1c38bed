"""A spool changes hands: deferred mail written by Postfix is delivered by Stagepost from the same directory, and the other way round."""

import re
import subprocess
import threading

import pytest

from support.mta import Instance, postfix_suite, stagepost_suite
from support.sink import Sink
from support.waiting import wait_for

BODY = "first line\r\n.dot\r\n\r\nNUL and 8bit follow\r\n\0\xfc\xe9\r\n" + "L" * 3000


def usable(suite):
    reason = suite.missing()
    if reason:
        pytest.skip(reason)
    return suite


@pytest.fixture(params=["postfix to stagepost", "stagepost to postfix", "postfix to postfix"])
def suites(request):
    """(writer, reader). Postfix to itself shows that the test is sound."""
    known = {"postfix": postfix_suite, "stagepost": stagepost_suite}
    writer, reader = request.param.split(" to ")
    return usable(known[writer]()), usable(known[reader]())


def switch(instance, suite):
    """The same directories and configuration under the other suite's programs."""
    instance.suite = suite
    instance.set(daemon_directory=suite.daemon_directory, command_directory=suite.command_directory)


@pytest.mark.parametrize("long_ids", ["no", "yes"], ids=["short ids", "long ids"])
def test_deferred_mail_is_taken_over(suites, long_ids):
    writer, reader = suites
    with Sink() as sink:
        rules = [sink.on("RCPT", "450 4.2.0 wait", match="later"), sink.on("RCPT", "550 5.1.1 no", match="reject")]
        with Instance(writer, relayhost=sink.nexthop, minimal_backoff_time="300s", queue_run_delay="300s",
                      enable_long_queue_ids=long_ids) as mta:
            several = mta.submit(["done@remote.test", "later1@remote.test", "reject@remote.test", "later2@remote.test"], sender="from@origin.test",
                                 subject="several", body=BODY)
            single = mta.submit("later3@remote.test", sender="", body="x")
            held = mta.submit("later4@remote.test")
            for message_id in (several, single, held):
                mta.wait_in_queue(message_id, "deferred")
            mta.postsuper("-h", held, check=True)
            sink.wait_for_recipient("from@origin.test")
            mta.wait_empty(ignore=("corrupt", "hold", "deferred"))
            listing = mta.postqueue("-p", check=True).stdout
            mta.stop()
            assert mta.sendmail("-f", "drop@origin.test", "dropped@remote.test").returncode == 0  # waits in maildrop
            before = {i: cat(writer, mta, p) for i, p in mta.queue_files("deferred", "hold").items()}
            switch(mta, reader)
            # Both sides' postcat print every file alike.
            assert {i: cat(reader, mta, p) for i, p in mta.queue_files("deferred", "hold").items()} == before
            for rule in rules:
                rule.times = 0
            mta.start()
            # Sizes, times, recipients and the reasons in defer/ are listed alike.
            before = without_submission(listing)
            assert len(before) == 3
            assert without_submission(mta.postqueue("-p", check=True).stdout) == before
            listed = {e["queue_id"]: (e["queue_name"], sorted(r["address"] for r in e["recipients"])) for e in mta.listing()}
            assert listed[held] == ("hold", ["later4@remote.test"])
            mta.postsuper("-H", held, check=True)
            mta.postqueue("-f", check=True)
            for recipient in ("later1@remote.test", "later2@remote.test", "later3@remote.test", "later4@remote.test", "dropped@remote.test"):
                sink.wait_for_recipient(recipient)
            mta.wait_empty()
            for recipient in ("done@remote.test", "later1@remote.test", "later2@remote.test", "later3@remote.test", "later4@remote.test"):
                assert len([m for m in sink.messages if recipient in m.recipients]) == 1, recipient
            assert not [m for m in sink.messages if "reject@remote.test" in m.recipients]
            first, second = (next(m for m in sink.messages if r in m.recipients) for r in ("done@remote.test", "later1@remote.test"))
            assert first.data == second.data, "the content did not change on the way through the other suite"
            assert not mta.queue_files("corrupt") and not list((mta.queue / "defer").rglob(several))


def test_mail_in_delivery_at_a_crash_is_taken_over(suites):
    """kill -9 in the middle of a delivery: what was in active/ goes out when the other suite starts on the same spool."""
    writer, reader = suites
    gate = threading.Event()
    with Sink() as sink:
        sink.on("EOD", gate=gate, times=1)
        with Instance(writer, relayhost=sink.nexthop) as mta:
            message_id = mta.submit(["one@remote.test", "two@remote.test"], sender="from@origin.test", subject="crash", body=BODY)
            mta.wait_in_queue(message_id, "active")
            wait_for(lambda: sink.active, 20, "a delivery that is under way", mta.log.tail)
            mta.kill_all()
            gate.set()
            mark = mta.log.mark()
            switch(mta, reader)
            mta.start()
            mta.wait_removed(message_id, since=mark)
            mta.wait_empty()
        delivered = [r for message in sink.messages for r in message.recipients]
        # The first delivery may have been complete on the other side: twice is allowed, never is not.
        assert {"one@remote.test", "two@remote.test"} == set(delivered) and len(delivered) <= 4, delivered
        assert len({message.data.partition(b"\r\n\r\n")[2] for message in sink.messages}) == 1


def without_submission(listing):
    """mailq's entries in the order of their IDs, without the message that waits in maildrop, the total, and the column widths."""
    entries = re.split(r"\n(?=[0-9A-Za-z]{6,}[*! ])", re.sub(r"(?m)^--.*\n?|^-Queue ID-.*$", "", listing))
    return sorted(re.sub(r" +", " ", entry.strip()) for entry in entries if entry.strip() and "drop@origin.test" not in entry)


def cat(suite, mta, path):
    done = subprocess.run([suite.program("postcat"), str(path)], capture_output=True, env=mta.environment(), timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return re.sub(rb"(?m)^(create_time: .*|\*\*\* .*)$", b"", done.stdout)
