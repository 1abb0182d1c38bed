"""Variable envelope return paths (VERP_README): asked for by sendmail and by SMTP, one sender address per recipient, one bounce each."""

import re

import pytest

from support.mta import Instance
from support.sink import Sink

EX_TEMPFAIL = 75


@pytest.fixture(scope="module")
def lists(suite):
    with Sink() as sink, Instance(suite, smtpd={"strangers": {"smtpd_authorized_verp_clients": ""}}, relayhost=sink.nexthop,
                                  smtpd_authorized_verp_clients="127.0.0.0/8", local_recipient_maps="",
                                  virtual_alias_maps="inline:{ {alias@remote.test=target@remote.test} }") as mta:
        yield mta, sink


def sender_for(sink, recipient):
    return sink.wait_for_recipient(recipient).sender


@pytest.mark.parametrize("option,one,two", [("-XV", "+", "="), ("-XV-=", "-", "="), ("-V", "+", "="), ("-V--", "-", "-")])
def test_sendmail(lists, unique, option, one, two):
    mta, sink = lists
    first, second = unique("v"), unique("v") + "+x"
    done = mta.sendmail(option, "-f", "owner-list@origin.test", f"{first}@remote.test", f"{second}@remote.test")
    assert done.returncode == 0
    assert bool(re.search(rf"warning: option {option} is deprecated .*; specify -X{option[1:]} instead", done.stderr)) == (not option.startswith("-X"))
    for local in (first, second):
        assert sender_for(sink, f"{local}@remote.test") == f"owner-list{one}{local}{two}remote.test@origin.test"


def test_the_recipient_is_the_one_that_was_submitted(lists):
    mta, sink = lists
    mta.sendmail("-XV", "-f", "list@origin.test", "alias@remote.test", '"a b"@remote.test', check=True)
    assert sender_for(sink, "target@remote.test") == "list+alias=remote.test@origin.test"
    assert sender_for(sink, '"a b"@remote.test') == '"list+a b=remote.test"@origin.test'


def test_recipients_of_the_header(lists, unique):
    mta, sink = lists
    local = unique("t")
    mta.sendmail("-t", "-XV", "-f", "list@origin.test", message=f"To: {local}@remote.test\nSubject: x\n\nx\n", check=True)
    assert sender_for(sink, f"{local}@remote.test") == f"list+{local}=remote.test@origin.test"


@pytest.mark.parametrize("options,text", [
    (("-XVab",), "-V requires two characters from"), (("-XV+",), "-V requires two characters from"),
    (("-XV", "-f", "<>"), "-V option requires non-null sender address"),
])
def test_sendmail_refuses(lists, unique, options, text):
    mta, _ = lists
    done = mta.sendmail(*options, f"{unique('v')}@remote.test")
    assert done.returncode == EX_TEMPFAIL and text in done.stderr


def test_an_envelope_id_is_not_taken_for_delimiters(lists, unique):
    mta, sink = lists
    recipient = f"{unique('v')}@remote.test"
    done = mta.sendmail("-V", "id42", "-f", "list@origin.test", recipient)
    message = sink.wait_for_recipient(recipient)
    assert done.stderr == "" and message.sender == "list@origin.test" and "ENVID=id42" in message.mail_command


def test_smtp(lists, unique):
    mta, sink = lists
    plain, chosen = (f"{unique('v')}@remote.test" for _ in range(2))
    with mta.smtp() as client:
        assert list(client.ehlo()).index("XVERP") < list(client.ehlo()).index("ENHANCEDSTATUSCODES")
        for parameter, recipient in (("XVERP", plain), ("XVERP=-=", chosen)):
            assert client.command(f"MAIL FROM:<list@origin.test> {parameter}").code == 250
            assert client.command(f"RCPT TO:<{recipient}>").code == 250
            assert client.command("DATA").code == 354
            assert client.command("Subject: x\r\n\r\nx\r\n.").code == 250
    assert sender_for(sink, plain) == "list+" + plain.replace("@", "=") + "@origin.test"
    assert sender_for(sink, chosen) == "list-" + chosen.replace("@", "=") + "@origin.test"


