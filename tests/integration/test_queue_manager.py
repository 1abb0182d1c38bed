"""The queue manager's promises: when a message is tried again, how much is active at once, who waits for whom."""

import os
import re
import threading
import time

import pytest

from support.waiting import wait_for


def age(path, seconds, record=None):
    """Makes a deferred message `seconds` older: moves its time of arrival in the queue file."""
    data = path.read_bytes()
    stamps = [match for pattern in ([record] if record else [rb"T.(\d{10}) \d+", rb"create_time=(\d{10})"])
              for match in re.finditer(pattern, data)]
    assert stamps
    with open(path, "r+b") as file:
        for stamp in stamps:
            file.seek(stamp.start(1))
            file.write(b"%010d" % (int(stamp[1]) - seconds))


def test_backoff_doubles_between_its_bounds(make_instance, make_sink):
    """The next attempt is the file's modification time: as far away as the message is old, within the bounds."""
    sink = make_sink()
    sink.on("RCPT", "450 4.2.0 wait")
    mta = make_instance(relayhost=sink.nexthop, minimal_backoff_time="100s", maximal_backoff_time="1000s", queue_run_delay="300s")
    message_id = mta.submit("backoff@remote.test")
    path = mta.wait_in_queue(message_id, "deferred")
    shift = 0
    for grown, low, high in ((0, 100, 100), (90, 100, 100), (300, 300, 300), (600, 600, 600), (5000, 1000, 1000)):
        age(path, grown - shift)
        shift = grown
        mark, before = mta.log.mark(), time.time()
        mta.postqueue("-f", check=True)
        assert mta.status("backoff@remote.test", since=mark)["status"] == "deferred"
        # It is moved to deferred after the line was written.
        path = wait_for(lambda: (lambda p: p if p and p.stat().st_mtime > before + low - 5 else None)(mta.queue_files("deferred").get(message_id)),
                        10, f"a next attempt {low} s from now", mta.log.tail)
        wait = path.stat().st_mtime - before
        assert low - 2 <= wait <= high + 30, f"a message of {grown} s waits {wait:.0f} s"


def test_a_requeued_message_has_its_whole_life_before_it(make_instance, make_sink):
    """The age that counts is the queue file's: postsuper -r makes a new one and keeps the time of arrival for the log."""
    sink = make_sink()
    sink.on("RCPT", "450 4.2.0 wait")
    mta = make_instance(relayhost=sink.nexthop, minimal_backoff_time="100s", maximal_queue_lifetime="1000s", queue_run_delay="300s")
    message_id = mta.submit("again@remote.test")
    path = mta.wait_in_queue(message_id, "deferred")
    age(path, 2000, record=rb"T.(\d{10}) \d+")
    mark, before = mta.log.mark(), time.time()
    mta.postqueue("-f", check=True)
    status = mta.status("again@remote.test", since=mark)
    assert status["status"] == "deferred" and float(status["delay"]) >= 2000
    path = wait_for(lambda: (lambda p: p if p and p.stat().st_mtime > before + 95 else None)(mta.queue_files("deferred").get(message_id)),
                    10, "a next attempt after minimal_backoff_time", mta.log.tail)
    assert path.stat().st_mtime < before + 130
    age(path, 2000)
    mta.postqueue("-f", check=True)
    mta.log.wait(rf"qmgr\[\d+\]: {message_id}: from=<sender@example\.test>, status=expired, returned to sender$", since=mark)


def make_due(path):
    now = time.time()
    os.utime(path, (now - 1, now - 1))


def test_a_deferred_message_waits_for_its_time(make_instance, make_sink):
    sink = make_sink()
    sink.on("RCPT", "450 4.2.0 wait", times=2)
    mta = make_instance(relayhost=sink.nexthop, minimal_backoff_time="60s", maximal_backoff_time="60s", queue_run_delay="1s",
                        default_destination_concurrency_failed_cohort_limit=100)
    later, due = (mta.submit(f"{name}@remote.test") for name in ("later", "due"))
    later_path, due_path = mta.wait_in_queue(later, "deferred"), mta.wait_in_queue(due, "deferred")
    mark = mta.log.mark()
    make_due(due_path)
    sink.wait_for_recipient("due@remote.test")
    # That queue run passed over the other one.
    assert not mta.log.find(later, since=mark)
    assert mta.in_queue(later, "deferred")
    make_due(later_path)
    sink.wait_for_recipient("later@remote.test")


