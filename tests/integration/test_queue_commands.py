"""postqueue, postsuper and postcat on real deferred mail."""

import json
import re
import time

import pytest

from support import procs
from support.waiting import wait_for


@pytest.fixture
def deferred(mta, sink, unique):
    """Makes deferred messages; returns (queue id, recipient, open) where open() lets the recipient be accepted."""
    made = []

    def make(**options):
        recipient = f"{unique('def')}@remote.test"
        rule = sink.on("RCPT", "450 4.2.0 wait", match=re.escape(recipient))
        message_id = mta.submit(recipient, **options)
        mta.wait_in_queue(message_id, "deferred")
        made.append(message_id)

        def accept():
            rule.times = 0
        return message_id, recipient, accept

    yield make
    for message_id in made:
        mta.postsuper("-d", message_id)


def entry(mta, message_id):
    return next((e for e in mta.listing() if e["queue_id"] == message_id), None)


def test_listing(mta, deferred):
    message_id, recipient, _ = deferred(sender="lister@origin.test")
    text = mta.postqueue("-p", check=True).stdout
    assert text.startswith("-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n")
    assert re.search(rf"^{message_id} +\d+ \w{{3}} \w{{3}} [ \d]\d \d\d:\d\d:\d\d  lister@origin\.test\n"
                     rf" *\(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 450 4\.2\.0 wait \(in reply to RCPT TO command\)\)\n {{41}}{recipient}\n", text, re.M), text
    assert re.search(r"\n-- \d+ Kbytes in \d+ Requests?\.\n$", text)
    item = entry(mta, message_id)
    assert item["queue_name"] == "deferred" and item["sender"] == "lister@origin.test" and item["message_size"] > 100
    assert item["forced_expire"] is False and item["arrival_time"] > 1_000_000_000
    assert item["recipients"] == [{"address": recipient, "delay_reason":
                                   "host 127.0.0.1[127.0.0.1] said: 450 4.2.0 wait (in reply to RCPT TO command)"}]


def test_empty_listing(make_instance):
    mta = make_instance()
    assert mta.postqueue("-p").stdout == "Mail queue is empty\n"
    assert mta.postqueue("-j").stdout == ""
    mta.stop()
    done = mta.postqueue("-p")
    assert done.returncode == 0 and "Mail queue is empty" in done.stdout
    assert "Mail system is down" in done.stderr


def test_a_remembered_listing_is_that_of_a_fresh_process(make_instance, make_sink):
    sink = make_sink()
    rules = {name: sink.on("RCPT", "450 4.2.0 wait", match=name) for name in ("first", "second", "third")}
    mta = make_instance(relayhost=sink.nexthop, minimal_backoff_time="300s", queue_run_delay="300s")

    def listings():
        return [mta.postqueue(option, check=True).stdout for option in ("-p", "-j")]

    def remember():
        """Lists until showq may remember all files: they were not changed during the last ticks of the clock."""
        def settled():
            files = [*mta.queue_files("deferred", "hold", "defer").values()]
            return files and all(file.stat().st_ctime < time.time() - 0.1 for file in files)
        wait_for(settled, 10, "files that are older than the clock's ticks")
        assert listings() == listings()

    def after(change):
        """The recipients and reasons that showq tells after the change; a process without memory tells the same."""
        remember()
        before = mta.daemons("showq")
        change()
        remembered = listings()
        assert mta.daemons("showq") == before
        for pid in before:
            procs.send(pid, 15)
        wait_for(lambda: not any(map(procs.alive, before)), 10, "showq to end", mta.log.tail)
        assert listings() == remembered
        return {item["queue_id"]: (item["queue_name"], {r["address"].split("@")[0]: r["delay_reason"].split(" said: ")[1].split(" (")[0]
                                                        for r in item["recipients"]})
                for item in map(json.loads, remembered[1].splitlines())}

    def attempt(message_id, recipient, status):
        mark = mta.log.mark()
        mta.postqueue("-i", message_id, check=True)
        assert mta.status(recipient, since=mark)["status"] == status
        mta.wait_in_queue(message_id, "deferred")
        wait_for(lambda: not mta.queue_files("active"), 10, "no active message")

    both = mta.submit(["first@remote.test", "second@remote.test"])
    third = mta.submit("third@remote.test")
    for message_id in (both, third):
        mta.wait_in_queue(message_id, "deferred")

    wait = "450 4.2.0 wait"
    assert after(lambda: None) == {both: ("deferred", {"first": wait, "second": wait}), third: ("deferred", {"third": wait})}

    rules["third"].reply = "451 4.3.0 no, wait"
    told = after(lambda: attempt(third, "third@remote.test", "deferred"))
    assert told[third] == ("deferred", {"third": "451 4.3.0 no, wait"})

    rules["first"].times = 0
    told = after(lambda: attempt(both, "first@remote.test", "sent"))
    assert told == {both: ("deferred", {"second": wait}), third: ("deferred", {"third": "451 4.3.0 no, wait"})}

    assert after(lambda: mta.postsuper("-h", both, check=True))[both][0] == "hold"
    assert after(lambda: mta.postsuper("-H", both, check=True))[both][0] == "deferred"

    def requeue():
        """It becomes another message under another name."""
        mark = mta.log.mark()
        mta.postsuper("-r", both, check=True)
        mta.run("postkick", "public", "pickup", "W", check=True)
        mta.status("second@remote.test", since=mark)
        wait_for(lambda: len(mta.queue_files("deferred")) == 2, 10, "the requeued message, deferred again", mta.log.tail)
    told = after(requeue)
    assert len(told) == 2 and third in told and both not in told
    assert list(after(lambda: mta.postsuper("-d", third, check=True)).values()) == [("deferred", {"second": wait})]


