"""Delivery to other SMTP servers: envelopes, temporary and permanent failures, bounces, transports, TLS, concurrency."""

import email
import email.policy
import re
import threading

import pytest

from support.waiting import wait_for


def parse(message):
    return email.message_from_bytes(message.data, policy=email.policy.default)


def test_relayed_message_keeps_envelope_and_content(mta, sink, unique):
    recipient = f"{unique('plain')}@remote.test"
    message_id = mta.submit(recipient, sender="from@origin.test", subject="kept", headers=["X-Mine: 1"])
    message = sink.wait_for_recipient(recipient)
    assert message.sender == "from@origin.test"
    assert re.fullmatch(r"MAIL FROM:<from@origin\.test> SIZE=\d+.*", message.mail_command)
    received = message.headers("Received")[0]
    assert re.match(rf"from client\.example\.test \(\S+ \[127\.0\.0\.1\]\)\s+by mx\.stagepost\.test \(\S+\) with ESMTP id {message_id}\s+"
                    rf"for <{recipient}>; \w{{3}}, [ \d]\d \w{{3}} \d{{4}} \d\d:\d\d:\d\d [+-]\d{{4}} \(\w+\)$", received), received
    assert message.headers("X-Mine") == ["1"] and message.headers("Subject") == ["kept"]
    assert message.body == b"body\r\n"
    status = mta.status(recipient)
    assert status["relay"] == f"127.0.0.1[127.0.0.1]:{sink.port}" and status["dsn"] == "2.0.0" and status["status"] == "sent"
    assert status["text"] == "250 2.0.0 ok, recorded"
    assert len(status["delays"].split("/")) == 4
    mta.wait_removed(message_id)
    assert not mta.in_queue(message_id)


def test_recipients_of_one_destination_share_a_transaction(mta, sink, unique):
    recipients = [f"{unique('multi')}@remote.test" for _ in range(30)]
    mta.submit(recipients)
    message = sink.wait_for_recipient(recipients[0])
    assert sorted(message.recipients) == sorted(recipients)
    assert message.session.pipelined


def test_recipient_limit_per_delivery_splits(make_instance, make_sink):
    sink = make_sink()
    mta = make_instance(relayhost=sink.nexthop, smtp_destination_recipient_limit=2, default_destination_recipient_limit=2)
    mta.submit([f"r{n}@remote.test" for n in range(5)])
    messages = sink.wait_messages(3)
    assert sorted(len(m.recipients) for m in messages) == [1, 2, 2]


def test_each_recipient_gets_its_own_fate(mta, sink, unique):
    """One transaction, one accepted, one rejected, one deferred: nothing is repeated for the accepted one."""
    name = unique("fate")
    good, bad, later = f"{name}-good@remote.test", f"{name}-bad@remote.test", f"{name}-later@remote.test"
    sender = f"{name}-sender@remote.test"
    sink.on("RCPT", "550 5.1.1 no such user", match=f"{name}-bad@")
    greylist = sink.on("RCPT", "450 4.2.0 greylisted", match=f"{name}-later@", times=1)
    message_id = mta.submit([good, bad, later], sender=sender)
    assert mta.status(good)["status"] == "sent"
    bounced = mta.status(bad)
    assert (bounced["status"], bounced["dsn"]) == ("bounced", "5.1.1")
    assert bounced["text"] == "host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no such user (in reply to RCPT TO command)"
    deferred = mta.status(later)
    assert (deferred["status"], deferred["dsn"]) == ("deferred", "4.2.0")
    sink.wait_for_recipient(sender)  # the bounce
    mta.wait_in_queue(message_id, "deferred")
    assert greylist.used == 1
    mark = mta.log.mark()
    mta.postqueue("-f", check=True)
    assert mta.status(later, since=mark)["status"] == "sent"
    mta.wait_removed(message_id, since=mark)
    assert len([m for m in sink.messages if good in m.recipients]) == 1


