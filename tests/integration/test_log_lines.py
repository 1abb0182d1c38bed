"""The log of one message's life, line by line: what log analysers parse."""

import re
import signal
import subprocess

from support import procs
from support.waiting import SCALE

CLIENT = r"(?:localhost|unknown)\[127\.0\.0\.1\]"
DELAYS = r"delay=[\d.]+, delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+"


def test_the_life_of_a_relayed_message(mta, sink, unique):
    recipient = f"{unique('life')}@remote.test"
    mark = mta.log.mark()
    message_id = mta.submit(recipient, sender="from@origin.test")
    mta.log.wait(rf"qmgr\[\d+\]: {message_id}: removed$", since=mark)
    mta.log.wait(r"disconnect from", since=mark)
    expected = [
        ("postfix/smtpd", rf"connect from {CLIENT}"),
        ("postfix/smtpd", rf"{message_id}: client={CLIENT}"),
        ("postfix/cleanup", rf"{message_id}: message-id=<\d{{14}}\.{message_id}@mx\.stagepost\.test>"),
        ("postfix/qmgr", rf"{message_id}: from=<from@origin\.test>, size=\d+, nrcpt=1 \(queue active\)"),
        ("postfix/smtp", rf"{message_id}: to=<{recipient}>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{sink.port}, {DELAYS}, dsn=2\.0\.0, "
                         r"status=sent \(250 2\.0\.0 ok, recorded\)"),
        ("postfix/qmgr", rf"{message_id}: removed"),
    ]
    logged = [(line.program, line.text) for line in mta.log.parsed(mark)]
    position = 0
    for program, pattern in expected:
        while position < len(logged) and not (logged[position][0] == program and re.fullmatch(pattern, logged[position][1])):
            position += 1
        assert position < len(logged), f"no (further) line {program}: {pattern} in\n" + "\n".join(map(str, logged))
        position += 1
    assert any(p == "postfix/smtpd" and re.fullmatch(rf"disconnect from {CLIENT} ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5", t)
               for p, t in logged)


def test_every_line_has_the_syslog_form(mta, unique):
    mta.wait_removed(mta.submit(f"{unique('form')}@remote.test"))
    mta.log.settle()
    shape = re.compile(r"^\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ [\w/.-]+\[\d+\]: \S")
    assert [line for line in mta.log.raw if not shape.match(line)] == []


def test_size_counts_what_is_delivered(mta, sink, unique):
    recipient = f"{unique('size')}@remote.test"
    mark = mta.log.mark()
    message_id = mta.submit(recipient, body="0123456789" * 100)
    size = int(mta.log.wait(rf"{message_id}: from=<sender@example\.test>, size=(\d+), nrcpt=1", since=mark)[1])
    data = sink.wait_for_recipient(recipient).data
    # Line ends count once. The Return-Path is not part of it.
    assert abs(size - len(data.replace(b"\r\n", b"\n"))) <= data.count(b"\n")


def test_rejected_recipient_line(mta):
    mark = mta.log.mark()
    with mta.smtp("outside") as client:
        client.ehlo("helo.test")
        client.expect(250, "MAIL FROM:<s@origin.test>")
        client.command("RCPT TO:<nosuch@local.test>")
        client.quit()
    mta.log.wait(rf"postfix/smtpd\[\d+\]: NOQUEUE: reject: RCPT from {CLIENT}: 550 5\.1\.1 <nosuch@local\.test>: Recipient address rejected: "
                 r"User unknown in local recipient table; from=<s@origin\.test> to=<nosuch@local\.test> proto=ESMTP helo=<helo\.test>$", since=mark)
    mta.log.wait(rf"disconnect from {CLIENT} ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4$", since=mark)


def test_control_characters_never_reach_the_log(mta):
    mark = mta.log.mark()
    with mta.smtp("outside") as client:
        client.command(b"EHLO evil\x1b[31m\x07name")
        client.command(b"MAIL FROM:<\x01\x02@b.test>")
        client.command(b"MAIL FROM:<a@b.test>")
        client.command(b"RCPT TO:<\x7f\x1b]0;x@remote.test>")
    mta.log.wait(r"disconnect from", since=mark)
    raw = mta.log.path.read_bytes()
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", raw)


