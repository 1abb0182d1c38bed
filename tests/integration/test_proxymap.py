"""proxy: tables through proxymap and proxywrite: from chrooted daemons and commands, approval, errors, restarts."""

import os
import signal
import subprocess

import pytest

from support import procs
from support.mta import Instance
from support.table_server import Gate, TableServer, eventually
from support.waiting import wait_for


def rcpt(client, address):
    return client.command(f"RCPT TO:<{address}>")


def begin(client):
    client.ehlo()
    assert client.command("MAIL FROM:<sender@example.test>").code == 250
    return client


@pytest.fixture(scope="module")
def remote():
    """A socketmap server; the key "slow..." waits for its gate."""
    server = TableServer("socketmap", lambda key, server: (server.gate.wait() if key.startswith(b"slow") else None, b"REJECT remote")[1])
    server.gate = Gate()
    yield server
    server.gate.open()
    server.stop()


@pytest.fixture(scope="module")
def mta(suite, remote):
    jail = {"smtp/inet": {"chroot": "y"}} if os.geteuid() == 0 else {}
    instance = Instance(suite, master=jail, smtpd={"remote": {}, "stranger": {}}, smtpd_error_sleep_time="0", smtpd_hard_error_limit="1000",
                        local_recipient_maps="proxy:unix:passwd.byname")
    table = instance.write("config/table", "refused@local.test REJECT by table\nKey value\n")
    secret = instance.write("config/secret", "key value\n")
    instance.write("config/rules", "/^refused(.*)@/ REJECT rule $1\n")
    approved = f"proxy:texthash:{table} proxy:regexp:{instance.config}/rules proxy:{remote.table} proxy:texthash:{instance.config}/none proxy:fail:x"
    instance.smtpd_options["smtp"] = {"smtpd_recipient_restrictions": f"check_recipient_access proxy:texthash:{table}, permit"}
    instance.smtpd_options["remote"] = {"smtpd_recipient_restrictions": f"check_recipient_access proxy:{remote.table}, permit",
                                        "local_recipient_maps": ""}
    instance.smtpd_options["stranger"] = {"smtpd_recipient_restrictions": f"check_recipient_access proxy:texthash:{secret}, permit"}
    instance.set(proxy_read_maps=f"$local_recipient_maps {approved}", proxy_write_maps=f"proxy:lmdb:{instance.data}/cache")
    with instance:
        yield instance


@pytest.fixture
def client(mta):
    with mta.smtp() as connection:
        yield begin(connection)
        assert connection.command("QUIT").code == 221


def test_accounts_are_found_from_a_chroot(mta, client):
    assert rcpt(client, f"{mta.user.pw_name}@local.test").code == 250
    assert str(rcpt(client, "no-such-user@local.test")).startswith("550 5.1.1 <no-such-user@local.test>: Recipient address rejected: User unknown")
    assert len(mta.daemons("proxymap")) == 1
    if os.geteuid() == 0:
        roots = {os.readlink(f"/proc/{pid}/root") for pid in mta.daemons("smtpd")}
        assert str(mta.queue) in roots
        assert os.stat(f"/proc/{mta.daemons('proxymap')[0]}").st_uid == mta.owner.pw_uid


