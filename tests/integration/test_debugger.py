"""debugger_command (DEBUG_README): what -D starts, for one service, for master and for everything."""

import re

import pytest


@pytest.fixture
def traced(make_instance):
    def make(**options):
        mta = make_instance(start=False, **options)
        trace = mta.write("trace", "", mode=0o666)
        # What DEBUG_README shows, with an echo in place of a tracer.
        mta.set(debugger_command=f"PATH=/bin:/usr/bin; (echo $process_name $process_id $service_name >> {trace}) & sleep 0.1")
        return mta, trace
    return make


def lines_of(trace):
    return [line.split() for line in trace.read_text().splitlines()]


def test_one_service(traced, suite):
    mta, trace = traced(master={"smtp/inet": {"command": "smtpd -D"}})
    mta.start()
    with mta.smtp() as client:
        client.ehlo()
        [line] = lines_of(trace)
        assert line[0] == "smtpd" and int(line[1]) in mta.daemons("smtpd")
        assert suite.is_postfix or line[2] == f"127.0.0.1:{mta.port()}"


def test_the_whole_mail_system(traced):
    mta, trace = traced()
    done = mta.postfix("-D", "start")
    assert done.returncode == 0, done.stderr
    with mta.smtp() as client:
        client.ehlo()
        seen = {line[0]: int(line[1]) for line in lines_of(trace)}
        assert seen["master"] == mta.master_pid()
        assert seen["smtpd"] in mta.daemons("smtpd") and seen["qmgr"] in mta.daemons("qmgr")


def test_a_failing_command_is_logged_and_not_fatal(traced, only_stagepost):
    mta, _ = traced(master={"smtp/inet": {"command": "smtpd -D"}})
    mta.set(debugger_command="exit 3")
    mta.start()
    with mta.smtp() as client:
        assert client.ehlo()
    assert mta.log.wait(r"smtpd\[\d+\]: warning: debugger_command failed")


def test_without_the_option_nothing_is_run(traced):
    mta, trace = traced()
    mta.start()
    with mta.smtp() as client:
        client.ehlo()
    assert not re.search(r"\S", trace.read_text())