def test_bounce_is_a_complete_delivery_report(mta, sink, unique):
    name = unique("bounce")
    sender, bad = f"{name}-sender@remote.test", f"{name}-bad@remote.test"
    sink.on("RCPT", "550-5.7.1 first line\n550 5.7.1 second line", match=f"{name}-bad@")
    mark = mta.log.mark()
    message_id = mta.submit(bad, sender=sender, subject="original subject", body="original body")
    message = sink.wait_for_recipient(sender)
    assert message.sender == ""
    notice = mta.log.wait(rf"bounce\[\d+\]: {message_id}: sender non-delivery notification: (\w+)$", since=mark)[1]
    mta.log.wait(rf"qmgr\[\d+\]: {notice}: from=<>, size=\d+, nrcpt=1 \(queue active\)$", since=mark)
    report = parse(message)
    assert report.get_content_type() == "multipart/report" and report.get_param("report-type") == "delivery-status"
    assert report["From"] == "Mail Delivery System <MAILER-DAEMON@mx.stagepost.test>"
    assert report["To"] == sender and report["Subject"] == "Undelivered Mail Returned to Sender"
    assert report["Auto-Submitted"] == "auto-replied" and report["Message-Id"] and report["Date"]
    text, status, original = report.iter_parts()
    human = text.get_payload(decode=True).decode()
    assert human.startswith("This is the mail system at host mx.stagepost.test.")
    assert (f"<{bad}>: host 127.0.0.1[127.0.0.1] said: 550-5.7.1 first line 550 5.7.1 second line (in reply to RCPT TO command)"
            in " ".join(human.split())), human
    assert max(map(len, human.splitlines())) < 80
    assert status.get_content_type() == "message/delivery-status"
    per_message, per_recipient = status.get_payload()
    assert per_message["Reporting-MTA"] == "dns; mx.stagepost.test" and per_message["Arrival-Date"]
    assert per_message["X-Postfix-Queue-ID"] == message_id and per_message["X-Postfix-Sender"] == f"rfc822; {sender}"
    assert per_recipient["Final-Recipient"] == f"rfc822; {bad}" and per_recipient["Original-Recipient"] == f"rfc822;{bad}"
    assert per_recipient["Action"] == "failed" and per_recipient["Status"] == "5.7.1" and per_recipient["Remote-MTA"] == "dns; 127.0.0.1"
    assert per_recipient["Diagnostic-Code"].startswith("smtp; 550-5.7.1 first line 550 5.7.1 second line")
    assert original.get_content_type() == "message/rfc822"
    returned = original.get_payload()[0]
    assert returned["Subject"] == "original subject" and returned["Return-Path"] == f"<{sender}>"
    assert "original body" in returned.get_payload()
    mta.wait_removed(message_id)


def test_bounces_of_one_message_come_in_one_report(mta, sink, unique):
    name = unique("many")
    sink.on("RCPT", "550 5.1.1 none", match=f"{name}-bad")
    bad = [f"{name}-bad{n}@remote.test" for n in range(3)]
    sender = f"{name}-sender@remote.test"
    mta.wait_removed(mta.submit([*bad, f"{name}-good@remote.test"], sender=sender))
    notices = sink.wait_messages(1, where=lambda m: sender in m.recipients)
    assert len(notices) == 1
    assert all(f"Final-Recipient: rfc822; {r}".encode() in notices[0].data for r in bad)
    assert f"rfc822; {name}-good".encode() not in notices[0].data


def test_undeliverable_bounce_is_dropped_not_bounced_again(mta, sink, unique):
    name = unique("double")
    sink.on("RCPT", "550 5.1.1 none", match=f"{name}-")
    mark = mta.log.mark()
    message_id = mta.submit(f"{name}-bad@remote.test", sender=f"{name}-sender@remote.test")
    notice = mta.log.wait(rf"{message_id}: sender non-delivery notification: (\w+)$", since=mark)[1]
    mta.wait_removed(notice)
    mta.wait_removed(message_id)
    assert not mta.log.find(rf"{notice}: sender non-delivery notification", since=mark)


def test_double_bounce_goes_to_postmaster_when_asked(make_instance, make_sink):
    sink = make_sink()
    mta = make_instance(relayhost=sink.nexthop, notify_classes="2bounce", double_bounce_sender="double-bounce",
                        **{"2bounce_notice_recipient": "postmaster@remote.test"})
    sink.on("RCPT", "550 5.1.1 none", match="bad|ghost")
    mta.submit("bad@remote.test", sender="ghost@remote.test")
    message = sink.wait_for_recipient("postmaster@remote.test")
    assert message.sender == "double-bounce@mx.stagepost.test"
    assert message.headers("Subject")[0].startswith("Postmaster Copy: Undelivered Mail")
    assert b"ghost@remote.test" in message.data and b"bad@remote.test" in message.data
    mta.wait_empty()


