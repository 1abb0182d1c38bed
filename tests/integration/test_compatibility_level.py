"""The safety net of upgrades: old defaults while compatibility_level is low, and the lines in the log that name them."""

import socket

from support.waiting import wait_for

TEXT = r"using backwards-compatible default setting "


def instance(make_instance, level, **main):
    made = make_instance(start=False, compatibility_level=level, mydestination="$myhostname, local.test", default_transport="discard",
                         relay_transport="discard", local_recipient_maps="", **main)
    for name in ("append_dot_mydomain", "mynetworks"):
        if name not in main:
            made.main.pop(name)
    made.write_config()
    return made


def talk(mta, *commands, source="127.0.0.1"):
    """Codes of the replies."""
    codes = []
    with socket.create_connection(("127.0.0.1", mta.port()), timeout=30, source_address=(source, 0)) as peer:
        replies = peer.makefile("rb")
        replies.readline()
        for command in commands:
            peer.sendall(command.encode() + b"\r\n")
            line = replies.readline()
            while line[3:4] == b"-":
                line = replies.readline()
            codes.append(int(line[:3]))
    return codes


def test_level_0_names_each_old_default(make_instance):
    mta = instance(make_instance, "0", mynetworks="192.0.2.0/24",
                   smtpd_recipient_restrictions="check_recipient_access inline:{{far.example=OK}}, reject_unauth_destination")
    started = mta.postfix("start")
    assert started.returncode == 0, started.stderr
    start = [r"postfix\[\d+\]: Postfix is using backwards-compatible default settings$",
             r"postfix\[\d+\]: See http://www\.postfix\.org/COMPATIBILITY_README\.html for details$",
             r"postfix\[\d+\]: To disable backwards compatibility use \"postconf compatibility_level=3\.6\" and \"postfix reload\"$"]
    for pattern in start:
        mta.log.wait(pattern)
    mark = mta.log.mark()
    assert talk(mta, "EHLO x", "MAIL FROM:<ä@b.example>", "RCPT TO:<x@far.example>", "RCPT TO:<x@sub.local.test>", "RCPT TO:<x@no.example>",
                "RCPT TO:<ö@far.example>", "QUIT") == [250, 250, 250, 250, 554, 250, 221]
    mta.submit("x@sub.local.test", headers=("Cc: z@localhost, u@bar",))
    for pattern in [
            r'smtpd\[\d+\]: %ssmtputf8_enable=no to accept non-ASCII sender address "\S+@b\.example" from \S+\[127\.0\.0\.1\]$',
            r'smtpd\[\d+\]: %s"smtpd_relay_restrictions = \(empty\)" to avoid "Relay access denied" error for recipient '
            r'"x@far\.example" from client "\S+\[127\.0\.0\.1\]"$',
            r'smtpd\[\d+\]: %srelay_domains=\$mydestination to accept mail for domain "sub\.local\.test"$',
            r'smtpd\[\d+\]: %srelay_domains=\$mydestination to accept mail for address "x@sub\.local\.test"$',
            r'smtpd\[\d+\]: %ssmtpd_relay_before_recipient_restrictions=no to reject recipient "x@no\.example" from client '
            r'"\S+\[127\.0\.0\.1\]"$',
            r'trivial-rewrite\[\d+\]: %sappend_dot_mydomain=yes to rewrite "localhost" to "localhost\.stagepost\.test"; '
            r'please add "localhost" to mydestination or other address class$',
            r'trivial-rewrite\[\d+\]: %sappend_dot_mydomain=yes to rewrite "bar" to "bar\.stagepost\.test"$',
            r'smtpd\[\d+\]: %ssmtputf8_enable=no to accept non-ASCII recipient address "\S+@far\.example" from \S+\[127\.0\.0\.1\]$']:
        mta.log.wait(pattern % TEXT, since=mark)
    mark = mta.log.mark()
    assert talk(mta, "EHLO x", "ETRN local.test", "QUIT") == [250, 250, 221]
    mta.log.wait(rf'smtpd\[\d+\]: {TEXT}relay_domains=\$mydestination to flush mail for domain "local\.test"$', since=mark)


def test_level_1_names_the_networks(make_instance):
    mta = instance(make_instance, "1").start()
    mark = mta.log.mark()
    commands = ("EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<x@far.example>", "QUIT")
    assert talk(mta, *commands) == talk(mta, *commands, source="127.0.0.2") == [250, 250, 250, 221]
    mta.log.wait(rf'smtpd\[\d+\]: {TEXT}mynetworks_style=subnet to permit request from client "\S+\[127\.0\.0\.2\]"$', since=mark)
    assert mta.log.find(rf'{TEXT}mynetworks_style=subnet .*\[127\.0\.0\.1\]') == []
    assert mta.log.find(rf"{TEXT}append_dot_mydomain") == []


def test_the_current_level_says_nothing(make_instance):
    mta = instance(make_instance, "3.6").start()
    commands = ("EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<x@far.example>", "RCPT TO:<x@localhost>", "QUIT")
    assert talk(mta, *commands) == [250, 250, 250, 250, 221]
    mta.log.wait("disconnect from")
    assert mta.log.find("backwards-compatible") == []


def test_a_deferred_site_of_the_old_relay_domains(make_instance):
    mta = instance(make_instance, "1", transport_maps="inline:{{far.example=smtp:[127.0.0.1]:1}}", smtp_connect_timeout="2s")
    mta.set(mydestination="$myhostname, far.example")
    mta.start()
    mark = mta.log.mark()
    mta.submit("x@far.example")
    mta.log.wait(rf'{TEXT}relay_domains=\$mydestination to update fast-flush logfile for domain "far\.example"$', since=mark, timeout=30)


def test_level_0_means_chroot(make_instance):
    mta = instance(make_instance, "0", smtpd_recipient_restrictions="permit_mynetworks, reject_unauth_destination")
    lines = mta.config.joinpath("master.cf").read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith("discard "))
    lines[number] = "discard unix - - - - - discard"
    mta.write("config/master.cf", "\n".join(lines) + "\n")
    mta.start()
    mta.log.wait(rf"master\[\d+\]: \S+/config/master\.cf: line {number + 1}: {TEXT}chroot=y$")


def test_a_bad_level_stops_the_start(make_instance):
    mta = instance(make_instance, "3.x")
    done = mta.postfix("start")
    assert done.returncode == 1
    wait_for(lambda: mta.master_pid() is None, 5, "no master")
    if not mta.suite.is_postfix:
        assert f'{mta.config}/main.cf, line 1: malformed compatibility level syntax: "3.x"' in done.stderr
