"""What the SMTP server lets through as message content: line ends and smuggling, limits, loops, odd bytes, TLS."""

import ssl

import pytest

from support import procs
from support.mta import queue_id
from support.waiting import SCALE, wait_for

SMUGGLED = b"MAIL FROM:<evil@smuggled.test>\r\nRCPT TO:<%s>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"


def start_data(client, recipient, sender="a@b.test"):
    client.ehlo()
    client.envelope(sender, recipient)
    client.expect(354, "DATA")


@pytest.mark.parametrize("end", [b"\n.\r\n", b"\n.\n", b"\r\n.\n"], ids=["lf.crlf", "lf.lf", "crlf.lf"])
def test_bare_newline_never_splits_a_message_normalize(mta, unique, end):
    """normalize: a bare LF is a line end in content, but only CRLF.CRLF (or what was wholly LF-ended) ends DATA of a stranger."""
    with mta.smtp("outside") as client:
        start_data(client, "box@virtual.test")
        tag = unique("smuggle")
        client.send(f"Subject: {tag}\r\n\r\nbefore".encode() + end + b"after\r\n.\r\n")
        first = client.read()
        assert first.code == 250, first
        # Had the odd end been taken as the end of the message, "after" would be a command and there would be more replies.
        client.send("NOOP\r\n")
        replies = [client.read()]
        assert [r.code for r in replies] == [250], replies
        assert str(replies[0]) == "250 2.0.0 Ok"
        client.quit()
    mta.wait_removed(queue_id(first))


def test_bare_newline_is_rejected_when_told_so(mta):
    mark = mta.log.mark()
    with mta.smtp("reject_bare") as client:
        start_data(client, "box@virtual.test")
        client.send("Subject: x\r\n\r\nbare\nnewline\r\n.\r\n")
        assert str(client.read()) == "550 5.5.2 mx.stagepost.test Error: bare <LF> received"
    rejected = mta.log.wait(r"smtpd\[\d+\]: (\w+): reject: END-OF-MESSAGE from \S+\[127\.0\.0\.1\]: .*bare <LF> received; from=<a@b\.test> "
                            r"to=<box@virtual\.test> proto=ESMTP helo=<client\.example\.test>$", since=mark)
    mta.log.wait(r"disconnect from \S+ ehlo=1 mail=1 rcpt=1 data=0/1 commands=3/4$", since=mark)
    assert not mta.in_queue(rejected[1])


def test_smuggled_transaction_stays_inside_the_first_message(mta, sink, unique):
    victim, real = f"{unique('victim')}@remote.test", f"{unique('real')}@remote.test"
    with mta.smtp() as client:
        start_data(client, real)
        client.send(b"Subject: outer\r\n\r\nouter\r\n\n.\n" + SMUGGLED % victim.encode())
        assert client.read().code == 250
        client.quit()
    message = sink.wait_for_recipient(real)
    assert b"MAIL FROM:<evil@smuggled.test>" in message.body
    assert not [m for m in sink.messages if victim in m.recipients]


def test_pipelining_before_the_greeting_is_over_is_refused(mta):
    mark = mta.log.mark()
    with mta.smtp("outside") as client:
        client.send("EHLO a\r\nMAIL FROM:<a@b.test>\r\n")
        assert str(client.read()) == "554 5.5.0 Error: SMTP protocol synchronization"
        assert client.at_eof()
    mta.log.wait(r"improper command pipelining after EHLO from \S+\[127\.0\.0\.1\]: MAIL FROM:<a@b\.test>\\r\\n", since=mark)


def test_pipelining_past_data_is_refused(mta):
    """Content sent together with DATA, before the server agreed: a sign of smuggling or of a client that ignores replies."""
    with mta.smtp("outside") as client:
        client.ehlo()
        client.envelope("a@b.test", "box@virtual.test")
        client.send(b"DATA\r\nSubject: early\r\n\r\nx\r\n.\r\n")
        assert str(client.read()) == "554 5.5.0 Error: SMTP protocol synchronization"


def test_starttls_discards_nothing_and_trusts_nothing_sent_before(mta):
    """Commands injected in plaintext behind STARTTLS must not be executed inside TLS (CVE-2011-0411)."""
    with mta.smtp("tls") as client:
        client.ehlo()
        client.send(b"STARTTLS\r\nRSET\r\nNOOP injected\r\n")
        reply = client.read()
        assert reply.code in (220, 554), reply
        if reply.code == 220:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client.file.close()
            client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
            client.file = client.socket.makefile("rb")
            client.expect(250, "EHLO x")  # the first reply inside TLS belongs to this EHLO, not to the injected RSET
            assert str(client.command("MAIL")).startswith("501 5.5.4")
        else:
            assert client.at_eof()