def test_tables_are_shared_and_connections_kept(mta, remote):
    clients = [begin(mta.smtp("remote")) for _ in range(10)]
    for connection in clients:
        assert rcpt(connection, "a@local.test").code == 554
    workers = mta.daemons("smtpd")
    proxies = [pid for pid in mta.daemons("proxymap")]
    sockets = sum(1 for pid in proxies for fd in os.listdir(f"/proc/{pid}/fd") if os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:"))
    for connection in clients:
        connection.close()
    assert remote.connections == 1
    # A connection for each client process, whatever the number of its sessions.
    assert sockets <= len(workers) + 8


def test_a_slow_table_holds_up_nobody(mta, remote, client):
    with mta.smtp("remote", timeout=60) as slow:
        begin(slow)
        waiting = eventually(rcpt, slow, "slow1@local.test")
        wait_for(lambda: remote.gate.waiting, 20, "the slow question", mta.log.tail)
        assert rcpt(client, "refused@local.test").code == 554
        with mta.smtp("remote") as other:
            begin(other)
            assert rcpt(other, "quick@local.test").code == 554
        assert waiting.running
        remote.gate.open()
        assert waiting.join().code == 554


def test_a_table_that_is_not_approved(mta):
    mark = mta.log.mark()
    with mta.smtp("stranger") as client:
        begin(client)
        assert rcpt(client, f"{mta.user.pw_name}@local.test").code == 451
        assert client.command("QUIT").code == 221
    name = f"texthash:{mta.config}/secret"
    mta.log.wait(rf'proxymap\[\d+\]: warning: request for unapproved table: "{name}"', since=mark)
    mta.log.wait(rf"proxymap\[\d+\]: warning: to approve this table for read-only access, list proxy:{name} in main.cf:proxy_read_maps", since=mark)
    done = mta.run("postmap", "-q", "key", f"proxy:{name}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f'postmap: fatal: proxymap service is not configured for table "{name}"\n'


def test_postmap(mta):
    table = f"proxy:texthash:{mta.config}/table"
    for key, answer in (("key", (0, "value\n")), ("KEY", (0, "value\n")), ("none", (1, "")), ("", (1, "")), ("a b\tc", (1, "")),
                        ("key\nkey", (1, "")), ("é", (1, ""))):
        done = mta.run("postmap", "-q", key, table)
        assert (done.returncode, done.stdout, done.stderr) == (*answer, ""), key
    # Case is folded on the other side as this side asks.
    assert mta.run("postmap", "-f", "-q", "KEY", table).returncode == 1
    assert mta.run("postmap", "-f", "-q", "Key", table).stdout == "value\n"
    done = mta.run("postmap", "-q", "-", f"proxy:{table}", input="key\nnone\nKEY\n")
    assert (done.returncode, done.stdout) == (0, "key\tvalue\nKEY\tvalue\n")
    done = mta.run("postmap", "-q", "-", table, input=b"\xff\nkey\0x\nkey\n")
    assert done.stdout.endswith("key\tvalue\n") and "non-UTF-8 key" in done.stderr
    done = mta.run("postmap", "-q", "refusedA@b", f"proxy:regexp:{mta.config}/rules")
    assert done.stdout == "REJECT rule a\n" or done.stdout == "REJECT rule A\n"
    for arguments, message in ((("-s", table), "can't sequence maps via the proxy service"),
                               (("-q", "x", "proxy:foo"), 'proxymap open failed for table "foo": invalid request'),
                               (("-q", "x", "proxy:"), 'open dictionary: expecting "type:name" form instead of "proxy:"')):
        done = mta.run("postmap", *arguments)
        assert (done.returncode, done.stderr) == (1, f"postmap: fatal: {message}\n")


def test_a_table_that_fails_is_never_not_found(mta):
    for name in ("fail:x", f"texthash:{mta.config}/none"):
        done = mta.run("postmap", "-q", "key", f"proxy:{name}")
        assert done.returncode == 1 and f"fatal: table proxy:{name}: query error" in done.stderr
    mta.log.wait(rf"proxymap\[\d+\]: warning: texthash:{mta.config}/none is unavailable. open database {mta.config}/none: No such file or directory")
    # It comes: no restart needed.
    mta.write("config/none", "key here\n")
    wait_for(lambda: mta.run("postmap", "-q", "key", f"proxy:texthash:{mta.config}/none").stdout == "here\n", 10, "the new file")


def test_a_changed_file_is_picked_up(mta, client):
    assert rcpt(client, "fresh@local.test").code == 550
    mta.write("config/table", "refused@local.test REJECT by table\nKey value\nfresh@local.test REJECT fresh\n")
    wait_for(lambda: rcpt(client, "fresh@local.test").code == 554, 10, "the changed file", mta.log.tail)


def test_a_killed_proxymap_is_not_noticed(mta, client):
    for _ in range(3):
        assert rcpt(client, "refused@local.test").code == 554
        victims = mta.daemons("proxymap")
        for pid in victims:
            procs.send(pid, signal.SIGKILL)
        wait_for(lambda: not set(victims) & set(mta.daemons("proxymap")), 10, "proxymap to end")
        # master waits a little before it starts a program again that was killed.
        assert rcpt(client, "refused@local.test").code == 554


def test_reload_under_load(mta, client):
    for _ in range(3):
        mta.reload()
        for _ in range(20):
            assert rcpt(client, "refused@local.test").code == 554


def test_proxywrite(mta):
    cache = mta.data / "cache"
    source = mta.data / "cache"
    source.write_text("one 1\ntwo 2\n")
    os.chown(source, mta.owner.pw_uid, mta.owner.pw_gid)
    mta.run("postmap", f"lmdb:{cache}", check=True)
    assert mta.run("postmap", "-d", "one", f"proxy:lmdb:{cache}").returncode == 0
    assert mta.run("postmap", "-d", "one", f"proxy:lmdb:{cache}").returncode == 1
    assert mta.run("postmap", "-s", f"lmdb:{cache}").stdout == "two\t2\n"
    mark = mta.log.mark()
    done = mta.run("postmap", "-d", "key", f"proxy:texthash:{mta.config}/table")
    assert done.stderr == f'postmap: fatal: proxywrite service is not configured for table "texthash:{mta.config}/table"\n'
    mta.log.wait(r"to approve this table for read-write access, list proxy:texthash:\S+ in main.cf:proxy_write_maps", since=mark)


def test_without_the_service_mail_is_deferred_until_it_is_there(make_instance):
    mta = make_instance(master={"proxymap/unix": None}, local_recipient_maps="proxy:unix:passwd.byname", smtpd_error_sleep_time="0")
    with mta.smtp(timeout=60) as client:
        begin(client)
        assert str(rcpt(client, f"{mta.user.pw_name}@local.test")).startswith("451 4.3.0")
        mta.log.wait(r"smtpd\[\d+\]: warning: connect #1 to subsystem private/proxymap: No such file or directory")
        mta.master_changes = {}
        mta.write_config()
        mta.reload()
        assert rcpt(client, f"{mta.user.pw_name}@local.test").code == 250
        assert client.command("QUIT").code == 221


def test_commands_wait_for_a_stopped_mail_system_as_postfix_does(make_instance):
    mta = make_instance(start=False, proxy_read_maps="proxy:inline:{a=b}")
    mta.queue.mkdir(exist_ok=True)
    with subprocess.Popen([mta.suite.program("postmap"), "-q", "a", "proxy:inline:{a=b}"], env=mta.environment(), stderr=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as command:
        line = command.stderr.readline()
        assert line == f"postmap: warning: connect #1 to subsystem {mta.queue}/private/proxymap: No such file or directory\n"
        assert command.poll() is None
        command.kill()


def test_local_opens_its_own_tables(make_instance):
    """alias_maps decides who runs what: never through proxymap (local(8))."""
    mta = make_instance(local_recipient_maps="", master={"proxymap/unix": None}, proxy_read_maps="")
    mta.write("config/aliases", f"group {mta.user.pw_name}\n")
    mta.set(alias_maps=f"proxy:texthash:{mta.config}/aliases")
    mta.reload()
    message = mta.submit(["group@local.test"])
    mta.log.wait(rf"{message}: to=<{mta.user.pw_name}@\S+>, orig_to=<group@local.test>, relay=local, .*status=sent")
