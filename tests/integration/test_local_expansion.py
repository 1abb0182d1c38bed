"""What local(8) makes of one recipient: aliases, ~/.forward, :include: files, commands, other transports, unknown users."""

import os
import re
import shutil
import types

import pytest

from support.mta import Instance
from support.waiting import wait_for

COMMANDS = {
    # alias: (command, dsn, status, text)
    "ok": ("echo hello; exit 0", "2.0.0", "sent", "delivered to command: echo hello; exit 0"),
    "one": ("exit 1", "5.3.0", "bounced", 'Command died with status 1: "exit 1"'),
    "dataerr": ("echo bad; exit 65", "5.6.0", "bounced", "data format error. Command output: bad "),
    "nouser": ("exit 67", "5.1.1", "bounced", "user unknown"),
    "oserr": ("exit 71", "4.3.0", "deferred", "system resource problem"),
    "tempfail": ("echo out put; echo more; exit 75", "4.3.0", "deferred", "temporary failure. Command output: out put more "),
    "noperm": ("exit 77", "5.7.0", "bounced", "permission denied"),
    "signal": ("kill -9 $$", "4.3.0", "deferred", 'Command died with signal 9: "kill -9 $$"'),
    "code5": ("echo 5.7.1 my text; exit 75", "5.7.1", "bounced", "my text "),
    "code4": ("echo 4.7.1 my text; exit 67", "4.7.1", "deferred", "my text "),
    "absent": ("/no/such/command arg $x", "5.3.0", "bounced", None),
    "endless": ("sleep 100", "5.3.0", "bounced", 'Command time limit exceeded: "sleep 100"'),
}


@pytest.fixture(scope="module")
def post(suite, sink):
    """An instance whose local(8) has something to expand; `files` is where its commands and aliases may write."""
    instance = Instance(suite, relayhost=sink.nexthop, notify_classes="resource, software", local_recipient_maps="",
                        minimal_backoff_time="300s", maximal_backoff_time="300s", queue_run_delay="300s", command_time_limit="2s",
                        mailbox_transport_maps="inline:{ {games=discard:as games} }",
                        fallback_transport_maps="inline:{ {falls=discard:fell} }")
    directory, user = instance.directory, instance.user.pw_name
    files = directory / "files"
    files.mkdir()
    files.chmod(0o1777)
    chain = "".join(f"chain{n}: chain{n + 1}\n" for n in range(30)) + f"chain30: {user}\n"
    commands = "".join(f'cmd-{name}: "|{command}"\n' for name, (command, *_) in COMMANDS.items())
    aliases = instance.write("config/aliases", f"""
{chain}{commands}
both: {user}, far@remote.test
twice: {user}, {user}, \\{user}
self: self
loopa: loopb
loopb: loopa
owned: {user}, o1@remote.test
owner-owned: boss@remote.test
env: "|env | sort > {files}/env; id -u >> {files}/env; cut -d' ' -f41 /proc/self/stat > {files}/policy; cat > {files}/message"
null: /dev/null
noplace: /no/such/place
include: :include:{directory}/config/include
restricted: :include:{directory}/config/restricted
relative: :include:config/include
writable: :include:{directory}/config/writable
deferring: "|exit 75", elsewhere@remote.test
""")
    instance.write("config/include", f"# comment\n\nin1@remote.test, {user}\n  in2@remote.test\n")
    instance.write("config/restricted", f'"|touch {files}/never"\n{files}/never\nin3@remote.test\n')
    instance.write("config/writable", "in4@remote.test\n", 0o666)
    forwards = {
        "self": f"{user}, s@remote.test\n", "back": f"\\{user}\n", "cmd": f'"|cat > {files}/forward; id -u > {files}/forward-id"\n',
        "file": f"{files}/mbox , x@remote.test\n", "empty": "# nothing\n\n", "a": f"{user}+b\n", "b": f"{user}+a\n",
        "fails": 'nosuch, cc@remote.test, "|exit 75"\n',
    }
    for extension, text in forwards.items():
        path = instance.write(f"forward/{user}+{extension}", text)
        if os.geteuid() == 0:
            shutil.chown(path, user)
    instance.write(f"forward/{user}+open", "open@remote.test\n", 0o666)
    instance.write(f"forward/{user}+other", "other@remote.test\n")
    instance.set(alias_maps=f"lmdb:{aliases}", alias_database=f"lmdb:{aliases}",
                 forward_path=f"{directory}/forward/$user$recipient_delimiter$extension")
    instance.run("postalias", f"lmdb:{aliases}", check=True)
    instance.files = files
    with instance:
        yield instance


