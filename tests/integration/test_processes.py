"""The process model as an administrator sees it: start, stop, reload, limits, idle exit, crashes of single daemons."""

import os
import re
import signal
import smtplib
import subprocess

import pytest

from support import procs
from support.smtp_client import Disconnected
from support.waiting import wait_for


@pytest.fixture(scope="module")
def sinked(suite):
    """An instance whose processes these tests may kill, and the sink it relays to."""
    from support.mta import Instance
    from support.sink import Sink
    with Sink() as sink, Instance(suite, relayhost=sink.nexthop, minimal_backoff_time="1s", maximal_backoff_time="2s",
                                  queue_run_delay="1s", transport_retry_time="1s", service_throttle_time="1s") as mta:
        yield mta, sink


def test_start_status_stop_and_their_exit_codes(make_instance):
    mta = make_instance(start=False)
    assert mta.postfix("status").returncode != 0
    mta.start()
    mta.log.wait(rf"postfix-script\[\d+\]: starting the Postfix mail system$")
    mta.log.wait(rf"master\[{mta.master_pid()}\]: daemon started -- version \S+, configuration {re.escape(str(mta.config))}$")
    assert mta.postfix("status").returncode == 0
    mta.log.wait(rf"postfix-script\[\d+\]: the Postfix mail system is running: PID: {mta.master_pid()}$")
    again = mta.postfix("start")
    assert again.returncode != 0
    mta.log.wait(r"fatal: the Postfix mail system is already running$")
    assert (mta.queue / "pid" / "master.pid").read_text().strip() == str(mta.master_pid())
    tree = mta.tree()
    assert mta.stop().returncode == 0
    assert not any(map(procs.alive, tree))
    assert mta.postfix("status").returncode != 0 and mta.postfix("stop").returncode != 0


def test_stop_lets_a_running_delivery_end_or_keeps_the_mail(make_instance, make_sink):
    sink = make_sink()
    mta = make_instance(relayhost=sink.nexthop)
    for n in range(20):
        mta.submit(f"stop{n}@remote.test")
    mta.stop()
    mta.start()
    mta.postqueue("-f")
    for n in range(20):
        sink.wait_for_recipient(f"stop{n}@remote.test")
    mta.wait_empty()


def test_queue_directories_have_the_documented_owners_and_modes(make_instance, as_root):
    mta = make_instance()
    modes = {"active": 0o700, "bounce": 0o700, "corrupt": 0o700, "defer": 0o700, "deferred": 0o700, "flush": 0o700, "hold": 0o700,
             "incoming": 0o700, "private": 0o700, "maildrop": 0o730, "public": 0o710, "pid": 0o755, "trace": 0o700}
    for name, mode in modes.items():
        info = (mta.queue / name).stat()
        assert info.st_mode & 0o777 == mode, name
        if name != "pid":
            assert info.st_uid == mta.owner.pw_uid, name


def test_only_master_and_the_agents_that_become_users_run_as_root(sinked, as_root):
    mta, sink = sinked
    mta.submit("priv@remote.test")
    sink.wait_for_recipient("priv@remote.test")

    def still_root():  # a daemon that has just been started has not dropped its rights yet
        return [name for pid, name in mta.tree().items() if name not in ("master", "local", "virtual", "pipe", "spawn")
                and procs.effective_uid(pid) not in (None, mta.owner.pw_uid)]

    wait_for(lambda: not still_root(), 5, "all daemons to drop their rights", lambda: str(still_root()))


def test_daemons_preempt_each_other_only_with_little_to_do(sinked):
    mta, sink = sinked
    if mta.suite.is_postfix:
        pytest.skip("Postfix leaves the scheduling policy alone")
    mta.submit("policy@remote.test")
    sink.wait_for_recipient("policy@remote.test")

    def policies(name=None):
        return {found: os.sched_getscheduler(pid) for pid, found in mta.tree().items() if name in (None, found)}

    calm = policies()
    assert calm.pop("postlogd") == os.SCHED_BATCH, "nobody waits for it"
    assert set(calm.values()) == {os.SCHED_OTHER}, calm
    with smtplib.SMTP("127.0.0.1", mta.port()) as client:

        def greet(times):
            for _ in range(times):
                assert client.ehlo("client.test")[0] == 250

        def has(policy, times):
            greet(times)
            return policy in {os.sched_getscheduler(pid) for pid in mta.daemons("smtpd")}

        wait_for(lambda: has(os.SCHED_BATCH, 1000), 30, "an smtpd that has much to do")
        wait_for(lambda: not has(os.SCHED_BATCH, 1), 30, "an smtpd that has little to do")
    assert policies("master") == {"master": os.SCHED_OTHER}


