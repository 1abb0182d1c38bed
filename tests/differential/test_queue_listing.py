"""Queue listings, both ways: each postqueue against each showq, on a running system and on one that is down."""

import re
import threading

import pytest

from support.mta import Instance, postfix_suite, stagepost_suite
from support.sink import Sink
from support.waiting import wait_for

SUITES = {"postfix": postfix_suite(), "stagepost": stagepost_suite()}

pytestmark = pytest.mark.skipif(any(suite.missing() for suite in SUITES.values()), reason="needs both mail systems")


@pytest.fixture(scope="module", params=SUITES)
def mta(request):
    """A system with deferred, held, expired and active mail; nothing moves while it is listed."""
    gate = threading.Event()
    with Sink() as sink:
        sink.on("RCPT", "450 4.2.0 " + "wait " * 40, match="long")
        sink.on("RCPT", "450 4.2.0 wait", match="later")
        sink.on("RCPT", "450 4.2.0 something else", match="other")
        sink.on("RCPT", "450 4.2.0 gated", match="gate", gate=gate)
        with Instance(SUITES[request.param], relayhost=sink.nexthop, queue_run_delay="300s", minimal_backoff_time="300s",
                      maximal_backoff_time="300s") as instance:
            def send(sender, *recipients):
                mark = instance.log.mark()
                instance.sendmail("-f", sender, *recipients, check=True)
                return instance.log.wait(r"pickup\[\d+\]: (\w+): uid=", since=mark)[1]
            try:
                mixed = send("sender@origin.test", "later1@remote.test", "other@remote.test", "ok@remote.test", "later2@remote.test")
                null, held = send("", "long@remote.test"), send('"odd \\"q\\" name"@origin.test', '"a later b"@remote.test')
                for message_id in (mixed, null, held):
                    instance.wait_in_queue(message_id, "deferred")
                instance.postsuper("-h", held, check=True)
                instance.postsuper("-e", null, check=True)
                active = send("sender@origin.test", "gate1@remote.test", "gate2@remote.test")
                wait_for(lambda: any("gate" in c for c in sink.commands("RCPT")), 10, "a delivery under way", instance.log.tail)
                assert instance.in_queue(active, "active")
                yield instance
            finally:
                gate.set()


def outputs(mta, *arguments):
    """What each postqueue prints about this system: (status, stdout, stderr). Both get the same program name."""
    found = {}
    own = mta.suite
    for name, suite in SUITES.items():
        mta.suite = suite
        try:
            done = mta.run("postqueue", *arguments)
        finally:
            mta.suite = own
        found[name] = (done.returncode, done.stdout, done.stderr)
    return found


@pytest.mark.parametrize("arguments", [("-p",), ("-j",)], ids=" ".join)
def test_listing_of_a_running_system(mta, arguments):
    found = outputs(mta, *arguments)
    status, text, _ = found["postfix"]
    assert status == 0 and len(re.findall("gate1@remote.test", text)) == 1 and "later2@remote.test" in text
    assert found["stagepost"] == found["postfix"]


@pytest.mark.parametrize("arguments", [(), ("-x",), ("-p", "x"), ("-pj",), ("-f", "-p"), ("-i", "a/b"), ("-i", ""), ("-s", "a b"), ("-s", "-x"),
                                       ("-s", ""), ("-s", "unlisted.test"), ("-f",)], ids=repr)
def test_other_requests(mta, arguments):
    found = outputs(mta, *arguments)
    assert found["stagepost"] == found["postfix"]


def test_listing_without_the_mail_system(mta):
    """Last, because it stops the system. The queue is read directly, submissions included."""
    mta.stop()
    mta.sendmail("-f", "new@origin.test", "r1@remote.test", "r2@remote.test", check=True)
    incomplete = mta.queue / "incoming" / "ABCDEF1"
    incomplete.write_bytes(b"")
    incomplete.chmod(0o600)
    garbage = mta.queue / "hold" / "ABCDEF2"
    garbage.write_bytes(b"garbage")
    garbage.chmod(0o700)
    done = mta.run("postqueue", "-p")
    assert done.returncode == 0 and "new@origin.test" in done.stdout and "Mail system is down" in done.stderr
    if not mta.suite.is_postfix:
        return  # Postfix's postqueue would run its own showq, which is not there; the rest is told by the other parameter
    for arguments in (("-p",), ("-j",), ("-f",)):
        found = outputs(mta, *arguments)
        assert found["stagepost"] == found["postfix"], arguments
    mta.set(enable_long_queue_ids="yes")
    found = outputs(mta, "-p")
    assert found["stagepost"] == found["postfix"] and found["stagepost"][1].startswith("----Queue ID-----")
