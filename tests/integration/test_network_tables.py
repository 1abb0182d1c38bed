"""tcp: and socketmap: tables in the SMTP server: answers, errors, slow and restarted servers. A session never ends because of one."""

import os

import pytest

from support.mta import Instance
from support.table_server import Gate, Raw, TableServer, eventually, netstring, temporary
from support.waiting import wait_for

KINDS = ("tcp", "socketmap")


class Directory:
    """One server of each kind, and what they answer: by local part, or what a test sets in `special`."""

    def __init__(self):
        self.special = {}
        self.servers = {kind: TableServer(kind, self._answer) for kind in KINDS}

    def _answer(self, key, server):
        local = key.decode("utf-8", "surrogateescape").partition("@")[0]
        if local in self.special:
            found = self.special[local]
            return found(server) if callable(found) else found
        return b"REJECT not this one" if local.startswith("refused") else b"OK" if local.startswith("fine") else None


@pytest.fixture(scope="module")
def directory():
    made = Directory()
    yield made
    for server in made.servers.values():
        server.stop()


@pytest.fixture(scope="module")
def mta(suite, directory):
    listeners = {kind: {"smtpd_recipient_restrictions": f"check_recipient_access {server.table}, permit"}
                 for kind, server in directory.servers.items()}
    with Instance(suite, smtpd=listeners, local_recipient_maps="", smtpd_error_sleep_time="0", smtpd_hard_error_limit="1000") as instance:
        yield instance


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def server(directory, kind):
    return directory.servers[kind]


@pytest.fixture
def client(mta, kind):
    with mta.smtp(kind, timeout=60) as connection:
        connection.ehlo()
        assert connection.command("MAIL FROM:<sender@example.test>").code == 250
        yield connection
        # Whatever happened, the session lives.
        assert connection.command("RSET").code == 250
        assert connection.command("QUIT").code == 221


def rcpt(client, local):
    return client.command(f"RCPT TO:<{local}@local.test>")


def test_answers(client, server):
    before = server.connections
    assert rcpt(client, "fine").code == 250
    assert rcpt(client, "unknown").code == 250
    assert str(rcpt(client, "refused")).startswith("554 5.7.1 <refused@local.test>: Recipient address rejected: not this one")
    assert server.connections <= before + 1
    # Parts of the address are never asked for.
    assert {key for key in server.keys if b"@" not in key} == set()


def test_a_temporary_error_defers_and_is_logged(client, mta, kind, directory):
    directory.special["later"] = temporary(kind, b"data base is away")
    mark = mta.log.mark()
    assert rcpt(client, "later").code == 451
    mta.log.wait(r"warning: .*temporary error: data base is away", since=mark)
    assert rcpt(client, "fine").code == 250


@pytest.mark.parametrize("garbage", ["words", "number", "nul", "huge length"])
def test_garbage_defers_and_is_logged(client, mta, kind, directory, garbage):
    bad = {"words": b"hello world\n", "number": b"999 what\n", "nul": b"200 a%00b\n", "huge length": b"2000000 OK\n"} if kind == "tcp" else \
          {"words": b"hello world\n", "number": netstring(b"999 what"), "nul": netstring(b"OK a\0b"), "huge length": b"100001:OK v"}
    directory.special["garbage"] = Raw(bad[garbage])
    mark = mta.log.mark()
    assert rcpt(client, "garbage").code == 451
    mta.log.wait(r"warning: .*(malformed reply|bad status code|input format error|unknown error|input exceeds size limit)", since=mark)
    assert rcpt(client, "fine2").code == 250


def test_a_reply_that_is_too_long(client, mta, kind, directory):
    tries = []

    def answer(_):
        tries.append(1)
        if kind == "tcp":
            # Asked again after a second.
            return Raw(b"200 " + b"x" * 5000 + b"\n") if len(tries) == 1 else b"REJECT second answer"
        return Raw(netstring(b"OK " + b"x" * 200_000))

    directory.special["long"] = answer
    mark = mta.log.mark()
    reply = rcpt(client, "long")
    mta.log.wait(r"warning: .*(text longer than 4096|input exceeds size limit)", since=mark)
    assert (reply.code, len(tries)) == ((554, 2) if kind == "tcp" else (451, 1))


