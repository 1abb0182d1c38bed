"""The sendmail command: options, exit codes, submission while the mail system is down."""

import os
import re
import subprocess

import pytest

EX_USAGE, EX_NOINPUT, EX_TEMPFAIL = 64, 66, 75


def test_recipients_on_the_command_line(mta, sink, unique):
    first, second = f"{unique('sm')}@remote.test", f"{unique('sm')}@remote.test"
    mark = mta.log.mark()
    done = mta.sendmail("-f", "env@origin.test", first, second, message="Subject: cli\n\nbody\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    message = sink.wait_for_recipient(first)
    assert sorted(message.recipients) == sorted([first, second]) and message.sender == "env@origin.test"
    received = message.headers("Received")[0]
    message_id = re.search(r"\bid (\w+);", received)[1]
    assert re.match(rf"by mx\.stagepost\.test \(\S+, from userid {os.geteuid()}\)\s+id {message_id}; ", received)
    mta.log.wait(rf"pickup\[\d+\]: {message_id}: uid={os.geteuid()} from=<env@origin\.test>$", since=mark)
    mta.log.wait(rf"qmgr\[\d+\]: {message_id}: from=<env@origin\.test>, size=\d+, nrcpt=2 \(queue active\)$", since=mark)


def test_default_sender_and_full_name(mta, sink, unique):
    recipient = f"{unique('sm')}@remote.test"
    mta.sendmail("-F", "Full Q. Name", recipient)
    message = sink.wait_for_recipient(recipient)
    assert message.sender.endswith("@mx.stagepost.test")
    assert message.headers("From") == [f'"Full Q. Name" <{message.sender}>']


def test_null_sender(mta, sink, unique):
    recipient = f"{unique('sm')}@remote.test"
    mta.sendmail("-f", "<>", recipient)
    message = sink.wait_for_recipient(recipient)
    assert message.sender == "" and message.headers("From") == ["MAILER-DAEMON"]


def test_recipients_from_headers(mta, sink, unique):
    to, cc, bcc = (f"{unique('t')}@remote.test" for _ in range(3))
    done = mta.sendmail("-t", message=f"To: A <{to}>\nCc: {cc} (note)\nBcc: {bcc}\nSubject: x\n\nbody\n")
    assert done.returncode == 0
    message = sink.wait_for_recipient(to)
    assert sorted(message.recipients) == sorted([to, cc, bcc])
    assert not message.headers("Bcc") and message.headers("Cc")


def test_dash_t_adds_the_command_line_recipients(mta, sink, unique):
    to, extra = f"{unique('t')}@remote.test", f"{unique('t')}@remote.test"
    assert mta.sendmail("-t", extra, message=f"To: {to}\n\nbody\n").returncode == 0
    sink.wait_for_recipient(to)
    sink.wait_for_recipient(extra)


@pytest.mark.parametrize("option,body", [((), b"one\r\n"), (("-i",), b"one\r\n.\r\ntwo\r\n"), (("-oi",), b"one\r\n.\r\ntwo\r\n")])
def test_lone_dot_ends_the_message_unless_told_otherwise(mta, sink, unique, option, body):
    recipient = f"{unique('dot')}@remote.test"
    mta.sendmail(*option, recipient, message="Subject: x\n\none\n.\ntwo\n")
    assert sink.wait_for_recipient(recipient).body == body


def test_crlf_input_becomes_one_line_end(mta, sink, unique):
    recipient = f"{unique('crlf')}@remote.test"
    mta.sendmail(recipient, message="Subject: x\r\n\r\none\r\ntwo\r\n")
    assert sink.wait_for_recipient(recipient).body == b"one\r\ntwo\r\n"


@pytest.mark.parametrize("arguments,message,text", [
    ((), "x\n", "Recipient addresses must be specified on the command line or via the -t option"),
    (("-t",), "Subject: none\n\nx\n", "No recipient addresses found in message header"),
    (("-bx",), "", "unsupported: -bx"),
])
def test_usage_errors(mta, arguments, message, text):
    done = mta.sendmail(*arguments, message=message)
    assert done.returncode in (EX_USAGE, EX_TEMPFAIL) and text in done.stderr


def test_too_big_a_message_is_refused(mta, unique):
    done = mta.sendmail(f"{unique('big')}@remote.test", message="x" * 70 + "\n" + "y" * 70 + "\n" * 1000000)
    assert done.returncode != 0 and "message file too big" in done.stderr
    assert not mta.queue_files("maildrop")


@pytest.mark.parametrize("option", ["-v", "-om", "-oem", "-odb", "-Am", "-G", "-B8BITMIME", "-Nnever", "-Ojunk=1", "-L tag"])
def test_traditional_options_are_accepted(mta, sink, unique, option):
    recipient = f"{unique('opt')}@remote.test"
    assert mta.sendmail(*option.split(), recipient).returncode == 0
    sink.wait_for_recipient(recipient)


def test_smtp_on_standard_input(mta, sink, unique):
    recipient = f"{unique('bs')}@remote.test"
    done = mta.sendmail("-bs", message=f"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<{recipient}>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")
    assert done.returncode == 0
    assert [line[:3] for line in done.stdout.splitlines() if line[3:4] != "-"] == ["220", "250", "250", "250", "354", "250", "221"]
    sink.wait_for_recipient(recipient)


def smtp_session(mta, *lines, options=(), **run):
    """`sendmail -bs` with these commands; the replies, without their continuation lines."""
    done = mta.sendmail("-bs", *options, message="".join(line + "\r\n" for line in lines), **run)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line[3:4] != "-"]