@pytest.fixture
def account(post):
    name = post.user.pw_name
    return types.SimpleNamespace(name=name, address=f"{name}@local.test", alias=f"{name}@mx.stagepost.test", mailbox=post.mailbox())


def outcome(post, recipient, since):
    status = post.status(recipient, since=since)
    assert status["relay"] == "local"
    return status["dsn"], status["status"], status["text"]


def messages(path, tag):
    """How many messages with this subject an mbox has."""
    try:
        return len(re.findall(rf"(?m)^Subject: {tag}$".encode(), path.read_bytes()))
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("name", COMMANDS)
def test_exit_status_of_a_command(post, name):
    _, dsn, status, text = COMMANDS[name]
    mark = post.log.mark()
    post.submit(f"cmd-{name}@local.test")
    found = outcome(post, f"cmd-{name}@local.test", mark)
    assert found[:2] == (dsn, status)
    assert text is None or found[2] == text


def test_environment_of_a_command(post, as_root):
    message_id = post.submit("env+Ext@local.test", sender="a$b@example.test", subject="env")
    post.wait_removed(message_id)
    lines = (post.files / "env").read_text().splitlines()
    environment = dict(line.split("=", 1) for line in lines[:-1])
    assert lines[-1] == "65534"
    assert int((post.files / "policy").read_text()) == os.SCHED_OTHER  # the daemons' own policy is not for users' commands
    for name, value in {"USER": "env", "LOGNAME": "env", "LOCAL": "env+ext", "EXTENSION": "ext", "DOMAIN": "local.test",
                        "RECIPIENT": "env+Ext@local.test", "ORIGINAL_RECIPIENT": "env+Ext@local.test", "CLIENT_ADDRESS": "127.0.0.1",
                        "CLIENT_PROTOCOL": "ESMTP", "PATH": "/usr/bin:/bin"}.items():
        assert environment.pop(name) == value, name
    assert environment.pop("SENDER") == "a_b@example.test"
    assert environment["CLIENT_HELO"] and "HOME" not in environment and "SHELL" not in environment
    message = (post.files / "message").read_bytes()
    assert re.match(rb'From a\$b@example\.test  \w{3} .*\nReturn-Path: <a\$b@example\.test>\nX-Original-To: env\+Ext@local\.test\n'
                    rb"Delivered-To: env\+Ext@local\.test\nReceived: ", message)
    assert message.endswith(b"\n\nbody\n")


def test_alias_to_a_user_and_to_somewhere_else(post, sink, account, unique):
    tag, mark = unique("both"), post.log.mark()
    message_id = post.submit("both@local.test", subject=tag)
    post.wait_removed(message_id)
    status = post.status(account.alias, since=mark)
    assert (status["orig_to"], status["text"]) == ("both@local.test", "delivered to mailbox")
    forwarded = re.fullmatch(r"forwarded as (\w+)", outcome(post, "both@local.test", mark)[2])[1]
    post.wait_removed(forwarded)
    message = sink.wait_messages(1, where=lambda m: m.headers("Subject") == [tag])[0]
    assert message.recipients == ["far@remote.test"]
    text = message.data.replace(b"\r\n", b"\n")
    assert re.search(rf"^Received: by mx\.stagepost\.test \(Postfix\)\n\tid {forwarded}; .*\nDelivered-To: both@local\.test\nReceived: ".encode(), text, re.M)
    assert b"X-Original-To: both@local.test\nDelivered-To: both@local.test\n" in account.mailbox.read_bytes()


def test_a_member_named_twice_gets_one_copy(post, account, unique):
    tag = unique("twice")
    post.wait_removed(post.submit("twice@local.test", subject=tag))
    assert messages(account.mailbox, tag) == 1


def test_aliases_that_lead_nowhere(post):
    for alias, address, text in (("self", "self@mx.stagepost.test", 'unknown user: "self"'),
                                 ("loopa", "loopb@mx.stagepost.test", "alias database loop for loopb"),
                                 ("chain0", "chain25@mx.stagepost.test", "alias database loop for chain25")):
        mark = post.log.mark()
        post.submit(f"{alias}@local.test")
        status = post.status(address, since=mark)
        assert (status["status"], status["text"], status["orig_to"]) == ("bounced", text, f"{alias}@local.test")


