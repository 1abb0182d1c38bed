"""Delivery reports with the texts of a bounce_template_file: what an installed Postfix and Stagepost send for the same file."""

import os
import re

import pytest

from support.mta import Instance, postfix_suite, stagepost_suite
from support.sink import Sink

SUITES = {"theirs": postfix_suite(), "ours": stagepost_suite()}
MISSING = [reason for reason in (suite.missing() for suite in SUITES.values()) if reason]
pytestmark = [pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
              pytest.mark.skipif(os.geteuid() != 0, reason="Postfix needs root")]

TEMPLATES = """# all four
failure_template = <<END
charset: utf-8
FROM: Robot of Müller? <robot@example.org>
Subject: Not delivered
Postmaster-Subject: Copy: not delivered

Grüße from $myhostname: $$5 after $delay_warning_time_seconds seconds,
  ${maximal_queue_lifetime_hours} hours\\n $(mail_name).

END
delay_template = <<EOF
From: Patience <wait@example.org>
Subject: Please wait
Postmaster-Subject: They wait

Waiting at $mydomain.
EOF

success_template=<<x y
Subject: It arrived
Charset: iso-8859-1

All is well.
x y
verify_template = <<EOF
Subject: Verified

There.
EOF
""".replace("Müller?", "M")


def normal(data):
    text = re.sub(r"\n[ \t]+", " ", "\n" + data.decode("utf-8", "surrogateescape").replace("\r\n", "\n"))
    text = re.sub(r"\n(?:Received|Date|Message-Id|Arrival-Date|Will-Retry-Until):[^\n]*", "", text, flags=re.I)
    text = re.sub(r"[0-9A-F]{8,}\.\d+/", "BOUNDARY/", text)
    text = re.sub(r"Queue-ID: \w+", "Queue-ID: X", text)
    return re.sub(r"127\.0\.0\.1(\[127\.0\.0\.1\])?:\d+", "SINK", text).splitlines()


class Pair:
    """The same system twice, a sink behind each."""

    def __init__(self, template, **main):
        self.sinks, self.systems = {}, {}
        for name, suite in SUITES.items():
            sink = self.sinks[name] = Sink(keywords=("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES")).start()
            sink.on("RCPT", "550 5.1.1 No such user", match="bad")
            sink.on("RCPT", "450 4.2.0 wait", match="later")
            system = self.systems[name] = Instance(suite, relayhost=sink.nexthop, myorigin="origin.test", queue_run_delay="1s",
                                                   minimal_backoff_time="1s", maximal_backoff_time="1s", notify_classes="bounce, delay",
                                                   bounce_notice_recipient="boss@remote.test", delay_notice_recipient="boss@remote.test",
                                                   **main)
            path = system.write("config/bounce.cf", template)
            system.set(bounce_template_file=path)
            system.start()

    def close(self):
        for system in self.systems.values():
            system.close()
        for sink in self.sinks.values():
            sink.stop()

    def reports(self, subject, *recipients, options=()):
        """The report about a message to these recipients, of both."""
        found = {}
        for name, system in self.systems.items():
            system.sendmail("-f", "s@remote.test", *options, *recipients, message="Subject: original\n\ntext\n", check=True)
            message = self.sinks[name].wait_messages(1, where=lambda m: f"\r\nSubject: {subject}\r\n" in "\r\n" + m.header_text + "\r\n")[0]
            found[name] = normal(message.data)
        return found


@pytest.fixture(scope="module")
def pair():
    made = Pair(TEMPLATES, delay_warning_time="1s")
    yield made
    made.close()


@pytest.mark.parametrize(("subject", "recipient", "options"), [
    ("Not delivered", "bad1@remote.test", ()), ("Copy: not delivered", "bad2@remote.test", ()),
    ("Please wait", "later1@remote.test", ()), ("They wait", "later2@remote.test", ()),
    ("It arrived", "good@remote.test", ("-N", "success")), ("Verified", "good2@remote.test", ("-bv",)),
], ids=lambda value: value if isinstance(value, str) and " " in value else "")
def test_a_report_has_the_text_of_the_file(pair, subject, recipient, options):
    found = pair.reports(subject, recipient, options=options)
    assert found["ours"] == found["theirs"]


BAD = """failure_template = <<EOF
Subject: Not delivered
Postmaster-Subject: Copy
Reply-To: x@y

text
EOF
delay_template = <<EOF
Subject: Delayed

8 bit: ü
EOF
success_template = <<EOF
Subject: Bad ü

text
EOF
verify_template = <<EOF
Subject: Fine

text
EOF
nosuch_template = <<EOF

text
EOF
"""


def test_what_cannot_be_used_is_a_warning_and_the_built_in_text_is_sent():
    made = Pair(BAD)
    try:
        subjects = {"Undelivered Mail Returned to Sender": ("bad1@remote.test", ()), "Fine": ("good@remote.test", ("-bv",)),
                    "Successful Mail Delivery Report": ("good2@remote.test", ("-N", "success"))}
        for subject, (recipient, options) in subjects.items():
            made.reports(subject, recipient, options=options)
        warned = {}
        for name, system in made.systems.items():
            lines = system.log.find(r"bounce\[\d+\]: warning: (.*)")
            warned[name] = sorted({match[1].replace(str(system.config), "DIR") for match in lines})
        # Postfix warns of a template when it uses it, and does not say in which line of the template it stumbled.
        reasons = {4: 'unknown "Reply-To" header label in failure template', 11: "8-bit message text in delay template with charset us-ascii",
                   14: "non-ASCII or null character in a header in success template", 23: "unknown template name: nosuch_template"}
        assert warned["ours"] == sorted(f"DIR/bounce.cf, line {n}: {text} -- ignoring this template" for n, text in reasons.items())
        assert 'DIR/bounce.cf: unknown "Reply-To" header label in failure template -- ignoring this template' in warned["theirs"]
        assert any("nosuch_template" in line for line in warned["theirs"]) and any("success template" in line for line in warned["theirs"])
    finally:
        made.close()
