"""`postfix start-fg` as process 1 of a container: a process-ID namespace of its own, which only root may make."""

import os
import signal
import subprocess
import threading

import pytest

from support import procs
from support.mta import wait_maildir
from support.waiting import SCALE, wait_for


class Container:
    """An instance whose master is process 1. Process IDs here are those seen from outside; the PID file says 1."""

    def __init__(self, mta):
        self.mta = mta
        self.output = []
        self.unshare = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", mta.suite.program("postfix"), "-c", str(mta.config), "start-fg"],
            env=mta.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=lambda: self.output.extend(self.unshare.stdout), daemon=True)
        self.reader.start()
        self.init = None
        self.init = wait_for(self._find_master, 20, "master as process 1", lambda: "".join(self.output) + mta.log.tail())

    def _find_master(self):
        assert self.unshare.poll() is None, "".join(self.output) + self.mta.log.tail()
        return next((pid for pid, name in procs.children(self.unshare.pid).items() if name == "master"), None)

    def children(self):
        """{pid: state letter} of master's children, zombies too."""
        found = {}
        for pid in procs.all_pids():
            try:
                with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
                    fields = file.read().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == self.init:
                found[pid] = fields[0]
        return found

    def wait(self):
        """The exit status of the container."""
        return self.unshare.wait(30 * SCALE)

    def close(self):
        for pid in {self.init or self.unshare.pid, *procs.children(self.unshare.pid)}:
            procs.send(pid)  # with process 1 the kernel ends all others
        self.unshare.kill()
        self.unshare.wait()
        self.reader.join(5)


@pytest.fixture
def make_container(as_root, make_instance):
    probe = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"cannot make a process-ID namespace: {probe.stderr.strip()}")
    made = []

    def make(**options):
        made.append(Container(make_instance(start=False, virtual_mailbox_domains="virtual.test",
                                            virtual_mailbox_maps="inline:{ {box@virtual.test=box/} }", **options)))
        return made[-1]

    yield make
    for container in made:
        container.close()


def test_process_1_delivers_mail_reaps_strays_and_stops_in_order(make_container):
    container = make_container()
    mta = container.mta
    mta.log.wait(r"master\[1\]: daemon started -- version")
    assert (mta.queue / "pid" / "master.pid").read_text().strip() == "1"
    message_id = mta.submit("box@virtual.test")
    assert b"body" in wait_maildir(mta.vmail / "box")[0]
    mta.wait_removed(message_id)
    assert mta.sendmail("box@virtual.test").returncode == 0
    wait_maildir(mta.vmail / "box", count=2)

    # A process whose parent ends inside the container becomes a child of process 1, as a command of .forward may.
    before = set(container.children())
    hold, release = os.pipe()
    try:
        subprocess.run(["nsenter", "--target", str(container.init), "--pid", "sh", "-c", "exec 3<&0; cat <&3 & exit 0"],
                       stdin=hold, stdout=subprocess.DEVNULL, check=True, timeout=30 * SCALE)
        os.close(hold)
        stray = wait_for(lambda: [pid for pid in set(container.children()) - before if procs.command(pid) == "cat"], 10,
                         "the orphan below master")[0]
    finally:
        os.close(release)
    wait_for(lambda: stray not in container.children(), 10, "the orphan to be reaped", lambda: str(container.children()))
    assert "Z" not in container.children().values()
    assert not mta.log.find(rf"warning: process .* pid {stray}")
    mta.submit("box@virtual.test")
    wait_maildir(mta.vmail / "box", count=3)

    left = container.children()
    os.kill(container.init, signal.SIGTERM)
    assert container.wait() == 0
    mta.log.wait(r"master\[1\]: terminating on signal 15$")
    assert not any(map(procs.alive, left))
    assert not mta.log.find(r"(fatal|panic|error|killed by signal)")
    # Nothing is left that would keep the next start out.
    again = mta.start()
    again.submit("box@virtual.test")
    wait_maildir(mta.vmail / "box", count=4)


def test_the_log_of_a_container_goes_to_its_standard_output(make_container):
    container = make_container(maillog_file="/dev/stdout", maillog_file_prefixes="/dev/stdout")
    wait_for(lambda: any("master[1]: daemon started -- version" in line for line in container.output), 10, "the first line")
    container.mta.submit("box@virtual.test")
    wait_maildir(container.mta.vmail / "box")
    wait_for(lambda: any("status=sent (delivered to maildir)" in line for line in container.output), 10, "the delivery's line",
             lambda: "".join(container.output))
    os.kill(container.init, signal.SIGTERM)
    assert container.wait() == 0
    wait_for(lambda: any("terminating on signal 15" in line for line in container.output), 10, "the last line")


def test_abort_of_process_1(make_container):
    container = make_container()
    container.mta.log.wait(r"daemon started")
    os.kill(container.init, signal.SIGABRT)
    assert container.wait() == 0


def test_the_watchdog_ends_process_1_too(make_container, only_stagepost):
    """The kernel spares process 1 from a signal without a handler: a master that hangs would stay for ever."""
    container = make_container()
    container.mta.log.wait(r"daemon started")
    os.kill(container.init, signal.SIGALRM)
    assert container.wait() != 0


def test_init_mode_is_for_process_1_only(make_instance):
    mta = make_instance(start=False)
    mta.postfix("check", check=True)
    done = subprocess.run([os.path.join(mta.suite.daemon_directory, "master"), "-i", "-c", str(mta.config)], env=mta.environment(),
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    mta.log.settle()
    assert "-i is allowed only for PID 1 process" in done.stderr + "\n".join(mta.log.raw)