def test_same_message_to_several_classes_logs_each_recipient(mta, me, unique):
    name = unique("classes")
    mark = mta.log.mark()
    message_id = mta.submit([f"{name}@remote.test", me.address, "box@virtual.test", f"{name}@discard.test"])
    mta.wait_removed(message_id)
    agents = {m[1] for m in mta.log.find(rf"postfix/(\w+)\[\d+\]: {message_id}: to=<[^>]+>, .*status=sent", since=mark)}
    assert agents == {"smtp", "local", "virtual", "discard"}
    assert mta.log.find(rf"{message_id}: from=<sender@example\.test>, size=\d+, nrcpt=4 \(queue active\)", since=mark)


ORDER = ["client=", "message-id=", "from=", "status=sent", "removed"]


def orders(mta):
    """{queue id: what its lines say, in the order of the log}"""
    found = {}
    for line in mta.log.parsed():
        match = re.match(r"(\w+): .*?(client=|message-id=|from=|status=sent|removed)", line.text)
        if match and line.program != "postfix/postlog":
            found.setdefault(match[1], []).append(match[2])
    return found


def test_lines_of_a_message_stand_in_the_order_of_its_way(make_instance, make_sink):
    """Log readers forget a message at "removed"; what its agents said must stand before that."""
    sink = make_sink()
    mta = make_instance(relayhost=sink.nexthop)
    ids = [mta.submit(f"order{n}@remote.test") for n in range(40)]
    mta.wait_empty()
    mta.log.wait(rf"{ids[-1]}: removed$")
    found = orders(mta)
    for queue_id in ids:
        assert found[queue_id] == ORDER, queue_id


def test_the_order_holds_while_many_sessions_run(make_instance, make_sink, only_stagepost, suite):
    """Processes send their lines late and many together; postlogd puts them in order by their times. A process that does not get the
    CPU for longer than postlogd waits is allowed for, once in a hundred messages."""
    sink = make_sink()
    mta = make_instance(relayhost=sink.nexthop)
    count = 600
    subprocess.run([suite.program("smtp-source"), "-s", "30", "-m", str(count), "-l", "2000", "-f", "from@origin.test", "-t", "to@remote.test",
                    f"127.0.0.1:{mta.port()}"], check=True, timeout=60 * SCALE, capture_output=True)
    mta.wait_empty(60)
    mta.log.wait(r": removed$", count=count)
    found = orders(mta)
    assert len(found) == count and all(sorted(words) == sorted(ORDER) for words in found.values())
    wrong = {queue_id: words for queue_id, words in found.items() if words != ORDER}
    assert len(wrong) <= count // 100, f"{len(wrong)} of {count}: {dict(list(wrong.items())[:5])}"


def test_a_crash_takes_no_line_along(make_instance, only_stagepost):
    """What a process has collected is sent by the handler of the signal that ends it."""
    mta = make_instance()
    with mta.smtp() as client:
        client.ehlo()
        smtpd = mta.daemons("smtpd")
        client.expect(250, "MAIL FROM:<crash@origin.test>")
        client.command("RCPT TO:<nosuch@local.test>")
        for pid in smtpd:
            procs.send(pid, signal.SIGSEGV)
    mta.log.wait(r"NOQUEUE: reject: RCPT from .*<nosuch@local\.test>")
    mta.log.wait(r"killed by signal 11|signal 11")


def test_stop_and_reload_lose_no_line(make_instance, make_sink, only_stagepost):
    sink = make_sink()
    mta = make_instance(relayhost=sink.nexthop)
    ids = []
    for end in (mta.reload, mta.stop) * 3:
        mark = mta.log.mark()
        ids.append(mta.submit("last@remote.test"))
        end()
        if end == mta.stop:
            lines = [line.text for line in mta.log.parsed(mark)]
            assert any(text.startswith("disconnect from ") for text in lines), lines
            assert "terminating on signal 15" in lines, lines
            mta.start()
    mta.wait_empty()
    mta.log.wait(rf"{ids[-1]}: removed$")
    found = orders(mta)
    # A message that was under way when the system stopped is taken up again ("from=" twice).
    assert all(set(found[queue_id]) == set(ORDER) for queue_id in ids), found