def test_json_escapes_odd_addresses(mta, deferred):
    message_id, _, _ = deferred(sender='"odd \\"quoted\\" name"@origin.test')
    raw = next(line for line in mta.postqueue("-j").stdout.splitlines() if message_id in line)
    assert json.loads(raw)["queue_id"] == message_id


def test_flush_one_message(mta, deferred):
    first, recipient, accept = deferred()
    second, other, accept_other = deferred()
    accept()
    accept_other()
    mark = mta.log.mark()
    mta.postqueue("-i", first, check=True)
    assert mta.status(recipient, since=mark)["status"] == "sent"
    mta.wait_removed(first, since=mark)
    assert mta.in_queue(second, "deferred") and not mta.log.find(rf"to=<{other}>", since=mark)


def test_flush_all(mta, deferred):
    made = [deferred() for _ in range(5)]
    mark = mta.log.mark()
    for _, _, accept in made:
        accept()
    mta.postqueue("-f", check=True)
    for message_id, _, _ in made:
        mta.wait_removed(message_id, since=mark)


def test_flush_by_site(make_instance, make_sink):
    sink = make_sink()
    sink.on("RCPT", "450 4.2.0 wait", times=2)
    mta = make_instance(relayhost=sink.nexthop, fast_flush_domains="fast.test", minimal_backoff_time="300s", queue_run_delay="300s")
    mine, other = mta.submit("a@fast.test"), mta.submit("a@slow.test")
    mta.wait_in_queue(mine, "deferred")
    mta.wait_in_queue(other, "deferred")
    wait_for(lambda: list((mta.queue / "flush").rglob("fast_test*")), 10, "flush log file", mta.log.tail)
    mark = mta.log.mark()
    mta.postqueue("-s", "fast.test", check=True)
    mta.wait_removed(mine, since=mark)
    assert mta.in_queue(other, "deferred")
    done = mta.postqueue("-s", "unlisted.test")
    assert done.returncode == 69 and 'Flush service is not configured for destination "unlisted.test"' in done.stderr


def test_hold_and_release(mta, deferred):
    message_id, recipient, accept = deferred()
    done = mta.postsuper("-h", message_id, check=True)
    assert done.stderr == f"postsuper: {message_id}: placed on hold\npostsuper: Placed on hold: 1 message\n"
    assert mta.in_queue(message_id, "hold") and entry(mta, message_id)["queue_name"] == "hold"
    assert re.search(rf"^{message_id}! ", mta.postqueue("-p").stdout, re.M)
    accept()
    mark = mta.log.mark()
    mta.postqueue("-f", check=True)
    assert not mta.log.find(rf"{message_id}: to=<", since=mark)
    done = mta.postsuper("-H", message_id, check=True)
    assert done.stderr == f"postsuper: {message_id}: released from hold\npostsuper: Released from hold: 1 message\n"
    mta.postqueue("-f", check=True)
    assert mta.status(recipient, since=mark)["status"] == "sent"


