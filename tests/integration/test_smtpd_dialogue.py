"""The SMTP server's replies, command by command (RFC 5321, and the texts administrators and their tools know)."""

import smtplib
import subprocess

import pytest

from support import procs
from support.mta import queue_id
from support.waiting import SCALE

GREETING = "220 mx.stagepost.test ESMTP"


def test_banner_and_ehlo_keywords(mta):
    with mta.smtp() as client:
        assert str(client.banner).startswith(GREETING)
        reply = client.command("EHLO client.example.test")
        assert reply.code == 250 and reply.lines[0] == "mx.stagepost.test"
        keywords = set(reply.lines[1:])
        assert {"PIPELINING", "SIZE 1000000", "VRFY", "ETRN", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8"} <= keywords
        assert "STARTTLS" not in keywords
        client.quit()


SESSION_START = [
    ("RCPT TO:<a@b>", "503 5.5.1 Error: need MAIL command"),
    ("DATA", "503 5.5.1 Error: need RCPT command"),
    ("HELO", "501 Syntax: HELO hostname"),
    ("EHLO", "501 Syntax: EHLO hostname"),
    ("HELO x.test", "250 mx.stagepost.test"),
    ("STARTTLS", "502 5.5.1 Error: command not implemented"),
    ("AUTH PLAIN", "503 5.5.1 Error: authentication not enabled"),
    ("TURN", "500 5.5.2 Error: command not recognized"),
    ("RSET x", "501 5.5.4 Syntax: RSET"),
    ("NOOP anything", "250 2.0.0 Ok"),
]
MAIL = [
    ("MAIL", "501 5.5.4 Syntax: MAIL FROM:<address>"),
    ("MAIL FROM:", "501 5.5.4 Syntax: MAIL FROM:<address>"),
    ("MAIL FROM:<a@b.test", "501 5.1.7 Bad sender address syntax"),
    ("MAIL FROM:<a@b.test> FOO=bar", "555 5.5.4 Unsupported option: FOO=bar"),
    ("MAIL FROM:<a@b.test> SIZE=2000000", "552 5.3.4 Message size exceeds fixed limit"),
    ("MAIL FROM:<a@b.test> SIZE=x", "501 5.5.4 Bad message size syntax"),
    ("MAIL FROM:<a@b.test> BODY=9BIT", "555 5.5.4 Unsupported option: BODY=9BIT"),
    ("mail from: <a@b.test> body=8bitmime size=100", "250 2.1.0 Ok"),
    ("MAIL FROM:<a@b.test>", "503 5.5.1 Error: nested MAIL command"),
    ("RSET", "250 2.0.0 Ok"),
    ("MAIL FROM:<>", "250 2.1.0 Ok"),
]
RCPT = [
    ("MAIL FROM:<a@b.test>", "250 2.1.0 Ok"),
    ("DATA", "554 5.5.1 Error: no valid recipients"),
    ("RCPT", "501 5.5.4 Syntax: RCPT TO:<address>"),
    ("RCPT TO:", "501 5.5.4 Syntax: RCPT TO:<address>"),
    ("RCPT TO:<>", "501 5.1.3 Bad recipient address syntax"),
    ("RCPT TO:<c@d.test> FOO=1", "555 5.5.4 Unsupported option: FOO=1"),
    ("RCPT TO:<c@d.test>", "250 2.1.5 Ok"),
    ("RCPT TO:c@d.test", "250 2.1.5 Ok"),
    ("RCPT TO:<postmaster>", "250 2.1.5 Ok"),
    ("RCPT TO:<nobody-here@local.test>",
     "550 5.1.1 <nobody-here@local.test>: Recipient address rejected: User unknown in local recipient table"),
]
VRFY = [
    ("VRFY", "501 5.5.4 Syntax: VRFY address [SMTPUTF8]"),
    ("VRFY postmaster", "252 2.0.0 postmaster"),
    ("VRFY nosuch@local.test", "550 5.1.1 <nosuch@local.test>: Recipient address rejected: User unknown in local recipient table"),
    ("QUIT x", "221 2.0.0 Bye"),
]


@pytest.mark.parametrize("script", [SESSION_START, MAIL, RCPT, VRFY], ids=["start", "mail", "rcpt", "vrfy"])
def test_replies(mta, script):
    with mta.smtp("limitless") as client:
        if script is not SESSION_START:
            client.ehlo()
        got = [(line, str(client.command(line))) for line, _ in script]
    assert got == script


OUTSIDE = [
    ("RCPT TO:<x@remote.test>", "554 5.7.1 <x@remote.test>: Relay access denied"),
    ("RCPT TO:<unknown@local.test>", "550 5.1.1 <unknown@local.test>: Recipient address rejected: User unknown in local recipient table"),
    ("RCPT TO:<nobox@virtual.test>",
     "550 5.1.1 <nobox@virtual.test>: Recipient address rejected: User unknown in virtual mailbox table"),
    ("RCPT TO:<noalias@alias.test>", "550 5.1.1 <noalias@alias.test>: Recipient address rejected: User unknown in virtual alias table"),
    # Sender-controlled routing never turns into relaying.
    ("RCPT TO:<x%remote.test@local.test>", "554 5.7.1 <x%remote.test@local.test>: Relay access denied"),
    ("RCPT TO:<remote.test!y@local.test>", "554 5.7.1 <remote.test!y@local.test>: Relay access denied"),
    ("RCPT TO:<a b@local.test>", "501 5.1.3 Bad recipient address syntax"),
    ("RCPT TO:<box@virtual.test>", "250 2.1.5 Ok"),
    ("RCPT TO:<many@alias.test>", "250 2.1.5 Ok"),
    ("RCPT TO:<list@local.test>", "250 2.1.5 Ok"),
    ("RCPT TO:<list+ext@local.test>", "250 2.1.5 Ok"),
    ("RCPT TO:<@a.test,@b.test:list@local.test>", "250 2.1.5 Ok"),
    ("RCPT TO:<x@local.test.>", "550 5.1.1 <x@local.test.>: Recipient address rejected: User unknown in local recipient table"),
]


def test_a_stranger_reaches_only_our_recipients(mta):
    mark = mta.log.mark()
    with mta.smtp("outside") as client:
        client.ehlo("stranger.test")
        client.expect(250, "MAIL FROM:<s@stranger.test>")
        assert [(line, str(client.command(line))) for line, _ in OUTSIDE] == OUTSIDE
        client.command("RSET")
        client.quit()
    mta.log.wait(r"smtpd\[\d+\]: NOQUEUE: reject: RCPT from \S+\[127\.0\.0\.1\]: 554 5\.7\.1 <x@remote\.test>: Relay access denied; "
                 r"from=<s@stranger\.test> to=<x@remote\.test> proto=ESMTP helo=<stranger\.test>$", since=mark)


@pytest.mark.parametrize("line", [b"GET / HTTP/1.0", b"POST / HTTP/1.1", b"CONNECT 1.2.3.4:25 HTTP/1.0"])
def test_http_clients_are_sent_away(mta, line):
    with mta.smtp() as client:
        assert client.command(line).code == 221
        assert client.at_eof()


def test_unknown_commands_end_at_the_hard_limit(mta):
    mark = mta.log.mark()
    with mta.smtp("limits") as client:
        client.expect(250, "HELO x")
        replies = [client.command("FOO").code for _ in range(3)]
        assert replies == [500, 500, 500]
        assert str(client.command("FOO")) == "421 4.7.0 mx.stagepost.test Error: too many errors"
        assert client.at_eof()
    mta.log.wait(r"too many errors after UNKNOWN from \S+\[127\.0\.0\.1\]$", since=mark)
    mta.log.wait(r"disconnect from \S+\[127\.0\.0\.1\] helo=1 unknown=0/3 commands=1/4$", since=mark)


def test_junk_commands_count_as_errors_beyond_their_limit(mta):
    with mta.smtp("limits") as client:
        client.expect(250, "HELO x")
        codes = [client.command("NOOP").code for _ in range(6)]
        assert codes == [250] * 5 + [421]
        assert client.at_eof()


def test_recipient_limit_is_temporary_and_keeps_the_earlier_ones(mta, sink, unique):
    names = [f"{unique('limit')}@remote.test" for _ in range(4)]
    with mta.smtp("limits") as client:
        client.ehlo()
        client.envelope("a@b.test", names[:3])
        assert str(client.command(f"RCPT TO:<{names[3]}>")) == "452 4.5.3 Error: too many recipients"
        assert client.data(b"Subject: x\r\n\r\nx\r\n").code == 250
    assert set(sink.wait_for_recipient(names[0]).recipients) == set(names[:3])


def test_idle_client_gets_421(mta):
    mark = mta.log.mark()
    with mta.smtp("limits") as client:
        assert str(client.read()) == "421 4.4.2 mx.stagepost.test Error: timeout exceeded"
        assert client.at_eof()
    mta.log.wait(r"timeout after CONNECT from \S+\[127\.0\.0\.1\]$", since=mark)
    mta.log.wait(r"disconnect from \S+\[127\.0\.0\.1\] commands=0/0$", since=mark)


def test_client_stalling_in_data_gets_421_and_leaves_no_message(mta, sink, unique):
    recipient = f"{unique('stall')}@remote.test"
    mark = mta.log.mark()
    with mta.smtp("limits") as client:
        client.ehlo()
        client.envelope("a@b.test", recipient)
        client.expect(354, "DATA")
        client.send("Subject: never ended\r\n")
        assert client.read().code == 421
        assert client.at_eof()
    message_id = mta.log.wait(r"smtpd\[\d+\]: (\w+): client=", since=mark)[1]
    mta.log.wait(r"timeout after DATA \(\d+ bytes\) from", since=mark)
    mta.log.wait(r"disconnect from \S+ ehlo=1 mail=1 rcpt=1 data=0/1 commands=3/4$", since=mark)
    assert not mta.in_queue(message_id)
    assert not [m for m in sink.messages if recipient in m.recipients]


@pytest.mark.parametrize("stage,text", [("rcpt", "RCPT"), ("data", r"DATA \(0 bytes\)")])
def test_vanished_client_leaves_nothing(mta, unique, stage, text):
    mark = mta.log.mark()
    with mta.smtp() as client:
        client.ehlo()
        client.envelope("a@b.test", f"{unique('gone')}@remote.test")
        if stage == "data":
            client.expect(354, "DATA")
    message_id = mta.log.wait(r"smtpd\[\d+\]: (\w+): client=", since=mark)[1]
    mta.log.wait(rf"lost connection after {text} from \S+\[127\.0\.0\.1\]$", since=mark)
    mta.log.wait(r"disconnect from", since=mark)
    assert not mta.in_queue(message_id)


def test_pipelined_transaction(mta, sink, unique):
    first = f"{unique('pipe')}@remote.test"
    with mta.smtp("outside") as client:
        client.ehlo()
        client.send(f"MAIL FROM:<a@b.test>\r\nRCPT TO:<box@virtual.test>\r\nRCPT TO:<{first}>\r\nDATA\r\n")
        assert [client.read().code for _ in range(4)] == [250, 250, 554, 354]
        client.send("Subject: one\r\n\r\n.\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<box@virtual.test>\r\nDATA\r\n")
        assert [client.read().code for _ in range(4)] == [250, 250, 250, 354]
        client.send("Subject: two\r\n\r\n.\r\nQUIT\r\n")
        assert [client.read().code for _ in range(2)] == [250, 221]
        assert client.at_eof()
    assert not [m for m in sink.messages if first in m.recipients]


def test_many_messages_in_one_session(mta, sink, unique):
    recipients = [f"{unique('serial')}@remote.test" for _ in range(20)]
    mark = mta.log.mark()
    with mta.smtp() as client:
        client.ehlo()
        ids = {queue_id(client.transaction("a@b.test", r, b"Subject: x\r\n\r\nx\r\n")) for r in recipients}
        client.quit()
    assert len(ids) == 20
    mta.log.wait(r"disconnect from \S+ ehlo=1 mail=20 rcpt=20 data=20 quit=1 commands=62$", since=mark)
    for recipient in recipients:
        sink.wait_for_recipient(recipient)


def test_smtplib_session(mta, sink, unique):
    recipient = f"{unique('lib')}@remote.test"
    with smtplib.SMTP("127.0.0.1", mta.port()) as client:
        refused = client.sendmail("a@b.test", [recipient, "nosuch@local.test"], "Subject: smtplib\n\n.dot\n..\n")
    assert refused == {"nosuch@local.test": (550, b"5.1.1 <nosuch@local.test>: Recipient address rejected: "
                                                  b"User unknown in local recipient table")}
    assert sink.wait_for_recipient(recipient).body == b".dot\r\n..\r\n"


def test_swaks_session(mta, sink, unique):
    recipient = f"{unique('swaks')}@remote.test"
    done = subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(mta.port()), "--from", "a@b.test", "--to", recipient, "--pipeline",
                           "--header", "Subject: swaks", "--body", "hello"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert sink.wait_for_recipient(recipient).headers("Subject") == ["swaks"]


def test_bdat(mta, sink, unique):
    recipient = f"{unique('bdat')}@remote.test"
    with mta.smtp() as client:
        if "CHUNKING" not in client.ehlo():
            pytest.skip("CHUNKING not announced")
        client.envelope("a@b.test", recipient)
        client.send(b"BDAT 12\r\nSubject: q\r\n")
        assert str(client.read()) == "250 2.0.0 Ok: 12 bytes"
        client.send(b"BDAT 9 LAST\r\n\r\n.\r\nx.\r\n")
        assert str(client.read()).startswith("250 2.0.0 Ok: 21 bytes queued as ")
        client.quit()
    assert sink.wait_for_recipient(recipient).body == b".\r\nx.\r\n"


def test_overlong_command_line_is_bounded(mta):
    with mta.smtp("limitless") as client:
        client.ehlo()
        assert client.command(b"MAIL FROM:<" + b"a" * 5000 + b"@b.test>").code in (500, 501)
        # The rest of a line that is too long must never be taken for a command.
        client.expect(250, "NOOP")
        client.quit()


def test_endless_line_without_newline_does_not_grow(mta):
    with mta.smtp("limitless") as client:
        client.ehlo()
        before = {pid: procs.anonymous_kib(pid) for pid in mta.daemons("smtpd")}
        for _ in range(256):
            client.send(b"x" * 65536)
        for pid, held in before.items():
            assert procs.anonymous_kib(pid) - held < (2048 if SCALE == 1 else 65536)
        client.send(b"\r\n")
        assert client.read().code == 500
        client.expect(250, "NOOP")