def test_stand_alone_session_submits_like_sendmail(mta, sink, unique):
    """The client is this host, the message goes through postdrop: with two Received: fields, the lower one of the session."""
    recipient, mark = f"{unique('bs')}@remote.test", mta.log.mark()
    replies = smtp_session(mta, "EHLO here", f"MAIL FROM:<a@b.test> RET=HDRS ENVID=id7", f"RCPT TO:<{recipient}> NOTIFY=NEVER ORCPT=rfc822;was@x",
                           "DATA", "Subject: x", "", "..dot", "x" * 900, ".", "QUIT")
    session_id = re.fullmatch(r"250 2\.0\.0 Ok: queued as (\w+)", replies[5])[1]
    message = sink.wait_for_recipient(recipient)
    assert message.body == b".dot\r\n" + b"x" * 900 + b"\r\n"
    assert "RET=HDRS" in message.mail_command and "ENVID=id7" in message.mail_command
    assert "NOTIFY=NEVER" in message.rcpt_commands[0] and "ORCPT=rfc822;was@x" in message.rcpt_commands[0]
    if os.geteuid() == 0:  # not the mail system's user
        upper, lower = message.headers("Received")
        assert re.match(rf"by mx\.stagepost\.test \(\S+, from userid {os.geteuid()}\)", upper)
    else:
        [lower] = message.headers("Received")
    assert re.match(rf"from here \(localhost \[127\.0\.0\.1\]\)\s+by mx\.stagepost\.test \(\S+\) with ESMTP id {session_id}\s+for <", lower)
    assert mta.log.wait(rf"smtpd\[\d+\]: {session_id}: client=localhost\[127\.0\.0\.1\]", since=mark)
    assert mta.log.wait(r"disconnect from localhost\[127\.0\.0\.1\] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5", since=mark)


@pytest.mark.skipif(os.geteuid() != 0, reason="the mail system's user has all access rules")
def test_stand_alone_session_has_no_access_rules(mta, sink, unique):
    recipient = f"{unique('bs')}@remote.test"
    replies = smtp_session(mta, "EHLO here", "MAIL FROM:<a@b.test> SIZE=99999999", "RSET", "MAIL FROM:<a@b.test>", "RCPT TO:<nosuch@local.test>", "RSET",
                           "VRFY nosuch@local.test", "ETRN local.test", "STARTTLS", "MAIL FROM:<>", f"RCPT TO:<{recipient}>", "DATA", ".", "QUIT")
    assert [line[:9] for line in replies[2:10]] == ["552 5.3.4", "250 2.0.0", "250 2.1.0", "250 2.1.5", "250 2.0.0", "252 2.0.0", "458 Unabl", "502 5.5.1"]
    assert sink.wait_for_recipient(recipient).sender == ""
    assert mta.log.wait(r'warning: do not use ETRN in "sendmail -bs" mode')


def test_stand_alone_session_that_breaks_off_submits_nothing(mta, unique):
    mark = mta.log.mark()
    recipient = f"{unique('bs')}@remote.test"
    smtp_session(mta, "EHLO here", "MAIL FROM:<a@b.test>", f"RCPT TO:<{recipient}>", "DATA", "Subject: never")
    assert mta.log.wait(r"lost connection after DATA \(\d+ bytes\) from localhost\[127\.0\.0\.1\]", since=mark)
    assert not mta.queue_files("maildrop") and not mta.log.find(re.escape(recipient), since=mark)


def test_stand_alone_session_reads_a_file(mta, sink, unique):
    recipient = f"{unique('bs')}@remote.test"
    script = mta.write("session", f"HELO here\nMAIL FROM:<a@b.test>\nRCPT TO:<{recipient}>\nDATA\nSubject: x\n\nx\n.\nQUIT\n")
    with open(script, "rb") as file:
        done = subprocess.run([mta.suite.program("sendmail"), "-bs"], stdin=file, capture_output=True, text=True, env=mta.environment(), timeout=60,
                              check=False)
    assert done.returncode == 0 and done.stdout.endswith("221 2.0.0 Bye\n")
    sink.wait_for_recipient(recipient)