@pytest.mark.parametrize("stage,reply,status", [
    ("CONNECT", "554 5.3.2 not today", "deferred"), ("CONNECT", "421 4.3.2 busy", "deferred"),
    ("MAIL", "451 4.3.0 try later", "deferred"), ("MAIL", "553 5.1.8 bad sender", "bounced"),
    ("DATA", "451 4.3.0 try later", "deferred"), ("DATA", "554 5.6.0 no", "bounced"),
    ("EOD", "452 4.3.1 full", "deferred"), ("EOD", "554 5.7.1 spam", "bounced"),
])
def test_replies_decide_per_stage(mta, make_sink, unique, stage, reply, status):
    other = make_sink()
    other.on(stage, reply)
    recipient, sender = f"{unique('stage')}@local-route.test", f"{unique('stagefrom')}@discard.test"
    with route(mta, "local-route.test", other):
        message_id = mta.submit(recipient, sender=sender)
        result = mta.status(recipient)
        assert result["status"] == status, result
        assert result["dsn"] == reply.split()[1].replace("5", "4" if status == "deferred" else "5", 1)
        assert reply.split(" ", 2)[2] in result["text"]
        if status == "deferred":
            mta.wait_in_queue(message_id, "deferred")
            mta.postsuper("-d", message_id, check=True)
        else:
            mta.wait_removed(message_id)


class route:
    """Sends one domain of the shared instance to another sink while the block runs."""

    def __init__(self, mta, domain, sink):
        self.mta, self.domain, self.sink = mta, domain, sink

    def __enter__(self):
        self.path = self.mta.config / "transport"
        self.before = self.path.read_text()
        self.mta.write("config/transport", f"{self.before}{self.domain} smtp:{self.sink.nexthop}\n")
        self.mta.reload()

    def __exit__(self, *_):
        self.mta.write("config/transport", self.before)
        self.mta.reload()


@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "EOD"])
def test_dropped_connection_defers_at_every_stage(make_sink, dropping, stage):
    mta, sink = dropping
    sink.reset()
    sink.on(stage, drop=True)
    recipient = f"drop-{stage.lower()}@remote.test"
    message_id = mta.submit(recipient)
    result = mta.status(recipient)
    assert result["status"] == "deferred" and result["dsn"].startswith("4."), result
    assert "lost connection with" in result["text"]
    mta.wait_in_queue(message_id, "deferred")
    sink.reset()
    mark = mta.log.mark()
    mta.postqueue("-f", check=True)
    assert mta.status(recipient, since=mark)["status"] == "sent"
    mta.wait_removed(message_id)


@pytest.fixture(scope="module")
def dropping(suite):
    from support.mta import Instance
    from support.sink import Sink
    with Sink() as sink, Instance(suite, relayhost=sink.nexthop, minimal_backoff_time="300s", queue_run_delay="300s",
                                  smtp_helo_timeout="2s", smtp_data_done_timeout="2s", smtp_mail_timeout="2s", smtp_rcpt_timeout="2s",
                                  default_destination_concurrency_failed_cohort_limit="100",
                                  smtp_address_preference="ipv4") as mta:
        yield mta, sink


@pytest.mark.parametrize("stage", ["EHLO", "MAIL", "EOD"])
def test_slow_server_times_out_and_is_retried(dropping, stage):
    mta, sink = dropping
    sink.reset()
    gate = threading.Event()
    sink.on(stage, gate=gate, reply="421 4.3.2 too late")
    recipient = f"slow-{stage.lower()}@remote.test"
    message_id = mta.submit(recipient)
    result = mta.status(recipient)
    gate.set()
    assert result["status"] == "deferred" and "timed out" in result["text"], result
    sink.reset()
    mark = mta.log.mark()
    mta.wait_in_queue(message_id, "deferred")
    mta.postqueue("-f", check=True)
    assert mta.status(recipient, since=mark)["status"] == "sent"


def test_server_without_ehlo_gets_helo(dropping):
    mta, sink = dropping
    sink.reset()
    sink.on("EHLO", "502 5.5.1 what?")
    mta.submit("oldserver@remote.test")
    message = sink.wait_for_recipient("oldserver@remote.test")
    assert any(c.startswith("HELO ") for c in message.session.commands)
    assert "SIZE=" not in message.mail_command


def test_8bit_content_is_converted_for_a_7bit_server(make_instance, make_sink):
    sink = make_sink(keywords=["PIPELINING"])
    mta = make_instance(relayhost=sink.nexthop)
    with mta.smtp() as client:
        client.ehlo()
        client.expect(250, "MAIL FROM:<a@b.test> BODY=8BITMIME")
        client.expect(250, "RCPT TO:<seven@remote.test>")
        content = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n"
        assert client.data(content.encode()).code == 250
    message = sink.wait_for_recipient("seven@remote.test")
    assert message.headers("Content-Transfer-Encoding") == ["quoted-printable"]
    assert message.body == b"Gr=C3=BC=C3=9Fe\r\n"


