"""Delivery on this machine: mbox, Maildir, aliases, virtual mailboxes and aliases."""

import os
import re
import shutil
import stat

import pytest

from support.mta import maildir_messages, wait_maildir
from support.waiting import wait_for

MBOX_FROM = re.compile(rb"^From sender@example\.test  \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n", re.M)


def mbox_with(path, tag):
    """The one message containing `tag` in an mbox; waits for it."""
    def find():
        try:
            parts = re.split(rb"(?m)^(?=From \S+  \w{3} )", path.read_bytes())
        except FileNotFoundError:
            return None
        return next((p for p in parts if tag.encode() in p), None)
    return wait_for(find, 20, f"{tag} in {path}")


def test_mbox(mta, me, unique):
    tag = unique("mbox")
    message_id = mta.submit(me.address, subject=tag, body="line\r\nFrom here on\r\n>From quoted\r\nlast")
    mta.wait_removed(message_id)
    message = mbox_with(me.mailbox, tag)
    assert MBOX_FROM.match(message)
    header, _, body = message.partition(b"\n\n")
    assert b"\r" not in message
    assert f"\nReturn-Path: <sender@example.test>\nX-Original-To: {me.address}\nDelivered-To: {me.address}\nReceived: ".encode() in header
    assert body == b"line\n>From here on\n>From quoted\nlast\n\n"
    status = mta.status(me.address)
    assert (status["agent"], status["relay"], status["dsn"], status["text"]) == ("local", "local", "2.0.0", "delivered to mailbox")
    info = me.mailbox.stat()
    assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (mta.user.pw_uid, 0o600)


def test_address_extension_is_stripped_and_recorded(mta, me, unique):
    tag = unique("ext")
    mta.submit(f"{me.name}+folder@local.test", subject=tag)
    assert f"Delivered-To: {me.name}+folder@local.test".encode() in mbox_with(me.mailbox, tag)


def test_case_of_the_local_part_does_not_matter(mta, me, unique):
    tag = unique("case")
    mta.submit(f"{me.name.upper()}@LOCAL.TEST", subject=tag)
    mbox_with(me.mailbox, tag)


def test_concurrent_mbox_deliveries_are_locked(mta, me, unique):
    tag = unique("lock")
    ids = [mta.submit(me.address, subject=f"{tag}-{n}", body="x" * 2000) for n in range(25)]
    for message_id in ids:
        mta.wait_removed(message_id)
    text = me.mailbox.read_bytes()
    assert all(len(re.findall(rf"(?m)^Subject: {tag}-{n}\n".encode(), text)) == 1 for n in range(25))
    assert not (me.mailbox.parent / (me.mailbox.name + ".lock")).exists()


def test_unknown_user_bounces_from_sendmail(mta, sink, unique):
    name = unique("ghost")
    sender = f"{name}-sender@remote.test"
    assert mta.sendmail("-f", sender, f"{name}@local.test").returncode == 0
    status = mta.status(f"{name}@local.test")
    assert (status["status"], status["dsn"], status["text"]) == ("bounced", "5.1.1", f'unknown user: "{name}"')
    assert b"Status: 5.1.1" in sink.wait_for_recipient(sender).data