def test_starttls_relays_with_a_tls_received_header(mta, sink, unique):
    recipient = f"{unique('tls')}@remote.test"
    mark = mta.log.mark()
    with mta.smtp("tls") as client:
        assert "STARTTLS" in client.ehlo()
        client.starttls()
        assert "STARTTLS" not in client.ehlo(), "STARTTLS must not be offered inside TLS"
        client.transaction("a@b.test", recipient, b"Subject: x\r\n\r\nx\r\n")
        client.quit()
    received = sink.wait_for_recipient(recipient).headers("Received")[0]
    assert "(using TLSv1.3 with cipher" in received and "with ESMTPS id" in received
    mta.log.wait(r"Anonymous TLS connection established from \S+\[127\.0\.0\.1\]: TLSv1\.3 with cipher", since=mark)
    mta.log.wait(r"disconnect from \S+ ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7$", since=mark)


def test_helo_state_is_forgotten_after_starttls(mta):
    with mta.smtp("tls") as client:
        client.ehlo()
        client.expect(250, "MAIL FROM:<a@b.test>")
        assert client.command("STARTTLS").code in (220, 503)


def test_required_tls(mta):
    with mta.smtp("tls_required") as client:
        client.ehlo()
        assert str(client.command("MAIL FROM:<a@b.test>")) == "530 5.7.0 Must issue a STARTTLS command first"
        client.starttls()
        client.ehlo()
        client.expect(250, "MAIL FROM:<a@b.test>")
        client.quit()


def test_wrapper_mode(mta, certificate):
    context = ssl.create_default_context(cafile=certificate.cert)
    with mta.smtp("wrapped", banner=False) as client:
        client.file.close()
        client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
        client.file = client.socket.makefile("rb")
        assert client.read().code == 220
        client.ehlo()
        client.quit()


def test_declared_size_over_the_limit(mta):
    with mta.smtp() as client:
        client.ehlo()
        assert str(client.command("MAIL FROM:<a@b.test> SIZE=1000001")) == "552 5.3.4 Message size exceeds fixed limit"
        assert client.command("RCPT TO:<c@remote.test>").code == 503


def test_actual_size_over_the_limit(mta):
    with mta.smtp() as client:
        client.ehlo()
        client.envelope("a@b.test", "c@remote.test")
        reply = client.data((b"x" * 78 + b"\r\n") * 20000)
        assert str(reply) == "552 5.3.4 Error: message file too big"
        # The session goes on and accepts a smaller message.
        assert client.transaction("a@b.test", "c@remote.test", b"Subject: small\r\n\r\n").code == 250
        client.quit()


def test_hop_count_loop_is_refused(mta):
    with mta.smtp() as client:
        client.ehlo()
        client.envelope("a@b.test", "c@remote.test")
        assert str(client.data(b"Received: from x by y; now\r\n" * 60 + b"Subject: z\r\n\r\n")) == "554 5.4.0 Error: too many hops"


def test_nul_bytes_survive_in_the_body(mta, sink, unique):
    recipient = f"{unique('nul')}@remote.test"
    with mta.smtp() as client:
        client.ehlo()
        assert client.transaction("a@b.test", recipient, b"Subject: nul\r\n\r\nfoo\0bar\r\n").code == 250
        client.quit()
    assert sink.wait_for_recipient(recipient).body == b"foo\0bar\r\n"


def test_overlong_content_lines_are_kept_and_folded_at_998_when_relayed(mta, sink, unique):
    recipient = f"{unique('long')}@remote.test"
    with mta.smtp() as client:
        client.ehlo()
        assert client.transaction("a@b.test", recipient, b"Subject: long\r\n\r\n" + b"L" * 5000 + b"\r\nend\r\n").code == 250
        client.quit()
    body = sink.wait_for_recipient(recipient).body
    assert max(map(len, body.split(b"\r\n"))) <= 998
    assert body.replace(b"\r\n ", b"") == b"L" * 5000 + b"\r\nend\r\n"


def test_dots_and_empty_lines_arrive_unchanged(mta, sink, unique):
    recipient = f"{unique('dots')}@remote.test"
    body = b".\r\n..\r\n...a\r\n\r\n\r\n.b\r\n \r\n"
    with mta.smtp() as client:
        client.ehlo()
        assert client.transaction("a@b.test", recipient, b"Subject: dots\r\n\r\n" + body).code == 250
        client.quit()
    assert sink.wait_for_recipient(recipient).body == body


def test_header_only_and_empty_messages(mta, sink, unique):
    for content in (b"Subject: only\r\n", b"", b"\r\n"):
        recipient = f"{unique('empty')}@remote.test"
        with mta.smtp() as client:
            client.ehlo()
            assert client.transaction("a@b.test", recipient, content).code == 250
            client.quit()
        message = sink.wait_for_recipient(recipient)
        assert message.headers("Message-Id") and message.headers("Received")