def test_more_than_was_asked_for_is_no_answer_to_the_next_question(client, kind, directory):
    extra = b"200 OK\n200 REJECT injected\n" if kind == "tcp" else b"5:OK OK,18:OK REJECT injected,"
    directory.special["twice"] = Raw(extra)
    assert rcpt(client, "twice").code == 250
    assert rcpt(client, "fine3").code == 250


def test_hostile_addresses(client, server):
    for local in ('"a b"', '"a\\\\b"', '"%41"', '"get x"', '"1:x,"', "é"):
        server.keys.clear()
        reply = rcpt(client, local)
        # One question at most; the server checks its form.
        assert reply.code in (250, 454, 501, 550, 553, 554, 555), reply
        assert len(server.keys) <= 1 and b"\n" not in b"".join(server.keys)


def test_a_slow_answer_holds_up_nobody(mta, kind, client, server, directory):
    gate = Gate()
    directory.special["slow"] = lambda _: (gate.wait(), b"REJECT slowly")[1]
    try:
        slow = eventually(rcpt, client, "slow")
        wait_for(lambda: gate.waiting, 20, "the slow question", mta.log.tail)
        with mta.smtp(kind) as other:
            other.ehlo()
            other.command("MAIL FROM:<a@example.test>")
            for _ in range(5):
                assert rcpt(other, "refused2").code == 554
        assert slow.running
        if os.path.exists(f"/proc/{mta.daemons('smtpd')[0]}"):
            assert len(mta.daemons("smtpd")) <= 2
    finally:
        gate.open()
    assert slow.join().code == 554


def test_a_restarted_server_is_found_again(client, server):
    assert rcpt(client, "refused3").code == 554
    server.stop()
    server.start()
    assert rcpt(client, "refused3").code == 554


def test_a_server_that_is_down(mta, kind, client, server):
    assert rcpt(client, "refused4").code == 554
    mark = mta.log.mark()
    server.stop()
    try:
        if kind == "tcp":
            # Tried once a second; it comes back in time.
            waiting = eventually(rcpt, client, "refused4")
            mta.log.wait(rf"warning: connect to TCP map 127.0.0.1:{server.port}: Connection refused", since=mark, count=2)
        else:
            assert rcpt(client, "refused4").code == 451
            mta.log.wait(rf"warning: connect to 127.0.0.1:{server.port}: Connection refused", since=mark)
            mta.log.wait(r"warning: table socketmap:\S+ lookup error: Connection refused", since=mark)
    finally:
        server.start()
    if kind == "tcp":
        assert waiting.join().code == 554
    assert rcpt(client, "refused4").code == 554


def test_a_server_that_hangs_up(mta, client, kind, directory):
    tries = []

    def answer(_):
        tries.append(1)
        return b"REJECT at last" if len(tries) > 2 else Raw(b"")

    directory.special["hangup"] = answer
    mark = mta.log.mark()
    reply = rcpt(client, "hangup")
    if kind == "tcp":
        assert reply.code == 554
        mta.log.wait(r"warning: read TCP map reply from .*: unexpected EOF", since=mark)
    else:
        assert reply.code == 451
        mta.log.wait(r"warning: table socketmap:\S+ lookup error: unexpected disconnect", since=mark)


def test_many_sessions_share_few_connections(mta, kind, server):
    clients = [mta.smtp(kind) for _ in range(30)]
    before = server.connections
    try:
        for client in clients:
            client.ehlo()
            client.command("MAIL FROM:<a@example.test>")
            client.send("RCPT TO:<refused5@local.test>\r\n")
        assert {client.read().code for client in clients} == {554}
    finally:
        for client in clients:
            client.close()
    assert server.connections - before <= 20 * len(mta.daemons("smtpd"))


def test_unix_socket(mta, tmp_path_factory):
    path = mta.directory / "map.sock"
    with TableServer("socketmap", lambda key, _: b"<" + key + b">", path=path) as server:
        done = mta.run("postmap", "-q", "a b", server.table)
        assert (done.returncode, done.stdout) == (0, "<a b>\n")
