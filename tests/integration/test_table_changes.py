"""Tables that change, break, vanish and come back while daemons use them: the last good table, or deferred mail, nothing else."""

import itertools
import os
import pathlib
import time

import pytest

from support.mta import Instance
from support.required import not_there
from support.waiting import SCALE, wait_for

BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build" / "dev")).resolve()
SUFFIX = {"lmdb": ".lmdb", "cdb": ".cdb", "hash": ".db"}
LIMITS = {"smtpd_hard_error_limit": "1000000", "smtpd_soft_error_limit": "1000000", "smtpd_error_sleep_time": "0",
          "smtpd_junk_command_limit": "1000000", "smtpd_recipient_limit": "1000000"}


class Tables:
    """One table that smtpd asks (access) and one that trivial-rewrite asks (transport), of the same type."""

    def __init__(self, kind, mta):
        self.kind, self.mta = kind, mta
        self.directory = mta.directory / "tables"
        self.numbers = itertools.count(1)

    def file(self, name):
        return self.directory / (name + SUFFIX.get(self.kind, ""))

    def put(self, version):
        """Both tables with new values, as an administrator puts them there."""
        entries = {"access": f"access.test REJECT {version}", "transport": f"transport.test error:{version}"}
        for name, entry in entries.items():
            padding = "".join(f"other{number}.test OK\n" for number in range(2000))
            if self.kind == "regexp":
                key, value = entry.split(" ", 1)
                self.mta.write(f"tables/{name}", f"/[@.]{key}$/ {value}\n")
            else:
                self.mta.write(f"tables/{name}", f"{entry}\n{padding}")
            if self.kind in SUFFIX:
                self.mta.run("postmap", f"{self.kind}:{self.directory}/{name}", check=True)

    def ask(self, client):
        """What smtpd says about a recipient in the access table and one in the transport table, nobody asked about before."""
        user = f"user{next(self.numbers)}"
        return [str(client.command(f"RCPT TO:<{user}@{name}.test>")) for name in ("access", "transport")]

    def wait(self, client, version):
        """Until the new values are seen; in between there are old ones or temporary errors."""
        def seen():
            replies = self.ask(client)
            assert all(reply.startswith(("554 5.7.1", "550 5.1.1", "550 5.0.0", "451 4.3")) for reply in replies), replies
            return all(reply.endswith(version) for reply in replies)
        wait_for(seen, what=f"{version} in the replies", detail=self.mta.log.tail)

    def for_a_while(self, client, version, pattern):
        """Until both daemons have noticed (they log it; without a pattern: had two occasions to), and for ten answers more: the old
        values, or temporary errors."""
        mark = self.mta.log.mark()
        begin, more = time.monotonic(), 10
        while more > 0:
            for reply in self.ask(client):
                assert reply.endswith(version) or reply.startswith("451 4.3"), reply
            elapsed = time.monotonic() - begin
            if pattern is None:
                noticed = elapsed > 2.2
            else:
                noticed = len({line.group(1) for line in self.mta.log.find(rf"(access|transport): {pattern}", since=mark)}) == 2
            more -= noticed
            assert noticed or elapsed < 20 * SCALE, f"waited for {pattern}\n{self.mta.log.tail()}"


@pytest.fixture(name="tables", params=[*SUFFIX, "texthash", "regexp"])
def _tables(request, suite):
    kind = request.param
    if kind == "hash" and not (BUILD / "modules" / "postfix-bdb.so").exists():
        not_there("the module for Berkeley DB is not built")
    mta = Instance(suite, shlib_directory=BUILD / "modules", **LIMITS)
    directory = mta.directory / "tables"
    mta.set(smtpd_recipient_restrictions=f"check_recipient_access {kind}:{directory}/access",
            transport_maps=f"{kind}:{directory}/transport")
    tables = Tables(kind, mta)
    tables.put("version-1")
    with mta:
        yield tables


@pytest.fixture(name="client")
def _client(tables):
    with tables.mta.smtp() as client:
        client.ehlo()
        assert client.command("MAIL FROM:<sender@example.test>").code == 250
        yield client


def test_a_session_sees_the_new_table_or_the_last_good_one(tables, client):
    tables.wait(client, "version-1")
    tables.put("version-2")
    tables.wait(client, "version-2")

    if tables.kind in SUFFIX:
        # A copy that was cut off. What is left of a text file is a table too, so that has no such step.
        for name in ("access", "transport"):
            whole = tables.file(name).read_bytes()
            tables.file(name).write_bytes(whole[: len(whole) // 3])
        tables.for_a_while(client, "version-2", None)
        tables.put("version-3")
    else:
        tables.put("version-3")
    tables.wait(client, "version-3")

    for name in ("access", "transport"):
        tables.file(name).unlink()
    tables.for_a_while(client, "version-3", None)

    for name in ("access", "transport"):
        tables.file(name).mkdir()
    tables.for_a_while(client, "version-3", r"cannot read the changed table, using the old one: .*Is a directory")

    for name in ("access", "transport"):
        tables.file(name).rmdir()
    tables.put("version-4")
    tables.wait(client, "version-4")


def test_daemons_that_start_without_the_table_defer_and_recover(tables):
    mta = tables.mta
    for name in ("access", "transport"):
        tables.file(name).unlink()
        tables.file(name).mkdir()
    mta.postfix("stop", check=True)
    mta.start()
    with mta.smtp() as client:
        client.ehlo()
        client.command("MAIL FROM:<sender@example.test>")
        for _ in range(5):
            assert all(reply.startswith("451 4.3") for reply in tables.ask(client))
        for name in ("access", "transport"):
            assert mta.log.wait(rf"warning: {tables.kind}:{tables.directory}/access is unavailable\. .*Is a directory")
            tables.file(name).rmdir()
        tables.put("version-5")
        tables.wait(client, "version-5")


def test_a_line_about_a_table_names_it_once(make_instance):
    """What Postfix logs, and why behind it: smtpd for restrictions and match lists, trivial-rewrite for maps and domain lists."""
    mta = make_instance(start=False, shlib_directory=BUILD / "modules", smtpd_peername_lookup="no", **LIMITS)
    mta.set(smtpd_client_restrictions=f"warn_if_reject check_client_access lmdb:{mta.directory}/none",
            relay_domains=f"texthash:{mta.directory}/domains", transport_maps="fail:routes")
    mta.start()
    with mta.smtp() as client:
        client.ehlo()
        client.command("MAIL FROM:<sender@example.test>")
        assert client.command("RCPT TO:<user@elsewhere.test>").code == 451
        assert client.command("RCPT TO:<user@local.test>").code == 451
    lines = {
        f"lmdb:{mta.directory}/none": "smtpd.*warning: {} lookup error for \".*\": open database .*: No such file or directory",
        f"texthash:{mta.directory}/domains": "trivial-rewrite.*warning: relay_domains: {}: table lookup problem: open database .*: No such file",
        "fail:routes": "trivial-rewrite.*warning: {} lookup error for \".*\": Application error",
    }
    for table, line in lines.items():
        mta.log.wait(line.format(table))
    for line in mta.log.parsed():
        if line.program.endswith(("smtpd", "trivial-rewrite")):
            assert all(line.text.count(table) <= 1 for table in lines), line.raw
