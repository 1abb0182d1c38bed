"""What ordinary clients do: swaks and Python's smtplib against the real server, through to the next server or mailbox."""

import email.message
import email.policy
import re
import smtplib
import ssl
import subprocess

import pytest

from support.mta import wait_maildir
from support.ports import free_port
from support.waiting import SCALE, wait_for


def swaks(mta, recipient, *options, port="smtp"):
    return subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(mta.port(port)), "--from", "a@b.test", "--to", recipient,
                           "--header", "Subject: swaks", "--body", "hello", *options], capture_output=True, text=True, timeout=60 * SCALE, check=False)


@pytest.mark.parametrize("options,port,protocol", [
    ((), "smtp", "ESMTP"),
    (("--protocol", "SMTP"), "smtp", "SMTP"),
    (("--pipeline",), "smtp", "ESMTP"),
    (("--tls",), "tls", "ESMTPS"),
    (("--tls-on-connect",), "wrapped", "ESMTPS"),
    (("--tls", "--pipeline"), "tls_required", "ESMTPS"),
], ids=["plain", "helo", "pipeline", "starttls", "wrapped", "required"])
def test_swaks(mta, sink, unique, options, port, protocol):
    recipient = f"{unique('swaks')}@remote.test"
    done = swaks(mta, recipient, *options, port=port)
    assert done.returncode == 0, done.stdout
    received = sink.wait_for_recipient(recipient).headers("Received")[0]
    assert f" with {protocol} id " in received


def test_swaks_sees_refusals(mta, unique):
    mark = mta.log.mark()
    refused = swaks(mta, f"{unique('x')}@far.test", port="outside")
    assert refused.returncode == 24, refused.stdout  # swaks: no recipient was accepted
    assert "554 5.7.1" in refused.stdout and "Relay access denied" in refused.stdout
    mta.log.wait(r"NOQUEUE: reject: RCPT from \S+\[127\.0\.0\.1\]: 554 5\.7\.1 .*Relay access denied", since=mark)
    assert swaks(mta, f"{unique('x')}@remote.test", port="tls_required").returncode != 0, "without TLS"


def test_swaks_to_every_kind_of_mailbox(mta, me, unique):
    before = me.mailbox.stat().st_size if me.mailbox.exists() else 0
    name = unique("boxes")
    done = swaks(mta, f"{me.address},box@virtual.test,mbox@virtual.test", "--header", f"X-Test: {name}")
    assert done.returncode == 0, done.stdout
    wait_for(lambda: any(name.encode() in m for m in wait_maildir(mta.vmail / "box")), 20, "the virtual Maildir", mta.log.tail)
    wait_for(lambda: name.encode() in (mta.vmail / "mbox").read_bytes() if (mta.vmail / "mbox").exists() else False, 20, "the virtual mbox")
    wait_for(lambda: me.mailbox.exists() and name.encode() in me.mailbox.read_bytes()[before:], 20, "the local mbox")


def trusting():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_smtplib_starttls(mta, sink, unique):
    recipient = f"{unique('lib')}@remote.test"
    with smtplib.SMTP("127.0.0.1", mta.port("tls")) as client:
        client.ehlo("lib.test")
        assert client.has_extn("STARTTLS")
        client.starttls(context=trusting())
        client.ehlo("lib.test")
        assert not client.has_extn("STARTTLS")
        client.sendmail("a@b.test", recipient, "Subject: tls\n\nx\n")
    sink.wait_for_recipient(recipient)


def test_smtplib_over_tls_from_the_start(mta, sink, unique):
    recipient = f"{unique('lib')}@remote.test"
    with smtplib.SMTP_SSL("127.0.0.1", mta.port("wrapped"), context=trusting()) as client:
        client.sendmail("a@b.test", recipient, "Subject: tls\n\nx\n")
    sink.wait_for_recipient(recipient)


def test_smtplib_several_messages_and_reset(mta, sink, unique):
    with smtplib.SMTP("127.0.0.1", mta.port()) as client:
        client.ehlo("lib.test")
        client.mail("dropped@b.test")
        client.rcpt("dropped@remote.test")
        assert client.rset()[0] == 250
        recipients = [f"{unique('lib')}@remote.test" for _ in range(5)]
        for recipient in recipients:
            client.sendmail("a@b.test", recipient, f"Subject: {recipient}\n\nx\n")
        assert client.noop()[0] == 250 and client.verify(recipients[0])[0] == 252
    for recipient in recipients:
        assert sink.wait_for_recipient(recipient).headers("Subject") == [recipient]
    assert not [m for m in sink.messages if "dropped@remote.test" in m.recipients]


def test_smtplib_8bit_and_smtputf8(mta, sink, unique):
    """Non-ASCII content and addresses keep what they are as far as the next server offers it."""
    name = unique("gr\u00fc\u00dfe")
    message = email.message.EmailMessage(policy=email.policy.SMTPUTF8)
    message["From"], message["To"], message["Subject"] = "s\u00e4nder@remote.test", f"{name}@remote.test", "\u00fcber"
    message.set_content("Stra\u00dfe\n", cte="8bit")
    with smtplib.SMTP("127.0.0.1", mta.port()) as client:
        client.ehlo("lib.test")
        assert client.has_extn("SMTPUTF8") and client.has_extn("8BITMIME")
        client.send_message(message)
    received = sink.wait_for_recipient(f"{name}@remote.test")
    assert received.sender == "s\u00e4nder@remote.test"
    assert " SMTPUTF8" in received.mail_command and "BODY=8BITMIME" in received.mail_command
    assert "Stra\u00dfe".encode() in received.body and received.headers("Subject") == ["\u00fcber"]
    assert " with UTF8SMTP id " in received.headers("Received")[0]


