"""What cleanup does to headers and addresses on the way in."""

import re

import pytest


def relay(mta, sink, recipient, content, sender="a@b.test"):
    with mta.smtp() as client:
        client.ehlo()
        reply = client.transaction(sender, recipient, content)
        assert reply.code == 250, reply
        client.quit()
    return sink.wait_for_recipient(recipient)


def test_missing_headers_are_added_for_local_clients(mta, sink, unique):
    message = relay(mta, sink, f"{unique('hdr')}@remote.test", b"Subject: bare\r\n\r\nx\r\n")
    message_id = re.search(r"id (\w+)", message.headers("Received")[0])[1]
    assert re.fullmatch(rf"<\d{{14}}\.{message_id}@mx\.stagepost\.test>", message.headers("Message-Id")[0])
    assert re.fullmatch(r"\w{3}, [ \d]\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4} \(\w+\)", message.headers("Date")[0])
    assert message.headers("From") == ["a@b.test"]
    assert not message.headers("To")


def test_existing_headers_are_not_touched(mta, sink, unique):
    headers = b"From: x@y.test\r\nDate: some day\r\nMessage-ID: <keep@me>\r\nSubject: =?utf-8?q?x?=\r\nX-Folded: a\r\n\tb\r\n  c\r\n"
    message = relay(mta, sink, f"{unique('hdr')}@remote.test", headers + b"\r\nx\r\n")
    assert headers in message.data
    assert len(message.headers("Message-Id")) == 1


def test_outside_messages_get_no_headers_but_received(make_instance, make_sink, unique):
    sink = make_sink()
    mta = make_instance(relayhost=sink.nexthop, local_header_rewrite_clients="", relay_domains="remote.test")
    with mta.smtp() as client:
        client.ehlo()
        client.transaction("a@b.test", "x@remote.test", b"From: user\r\nSubject: q\r\n\r\nx\r\n")
    message = sink.wait_for_recipient("x@remote.test")
    assert not message.headers("Date") and not message.headers("Message-Id")
    assert message.headers("From") == ["user"]


def test_message_id_is_logged(mta, sink, unique):
    mark = mta.log.mark()
    message_id = mta.submit(f"{unique('mid')}@remote.test", headers=["Message-ID: <abc.123@client.test>"])
    mta.log.wait(rf"cleanup\[\d+\]: {message_id}: message-id=<abc\.123@client\.test>$", since=mark)


def test_addresses_without_domain_are_completed(mta, sink, unique):
    message = relay(mta, sink, f"{unique('hdr')}@remote.test", b"From: Some One <user>\r\nTo: a, \"B, C\" <b>, (comment) c@d.test\r\nCc: g: x, y;\r\n\r\n")
    assert message.headers("From") == ["Some One <user@mx.stagepost.test>"]
    assert re.sub(r"\s+", " ", message.headers("To")[0]) == 'a@mx.stagepost.test, "B, C" <b@mx.stagepost.test>, c@d.test (comment)'
    assert re.sub(r"\s+", " ", message.headers("Cc")[0]) == "g: x@mx.stagepost.test, y@mx.stagepost.test;"


def test_bcc_and_return_path_headers_are_removed(mta, sink, unique):
    message = relay(mta, sink, f"{unique('hdr')}@remote.test", b"Return-Path: <old@x.test>\r\nBcc: secret@x.test\r\nContent-Length: 5\r\nTo: v@x.test\r\n\r\nx\r\n")
    assert not message.headers("Bcc") and not message.headers("Return-Path") and not message.headers("Content-Length")
    assert message.headers("To") == ["v@x.test"]


def test_first_line_that_is_no_header_starts_the_body(mta, sink, unique):
    message = relay(mta, sink, f"{unique('hdr')}@remote.test", b"this is no header\r\nSubject: not a header either\r\n\r\nx\r\n")
    assert message.body == b"this is no header\r\nSubject: not a header either\r\n\r\nx\r\n"
    assert message.headers("Message-Id")


def test_masquerade_and_canonical(make_instance, make_sink):
    sink = make_sink()
    mta = make_instance(relayhost=sink.nexthop, masquerade_domains="corp.test", canonical_maps="inline:{ {old@corp.test=new@corp.test} }",
                        recipient_canonical_maps="inline:{ {r@remote.test=changed@remote.test} }")
    with mta.smtp() as client:
        client.ehlo()
        client.transaction("u@host.corp.test", "r@remote.test", b"From: u@host.corp.test\r\nTo: old@corp.test\r\n\r\n")
    message = sink.wait_for_recipient("changed@remote.test")
    assert message.sender == "u@corp.test"
    assert message.headers("From") == ["u@corp.test"] and message.headers("To") == ["new@corp.test"]


def test_header_checks(make_instance, make_sink):
    sink = make_sink()
    mta = make_instance(start=False, relayhost=sink.nexthop)
    checks = mta.write("config/header_checks", "/^Subject: forbidden/ REJECT not here\n/^X-Drop:/ IGNORE\n/^X-Replace: (.*)/ REPLACE X-New: $1\n"
                                               "/^Subject: hold/ HOLD\n/^Subject: discard/ DISCARD\n/^Subject: warn/ WARN seen\n")
    mta.set(header_checks=f"regexp:{checks}")
    mta.start()
    with mta.smtp() as client:
        client.ehlo()
        assert str(client.transaction("a@b.test", "x@remote.test", b"Subject: forbidden\r\n\r\n")) == "550 5.7.1 not here"
        held = client.transaction("a@b.test", "held@remote.test", b"Subject: hold\r\n\r\n")
        client.transaction("a@b.test", "dropped@remote.test", b"Subject: discard\r\n\r\n")
        client.transaction("a@b.test", "x@remote.test", b"Subject: warn\r\nX-Drop: 1\r\nX-Replace: value\r\n\r\n")
    message = sink.wait_for_recipient("x@remote.test")
    assert not message.headers("X-Drop") and message.headers("X-New") == ["value"] and not message.headers("X-Replace")
    mta.log.wait(r"cleanup\[\d+\]: \w+: reject: header Subject: forbidden from \S+\[127\.0\.0\.1\]; from=<a@b\.test> to=<x@remote\.test> "
                 r"proto=ESMTP helo=<client\.example\.test>: 5\.7\.1 not here$")
    mta.log.wait(r"warning: header Subject: warn from .*: seen$")
    mta.wait_in_queue(str(held).rsplit(" ", 1)[1], "hold")
    assert len(sink.messages) == 1


@pytest.mark.parametrize("count", [1, 500])
def test_many_header_recipients_stay_linear(mta, sink, unique, count):
    names = ", ".join(f"user{n}" for n in range(count))
    folded = ",\r\n ".join(f"user{n}" for n in range(count))
    message = relay(mta, sink, f"{unique('hdr')}@remote.test", f"To: {folded}\r\n\r\n".encode())
    assert message.headers("To")[0].count("@mx.stagepost.test") == len(names.split(", "))