def test_opportunistic_starttls(make_instance, make_sink, certificate):
    sink = make_sink(tls=certificate)
    mta = make_instance(relayhost=sink.nexthop, smtp_tls_security_level="may", smtp_tls_loglevel="1")
    mta.submit("tls@remote.test")
    message = sink.wait_for_recipient("tls@remote.test")
    assert message.session.tls
    mta.log.wait(r"smtp\[\d+\]: Untrusted TLS connection established to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: TLSv1\.3 with cipher")


def test_opportunistic_tls_falls_back_to_plaintext(make_instance, make_sink, certificate):
    sink = make_sink(tls=certificate)
    sink.on("STARTTLS", "454 4.7.0 TLS not available")
    mta = make_instance(relayhost=sink.nexthop, smtp_tls_security_level="may")
    mta.submit("notls@remote.test")
    assert not sink.wait_for_recipient("notls@remote.test").session.tls


def test_mandatory_tls_defers_without_it(make_instance, make_sink):
    sink = make_sink()
    mta = make_instance(relayhost=sink.nexthop, smtp_tls_security_level="encrypt")
    mta.submit("must@remote.test")
    status = mta.status("must@remote.test")
    assert (status["status"], status["dsn"]) == ("deferred", "4.7.4")
    assert status["text"] == "TLS is required, but was not offered by host 127.0.0.1[127.0.0.1]"
    assert not sink.messages


def test_transports(mta, sink, unique):
    name = unique("route")
    mta.submit([f"{name}@discard.test", f"{name}@a.sub.test", f"{name}@direct.test", f"{name}@viarelay.test"])
    discarded = mta.status(f"{name}@discard.test")
    assert (discarded["agent"], discarded["relay"], discarded["dsn"], discarded["text"]) == ("discard", "none", "2.0.0", "silently")
    assert mta.status(f"{name}@a.sub.test")["text"] == "subdomain"
    assert mta.status(f"{name}@direct.test")["agent"] == "smtp"
    mta.log.wait(rf" postfix/relay/smtp\[\d+\]: \w+: to=<{name}@viarelay\.test>, .*status=sent")
    sink.wait_for_recipient(f"{name}@viarelay.test")


def test_error_transport_rejects_in_smtp_and_bounces_from_sendmail(mta, sink, unique):
    name = unique("error")
    with mta.smtp() as client:
        client.ehlo()
        client.expect(250, "MAIL FROM:<a@b.test>")
        assert str(client.command(f"RCPT TO:<{name}@error.test>")) == \
            f"550 5.2.9 <{name}@error.test>: Recipient address rejected: mailbox closed for tests"
        assert client.command(f"RCPT TO:<{name}@retry.test>").code == 450
    sender = f"{name}-sender@remote.test"
    assert mta.sendmail("-f", sender, f"{name}@error.test").returncode == 0
    status = mta.status(f"{name}@error.test")
    assert (status["agent"], status["status"], status["dsn"], status["text"]) == ("error", "bounced", "5.2.9", "mailbox closed for tests")
    assert b"mailbox closed for tests" in sink.wait_for_recipient(sender).data


def test_refused_connection_defers(mta, unique):
    recipient = f"{unique('refused')}@dead.test"
    message_id = mta.submit(recipient)
    status = mta.status(recipient)
    assert (status["status"], status["dsn"], status["relay"]) == ("deferred", "4.4.1", "none")
    assert status["text"] == "connect to 127.0.0.1[127.0.0.1]:9: Connection refused"
    mta.wait_in_queue(message_id, "deferred")
    mta.postsuper("-d", message_id, check=True)


def test_retry_happens_by_itself_after_the_backoff_time(make_instance, make_sink):
    sink = make_sink()
    sink.on("RCPT", "450 4.2.0 greylisted", times=1)
    mta = make_instance(relayhost=sink.nexthop, minimal_backoff_time="1s", maximal_backoff_time="2s", queue_run_delay="1s")
    message_id = mta.submit("again@remote.test")
    mta.wait_removed(message_id, timeout=20)
    assert len(mta.log.find(r"to=<again@remote.test>,.*status=(deferred|sent)")) == 2


def test_expired_message_is_returned(make_instance, make_sink):
    sink = make_sink()
    sink.on("RCPT", "450 4.2.0 never", match="expire@")
    mta = make_instance(relayhost=sink.nexthop, minimal_backoff_time="1s", maximal_backoff_time="1s", queue_run_delay="1s",
                        maximal_queue_lifetime="0s", bounce_queue_lifetime="0s")
    message_id = mta.submit("expire@remote.test", sender="sender@remote.test")
    message = sink.wait_for_recipient("sender@remote.test")
    assert b"Status: 4.2.0" in message.data
    mta.wait_removed(message_id)


