"""Delivery reports: what bounce, defer and trace send, to whom, and what they keep."""

import email
import email.policy
import re

import pytest

from support.waiting import wait_for


@pytest.fixture
def system(make_instance, make_sink):
    """An instance that relays to a sink; reports arrive there too. reports(subject) waits for them."""
    class System:
        def __init__(self, **options):
            self.sink = make_sink(keywords=("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8"))
            self.sink.on("RCPT", "550 5.1.1 No such user", match="bad")
            self.sink.on("RCPT", "450 4.2.0 wait", match="later")
            settings = {"relayhost": self.sink.nexthop, "notify_classes": "", "queue_run_delay": "1s", "minimal_backoff_time": "1s",
                        "maximal_backoff_time": "1s", "myorigin": "origin.test", **options}
            self.mta = make_instance(**settings)

        def send(self, *recipients, sender="sender@remote.test", message="Subject: hello\n\nbody text\n", options=()):
            mark = self.mta.log.mark()
            self.mta.sendmail("-f", sender, *options, *recipients, message=message, check=True)
            return self.mta.log.wait(r"pickup\[\d+\]: (\w+): uid=", since=mark)[1]

        def report(self, to="sender@remote.test", subject="Undelivered Mail Returned to Sender", count=1):
            def mine(message):
                return message.recipients == [to] and f"Subject: {subject}\r\n" in message.header_text + "\r\n"
            self.sink.wait_messages(count, where=mine)
            return [Report(m) for m in self.sink.messages if mine(m)][-1]

    return System


class Report:
    def __init__(self, message):
        self.sender = message.sender
        self.mime = email.message_from_bytes(message.data.replace(b"\r\n", b"\n"), policy=email.policy.default)
        self.parts = list(self.mime.iter_parts())
        self.text = self.parts[0].get_content()
        fields = self.parts[1].get_payload()
        self.message_fields, self.recipients = fields[0], fields[1:]
        self.returned = self.parts[2] if len(self.parts) > 2 else None

    def returned_text(self):
        return self.returned.as_bytes().partition(b"\n\n")[2].decode("utf-8", "backslashreplace")


def test_failure_report(system):
    s = system()
    message_id = s.send("bad1@remote.test", "ok1@remote.test", "bad2@remote.test", options=("-V", "env+id"))
    report = s.report()
    mime = report.mime
    assert report.sender == ""
    assert list(mime.keys()) == ["Received", "Date", "From", "Subject", "To", "Auto-Submitted", "MIME-Version", "Content-Type",
                                 "Content-Transfer-Encoding", "Message-Id"]
    assert mime["From"] == "Mail Delivery System <MAILER-DAEMON@origin.test>"
    assert mime["To"] == "sender@remote.test" and mime["Auto-Submitted"] == "auto-replied"
    assert mime.get_content_type() == "multipart/report" and mime.get_param("report-type") == "delivery-status"
    assert re.fullmatch(rf"{message_id}\.\d+/mx\.stagepost\.test", mime.get_boundary())
    assert [part.get_content_type() for part in report.parts] == ["text/plain", "message/delivery-status", "message/rfc822"]
    assert [part["Content-Description"] for part in report.parts] == ["Notification", "Delivery report", "Undelivered Message"]
    fields = report.message_fields
    assert list(fields.keys()) == ["Reporting-MTA", "Original-Envelope-Id", "X-Postfix-Queue-ID", "X-Postfix-Sender", "Arrival-Date"]
    assert fields["Reporting-MTA"] == "dns; mx.stagepost.test" and fields["Original-Envelope-Id"] == "env+id"
    assert fields["X-Postfix-Queue-ID"] == message_id and fields["X-Postfix-Sender"] == "rfc822; sender@remote.test"
    assert sorted(r["Final-Recipient"] for r in report.recipients) == ["rfc822; bad1@remote.test", "rfc822; bad2@remote.test"]
    for recipient in report.recipients:
        assert list(recipient.keys()) == ["Final-Recipient", "Original-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code"]
        assert recipient["Action"] == "failed" and recipient["Status"] == "5.1.1" and recipient["Remote-MTA"] == "dns; 127.0.0.1"
        assert recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user"
    assert ("\n<bad1@remote.test>: host 127.0.0.1[127.0.0.1] said: 550 5.1.1 No such user (in\n    reply to RCPT TO command)\n"
            in report.text)
    text = report.returned_text()
    assert text.startswith("Return-Path: <sender@remote.test>\nReceived: by mx.stagepost.test") and text.endswith("\n\nbody text\n")
    s.mta.log.wait(rf"bounce\[\d+\]: {message_id}: sender non-delivery notification: \w+$")
    s.mta.wait_removed(message_id)
    assert not s.mta.queue_files("bounce", "defer", "trace")