def test_reload_drops_no_session(sinked):
    mta, sink = sinked
    with mta.smtp() as before, mta.smtp() as in_data:
        before.ehlo()
        in_data.ehlo()
        in_data.envelope("a@b.test", "reload-data@remote.test")
        in_data.expect(354, "DATA")
        in_data.send("Subject: across\r\n\r\nfirst\r\n")
        mta.reload()
        in_data.send("second\r\n.\r\n")
        assert in_data.read().code == 250
        assert before.transaction("a@b.test", "reload-idle@remote.test", b"Subject: x\r\n\r\n").code == 250
    sink.wait_for_recipient("reload-data@remote.test")
    sink.wait_for_recipient("reload-idle@remote.test")


def test_reload_refuses_no_connection_and_applies_changes(sinked):
    mta, _ = sinked
    mta.set(smtpd_banner="$myhostname ESMTP changed")
    mta.reload()
    for _ in range(20):
        with mta.smtp() as client:
            client.quit()
    with mta.smtp() as client:
        assert str(client.banner) == "220 mx.stagepost.test ESMTP changed"
    mta.set(smtpd_banner=None)
    mta.reload()


def test_smtpd_maxproc_limits_sessions(make_instance):
    """The concurrency contract for a listener: a client beyond maxproc waits, it is not refused and not served."""
    mta = make_instance(master={"smtp/inet": {"maxproc": 2}}, smtpd_timeout="20s")
    first, second = mta.smtp(), mta.smtp()
    third = mta.smtp(banner=False, timeout=10)
    third.socket.settimeout(0.7)
    with pytest.raises(TimeoutError):
        third.socket.recv(1)
    third.socket.settimeout(20)
    first.quit()
    assert third.socket.recv(3) == b"220"
    second.close()
    third.close()


def test_idle_daemons_exit(make_instance):
    mta = make_instance(max_idle="1s", ipc_idle="1s")
    with mta.smtp() as client:
        client.ehlo()
        client.quit()
    assert mta.daemons("smtpd")
    wait_for(lambda: not mta.daemons("smtpd"), 15, "smtpd to exit after max_idle", mta.log.tail)
    with mta.smtp() as client:
        client.ehlo()
        client.quit()
    assert mta.master_pid()


@pytest.mark.parametrize("sessions, processes", [(1, 3), (100, 1)])
def test_process_session_and_use_limits(make_instance, sessions, processes):
    """max_use counts for each client that a process may have at once: where that is one client, it is Postfix's limit."""
    mta = make_instance(max_use=3, process_session_limit=sessions, master={"smtp/inet": {"maxproc": 1}})
    seen = set()
    for _ in range(10):
        with mta.smtp() as client:
            seen.update(mta.daemons("smtpd"))
            client.quit()
    assert len(seen) >= 3 if processes > 1 else len(seen) == 1


def test_killed_daemon_is_replaced_and_logged(sinked):
    mta, sink = sinked
    with mta.smtp() as client:
        client.ehlo()
        mark = mta.log.mark()
        for pid in mta.daemons("smtpd"):
            procs.send(pid)
        assert client.at_eof()
    mta.log.wait(r"master\[\d+\]: warning: process \S+/smtpd pid \d+ killed by signal 9$", since=mark)
    mta.submit("afterkill@remote.test")
    sink.wait_for_recipient("afterkill@remote.test")


@pytest.mark.parametrize("name", ["qmgr", "cleanup", "trivial-rewrite", "bounce", "pickup", "smtp", "proxymap", "tlsmgr", "anvil", "showq"])
def test_mail_flows_after_any_daemon_was_killed(sinked, name):
    mta, sink = sinked
    mta.submit(f"before-{name}@remote.test")
    mta.postqueue("-p")
    for pid in mta.daemons(name):
        procs.send(pid)
    recipient = f"after-{name}@remote.test"

    def accepted():
        try:
            return mta.submit(recipient)
        except (AssertionError, Disconnected, OSError):
            return None  # a 4xx while the daemon is being replaced: the client would try again

    wait_for(accepted, 20, "acceptance", mta.log.tail)
    sink.wait_for_recipient(recipient)
    sink.wait_for_recipient(f"before-{name}@remote.test")
    mta.wait_empty()