def test_a_chain_of_aliases_that_ends(post, account, unique):
    tag = unique("chain")
    post.wait_removed(post.submit("chain10@local.test", subject=tag))
    assert messages(account.mailbox, tag) == 1


def test_owner_alias_is_the_sender_and_everything_goes_into_a_new_message(post, sink, account, unique):
    tag, mark = unique("owned"), post.log.mark()
    post.submit("owned@local.test", subject=tag)
    forwarded = re.fullmatch(r"forwarded as (\w+)", outcome(post, "owned@local.test", mark)[2])[1]
    post.wait_removed(forwarded)
    message = sink.wait_messages(1, where=lambda m: m.headers("Subject") == [tag])[0]
    assert (message.sender, message.recipients) == ("owner-owned@mx.stagepost.test", ["o1@remote.test"])
    status = post.status(account.alias, since=mark)
    assert (status["id"], status["orig_to"]) == (forwarded, None)


def test_include_file(post, sink, account, unique):
    tag, mark = unique("include"), post.log.mark()
    post.submit("include@local.test", subject=tag)
    forwarded = re.fullmatch(r"forwarded as (\w+)", outcome(post, "include@local.test", mark)[2])[1]
    post.wait_removed(forwarded)
    wait_for(lambda: {r for m in sink.messages if m.headers("Subject") == [tag] for r in m.recipients} ==
             {"in1@remote.test", "in2@remote.test"}, 20, "included members")
    assert messages(account.mailbox, tag) == 1


def test_include_files_may_not_name_commands_and_files(post, sink, unique):
    tag, mark = unique("restricted"), post.log.mark()
    message_id = post.submit("restricted@local.test", subject=tag)
    post.wait_removed(message_id)
    for text in ("mail to command is restricted", "mail to file is restricted"):
        post.log.wait(rf"{message_id}: to=<restricted@local\.test>, .*dsn=5\.7\.1, status=bounced \({text}\)", since=mark)
    assert sink.wait_for_recipient("in3@remote.test").headers("Subject") == [tag]
    assert not (post.files / "never").exists()


@pytest.mark.parametrize("alias", ["relative", "writable"])
def test_include_files_that_cannot_be_trusted(post, alias):
    mark = post.log.mark()
    post.submit(f"{alias}@local.test")
    assert outcome(post, f"{alias}@local.test", mark) == ("5.3.5", "bounced", "mail system configuration error")


def test_nothing_is_forwarded_while_something_is_deferred(post, sink, unique):
    tag, mark = unique("deferring"), post.log.mark()
    message_id = post.submit("deferring@local.test", subject=tag)
    assert outcome(post, "deferring@local.test", mark)[1] == "deferred"
    post.wait_in_queue(message_id, "deferred")
    assert not post.log.find(r"forwarded as", since=mark) and not [m for m in sink.messages if m.headers("Subject") == [tag]]


def test_files(post):
    mark = post.log.mark()
    post.submit(["null@local.test", "noplace@local.test"])
    assert outcome(post, "null@local.test", mark) == ("2.0.0", "sent", "delivered to file: /dev/null")
    dsn, status, text = outcome(post, "noplace@local.test", mark)
    assert (dsn, status) == ("5.2.0", "bounced") and text.startswith("cannot append message to file /no/such/place: ")


def test_forward_to_oneself_and_others(post, sink, account, unique):
    tag, mark = unique("forward"), post.log.mark()
    message_id = post.submit(f"{account.name}+self@local.test", subject=tag)
    post.wait_removed(message_id)
    assert messages(account.mailbox, tag) == 1
    assert sink.wait_messages(1, where=lambda m: m.headers("Subject") == [tag])[0].recipients == ["s@remote.test"]
    assert outcome(post, f"{account.name}+self@local.test", mark)[2].startswith("forwarded as ")


@pytest.mark.parametrize("extension", ["back", "empty", "open", "a", "none"])
def test_forward_that_ends_in_the_mailbox(post, sink, account, unique, extension):
    tag = unique("forward")
    post.wait_removed(post.submit(f"{account.name}+{extension}@local.test", subject=tag))
    assert messages(account.mailbox, tag) == 1
    assert not [m for m in sink.messages if m.headers("Subject") == [tag]]


def test_forward_to_command_and_file_as_the_user(post, account, unique):
    tag = unique("forward")
    post.wait_removed(post.submit([f"{account.name}+cmd@local.test", f"{account.name}+file@local.test"], subject=tag))
    assert f"Subject: {tag}\n".encode() in (post.files / "forward").read_bytes()
    assert (post.files / "forward-id").read_text() == f"{post.user.pw_uid}\n"
    assert (post.files / "mbox").stat().st_uid == post.user.pw_uid and messages(post.files / "mbox", tag) == 1