def test_stand_alone_session_takes_no_recipient(mta):
    done = mta.sendmail("-bs", "someone@remote.test", message="QUIT\r\n")
    assert done.returncode == EX_TEMPFAIL and "stand-alone mode requires no recipient" in done.stderr


def test_stand_alone_session_while_the_mail_system_is_down(make_instance, only_stagepost):
    mta = make_instance(start=False)
    mta.postfix("check", check=True)
    if os.geteuid() != 0:
        pytest.skip("the mail system's user hands over to cleanup")
    assert smtp_session(mta, "HELO here", "MAIL FROM:<a@b.test>", "RCPT TO:<c@remote.test>", "DATA", "Subject: x", "", ".", "QUIT")[-2].startswith("250 ")
    assert len(mta.queue_files("maildrop")) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_stand_alone_session_of_the_mail_owner_has_access_rules(mta, sink, unique, only_stagepost):
    """Postfix takes what a pipe sends ahead for a violation here, so a script cannot use it."""
    owner = {"user": mta.owner.pw_uid, "group": mta.owner.pw_gid, "extra_groups": []}
    recipient = f"{unique('bs')}@remote.test"
    replies = smtp_session(mta, "EHLO here", "MAIL FROM:<a@b.test>", "RCPT TO:<nosuch@local.test>", f"RCPT TO:<{recipient}>", "DATA", "Subject: x", "",
                           ".", "QUIT", **owner)
    assert replies[3].startswith("550 5.1.1 <nosuch@local.test>: Recipient address rejected: User unknown")
    assert replies[4:7] == ["250 2.1.5 Ok", "354 End data with <CR><LF>.<CR><LF>", replies[6]]
    assert len(sink.wait_for_recipient(recipient).headers("Received")) == 1


def test_verify_only_reports_and_delivers_nothing(mta, sink, me, unique):
    recipient = f"{unique('bv')}@remote.test"
    done = mta.sendmail("-bv", "-f", me.address, recipient)
    assert done.returncode == 0
    assert mta.status(recipient)["status"] == "deliverable"
    assert not [m for m in sink.messages if recipient in m.recipients]


def test_mailq_and_newaliases(mta):
    mta.wait_empty()  # of what earlier tests leave behind
    assert mta.sendmail("-bp").stdout == mta.postqueue("-p").stdout
    link = mta.directory / "mailq"
    link.symlink_to(mta.suite.program("sendmail"))
    done = subprocess.run([str(link)], capture_output=True, text=True, env=mta.environment(), timeout=60, check=False)
    assert done.returncode == 0 and (done.stdout == "Mail queue is empty\n" or "-Queue ID-" in done.stdout)
    assert mta.sendmail("-bi").returncode == 0
    assert mta.sendmail("-I").returncode == 0


def test_submission_while_stopped_is_delivered_after_start(make_instance, make_sink):
    sink = make_sink()
    mta = make_instance(start=False, relayhost=sink.nexthop)
    mta.postfix("check", check=True)
    assert mta.sendmail("-f", "a@b.test", "waiting@remote.test").returncode == 0
    files = mta.queue_files("maildrop")
    assert len(files) == 1
    assert all(path.stat().st_mode & 0o100 for path in files.values()), "the execute bit says: complete"
    listing = mta.postqueue("-p")
    assert "waiting@remote.test" in listing.stdout
    mta.start()
    assert sink.wait_for_recipient("waiting@remote.test").sender == "a@b.test"
    mta.wait_empty()


def test_incomplete_maildrop_file_is_not_delivered(mta, sink, unique):
    """A submission killed half way must not be picked up."""
    recipient = f"{unique('half')}@remote.test"
    process = subprocess.Popen([mta.suite.program("sendmail"), recipient], stdin=subprocess.PIPE, env=mta.environment(), start_new_session=True)
    process.stdin.write(b"Subject: half\n\n" + b"x\n" * 50000)
    process.stdin.flush()
    os.killpg(process.pid, 9)
    process.wait()
    try:
        process.stdin.close()
    except BrokenPipeError:
        pass
    mta.submit(f"{unique('after')}@remote.test")
    assert not [m for m in sink.messages if recipient in m.recipients]


def test_postdrop_rejects_garbage(mta):
    done = mta.run("postdrop", input=b"\xff\x00garbage")
    assert done.returncode != 0
    # Whatever is left there lacks the execute bit that makes it a message.
    assert not [path for path in mta.queue_files("maildrop").values() if path.stat().st_mode & 0o100]
