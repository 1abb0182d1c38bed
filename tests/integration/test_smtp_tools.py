"""smtp-source and smtp-sink: against each other, and each against the installed Postfix's counterpart."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from support.mta import postfix_suite, stagepost_suite
from support.ports import free_port
from support.waiting import SCALE, wait_for

FOREIGN = {name: shutil.which(name, path=postfix_suite().command_directory) for name in ("smtp-source", "smtp-sink")}
PAIRS = [("ours", "ours"), ("ours", "postfix"), ("postfix", "ours")]


def program(side, name):
    path = FOREIGN[name] if side == "postfix" else stagepost_suite().program(name)
    if not path or not os.path.exists(path):
        (pytest.fail if side == "ours" and os.environ.get("STAGEPOST_TEST_REQUIRED") else pytest.skip)(f"no {name} of {side}")
    return path


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


class Sink:
    def __init__(self, side, *options, port=None):
        self.port = port or free_port()
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen([program(side, "smtp-sink"), *user, *options, f"127.0.0.1:{self.port}", "100"],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: answers(self.port), 10, "a listening sink")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def end(self):
        """Ends the sink in order; its output."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=20 * SCALE)[0]

    def report(self):
        return json.loads(self.end().splitlines()[-1])

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.port), timeout=10 * SCALE)
        return client, client.makefile("rb")


def source(side, port, *options, **more):
    path = program(side, "smtp-source")
    # Postfix's program puts the name it was called by into messages, path and all.
    return subprocess.run(["smtp-source", *map(str, options), f"127.0.0.1:{port}"], executable=path, capture_output=True, text=True,
                          timeout=60 * SCALE, check=False, **more)


@pytest.fixture
def dump_directory(tmp_path):
    tmp_path.chmod(0o777)
    return tmp_path


@pytest.mark.parametrize("sending, receiving", PAIRS)
def test_messages_arrive_whole(sending, receiving, dump_directory):
    with Sink(receiving, "-d", f"{dump_directory}/%Y/m.") as sink:
        done = source(sending, sink.port, "-s", 5, "-m", 20, "-l", 5000, "-N", "-f", "from@a.test", "-t", "to@b.test", "-S", "subject")
        assert (done.returncode, done.stderr) == (0, "")
        files = wait_for(lambda: (lambda found: found if len(found) == 20 else None)(list(dump_directory.glob("*/m.*"))), 10, "20 files")
        wait_for(lambda: all(path.read_text().endswith("X\n\n") for path in files), 10, "whole files")
    recipients = set()
    for path in files:
        text = path.read_text()
        head = re.fullmatch(
            r"X-Client-Addr: 127\.0\.0\.1\nX-Client-Proto: SMTP\nX-Helo-Args: (\S+)\nX-Mail-Args: <from@a\.test>\n"
            r"X-Rcpt-Args: <(\d+)to@b\.test>\nReceived: from \1 \(\[127\.0\.0\.1\]\)\n\tby smtp-sink \(smtp-sink\) with SMTP id (\w{8});\n"
            r"\t\w{3}, .* [+-]\d{4} \(\w+\)\nFrom: <from@a\.test>\nTo: <to@b\.test>\nDate: .*\nMessage-Id: <.*>\nSubject: subject\n\n((?s:.*))", text)
        assert head, text
        assert path.name == f"m.{head[3]}"
        recipients.add(int(head[2]))
        body = head[4].removesuffix("\n").removesuffix("\n")
        assert len(body.replace("\n", "\r\n")) == 5000
    assert recipients == set(range(1, 21))


@pytest.mark.parametrize("sending, receiving", PAIRS)
def test_lmtp_answers_for_each_recipient(sending, receiving, dump_directory):
    with Sink(receiving, "-L", "-D", f"{dump_directory}/all") as sink:
        done = source(sending, sink.port, "-L", "-d", "-m", 3, "-r", 4, "-t", "u@d.test")
        assert (done.returncode, done.stderr) == (0, "")
    text = (dump_directory / "all").read_text()
    assert text.count("X-Client-Proto: LMTP\n") == 3
    assert re.findall(r"X-Rcpt-Args: <(.*)>", text) == ["4u@d.test", "3u@d.test", "2u@d.test", "u@d.test"] * 3