def test_smtputf8_message_for_a_server_without_it_is_returned(make_instance, make_sink):
    sink = make_sink(keywords=["PIPELINING", "8BITMIME"])
    mta = make_instance(relayhost=sink.nexthop)
    with mta.smtp() as client:
        client.ehlo()
        client.expect(250, "MAIL FROM:<> SMTPUTF8")
        client.expect(250, "RCPT TO:<gr\u00fc\u00dfe@remote.test>")
        assert client.data(b"Subject: x\r\n\r\n").code == 250
    status = mta.status("gr\u00fc\u00dfe@remote.test")
    assert (status["status"], status["dsn"]) == ("bounced", "5.6.7")
    assert "SMTPUTF8 is required, but was not offered by host" in status["text"]


def test_relay_domains_and_their_recipients(make_instance, make_sink):
    """The fourth address class: relayed for strangers, to listed recipients when there is a list."""
    sink = make_sink()
    mta = make_instance(smtpd={"outside": {"mynetworks": ""}}, relayhost=sink.nexthop, relay_domains="relay.test, open.test", relay_transport="relay",
                        relay_recipient_maps="inline:{ {known@relay.test=x} {@open.test=x} }")
    with smtplib.SMTP("127.0.0.1", mta.port("outside")) as client:
        refused = client.sendmail("a@b.test", ["known@relay.test", "unknown@relay.test", "any@open.test", "x@far.test"], "Subject: relay\n\nx\n")
    assert refused == {
        "unknown@relay.test": (550, b"5.1.1 <unknown@relay.test>: Recipient address rejected: User unknown in relay recipient table"),
        "x@far.test": (454, b"4.7.1 <x@far.test>: Relay access denied")}
    assert sorted(r for m in sink.wait_messages(1) for r in m.recipients)
    for recipient in ("known@relay.test", "any@open.test"):
        sink.wait_for_recipient(recipient)
        mta.log.wait(rf"postfix/relay/smtp\[\d+\]: \w+: to=<{recipient}>, .*status=sent")


def test_virtual_alias_limits_refuse_the_message_for_now(make_instance):
    mta = make_instance(virtual_alias_domains="alias.test", virtual_alias_expansion_limit=3,
                        virtual_alias_maps="inline:{ {many@alias.test=a@local.test,b@local.test,c@local.test,d@local.test} }")
    with mta.smtp() as client:
        client.ehlo()
        reply = client.transaction("a@b.test", "many@alias.test", b"Subject: x\r\n\r\n")
        assert reply.code == 451 and str(reply).endswith(" 4.6.0 Alias expansion error"), reply
    mta.log.wait(r"cleanup\[\d+\]: warning: \w+: .*many@alias\.test")


def test_anvil_counts_connections_and_messages(make_instance):
    mta = make_instance(max_idle="1s", ipc_idle="1s", smtpd_client_event_limit_exceptions="")
    with smtplib.SMTP("127.0.0.1", mta.port()) as one, smtplib.SMTP("127.0.0.1", mta.port()) as two:
        one.ehlo("a.test")
        two.ehlo("b.test")
        one.sendmail("a@b.test", f"{mta.user.pw_name}@local.test", "Subject: x\n\nx\n")
    client = rf"\(\S*{mta.port()}:127\.0\.0\.1\) at "
    mta.log.wait(rf"anvil\[\d+\]: statistics: max connection rate 2/60s for {client}")
    mta.log.wait(rf"anvil\[\d+\]: statistics: max connection count 2 for {client}")


@pytest.mark.parametrize("exceptions", [None, "127.0.0.0/8", "localhost"])
def test_excepted_clients_are_not_counted(make_instance, exceptions):
    """The default is $mynetworks. Postfix 3.7 does not tell anvil of these clients either."""
    options = {} if exceptions is None else {"smtpd_client_event_limit_exceptions": exceptions}
    mta = make_instance(anvil_status_update_time="2s", extra_services=[
        f"127.0.0.2:{(other := free_port())} inet n - n - - smtpd -o smtpd_client_event_limit_exceptions="], **options)
    for _ in range(3):
        with smtplib.SMTP("127.0.0.1", mta.port()) as client:
            client.ehlo("a.test")
    with smtplib.SMTP("127.0.0.2", other) as client:  # whoever is counted shows that anvil reports
        client.ehlo("b.test")
    mta.log.wait(rf"anvil\[\d+\]: statistics: max connection rate 1/60s for \(\S*{other}:127\.")
    assert not re.search(rf"anvil\[\d+\]: statistics: .*:{mta.port()}:127\.", mta.log.tail(200)), mta.log.tail(200)


def test_options_in_master_cf(make_instance):
    """-o in each of its forms, on continuation lines, with comments between them."""
    ports = [free_port() for _ in range(3)]
    mta = make_instance(extra_services=[
        f"127.0.0.1:{ports[0]} inet n - n - -",
        "# a comment between continuation lines",
        "  smtpd -o smtpd_banner=plain,text",
        f"127.0.0.1:{ports[1]} inet n - n - - smtpd",
        "  -o { smtpd_banner = $myhostname ESMTP with spaces }",
        "",
        "  -o myhostname=other.test",
        f"127.0.0.1:{ports[2]} inet n - n - - smtpd -o {{myhostname=third.test}} -o smtpd_banner=$myhostname"])
    greetings = []
    for port in ports:
        with smtplib.SMTP() as client:
            greetings.append(client.connect("127.0.0.1", port)[1].decode())
    assert greetings == ["plain,text", "other.test ESMTP with spaces", "third.test"]
