"""master(8) and the daemon layer, with a tiny echo daemon behind them: limits, on-demand start, exits, reload, crashes.

The echo daemon (src/lib/daemon/echo_daemon.cpp) answers each line with its process ID. Runs as root and as an ordinary
user; needs no mail configuration and no other daemon of the suite.
"""

import fcntl
import os
import pwd
import re
import signal
import socket
import subprocess
import time

import pytest

BUILD = os.path.abspath(os.environ.get(
    "STAGEPOST_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build", "dev")))
MASTER = os.path.join(BUILD, "libexec", "master")
POSTFIX = os.path.join(BUILD, "bin", "postfix")
ECHO = os.path.join(BUILD, "test-daemons", "echo")

pytestmark = pytest.mark.skipif(not all(os.path.exists(p) for p in (MASTER, POSTFIX, ECHO)),
                                reason=f"master, postfix and echo are not built in {BUILD}")


def wait_for(condition, what, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"timed out waiting for {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def ask(self, line="hi", timeout=10):
        """Process ID that answered, or None when the connection was closed."""
        self.socket.settimeout(timeout)
        try:
            self.socket.sendall(line.encode() + b"\n")
            self.reply = self.socket.recv(1000).decode()
        except ConnectionError:
            return None
        return int(self.reply.split()[0]) if self.reply else None

    def answered(self, seconds=0.5):
        self.socket.settimeout(seconds)
        try:
            self.reply = self.socket.recv(1000).decode()
            return int(self.reply.split()[0]) if self.reply else None
        except TimeoutError:
            return False

    def close(self):
        self.socket.close()


class System:
    """A private mail system made of echo daemons."""

    def __init__(self, base, services, **main_cf):
        self.base = str(base)
        self.config, self.queue, self.data = (os.path.join(self.base, d) for d in ("etc", "queue", "data"))
        os.makedirs(self.config)
        os.chmod(self.base, 0o755)
        self.programs = os.path.join(self.base, "programs")
        os.makedirs(self.programs)
        os.symlink(ECHO, os.path.join(self.programs, "echo"))
        os.symlink(MASTER, os.path.join(self.programs, "master"))
        self.main_cf = {"compatibility_level": "3.7", "queue_directory": self.queue, "data_directory": self.data,
                        "daemon_directory": self.programs, "command_directory": self.base,
                        "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "myhostname": "host.example.com",
                        "mynetworks_style": "host", "max_idle": "100s", "service_throttle_time": "60s"}
        self.main_cf.update(main_cf)
        self.write(services)
        self.foreground = None

    def write(self, services):
        with open(os.path.join(self.config, "main.cf"), "w") as file:
            file.writelines(f"{name} = {value}\n" for name, value in self.main_cf.items())
        with open(os.path.join(self.config, "master.cf"), "w") as file:
            file.write("\n".join(services) + "\n")

    def postfix(self, *arguments):
        return subprocess.run([POSTFIX, "-c", self.config, *arguments], capture_output=True, text=True, timeout=60)

    def run(self):
        """Master in the foreground, its messages and those of a failing exec on a pipe."""
        assert self.postfix("check").returncode == 0
        self.output = open(os.path.join(self.base, "output"), "w+")
        self.foreground = subprocess.Popen([MASTER, "-d", "-c", self.config], stderr=self.output,
                                           stdout=subprocess.DEVNULL)
        wait_for(lambda: self.locked() or self.foreground.poll() is not None, "master's lock")
        wait_for(lambda: self.foreground.poll() is not None or self.listening(), "listeners")
        return self

    def listening(self):
        ports = [int(line.split()[0]) for line in open(os.path.join(self.config, "master.cf"))
                 if line.split()[1:2] == ["inet"]]
        listed = open("/proc/net/tcp").read()
        return all(f"0100007F:{port:04X} 00000000:0000 0A" in listed for port in ports)

    def locked(self):
        try:
            with open(os.path.join(self.queue, "pid", "master.pid")) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            pass
        return False

    @property
    def pid(self):
        return int(open(os.path.join(self.queue, "pid", "master.pid")).read())

    def said(self):
        return open(os.path.join(self.base, "output")).read()

    def children(self, pid=None):
        try:
            listed = open(f"/proc/{pid or self.pid}/task/{pid or self.pid}/children").read()
        except FileNotFoundError:
            return []
        return [int(child) for child in listed.split()]

    def close(self):
        if self.locked():
            pid, children = self.pid, self.children()
            os.kill(pid, signal.SIGKILL)
            for child in children:
                try:
                    os.kill(child, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if self.foreground:
            self.foreground.wait(timeout=10)
            self.output.close()


@pytest.fixture
def system(tmp_path_factory):
    made = []

    def make(*services, **main_cf):
        base = tmp_path_factory.mktemp("m")
        os.chmod(base, 0o755)
        made.append(System(base, services, **main_cf))
        return made[-1]

    yield make
    for one in made:
        one.close()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nothing_runs_until_a_client_comes(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 5 echo plain").run()
    assert mail.children() == []
    client = Client(port)
    assert client.ask() in mail.children()


@pytest.mark.parametrize("limit,behaviour", [(1, "plain"), (3, "plain"), (3, "kind=isolated plain"), (7, "plain")])
def test_maxproc_bounds_the_sessions_of_the_service(system, limit, behaviour):
    port = free_port()
    mail = system(f"{port} inet n - n - {limit} echo {behaviour}").run()
    clients = [Client(port) for _ in range(limit)]
    pids = [client.ask() for client in clients]
    assert None not in pids
    if "isolated" in behaviour:
        assert len(set(pids)) == limit
    late = [Client(port) for _ in range(3)]
    for client in late:
        client.socket.sendall(b"late\n")
    assert [client.answered(0.3) for client in late] == [False] * 3, "more sessions than maxproc"
    clients.pop().close()
    served = wait_for(lambda: [c for c in late if c.answered(0.05)], "one of those who wait")
    assert len(served) == 1
    assert [client.answered(0.2) for client in late if client is not served[0]] == [False] * 2
    assert len(mail.children()) <= limit


def test_process_session_limit_one_gives_one_process_per_client(system):
    port = free_port()
    system(f"{port} inet n - n - 4 echo -o process_session_limit=1 plain").run()
    clients = [Client(port) for _ in range(4)]
    assert len({client.ask() for client in clients}) == 4


def test_a_single_daemon_serves_everyone_whatever_maxproc_says(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 1 echo kind=single plain").run()
    clients = [Client(port) for _ in range(30)]
    assert len({client.ask() for client in clients}) == 1
    assert len(mail.children()) == 1


def test_an_idle_client_gives_way_to_a_waiting_one(system):
    port = free_port()
    system(f"{port} inet n - n - 2 echo").run()
    idle = [Client(port) for _ in range(2)]
    assert all(client.ask() for client in idle)
    busy = idle[1]
    busy.socket.sendall(b"work\n")
    time.sleep(0.1)
    newcomer = Client(port)
    assert newcomer.ask()
    assert idle[0].ask() is None, "the client that waits for nothing is closed"
    busy.socket.sendall(b"done\n")
    assert busy.answered(5), "a client in the middle of a request is never cut"


def test_idle_processes_go_and_the_next_client_is_served(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 2 echo plain", max_idle="1s").run()
    client = Client(port)
    first = client.ask()
    client.close()
    wait_for(lambda: mail.children() == [], "idle exit", 5)
    assert Client(port).ask() not in (None, first)
    assert "warning" not in mail.said()


def test_no_client_is_lost_while_processes_come_and_go(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 3 echo plain", max_idle="1s", max_use="2", process_session_limit="1").run()
    pids = []
    for count in range(60):
        client = Client(port)
        pids.append(client.ask())
        client.close()
        if count % 20 == 19:
            time.sleep(1.0)
    assert None not in pids
    assert max(pids.count(pid) for pid in pids) <= 2, "max_use"
    assert "warning" not in mail.said()


def test_reload_keeps_sessions_and_refuses_nobody(system):
    port, second = free_port(), free_port()
    mail = system(f"{port} inet n - n - 20 echo plain", "trigger unix n - n 60 1 echo").run()
    old = [Client(port) for _ in range(5)]
    old_pids = {client.ask() for client in old}
    mail.write([f"{port} inet n - n - 30 echo plain", f"{second} inet n - n - 2 echo plain"])
    for round_number in range(5):
        mail.postfix("reload")
        for _ in range(20):
            assert Client(port).ask(), f"refused or dropped in round {round_number}"
    wait_for(mail.listening, "the new service")
    assert Client(second).ask()
    assert not os.path.exists(os.path.join(mail.queue, "public", "trigger")), "the removed service's socket"
    assert {client.ask() for client in old} == old_pids, "sessions from before the reload go on in their processes"
    assert "draining=true" in old[0].reply
    newcomer = Client(port)
    assert newcomer.ask() not in old_pids
    for client in old:
        client.close()
    wait_for(lambda: not any(alive(pid) for pid in old_pids), "the old processes' end")


def test_sessions_of_draining_processes_count(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 2 echo plain").run()
    old = [Client(port) for _ in range(2)]
    assert all(client.ask() for client in old)
    mail.postfix("reload")
    late = Client(port)
    late.socket.sendall(b"late\n")
    assert late.answered(0.5) is False, "a third session"
    old[0].close()
    assert wait_for(lambda: late.answered(0.1), "a free place")


def test_a_broken_configuration_leaves_the_old_one_running(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 2 echo plain").run()
    mail.write(["this is not a service"])
    mail.postfix("reload")
    wait_for(lambda: "reload failed" in mail.said(), "the error")
    assert Client(port).ask()


def test_a_bad_program_is_throttled_and_tried_again(system):
    port, good = free_port(), free_port()
    mail = system(f"{port} inet n - n - 5 echo fail", f"{good} inet n - n - 5 echo plain",
                  service_throttle_time="2s").run()
    waiting = Client(port)
    wait_for(lambda: "throttling" in mail.said(), "throttling")
    assert Client(good).ask(), "others are not affected"
    program = os.path.join(mail.programs, "echo")
    assert f"warning: process {program} pid" in mail.said() and "exit status 3" in mail.said()
    assert mail.said().count(f"warning: {program}: bad command startup -- throttling") == 1
    wait_for(lambda: mail.said().count("throttling") == 2, "the second attempt", 6)
    waiting.close()


def test_a_missing_program_is_reported(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 5 nosuch").run()
    Client(port)
    wait_for(lambda: "throttling" in mail.said(), "throttling")
    assert "exit status 1" in mail.said()


def test_a_killed_child_is_replaced_at_once(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 5 echo plain").run()
    client = Client(port)
    pid = client.ask()
    client.close()
    other = Client(port)
    assert other.ask()
    os.kill(other.ask(), signal.SIGKILL)
    wait_for(lambda: f"pid {pid} killed by signal 9" in mail.said(), "the warning")
    assert Client(port).ask(timeout=5), "one crash must not close the service"
    assert "throttling" not in mail.said()


def test_a_crash_loop_is_throttled(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 1 echo plain").run()
    for _ in range(3):
        Client(port).ask("crash")
    wait_for(lambda: "throttling" in mail.said(), "throttling")


def test_a_daemon_that_hangs_is_ended_by_its_watchdog(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 5 echo plain", daemon_timeout="3s").run()
    steady = Client(port)
    pid = steady.ask()
    assert Client(port).ask("hang", timeout=20) is None
    wait_for(lambda: f"pid {pid} killed by signal 14" in mail.said(), "the warning")
    assert Client(port).ask(timeout=5) not in (None, pid)


def test_the_watchdog_leaves_a_daemon_alone_that_waits(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 5 echo plain", daemon_timeout="3s").run()
    client = Client(port)
    pid = client.ask()
    time.sleep(4)
    assert client.ask() == pid
    assert "warning" not in mail.said()


def test_children_follow_a_killed_master(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 5 echo plain", "trigger unix n - n 1 1 echo resident").run()
    session = Client(port)
    pid = session.ask()
    children = wait_for(lambda: len(mail.children()) == 2 and mail.children(), "both children")
    os.kill(mail.pid, signal.SIGKILL)
    mail.foreground.wait()
    wait_for(lambda: not any(alive(child) for child in children if child != pid), "the idle child's end")
    assert session.ask() == pid, "the session is finished first"
    session.close()
    wait_for(lambda: not alive(pid), "the last child's end")
    again = mail.run()
    assert Client(port).ask() not in (None, pid)
    assert again.locked()


def test_only_one_master_at_a_time(system):
    mail = system(f"{free_port()} inet n - n - 1 echo").run()
    second = subprocess.run([MASTER, "-d", "-c", mail.config], capture_output=True, text=True, timeout=20)
    assert second.returncode == 1
    assert "unable to set exclusive lock" in second.stderr
    content = open(os.path.join(mail.queue, "pid", "master.pid")).read()
    assert content == f"{mail.foreground.pid:32d}\n"
    assert subprocess.run([MASTER, "-t", "-c", mail.config]).returncode == 1


def test_lock_test_option(system):
    mail = system(f"{free_port()} inet n - n - 1 echo")
    mail.postfix("check")
    lock_test = [MASTER, "-t", "-c", mail.config]
    assert subprocess.run(lock_test, timeout=20).returncode == 0, "nobody holds the lock"
    mail.run()
    assert subprocess.run(lock_test, timeout=20).returncode == 1
    assert "terminating" not in mail.said(), "the test disturbs nobody"
    os.kill(mail.pid, signal.SIGKILL)
    mail.foreground.wait(timeout=10)
    assert subprocess.run(lock_test, timeout=20).returncode == 0, "the lock went with its holder"


def test_wait_option_returns_when_clients_can_connect(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 1 echo")
    mail.postfix("check")
    done = subprocess.run([MASTER, "-w", "-c", mail.config], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert Client(port).ask()
    assert os.getsid(mail.pid) == mail.pid, "a session of its own: a terminal's signals do not reach it"
    again = subprocess.run([MASTER, "-w", "-c", mail.config], capture_output=True, text=True, timeout=60)
    assert again.returncode == 1


def test_start_fg_stays_in_the_foreground_and_keeps_standard_output(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 1 echo")
    mail.output = open(os.path.join(mail.base, "output"), "w+")
    mail.foreground = subprocess.Popen([POSTFIX, "-c", mail.config, "start-fg"], stdout=mail.output, stderr=mail.output)
    wait_for(lambda: mail.locked() and mail.listening(), "the listener")
    assert Client(port).ask()
    assert mail.pid == mail.foreground.pid, "no process between the supervisor and master"
    descriptors = [os.readlink(f"/proc/{mail.pid}/fd/{fd}") for fd in range(3)]
    assert descriptors[0] == descriptors[2] == "/dev/null" and descriptors[1] == os.path.join(mail.base, "output")
    os.kill(mail.foreground.pid, signal.SIGTERM)
    assert mail.foreground.wait(timeout=20) == 0


def test_services_named_by_known_tcp_ports_and_host(system):
    port, other = free_port(), free_port()
    mail = system("127.0.0.1:echo-one inet n - n - 1 echo", f"localhost:{other} inet n - n - 1 echo",
                  known_tcp_ports=f"echo-one={port}, smtp=25")
    mail.postfix("check")
    mail.output = open(os.path.join(mail.base, "output"), "w+")
    mail.foreground = subprocess.Popen([MASTER, "-d", "-c", mail.config], stderr=mail.output)
    wait_for(lambda: _connects(port) and _connects(other), "both listeners")
    mail.write(["127.0.0.1:nosuch-name inet n - n - 1 echo"])
    mail.postfix("reload")
    wait_for(lambda: "reload failed" in mail.said(), "the error")
    assert Client(port).ask()


def test_an_occupied_port_is_fatal_at_start(system):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        mail = system(f"{port} inet n - n - 1 echo")
        mail.postfix("check")
        done = subprocess.run([MASTER, "-d", "-c", mail.config], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1
        assert f"fatal: bind 127.0.0.1 port {port}: Address already in use" in done.stderr
        waited = mail.postfix("start")
        assert waited.returncode == 1 and "mail system startup failed" in waited.stderr


def test_sockets_have_the_owners_and_modes_of_postfix(system):
    mail = system("cleanup unix n - n - 0 echo", "rewrite unix - - n - - echo", "old fifo n - n - 1 echo",
                  "data unix-dgram - - n - 1 echo").run()
    wait_for(lambda: os.path.exists(os.path.join(mail.queue, "private", "data")), "the sockets")
    for name, mode in (("public/cleanup", "0o140666"), ("private/rewrite", "0o140666"), ("public/old", "0o10622"),
                       ("private/data", "0o140666")):
        status = os.stat(os.path.join(mail.queue, name))
        assert oct(status.st_mode) == mode, name
        if os.geteuid() == 0:
            assert pwd.getpwuid(status.st_uid).pw_name == "postfix"


def test_wakeups_and_triggers_reach_the_daemon(system):
    mail = system("trigger unix n - n 1 1 echo -v", "lazy fifo n - n 1? 1 echo -v").run()
    wait_for(lambda: len(mail.children()) == 1, "the wakeup at start")
    time.sleep(1.5)
    assert len(mail.children()) == 1, "a wakeup with ? waits for the first use"
    with open(os.path.join(mail.queue, "public", "lazy"), "wb", buffering=0) as fifo:
        fifo.write(b"W")
    wait_for(lambda: len(mail.children()) == 2, "the child behind the FIFO")
    with socket.socket(socket.AF_UNIX) as poke:
        poke.connect(os.path.join(mail.queue, "public", "trigger"))
        poke.sendall(b"D")
    assert "warning" not in mail.said()


def test_disabled_services_are_not_opened(system):
    port, second = free_port(), free_port()
    mail = system(f"{port} inet n - n - 1 echo", f"{second} inet n - n - 1 echo",
                  master_service_disable=f"!{second}/inet, inet")
    mail.postfix("check")
    mail.output = open(os.path.join(mail.base, "output"), "w+")
    mail.foreground = subprocess.Popen([MASTER, "-d", "-c", mail.config], stderr=mail.output)
    wait_for(mail.locked, "the lock")
    assert wait_for(lambda: _connects(second), "the enabled service")
    assert not _connects(port)


def _connects(port):
    try:
        Client(port).close()
        return True
    except ConnectionRefusedError:
        return False


def test_stop_lets_children_finish_within_seconds(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 5 echo").run()
    idle, working = Client(port), Client(port)
    assert idle.ask() and working.ask()
    working.socket.sendall(b"work\n")
    time.sleep(0.1)
    children = mail.children()
    os.kill(mail.pid, signal.SIGTERM)
    assert idle.answered(5) is None, "idle sessions end at once"
    working.socket.sendall(b"done\n")
    assert working.answered(5), "running work is finished"
    assert mail.foreground.wait(timeout=10) == 0
    assert not any(alive(child) for child in children)


def test_stop_does_not_wait_for_a_session_that_never_ends(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 5 echo plain").run()
    endless = Client(port)
    assert endless.ask()
    begun = time.monotonic()
    os.kill(mail.pid, signal.SIGTERM)
    assert mail.foreground.wait(timeout=15) == 0
    assert 3 < time.monotonic() - begun < 10


def test_abort_kills(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 5 echo plain").run()
    client = Client(port)
    pid = client.ask()
    assert mail.postfix("abort").returncode == 0
    mail.foreground.wait(timeout=5)
    wait_for(lambda: not alive(pid), "the child's end", 2)


def test_the_postfix_command(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 5 echo plain")

    def run(command):
        done = mail.postfix(command)
        return done.returncode, re.sub(r"\d+$", "N", done.stderr.strip().splitlines()[-1])

    prefix = "postfix/postfix-script: "
    assert run("status") == (1, prefix + "the Postfix mail system is not running")
    assert run("stop") == (1, prefix + "fatal: the Postfix mail system is not running")
    assert run("reload") == (1, prefix + "fatal: the Postfix mail system is not running")
    assert run("start") == (0, prefix + "starting the Postfix mail system")
    assert run("start") == (1, prefix + "fatal: the Postfix mail system is already running")
    assert run("status") == (0, prefix + "the Postfix mail system is running: PID: N")
    assert Client(port).ask()
    assert run("reload") == (0, prefix + "refreshing the Postfix mail system")
    assert Client(port).ask()
    assert run("stop") == (0, prefix + "stopping the Postfix mail system")
    assert run("status") == (1, prefix + "the Postfix mail system is not running")
    assert run("start") == (0, prefix + "starting the Postfix mail system")
    assert run("abort") == (0, prefix + "aborting the Postfix mail system")
    code, text = run("nonsense")
    assert code == 1 and "fatal: unknown command: 'nonsense'" in text


def test_check_reports_and_set_permissions_repairs(system):
    mail = system(f"{free_port()} inet n - n - 5 echo plain")
    assert mail.postfix("check").stderr == ""
    os.chmod(os.path.join(mail.queue, "active"), 0o777)
    os.chmod(mail.config, 0o777)
    said = mail.postfix("check").stderr
    assert f"warning: group or other writable: {mail.config}\n" in said
    assert os.path.join(mail.queue, "active") in said
    assert mail.postfix("set-permissions").returncode == 0
    assert mail.postfix("check").stderr == ""


def test_a_daemon_started_by_hand_says_what_to_do(system):
    done = subprocess.run([ECHO], capture_output=True, text=True, timeout=10)
    assert done.returncode == 1
    assert "postfix start" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="drops privileges as root only")
def test_daemons_run_as_mail_owner_without_a_way_back(system):
    port = free_port()
    system(f"{port} inet n - n - 5 echo plain").run()
    pid = Client(port).ask()
    status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
    uid = pwd.getpwnam("postfix").pw_uid
    assert set(status["Uid"].split()) == {str(uid)}
    assert int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"


@pytest.mark.skipif(os.geteuid() != 0, reason="starts another user's system")
def test_an_ordinary_user_can_run_it(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 5 echo plain", "rewrite unix - - n - - echo")
    user = pwd.getpwnam("nobody")
    for path in (mail.base, mail.config):
        os.chown(path, user.pw_uid, user.pw_gid)

    def run(*arguments):
        return subprocess.run([POSTFIX, "-c", mail.config, *arguments], capture_output=True, text=True, timeout=60,
                              user=user.pw_uid, group=user.pw_gid, extra_groups=[])

    started = run("start")
    assert started.returncode == 0, started.stderr
    pid = Client(port).ask()
    assert os.stat(f"/proc/{pid}").st_uid == user.pw_uid
    assert run("stop").returncode == 0


def test_stress_begins_at_the_limit_of_a_public_service(system):
    port, local = free_port(), free_port()
    mail = system(f"{port} inet n - n - 2 echo plain", f"127.0.0.1:{local} inet n - n - 1 echo plain",
                  inet_interfaces="all")
    mail.postfix("check")
    mail.output = open(os.path.join(mail.base, "output"), "w+")
    mail.foreground = subprocess.Popen([MASTER, "-d", "-c", mail.config], stderr=mail.output)
    wait_for(lambda: _connects(port), "the listener")
    loopback = Client(local)
    assert loopback.ask()
    clients = wait_for(lambda: _fill(port, 2), "two sessions")
    wait_for(lambda: f'service "{port}" ({port}) has reached its process limit "2"' in mail.said(), "the warning")
    clients.pop().close()
    wait_for(lambda: _stress(port), "stress in a new session")
    assert loopback.ask() and "stress=false" in loopback.reply, "a service for local clients only has no stress mode"
    assert mail.said().count("reached its process limit") == 1


def _fill(port, count):
    clients = [Client(port) for _ in range(count)]
    return clients if all(client.ask() for client in clients) else None


def _stress(port):
    client = Client(port)
    client.ask()
    return "stress=true" in client.reply


def test_passed_descriptors_become_sessions(system):
    mail = system("passed pass n - n - 5 echo plain").run()
    path = os.path.join(mail.queue, "public", "passed")
    wait_for(lambda: os.path.exists(path), "the socket")
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), timeout=10)
        accepted, _ = server.accept()
        with socket.socket(socket.AF_UNIX) as hand_over:
            hand_over.connect(path)
            socket.send_fds(hand_over, [b"x"], [accepted.fileno()])
        accepted.close()
        client.sendall(b"hi\n")
        assert int(client.recv(1000).split()[0]) in mail.children()
        client.close()
    with socket.socket(socket.AF_UNIX) as nothing:
        nothing.connect(path)
        nothing.sendall(b"no descriptor here")
        nothing.settimeout(10)
        assert nothing.recv(10) == b""


def test_the_log_goes_through_postlogd_from_the_first_line_to_the_last(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 5 echo plain")
    log = os.path.join(mail.base, "maillog")
    mail.main_cf.update(maillog_file=log, maillog_file_prefixes="/")
    mail.write([f"{port} inet n - n - 5 echo plain"])
    refused = mail.postfix("start")
    assert refused.returncode == 1
    mail.write([f"{port} inet n - n - 5 echo plain", "postlog unix-dgram n - n - 1 echo resident"])
    assert mail.postfix("start").returncode == 0
    assert Client(port).ask()
    os.kill(Client(port).ask(), signal.SIGKILL)
    wait_for(lambda: "killed by signal 9" in open(log).read(), "the warning")
    mail.postfix("reload")
    wait_for(lambda: "reload -- version 3.7.11, configuration " + mail.config in open(log).read(), "the reload line")
    assert mail.postfix("stop").returncode == 0
    text = open(log).read()
    for line in ("starting the Postfix mail system", f"daemon started -- version 3.7.11, configuration {mail.config}",
                 "refreshing the Postfix mail system", "stopping the Postfix mail system", "terminating on signal 15"):
        assert line in text, line


def test_what_a_daemon_did_not_declare_is_taken_from_it(system):
    port = free_port()
    mail = system(f"{port} inet n - n - 5 echo plain").run()
    client = Client(port)
    path = os.path.join(mail.data, "forbidden")
    with open(path, "w", encoding="ascii") as file:
        file.write("kept")
    os.chmod(path, 0o666)
    client.ask("try " + path)
    said = dict(item.split("=") for item in client.reply.split()[1:])
    assert said["inet"] == "13" and said["exec"] == "1", client.reply
    if os.path.exists("/sys/kernel/security/landlock") or said["write"] != "0":
        assert said["write"] == "13", client.reply
        assert said["empty"] != "0" and said["truncate"] != "0", client.reply
        with open(path, encoding="ascii") as file:
            assert file.read() == "kept"
    if os.geteuid() == 0:
        assert said["root"] == "1", client.reply


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
def test_chroot_column(system):
    port = free_port()
    mail = system(f"{port} inet n - y - 5 echo plain").run()
    pid = Client(port).ask()
    assert os.readlink(f"/proc/{pid}/root") == mail.queue


@pytest.mark.skipif(os.geteuid() != 0, reason="unprivileged services run as another user as root only")
def test_a_daemon_that_needs_root_refuses_an_unprivileged_entry(system):
    port, allowed = free_port(), free_port()
    mail = system(f"{port} inet n - n - 5 echo root plain", f"{allowed} inet n n n - 5 echo root plain").run()
    pid = Client(allowed).ask()
    assert os.stat(f"/proc/{pid}").st_uid == 0
    Client(port)
    wait_for(lambda: "throttling" in mail.said(), "the refusal")