def test_headers_only_on_request_and_above_the_size_limit(system):
    s = system(bounce_size_limit="2000")
    for sender, options, message in (("hdrs@remote.test", ("-R", "hdrs"), "Subject: small\n\nsecret\n"),
                                     ("size@remote.test", (), "Subject: big\n\nsecret\n" + "x" * 70 + "\n" + ("y" * 70 + "\n") * 30)):
        s.send("bad@remote.test", sender=sender, options=options, message=message)
        report = s.report(to=sender)
        assert report.returned.get_content_type() == "text/rfc822-headers"
        assert report.returned["Content-Description"] == "Undelivered Message Headers"
        text = report.returned_text()
        assert "\nSubject: " in text and "secret" not in text


def test_delay_warning_then_expiry(system):
    s = system(delay_warning_time="1s", maximal_queue_lifetime="4s", bounce_queue_lifetime="4s")
    message_id = s.send("later1@remote.test", "ok@remote.test")
    warning = s.report(subject="Delayed Mail (still being retried)")
    assert warning.returned.get_content_type() == "text/rfc822-headers"
    (recipient,) = warning.recipients
    assert list(recipient.keys()) == ["Final-Recipient", "Original-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code",
                                      "Will-Retry-Until"]
    assert recipient["Action"] == "delayed" and recipient["Status"] == "4.2.0"
    s.mta.log.wait(rf"bounce\[\d+\]: {message_id}: sender delay notification: \w+$")
    failure = s.report()
    (recipient,) = failure.recipients
    assert recipient["Action"] == "failed" and recipient["Status"] == "4.2.0" and "Will-Retry-Until" not in recipient
    assert failure.returned.get_content_type() == "message/rfc822"
    s.mta.log.wait(rf"qmgr\[\d+\]: {message_id}: from=<sender@remote\.test>, status=expired, returned to sender$")
    s.mta.wait_removed(message_id)
    assert len([m for m in s.sink.messages if "Subject: Delayed Mail" in m.header_text]) == 1
    assert not s.mta.queue_files("bounce", "defer", "trace")


def test_notify_decides_what_is_told(system):
    s = system(delay_warning_time="1s", maximal_queue_lifetime="4s", bounce_queue_lifetime="4s")
    never = s.send("later1@remote.test", "bad1@remote.test", sender="never@remote.test", options=("-N", "never"))
    delay = s.send("later2@remote.test", "bad2@remote.test", sender="delay@remote.test", options=("-N", "delay"))
    failure = s.send("later3@remote.test", sender="failure@remote.test", options=("-N", "failure"))
    assert len(s.report(to="delay@remote.test", subject="Delayed Mail (still being retried)").recipients) == 1
    s.report(to="failure@remote.test")
    for message_id in (never, delay, failure):
        s.mta.wait_removed(message_id)
    s.mta.wait_empty()
    subjects = sorted((m.recipients[0], m.headers("Subject")[0]) for m in s.sink.messages)
    assert subjects == [("delay@remote.test", "Delayed Mail (still being retried)"),
                        ("failure@remote.test", "Undelivered Mail Returned to Sender")]


def test_success_report(system):
    s = system()
    message_id = s.send("ok@remote.test", options=("-N", "success,failure", "-V", "abc"))
    report = s.report(subject="Successful Mail Delivery Report")
    (recipient,) = report.recipients
    assert recipient["Action"] == "relayed" and recipient["Status"] == "2.0.0"
    assert report.message_fields["Original-Envelope-Id"] == "abc"
    assert report.parts[2]["Content-Description"] == "Message Headers"
    assert re.search(r"<ok@remote\.test>: delivery via 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: 250 2\.0\.0", report.text)
    s.mta.log.wait(rf"bounce\[\d+\]: {message_id}: sender delivery status notification: \w+$")


@pytest.mark.parametrize("option, actions", [("-v", {"bad": "failed", "later": "delayed", "ok": "relayed"}),
                                             ("-bv", {"bad": "undeliverable", "later": "undeliverable", "ok": "deliverable"})])
