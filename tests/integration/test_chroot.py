"""Daemons in the chroot that the shipped master.cf asks for: tables, DNS and port names work from inside the queue directory.

Needs root, and resolv.conf of its own with a name server on port 53: the checks run in a network and mount namespace, where this
file is run a second time.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from support.dns import DnsServer
from support.mta import Instance
from support.sink import Sink

INSIDE = "STAGEPOST_TEST_IN_NAMESPACE" in os.environ
CHROOTED = ("smtp/inet", "pickup/unix", "cleanup/unix", "rewrite/unix", "bounce/unix", "defer/unix", "trace/unix", "flush/unix",
            "smtp/unix", "relay/unix", "showq/unix", "error/unix", "retry/unix", "anvil/unix")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="namespaces and chroot need root")
@pytest.mark.skipif(INSIDE, reason="already inside")
def test_in_a_namespace_of_its_own(suite, tmp_path):
    if suite.is_postfix:
        pytest.skip("Debian's start script fills the chroot, not postfix start")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (tmp_path / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\nservices: files\n")
    script = ('ip link set lo up && mount --bind "$0/resolv.conf" /etc/resolv.conf && mount --bind "$0/nsswitch.conf" /etc/nsswitch.conf && '
              'exec "$@"')
    command = ["unshare", "--net", "--mount", "sh", "-c", script, str(tmp_path), sys.executable, "-m", "pytest", "-q", "-rs", __file__]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=pathlib.Path(__file__).parents[1],
                              env={**os.environ, "STAGEPOST_TEST_IN_NAMESPACE": "1"})
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"{late}\n{late.stdout}")
    if "Operation not permitted" in done.stderr:
        pytest.skip("no namespaces here")
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout + done.stderr


@pytest.fixture(scope="module")
def jail(suite):
    if not INSIDE:
        pytest.skip("runs in the namespace")
    with DnsServer(port=53) as dns, Sink(host="127.0.0.2", port=2525) as sink, Sink(host="127.0.0.3", port=587) as submission:
        dns.add("example.test", "MX", (10, "mx.example.test"))
        dns.add("mx.example.test", "A", "127.0.0.2")
        dns.add("native.example.test", "A", "127.0.0.3")
        mta = Instance(suite, default_transport="smtp", smtp_tcp_port="2525", minimal_backoff_time="300s", queue_run_delay="300s",
                       smtpd_sender_restrictions="reject_unknown_sender_domain",
                       master={**{name: {"chroot": "y"} for name in CHROOTED}, "relay/unix": {"chroot": "y", "options": {"smtp_host_lookup": "native"}}})
        refused = mta.write("config/refused", "refused@example.test 554 5.7.1 not this one\n")
        aliases = mta.write("config/virtual", "alias@virtual.test friend@example.test\n")
        transport = mta.write("config/transport", "native.test relay:[native.example.test]:submission\n")
        mta.set(virtual_alias_domains="virtual.test", virtual_alias_maps=f"texthash:{aliases}", transport_maps=f"texthash:{transport}",
                smtpd_recipient_restrictions=f"check_recipient_access texthash:{refused}")
        with mta:
            yield mta, sink, submission


def test_smtpd_looks_names_and_tables_up(jail):
    mta, _, _ = jail
    with mta.smtp() as client:
        client.ehlo()
        assert client.command("MAIL FROM:<a@example.test>").code == 250
        assert str(client.command("RCPT TO:<refused@example.test>")).startswith("554 5.7.1 <refused@example.test>: Recipient address rejected: not")
        client.command("RSET")
        client.command("MAIL FROM:<a@unknown.example.test>")
        assert str(client.command("RCPT TO:<b@example.test>")) == \
            "450 4.1.8 <a@unknown.example.test>: Sender address rejected: Domain not found"
        for pid in mta.daemons("smtpd"):
            assert os.readlink(f"/proc/{pid}/root") == str(mta.queue)
            assert os.stat(f"/proc/{pid}").st_uid == mta.owner.pw_uid


def test_delivery_by_names_in_dns(jail):
    mta, sink, _ = jail
    mta.submit("alias@virtual.test", sender="a@example.test")
    message = sink.wait_for_recipient("friend@example.test")
    assert "mx.example.test[127.0.0.2]" in mta.log.wait(r"to=<friend@example\.test>, (.*status=sent)")[1]
    assert message.sender == "a@example.test"
    roots = {name: {os.readlink(f"/proc/{pid}/root") for pid in mta.daemons(name)} for name in ("smtp", "cleanup", "trivial-rewrite")}
    assert roots == {name: {str(mta.queue)} for name in roots}


def test_the_c_library_finds_its_files(jail):
    """smtp_host_lookup = native and the name of a port."""
    mta, _, submission = jail
    for name in ("resolv.conf", "nsswitch.conf", "hosts", "services"):
        if os.path.exists(f"/etc/{name}"):
            assert (mta.queue / "etc" / name).read_bytes() == pathlib.Path(f"/etc/{name}").read_bytes()
    mta.submit("user@native.test", sender="a@example.test")
    submission.wait_for_recipient("user@native.test")
    assert not mta.log.find(r"warning: .*(resolv|chroot)")


def test_submission_by_sendmail(jail):
    mta, sink, _ = jail
    mta.sendmail("-f", "a@example.test", "viasendmail@example.test", check=True)
    sink.wait_for_recipient("viasendmail@example.test")