@pytest.mark.parametrize("side", ["ours", "postfix"])
@pytest.mark.parametrize("options, message, status", [
    (["-f", "mail"], "fatal: sender rejected: 500 5.3.0 Error: command failed", 1),
    (["-r", "rcpt"], "fatal: recipient rejected: 450 4.3.0 Error: command failed", 1),
    (["-f", "."], "fatal: end of data rejected: 500 5.3.0 Error: command failed", 1),
    (["-f", "connect"], "fatal: rejected at server banner: 500 5.3.0 Error: command failed", 1),
    (["-q", "helo"], "fatal: lost connection while sending HELO", 1),
])
def test_error_replies_end_the_run(side, options, message, status):
    with Sink("ours", *options) as sink:
        done = source(side, sink.port)
        assert (done.returncode, done.stderr) == (status, f"smtp-source: {message}\n")


@pytest.mark.parametrize("side", ["ours", "postfix"])
def test_error_replies_can_be_survived(side):
    with Sink("ours", "-f", "rcpt", "--report") as sink:
        done = source(side, sink.port, "-A", "-m", 3, "-d")
        assert (done.returncode, done.stderr) == (0, "smtp-source: warning: recipient rejected: 500 5.3.0 Error: command failed\n" * 3)
        assert sink.report()["messages"] == 0


def dialogue(side, options, lines):
    """What a sink replies, with each command sent after the reply to the one before; "" for a closed connection."""
    with Sink(side, *options) as sink:
        client, replies = sink.connect()
        with client:
            received = [replies.readline()]
            for line in lines:
                with contextlib.suppress(ConnectionError):
                    client.sendall(line.encode() + b"\r\n")
                try:
                    while True:
                        received.append(replies.readline())
                        if received[-1][3:4] != b"-":
                            break
                except ConnectionError:
                    received.append(b"")
            return received


TRANSACTION = ["EHLO me.test", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", "Subject: x\r\n\r\n..\r\n.", "QUIT"]


@pytest.mark.parametrize("options, lines", [
    ([], ["FOO", "MAIL FROM:<a>", "MAIL FROM:<a>", "DATA", "RCPT TO:<a>", "VRFY x", "NOOP", "RSET", "RCPT TO:<a>", "", "LHLO x", "HELO x", "QUIT"]),
    ([], TRANSACTION),
    (["-8aCEFNp", "-h", "host.test"], TRANSACTION),
    (["-e"], ["EHLO x", "HELO x", "XCLIENT NAME=x", "XFORWARD NAME=x", "AUTH PLAIN AA"]),
    (["-P"], ["EHLO x", "HELO x"]),
    (["-C", "-F"], ["XCLIENT NAME=x", "XFORWARD NAME=x"]),
    (["-L"], ["EHLO x", "HELO x", "LHLO x"]),
    (["-f", "rcpt, vrfy", "-r", "noop", "-B", "554 5.1.1 nope", "-b", "421 4.2.1 later"], ["EHLO x", "MAIL FROM:<a>", "RCPT TO:<a>", "VRFY a", "NOOP"]),
    (["-q", "rcpt"], TRANSACTION[:3]),
    (["-Q", "."], TRANSACTION[:5]),
    (["-Q", "connect"], []),
    (["-A", "0"], TRANSACTION[:4]),
    (["-M", "1"], TRANSACTION[:5]),
])
def test_sink_replies_as_postfixs_does(options, lines):
    assert dialogue("ours", options, lines) == dialogue("postfix", options, lines)


def test_sink_ends_after_the_wanted_sessions_and_counts():
    with Sink("ours", "-n", "3", "-c") as sink:  # the first session was that of answers()
        assert source("ours", sink.port, "-m", 2, "-s", 1).returncode == 0
        output = sink.process.communicate(timeout=20 * SCALE)[0]
        assert output.splitlines()[-1] == "sess=3 quit=2 mesg=2"


def test_pipelined_commands_get_all_replies_in_order():
    with Sink("ours") as sink:
        client, replies = sink.connect()
        with client:
            client.sendall(b"HELO x\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nbody\r\n.\r\nNOOP\r\nQUIT\r\n")
            assert [line[:3] for line in replies.read().splitlines()] == [b"220", b"250", b"250", b"250", b"354", b"250", b"250", b"221"]


def test_delays_hold_up_one_client_only():
    with Sink("ours", "-W", "noop:300") as sink:
        slow, _ = sink.connect()
        with slow:
            slow.sendall(b"NOOP\r\n")
            assert source("ours", sink.port, "-m", 10).returncode == 0


def test_reports_and_latency():
    with Sink("ours", "--report", "--latency", "--report-every", "50") as sink:
        done = source("ours", sink.port, "-s", 10, "-m", 100, "-r", 3, "--stamp", "--report")
        sent = json.loads(done.stdout)
        assert (done.returncode, sent["messages"], sent["recipients"], sent["errors"], sent["connections"]) == (0, 100, 300, 0, 100)
        assert 0 < sent["reply_us"]["p50"] <= sent["reply_us"]["p99"] <= sent["reply_us"]["max"]
        lines = [json.loads(line) for line in sink.end().splitlines()]
    assert [line["messages"] for line in lines] == [50, 100, 100]
    assert (lines[-1]["recipients"], lines[-1]["latency_us"]["count"]) == (300, 100)
    assert 0 < lines[-1]["latency_us"]["p50"] <= lines[-1]["latency_us"]["max"] < 60e6


def test_rates_are_kept():
    """In both directions a lower bound on the time is exact, however slow the machine is."""
    with Sink("ours", "--rate", "50") as sink:
        done = source("ours", sink.port, "-s", 10, "-m", 21, "--report")
        assert json.loads(done.stdout)["seconds"] >= 20 / 50
    with Sink("ours") as sink:
        done = source("ours", sink.port, "-s", 10, "-m", 21, "--report", "--rate", "50")
        assert json.loads(done.stdout)["seconds"] >= 20 / 50


def test_limit_of_the_rate_can_be_lifted():
    """A message each ten minutes could not all arrive in this test's time."""
    with Sink("ours", "--rate", "0.0017", "--report-every", "1") as sink:
        assert source("ours", sink.port).returncode == 0  # the first one is not held up
        sink.process.stdout.readline()
        sink.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: source("ours", sink.port, "-m", 20).returncode == 0, 10, "messages without a limit")