def test_report_on_request(system, option, actions):
    """sendmail -v delivers and tells, sendmail -bv only tells."""
    s = system()
    done = s.mta.sendmail(option, "-f", "sender@remote.test", *(f"{name}@remote.test" for name in actions), check=True)
    assert "Mail Delivery Status Report will be mailed to <sender@remote.test>." in done.stdout
    report = s.report(subject="Mail Delivery Status Report")
    told = {re.search(r"; (\w+)@", r["Final-Recipient"])[1]: r["Action"] for r in report.recipients}
    assert told == actions
    assert "<bad@remote.test>: delivery via 127.0.0.1[127.0.0.1]:" in report.text
    assert report.parts[2].get_content_type() == "text/rfc822-headers"
    assert any("ok@remote.test" in m.recipients for m in s.sink.messages) == (option == "-v")


def test_null_sender_gets_no_report(system):
    s = system()
    message_id = s.send("bad@remote.test", sender="")
    s.mta.wait_removed(message_id)
    s.mta.wait_empty()
    assert not s.sink.messages and not s.mta.log.find("notification")
    assert not s.mta.queue_files("bounce", "defer", "trace")


def test_double_bounce_goes_to_postmaster(system):
    s = system(notify_classes="2bounce", **{"2bounce_notice_recipient": "pm2@remote.test"})
    message_id = s.send("bad@remote.test", sender="")
    report = s.report(to="pm2@remote.test", subject="Postmaster Copy: Undelivered Mail")
    assert report.sender == "double-bounce@mx.stagepost.test" and report.mime["Auto-Submitted"] == "auto-generated"
    assert report.message_fields["X-Postfix-Sender"] == "rfc822; MAILER-DAEMON@mx.stagepost.test"
    assert report.returned.get_content_type() == "message/rfc822"
    assert report.returned_text().startswith("Return-Path: <MAILER-DAEMON@mx.stagepost.test>\n")
    s.mta.log.wait(rf"bounce\[\d+\]: {message_id}: postmaster non-delivery notification: \w+$")


def test_a_notification_to_postmaster_that_fails_is_dropped(system):
    s = system(notify_classes="bounce, 2bounce, delay")
    message_id = s.send("bad@remote.test", sender="double-bounce@mx.stagepost.test")
    s.mta.log.wait(rf"bounce\[\d+\]: warning: {message_id}: undeliverable postmaster notification discarded$")
    s.mta.wait_removed(message_id)
    s.mta.wait_empty()
    assert not s.sink.messages


def test_postmaster_copies(system):
    s = system(notify_classes="bounce", bounce_notice_recipient="pm@remote.test")
    s.send("bad@remote.test", message="Subject: x\n\nsecret\n")
    s.report()
    copy = s.report(to="pm@remote.test", subject="Postmaster Copy: Undelivered Mail")
    assert copy.returned.get_content_type() == "text/rfc822-headers" and "secret" not in copy.returned_text()


def test_a_report_that_cannot_be_queued_is_tried_again(system, only_stagepost):
    """The original message stays until its sender has been told."""
    s = system()
    cleanup = s.mta.queue / "public" / "cleanup"
    s.sink.on("RCPT", "550 5.1.1 gone", match="gated", delay=1.0)
    message_id = s.send("gated@remote.test")
    wait_for(lambda: s.sink.commands("RCPT"), 10, "the delivery to begin", s.mta.log.tail)
    hidden = cleanup.with_name("cleanup.hidden")
    cleanup.rename(hidden)
    try:
        s.mta.log.wait(rf"{message_id}: to=<gated@remote\.test>, .*status=bounced")
        assert s.mta.in_queue(message_id)
    finally:
        hidden.rename(cleanup)
    s.report()
    s.mta.wait_removed(message_id)


def test_encoding_and_character_set(system):
    for enable, encoding, charset in (("no", None, "us-ascii"), ("yes", "8bit", "utf-8")):
        s = system(smtputf8_enable=enable)
        s.send("bad@remote.test")
        report = s.report()
        assert report.mime["Content-Transfer-Encoding"] == encoding
        assert report.parts[0].get_param("charset") == charset


def test_odd_names_and_long_reasons(system):
    s = system()
    s.sink.on("RCPT", "550 5.1.1 " + " ".join(f"word{i:03}" for i in range(40)), match="odd")
    s.send('"odd one"@remote.test', sender='"a b"@remote.test')
    report = s.report(to='"a b"@remote.test')
    assert report.mime["To"] == '"a b"@remote.test'
    assert report.message_fields["X-Postfix-Sender"] == 'rfc822; "a b"@remote.test'
    (recipient,) = report.recipients
    assert recipient["Final-Recipient"] == 'rfc822; "odd one"@remote.test'
    assert re.sub(r"\s+", " ", recipient["Diagnostic-Code"]).endswith("word038 word039")
    assert max(map(len, report.text.splitlines())) < 80