def test_maildir_in_the_home_directory(make_instance):
    mta = None
    home = None
    try:
        name = f".sp-test-{os.getpid()}"
        mta = make_instance(home_mailbox=f"{name}/Maildir/")
        home = os.path.join(mta.user.pw_dir, name)
        if not os.access(mta.user.pw_dir, os.W_OK) or os.stat(mta.user.pw_dir).st_uid != mta.user.pw_uid:
            pytest.skip(f"{mta.user.pw_name} has no home directory of its own")
        os.makedirs(home, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(home, mta.user.pw_uid, mta.user.pw_gid)
        address = f"{mta.user.pw_name}@local.test"
        mta.submit(address, subject="home")
        assert mta.status(address)["text"] == "delivered to maildir"
        message = wait_maildir(f"{home}/Maildir")[0]
        assert message.startswith(b"Return-Path: <sender@example.test>\nX-Original-To: ") and b"\nSubject: home\n" in message
        assert sorted(os.listdir(f"{home}/Maildir")) == ["cur", "new", "tmp"] and not os.listdir(f"{home}/Maildir/tmp")
        info = os.stat(f"{home}/Maildir/new/{os.listdir(f'{home}/Maildir/new')[0]}")
        assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (mta.user.pw_uid, 0o600)
    finally:
        if home:
            shutil.rmtree(home, ignore_errors=True)


def test_maildir_spool(make_instance):
    mta = make_instance(start=False)
    mta.set(mail_spool_directory=f"{mta.spool}/")
    mta.start()
    mta.submit(f"{mta.user.pw_name}@local.test")
    assert wait_maildir(mta.spool / mta.user.pw_name)


def test_virtual_maildir_and_mbox(mta, unique):
    tag = unique("virtual")
    message_id = mta.submit(["box@virtual.test", "mbox@virtual.test"], subject=tag)
    mta.wait_removed(message_id)
    messages = [m for m in maildir_messages(mta.vmail / "box") if f"Subject: {tag}\n".encode() in m]
    assert len(messages) == 1 and b"\nDelivered-To: box@virtual.test\n" in messages[0] and b"\r" not in messages[0]
    assert b"Delivered-To: mbox@virtual.test" in mbox_with(mta.vmail / "mbox", tag)
    assert mta.status("box@virtual.test")["text"] == "delivered to maildir"
    assert mta.status("mbox@virtual.test")["agent"] == "virtual"
    for entry in (mta.vmail / "box" / "new").iterdir():
        assert entry.stat().st_uid == mta.user.pw_uid
    assert not list((mta.vmail / "box" / "tmp").iterdir())


def test_virtual_mailbox_size_limit(make_instance):
    mta = make_instance(virtual_mailbox_domains="virtual.test", virtual_mailbox_maps="inline:{ {m@virtual.test=m} }",
                        virtual_mailbox_limit="3000", message_size_limit="3000")
    mta.wait_removed(mta.submit("m@virtual.test", sender="", body="x" * 1500))
    mta.submit("m@virtual.test", sender="", body="x" * 1500)
    mta.log.wait(r"to=<m@virtual\.test>, .*dsn=5\.2\.2, status=bounced")


def test_alias_expands_to_several(mta, sink, unique):
    tag = unique("list")
    mta.submit("list@local.test", subject=tag)
    wait_for(lambda: {r for m in sink.messages if m.headers("Subject") == [tag] for r in m.recipients} ==
             {"listed1@remote.test", "listed2@remote.test"}, 20, "both members")
    mta.log.wait(r"to=<listed1@remote\.test>, orig_to=<list@local\.test>, .*status=sent")


def test_alias_to_file_maildir_and_include(mta, sink, unique):
    tag = unique("aliasfile")
    mta.submit(["tofile@local.test", "todir@local.test", "include@local.test"], subject=tag)
    mbox_with(mta.directory / "files" / "tofile", tag)
    wait_for(lambda: any(tag.encode() in m for m in maildir_messages(mta.directory / "files" / "todir")), 20, "Maildir of the alias")
    wait_for(lambda: {r for m in sink.messages if m.headers("Subject") == [tag] for r in m.recipients} >=
             {"included1@remote.test", "included2@remote.test"}, 20, "included members")


def test_quoted_local_part_and_postmaster(mta, me, unique):
    for recipient in ('"quoted name"@local.test', "postmaster@local.test", "postmaster"):
        tag = unique("quoted")
        mta.submit(recipient, subject=tag)
        mbox_with(me.mailbox, tag)


def test_virtual_aliases(mta, sink, me, unique):
    tag = unique("valias")
    mta.submit("one@alias.test", subject=tag)
    assert b"X-Original-To: one@alias.test" in mbox_with(me.mailbox, tag)
    status = mta.log.wait(rf"to=<{me.address}>, orig_to=<one@alias\.test>, relay=local")
    assert status
    tag = unique("valias")
    mta.submit("nested@alias.test", subject=tag)
    message = sink.wait_messages(1, where=lambda m: m.headers("Subject") == [tag])[0]
    assert sorted(message.recipients) == ["many1@remote.test", "many2@remote.test"]
    tag = unique("valias")
    mta.submit("whoever@catchall.test", subject=tag)
    mbox_with(me.mailbox, tag)
    tag = unique("valias")
    mta.submit("ext+detail@alias.test", subject=tag)
    message = sink.wait_messages(1, where=lambda m: m.headers("Subject") == [tag])[0]
    assert message.recipients == ["ext-target+detail@remote.test"]


def test_mail_forwarding_loop_bounces(mta, sink, unique):
    """A message that has been delivered to this mailbox before is not delivered there again."""
    name = unique("looping")
    sender = f"{name}@remote.test"
    with mta.smtp() as client:
        client.ehlo()
        reply = client.transaction(sender, "list@local.test", b"Delivered-To: list@local.test\r\nSubject: again\r\n\r\nx\r\n")
        assert reply.code == 250
    mta.log.wait(r"to=<list@local\.test>, .*dsn=5\.4\.6, status=bounced \(mail forwarding loop for list@local\.test\)")
    sink.wait_for_recipient(sender)