def test_message_active_limit(make_instance, make_sink):
    """What does not fit into active stays in incoming, and follows as soon as there is room."""
    sink = make_sink()
    gate = threading.Event()
    sink.on("EOD", gate=gate)
    mta = make_instance(relayhost=sink.nexthop, qmgr_message_active_limit=3, initial_destination_concurrency=20,
                        default_destination_concurrency_limit=20)
    for n in range(8):
        mta.submit(f"active{n}@remote.test")
    wait_for(lambda: sink.busiest == 3, 10, "three deliveries", mta.log.tail)
    wait_for(lambda: len(mta.queue_files("active")) == 3 and len(mta.queue_files("incoming")) == 5, 5, "three active messages, five waiting",
             lambda: str(mta.queue_files("active", "incoming")))
    with mta.smtp() as client:  # accepting mail goes on
        client.ehlo()
        assert client.transaction("a@b.test", "active8@remote.test", b"Subject: x\r\n\r\n").code == 250
    assert len(mta.queue_files("active")) == 3
    gate.set()
    sink.wait_messages(9)
    mta.wait_empty()
    assert sink.busiest == 3


def test_a_slow_destination_does_not_hold_up_the_others(make_instance, make_sink):
    slow, fast = make_sink(), make_sink()
    gate = threading.Event()
    slow.on("EOD", gate=gate)
    mta = make_instance(default_transport="smtp", default_destination_concurrency_limit=2, initial_destination_concurrency=2,
                        transport_maps=f"inline:{{ {{slow.test=smtp:{slow.nexthop}}} {{fast.test=smtp:{fast.nexthop}}} }}")
    for n in range(6):
        mta.submit(f"s{n}@slow.test")
    wait_for(lambda: slow.active == 2, 10, "a full destination")
    for n in range(6):
        mta.submit(f"f{n}@fast.test")
    fast.wait_messages(6)
    assert not slow.messages and slow.active == 2
    gate.set()
    slow.wait_messages(6)
    mta.wait_empty()
    assert slow.busiest == 2


def test_concurrency_grows_while_a_destination_answers(make_instance, make_sink):
    """It starts at initial_destination_concurrency and ends at the limit, never beyond."""
    sink = make_sink()
    mta = make_instance(relayhost=sink.nexthop, initial_destination_concurrency=1, default_destination_concurrency_limit=4,
                        smtp_connection_cache_on_demand="no")
    gate = threading.Event()
    sink.on("EOD", gate=gate)
    for n in range(40):
        mta.submit(f"grow{n}@remote.test")
    assert sink.active == 1
    sink.on("EOD", delay=0.02)
    gate.set()
    sink.wait_messages(40)
    mta.wait_empty()
    assert 2 <= sink.busiest <= 4, sink.busiest


def test_an_unreachable_destination_is_left_alone_for_a_while(make_instance, make_sink):
    """After default_destination_concurrency_failed_cohort_limit failures its other mail is deferred without a try."""
    sink = make_sink()
    sink.on("CONNECT", "421 4.3.2 down")
    mta = make_instance(relayhost=sink.nexthop, initial_destination_concurrency=1, minimal_backoff_time="300s", transport_retry_time="300s")
    for n in range(6):
        mta.submit(f"dead{n}@remote.test")
    for n in range(6):
        assert mta.status(f"dead{n}@remote.test")["status"] == "deferred"
    skipped = mta.log.find(r"to=<dead\d@remote\.test>, relay=none, .* status=deferred \(delivery temporarily suspended: ")
    assert skipped and len(sink.sessions) < 6, f"{len(sink.sessions)} connections, {len(skipped)} suspended"


@pytest.mark.parametrize("option", ["initial", "limit"])
def test_concurrency_limit_of_one_serialises(make_instance, make_sink, option):
    sink = make_sink()
    settings = {"initial": {"initial_destination_concurrency": 1, "smtp_destination_concurrency_limit": 1},
                "limit": {"smtp_destination_concurrency_limit": 1}}[option]
    mta = make_instance(relayhost=sink.nexthop, smtp_connection_cache_on_demand="no", **settings)
    for n in range(8):
        mta.submit(f"serial{n}@remote.test")
    sink.wait_messages(8)
    assert sink.busiest == 1