def test_requeue(mta, deferred):
    message_id, recipient, accept = deferred()
    accept()
    mark = mta.log.mark()
    done = mta.postsuper("-r", message_id, check=True)
    assert done.stderr == f"postsuper: {message_id}: requeued\npostsuper: Requeued: 1 message\n"
    mta.run("postkick", "public", "pickup", "W", check=True)  # instead of waiting for pickup's next scan
    assert mta.status(recipient, since=mark)["status"] == "sent"
    # Requeued mail passes pickup and cleanup again and gets a Received header of that.
    mta.log.wait(r"pickup\[\d+\]: \w+: uid=\d+ from=<sender@example\.test> orig_id=" + message_id, since=mark)


def test_delete(mta, deferred):
    message_id, _, _ = deferred()
    mark = mta.log.mark()
    done = mta.postsuper("-d", message_id, check=True)
    assert done.stderr == f"postsuper: {message_id}: removed\npostsuper: Deleted: 1 message\n"
    assert not mta.in_queue(message_id) and entry(mta, message_id) is None
    mta.log.wait(rf"postsuper\[\d+\]: {message_id}: removed$", since=mark)
    assert not list((mta.queue / "defer").rglob(message_id)), "the defer log file goes with the message"


def test_ids_from_standard_input_and_queue_names(mta, deferred):
    ids = [deferred()[0] for _ in range(3)]
    done = mta.postsuper("-h", "-", input="\n".join(ids) + "\n", check=True)
    assert "Placed on hold: 3 messages" in done.stderr
    done = mta.postsuper("-d", ids[0], "deferred")
    assert "Deleted: 0 messages" in done.stderr and mta.in_queue(ids[0], "hold")
    done = mta.postsuper("-d", "ALL", "hold", check=True)
    assert re.search(r"Deleted: [3-9]\d* messages", done.stderr)


@pytest.mark.parametrize("bad", ["../../etc/passwd", "deferred/x", "", "a b", "NOSUCHID1"])
def test_bad_ids_touch_nothing(mta, deferred, bad):
    message_id, _, _ = deferred()
    mta.postsuper("-d", bad)
    assert mta.in_queue(message_id, "deferred")


def test_commands_on_a_missing_message(mta):
    assert mta.postsuper("-d", "NOSUCH1").returncode == 0
    done = mta.postcat("-q", "NOSUCH1")
    assert done.returncode != 0 and "open queue file NOSUCH1: No such file or directory" in done.stderr


def test_postcat(mta, deferred):
    message_id, recipient, _ = deferred(sender="cat@origin.test", subject="catted", body="first\r\nsecond")
    text = mta.postcat("-q", message_id, check=True).stdout
    path = mta.queue_file(message_id).relative_to(mta.queue)
    assert text.startswith(f"*** ENVELOPE RECORDS {path} ***\nmessage_size: ")
    assert f"\n*** MESSAGE CONTENTS {path} ***\nReceived: " in text and f"\n*** HEADER EXTRACTED {path} ***\n" in text
    assert text.endswith(f"*** MESSAGE FILE END {path} ***\n")
    for line in ("sender: cat@origin.test", f"original_recipient: {recipient}", f"recipient: {recipient}", "named_attribute: log_protocol_name=ESMTP",
                 "named_attribute: client_address=127.0.0.1", "named_attribute: rewrite_context=local"):
        assert f"\n{line}\n" in text, line
    assert re.search(r"^message_size: +\d+ +\d+ +1 +0 +\d+ +0$", text, re.M)
    assert re.search(r"^message_arrival_time: \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$", text, re.M)
    headers = mta.postcat("-h", "-q", message_id, check=True).stdout
    assert "\nSubject: catted\n" in headers and "first" not in headers and "ENVELOPE" not in headers
    body = mta.postcat("-b", "-q", message_id, check=True).stdout
    assert body.endswith("first\nsecond\n") and "Subject" not in body
    assert "Subject" not in mta.postcat("-e", "-q", message_id, check=True).stdout
    by_path = mta.postcat(mta.queue_file(message_id), check=True).stdout
    assert "sender: cat@origin.test" in by_path


def test_long_queue_ids(make_instance, make_sink):
    sink = make_sink()
    mta = make_instance(relayhost=sink.nexthop, enable_long_queue_ids="yes")
    message_id = mta.submit("long@remote.test")
    assert re.fullmatch(r"[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]+", message_id), message_id
    mta.wait_removed(message_id)