def test_huge_header_is_bounded(mta, sink, unique):
    recipient = f"{unique('header')}@remote.test"
    with mta.smtp() as client:
        client.ehlo()
        reply = client.transaction("a@b.test", recipient, b"Subject: x\r\n" + b"X-Long: " + b"h" * 300000 + b"\r\n\r\nbody\r\n")
        assert reply.code == 250
        client.quit()
    message = sink.wait_for_recipient(recipient)
    # header_size_limit: the excess is discarded, the body is not touched.
    assert len(message.header_text) < 110000
    assert message.body.endswith(b"body\r\n")


def grows_by_at_most(kib):
    """Sanitizers keep what was freed for a while; there the leak checker speaks."""
    return kib if SCALE == 1 else kib + 512 * 1024


def test_100000_recipients_in_one_session(mta, unique):
    """Far beyond smtpd_recipient_limit: each gets a reply, memory does not grow, the accepted ones get the message."""
    total, batch = 100000, 2000
    name = unique("flood")
    with mta.smtp("flood", timeout=120) as client:
        client.ehlo()
        smtpd = mta.daemons("smtpd")
        client.expect(250, "MAIL FROM:<a@b.test>")
        codes, held = [], {}
        for start in range(0, total, batch):
            client.send("".join(f"RCPT TO:<{name}-{n}@discard.test>\r\n" for n in range(start, start + batch)))
            codes += [client.read().code for _ in range(batch)]
            if start == batch:
                held = {pid: procs.anonymous_kib(pid) for pid in smtpd}
        assert codes == [250] * 1000 + [452] * (total - 1000)
        for pid, before in held.items():
            assert procs.anonymous_kib(pid) - before < grows_by_at_most(4096)
        reply = client.data(b"Subject: flood\r\n\r\nx\r\n")
        assert reply.code == 250
        client.quit()
    message_id = queue_id(reply)
    mta.log.wait(rf"qmgr\[\d+\]: {message_id}: from=<a@b\.test>, size=\d+, nrcpt=1000 \(queue active\)$")
    mta.wait_removed(message_id, timeout=60)
    assert len(set(m[1] for m in mta.log.find(rf"{message_id}: to=<({name}-\d+)@discard\.test>, .*status=sent"))) == 1000


def test_recipients_that_are_taken_back_leave_nothing(mta, unique):
    """Full transactions that end in RSET: neither memory nor files stay."""
    name = unique("rset")
    # The same recipients each time: what is cached about them is not what is looked for.
    recipients = "".join(f"RCPT TO:<{name}-{n}@discard.test>\r\n" for n in range(500))
    with mta.smtp("flood", timeout=60) as client:
        client.ehlo()
        smtpd, before = mta.daemons("smtpd"), {}
        queued = set(mta.queue_files())
        for number in range(20 if SCALE == 1 else 5):
            client.send(f"MAIL FROM:<a@b.test>\r\n{recipients}RSET\r\n")
            assert {client.read().code for _ in range(502)} == {250}
            if number == 2:
                before = {pid: procs.anonymous_kib(pid) for pid in smtpd}
        for pid, held in before.items():
            assert procs.anonymous_kib(pid) - held < grows_by_at_most(2048)
        client.quit()
    wait_for(lambda: set(mta.queue_files("incoming", "active")) <= queued, 10, "no file of a message that was taken back")


def test_nul_bytes_in_commands_and_headers(mta, sink, unique, only_stagepost):
    """NUL is a byte like others in content (for Postfix it ends a command or a header line), and never reaches an address, a reply or the log."""
    recipient = f"{unique('nul')}@remote.test"
    mark = mta.log.mark()
    with mta.smtp("limitless") as client:
        client.ehlo()
        for line in (b"MAIL FROM:<a\0@b.test>", b"MAIL FROM:<a@b.test\0>", b"MAIL\0 FROM:<a@b.test>", b"NOOP\0", b"VRFY a\0b", b"HELO a\0b"):
            reply = client.command(line)
            assert reply.code // 100 == 5 or line.startswith(b"HELO"), (line, reply)
            assert "\0" not in reply.text
        client.expect(250, "MAIL FROM:<a@b.test>")
        assert client.command(b"RCPT TO:<x\0" + recipient.encode() + b">").code // 100 == 5
        client.expect(250, f"RCPT TO:<{recipient}>")
        assert client.data(b"Subject: a\0b\r\nX-Nul: \0\r\n\r\nbody\0\r\n").code == 250
        client.quit()
    message = sink.wait_for_recipient(recipient)
    assert message.body == b"body\0\r\n" and b"Subject: a\0b\r\n" in message.data
    assert not mta.log.find("\0", since=mark)