def test_duration_ends_an_endless_run():
    with Sink("ours") as sink:
        done = source("ours", sink.port, "-s", 3, "-m", 10**12, "-d", "--report", "--duration", "0.3")
        report = json.loads(done.stdout)
        assert done.returncode == 0 and report["messages"] > 0 and report["errors"] == 0


def test_thousand_sessions_are_held():
    with Sink("ours", "-m", "2000") as sink:
        process = subprocess.Popen([program("ours", "smtp-source"), "--hold", "-s", "1000", f"127.0.0.1:{sink.port}"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        assert json.loads(process.stdout.readline())["held"] == 1000
        assert source("ours", sink.port).returncode == 0
        output, _ = process.communicate(timeout=20 * SCALE)
        assert json.loads(output)["still_open"] == 1000


def test_large_messages_and_files(tmp_path):
    path = tmp_path / "message"
    path.write_text("Subject: x\n\n.\n..a\nlast")
    with Sink("ours", "--report") as sink:
        assert source("ours", sink.port, "-l", 20_000_000, "-o").returncode == 0
        assert source("ours", sink.port, "-F", path).returncode == 0
        report = sink.report()
        assert (report["messages"], report["bytes"]) == (2, 20_000_000 + 5 + len("Subject: x\r\n\r\n..\r\n...a\r\nlast\r\n.\r\n"))


def test_no_reply_inside_tls_waits_for_an_acknowledgement(mta):
    """The session ticket and the first reply are two small writes: with Nagle's algorithm the second one waits 40 ms in each session."""
    sessions = 10
    seconds = [json.loads(source("ours", mta.port("tls"), "--starttls", "-m", sessions, "-f", "a@b.test", "-t", "x@discard.test",
                                 "--report").stdout.splitlines()[-1])["seconds"] for _ in range(3)]
    assert min(seconds) < sessions * 0.04, seconds


def test_starttls_against_the_mail_system(mta):
    done = source("ours", mta.port("tls"), "--starttls", "-m", 2, "-d", "-f", "a@b.test", "-t", "x@discard.test", "--report")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["messages"] == 2


def test_help_and_mistakes():
    for name in ("smtp-source", "smtp-sink"):
        done = subprocess.run([program("ours", name), "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and name in done.stdout and "--report-interval" in done.stdout
        done = subprocess.run([program("ours", name), "--reprot"], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "did you mean --report?" in done.stderr