@pytest.mark.parametrize("argument,reply", [
    ("<a@b.test> XVERP=ab", "501 5.5.4 Error: XVERP needs two characters from -=+"),
    ("<a@b.test> XVERP=+", "501 5.5.4 Error: XVERP needs two characters from -=+"),
    ("<> XVERP", "503 5.5.4 Error: XVERP requires non-null sender"),
])
def test_smtp_syntax(lists, argument, reply):
    mta, _ = lists
    with mta.smtp() as client:
        client.ehlo()
        assert str(client.command(f"MAIL FROM:{argument}")) == reply


def test_only_authorized_clients(lists):
    mta, _ = lists
    with mta.smtp("strangers") as client:
        assert "XVERP" not in client.ehlo()
        assert str(client.command("MAIL FROM:<a@b.test> XVERP")) == "555 5.5.4 Unsupported option: XVERP"


def failing(unique):
    return [f"{unique('nobody')}@local.test" for _ in range(2)]


def bounces(sink, subjects):
    """Bounces that mention one of these recipients: {envelope recipient: how many of `subjects` it tells about}."""
    return {m.recipients[0]: sum(s.encode() in m.data for s in subjects) for m in sink.messages
            if m.sender == "" and any(s.encode() in m.data for s in subjects)}


def test_a_bounce_for_each_recipient(lists, unique):
    mta, sink = lists
    recipients = failing(unique)
    mark = mta.log.mark()
    mta.sendmail("-XV", "-f", "list@origin.test", *recipients, check=True)
    for recipient in recipients:
        to = "list+" + recipient.replace("@", "=") + "@origin.test"
        message = sink.wait_for_recipient(to)
        assert message.headers("To") == [to]
        assert b"X-Postfix-Sender: rfc822; list@origin.test" in message.data
    assert set(bounces(sink, recipients).values()) == {1}
    mta.log.wait(r"bounce\[\d+\]: \w+: sender non-delivery notification", since=mark, count=2)


def test_one_bounce_when_that_is_wanted(suite, unique):
    with Sink() as sink, Instance(suite, relayhost=sink.nexthop, local_recipient_maps="", disable_verp_bounces="yes") as mta:
        recipients = failing(unique)
        mta.sendmail("-XV", "-f", "list@origin.test", *recipients, check=True)
        sink.wait_for_recipient("list@origin.test")
        assert bounces(sink, recipients) == {"list@origin.test": 2}


def test_the_request_is_in_the_queue_file(suite, unique):
    with Instance(suite, relayhost="[127.0.0.1]:9", defer_transports="smtp") as mta:
        mta.sendmail("-XV", "-f", "list@origin.test", f"{unique('v')}@remote.test", check=True)
        mta.log.wait(r"status=deferred")
        path = next(iter(mta.queue_files("deferred", "active").values()))
        shown = mta.postcat("-e", str(path), check=True).stdout
        assert re.search(r"(?m)^sender: list@origin\.test$(?s:.*)^verp_delimiters: \+=$(?s:.*)^recipient: ", shown)


def record(kind, data):
    return kind.encode() + bytes([len(data)]) + data.encode()


@pytest.mark.parametrize("delimiters,sender,warning", [
    ("ab", "list@origin.test", r'ignoring bad VERP request: "ab"'),
    ("+==", "list@origin.test", r'ignoring bad VERP request: "\+=="'),
    ("+=", "", r"ignoring VERP request for null sender"),
])
def test_a_bad_request_is_ignored_by_cleanup(lists, unique, delimiters, sender, warning):
    """What any user can hand to postdrop."""
    mta, sink = lists
    recipient = f"{unique('raw')}@remote.test"
    records = [record("S", sender), record("V", delimiters), record("R", recipient), record("M", ""), record("N", "Subject: x"),
               record("N", ""), record("X", ""), record("E", "")]
    mark = mta.log.mark()
    mta.run("postdrop", "-r", input=b"".join(records), check=True)
    assert sender_for(sink, recipient) == sender
    mta.log.wait(rf"cleanup\[\d+\]: warning: \w+: {warning}", since=mark)