def test_maxproc_two_never_opens_a_third_connection(make_instance, make_sink):
    """The concurrency contract: maxproc of a delivery service is the number of connections it may open at once."""
    sink = make_sink()
    gate = threading.Event()
    sink.on("EOD", gate=gate)
    mta = make_instance(relayhost=sink.nexthop, master={"smtp/unix": {"maxproc": 2}}, smtp_destination_recipient_limit=1,
                        smtp_skip_quit_response="no", initial_destination_concurrency=20, default_destination_concurrency_limit=20)
    for n in range(12):
        mta.submit(f"limit{n}@remote.test")
    wait_for(lambda: sink.active == 2, 10, "two connections")
    assert sink.peak == 2
    gate.set()
    sink.wait_messages(12)
    mta.wait_empty()
    # Not connections: nobody waits for the answer to QUIT, and a slow server may see the next client before it.
    assert sink.busiest == 2


def test_kept_sessions_count_for_maxproc(make_instance, make_sink):
    """Sessions that stay open between deliveries are connections too, and are used again."""
    sink = make_sink()
    gate = threading.Event()
    sink.on("EOD", gate=gate)
    mta = make_instance(relayhost=sink.nexthop, master={"smtp/unix": {"maxproc": 2}}, initial_destination_concurrency=20,
                        smtp_skip_quit_response="no")  # so that the sink has seen the end of a session before the next one begins
    for n in range(12):
        mta.submit(f"kept{n}@remote.test")
    wait_for(lambda: sink.active == 2, 10, "two connections")
    gate.set()
    sink.wait_messages(12)
    mta.wait_empty()
    assert sink.peak == 2
    assert len(sink.sessions) <= 4, "the first of each process may not know that more is coming"


@pytest.mark.parametrize("keywords", [("PIPELINING", "8BITMIME"), ("8BITMIME",)], ids=["pipelining", "in step"])
def test_kept_session_is_woken_with_rset(make_instance, make_sink, keywords):
    """RSET goes ahead of the next message, with its first commands where the server allows that; a session that died meanwhile costs nothing."""
    sink = make_sink(keywords=keywords)
    mta = make_instance(relayhost=sink.nexthop, smtp_connection_cache_destinations=sink.nexthop, smtp_connection_cache_time_limit="30s")
    mark = mta.log.mark()
    for number in range(3):
        mta.submit(f"{number}@remote.test")
        sink.wait_for_recipient(f"{number}@remote.test")
        mta.wait_empty()
    assert len(sink.sessions) == 1
    assert [c.split(":")[0].upper() for c in sink.sessions[0].commands] == ["EHLO MX.STAGEPOST.TEST", *["MAIL FROM", "RCPT TO", "DATA", "RSET"] * 2, "MAIL FROM",
                                                                            "RCPT TO", "DATA"]
    mta.log.wait(r"relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, conn_use=3, .*status=sent", since=mark)
    for number, rule in enumerate([{"reply": "421 4.3.2 closing"}, {"drop": True}, {"reply": "502 5.5.1 what?"}], start=3):
        sink.on("RSET", times=1, **rule)
        mta.submit(f"{number}@remote.test")
        assert len(sink.wait_messages(1, where=lambda m, n=number: f"{n}@remote.test" in m.recipients)) == 1
        mta.wait_empty()
        assert len(sink.sessions) == number - 1, "a new session each time"
    assert not mta.log.find(r"status=deferred", since=mark)


def test_destination_concurrency_limit(make_instance, make_sink):
    sink = make_sink()
    gate = threading.Event()
    sink.on("EOD", gate=gate)
    mta = make_instance(relayhost=sink.nexthop, smtp_destination_concurrency_limit=3, initial_destination_concurrency=3)
    for n in range(10):
        mta.submit(f"dest{n}@remote.test")
    wait_for(lambda: sink.active == 3, 10, "three connections")
    assert sink.peak == 3
    gate.set()
    sink.wait_messages(10)
    assert sink.busiest == 3


def test_lmtp_replies_per_recipient(make_instance, make_sink):
    sink = make_sink(lmtp=True)
    sink.on("EOD", "552 5.2.2 over quota", match="full@")
    mta = make_instance(default_transport=f"lmtp:{sink.nexthop}")
    mta.submit(["ok@remote.test", "full@remote.test"], sender="")
    assert mta.status("ok@remote.test")["status"] == "sent"
    status = mta.status("full@remote.test")
    assert (status["agent"], status["status"], status["dsn"]) == ("lmtp", "bounced", "5.2.2")
    assert sink.sessions[0].commands[0] == "LHLO mx.stagepost.test"