def test_forward_holds_what_it_names_after_a_failure(post, account):
    mark = post.log.mark()
    post.submit(f"{account.name}+fails@local.test")
    assert outcome(post, f"{account.name}+fails@local.test", mark)[:2] == ("4.3.0", "deferred")
    assert not post.log.find(r"forwarded as|unknown user", since=mark)


def test_other_transports(post):
    mark = post.log.mark()
    post.submit(["games+x@local.test", "falls@local.test"])
    for address, name, text in (("games+x@local.test", "games", "as games"), ("falls@local.test", "falls", "fell")):
        post.log.wait(rf"local\[\d+\]: \w+: passing <{re.escape(address)}> to transport=discard", since=mark)
        status = post.status(address, since=mark)
        assert (status["agent"], status["status"], status["text"]) == ("discard", "sent", text)


def test_mail_for_the_system_is_not_returned(post):
    mark = post.log.mark()
    post.submit("mailer-daemon@local.test", sender="")
    assert outcome(post, "mailer-daemon@local.test", mark) == ("2.0.0", "sent", "discarded")
    post.log.wait(r"warning: required alias not found: mailer-daemon", since=mark)


def test_verification_delivers_nothing(post, account, unique):
    tag, mark = unique("verify"), post.log.mark()
    size = account.mailbox.stat().st_size if account.mailbox.exists() else 0
    done = post.sendmail("-bv", "-f", "sender@example.test", account.address, "both@local.test", "cmd-ok@local.test", "nosuch@local.test",
                         message=f"Subject: {tag}\n\nx\n")
    assert done.returncode == 0
    for address, word, text in ((account.address, "deliverable", "delivers to mailbox"),
                                ("far@remote.test", "deliverable", "forwards to far@remote.test"),
                                ("cmd-ok@local.test", "deliverable", "delivers to command: echo hello; exit 0"),
                                ("nosuch@local.test", "undeliverable", 'unknown user: "nosuch"')):
        status = post.status(address, since=mark)
        assert (status["status"], status["text"]) == (word, text)
    assert (account.mailbox.stat().st_size if account.mailbox.exists() else 0) == size


def test_mailbox_command_and_luser_relay(make_instance, sink, unique):
    mta = make_instance(start=False)
    name = mta.user.pw_name
    files = mta.directory / "files"
    files.mkdir()
    files.chmod(0o1777)
    mta.set(relayhost=sink.nexthop, default_transport="smtp", local_recipient_maps="", luser_relay="$local.relayed@remote.test",
            mailbox_command=f'echo "$USER $EXTENSION $HOME" > {files}/out; id -u >> {files}/out; exec cat >> {files}/out')
    mta.start()
    message_id = mta.submit(f"{name}+Ex@local.test")
    mta.wait_removed(message_id)
    assert (files / "out").read_text().startswith(f"{name} ex {mta.user.pw_dir}\n{mta.user.pw_uid}\nFrom sender@example.test  ")
    local_part = unique("nobody")
    mta.submit(f"{local_part}@local.test")
    sink.wait_for_recipient(f"{local_part}.relayed@remote.test")


def test_mailbox_problems(make_instance, as_root):
    mta = make_instance(mailbox_size_limit="3000", message_size_limit="3000")
    name = mta.user.pw_name
    address = f"{name}@local.test"
    mta.wait_removed(mta.submit(address, sender="", body="x" * 1500))
    mark = mta.log.mark()
    mta.submit(address, sender="", body="x" * 1500)
    assert outcome(mta, address, mark) == (
        "5.2.2", "bounced", f"cannot update mailbox {mta.mailbox()} for user {name}. error writing message: File too large")
    os.chown(mta.mailbox(), 0, 0)
    mta.mailbox().chmod(0o666)
    mark = mta.log.mark()
    mta.submit(address, sender="")
    assert outcome(mta, address, mark) == (
        "4.2.0", "deferred", f"cannot update mailbox {mta.mailbox()} for user {name}. destination {mta.mailbox()} is not owned by recipient")
    mta.mailbox().unlink()
    mta.mailbox().mkdir()
    mark = mta.log.mark()
    mta.submit(address, sender="")
    assert outcome(mta, address, mark)[:2] == ("5.2.0", "bounced")