def test_crashing_service_is_throttled(make_instance, tmp_path):
    """A service whose program fails at start: the log lines administrators know, and no fork loop."""
    mta = make_instance(start=False, extra_services=["broken unix - - n - 1 smtpd -o nosuch_internal=1 -Z"])
    # An unknown command-line option makes the daemon fail right away, as a damaged installation would.
    mta.start()
    client = subprocess.Popen(["/usr/bin/python3", "-c", f"""
import socket, time
s = socket.socket(socket.AF_UNIX); s.connect({str(mta.queue / 'private' / 'broken')!r}); time.sleep(5)"""])
    try:
        mta.log.wait(r"master\[\d+\]: warning: process \S+/smtpd pid \d+ exit status 1$")
        mta.log.wait(r"master\[\d+\]: warning: \S+/smtpd: bad command startup -- throttling$")
    finally:
        client.kill()
        client.wait()
    starts = len(mta.log.find(r"exit status 1$"))
    assert starts <= 2


def test_kill_master_ends_the_children_and_start_recovers(make_instance, make_sink):
    sink = make_sink()
    gate_recipient = "survivor@remote.test"
    sink.on("RCPT", "450 4.2.0 wait", match="survivor", times=1)
    mta = make_instance(relayhost=sink.nexthop, minimal_backoff_time="1s", queue_run_delay="1s", ipc_timeout="5s", max_idle="1s")
    message_id = mta.submit(gate_recipient)
    mta.wait_in_queue(message_id, "deferred")
    tree = mta.tree()
    procs.send(mta.master_pid(), signal.SIGKILL)
    wait_for(lambda: not any(map(procs.alive, tree)), 30, "orphans to end", lambda: str({p: procs.command(p) for p in tree if procs.alive(p)}))
    assert mta.postfix("status").returncode != 0
    mta.start()
    sink.wait_for_recipient(gate_recipient)


def test_kill_everything_and_start_again(make_instance, make_sink):
    sink = make_sink()
    mta = make_instance(relayhost=sink.nexthop, minimal_backoff_time="1s", queue_run_delay="1s")
    ids = [mta.submit(f"all{n}@remote.test") for n in range(10)]
    mta.kill_all()
    assert not mta.tree()
    mta.start()
    for n in range(10):
        sink.wait_for_recipient(f"all{n}@remote.test")
    mta.wait_empty()
    assert len(set(ids)) == 10


def test_second_master_is_locked_out(sinked):
    mta, _ = sinked
    done = subprocess.run([os.path.join(mta.suite.daemon_directory, "master"), "-t", "-c", str(mta.config)], env=mta.environment(), timeout=30,
                          capture_output=True, check=False)
    assert done.returncode != 0
    assert mta.postfix("status").returncode == 0


def test_abort_and_flush_commands(make_instance, make_sink):
    sink = make_sink()
    sink.on("RCPT", "450 4.2.0 wait", times=1)
    mta = make_instance(relayhost=sink.nexthop, minimal_backoff_time="300s", queue_run_delay="300s")
    message_id = mta.submit("flushed@remote.test")
    mta.wait_in_queue(message_id, "deferred")
    mta.postfix("flush", check=True)
    sink.wait_for_recipient("flushed@remote.test")
    tree = mta.tree()
    mta.postfix("abort")
    wait_for(lambda: not any(map(procs.alive, tree)), 10, "abort to end everything")
    mta.log.wait(r"postfix-script\[\d+\]: aborting the Postfix mail system$")


def test_a_client_of_a_dead_master_does_not_keep_its_successor_out(make_instance):
    """The sessions of the old processes go on; their listening sockets must not."""
    mta = make_instance()
    with smtplib.SMTP("127.0.0.1", mta.port()) as client:
        client.ehlo("client.test")
        os.kill(mta.master_pid(), signal.SIGKILL)
        wait_for(lambda: mta.postfix("start").returncode == 0, 20, "a start after the crash", mta.log.tail)
        assert client.noop()[0] in (250, 421)
