"""MX selection with a scripted DNS server, named by dns_resolver_nameservers.

Postfix reads only /etc/resolv.conf, so with Postfix these tests run in a network and mount namespace of their own:

    echo nameserver 127.0.0.1 > resolv.conf
    STAGEPOST_MTA=postfix STAGEPOST_TEST_DNS_PORT=53 unshare -n -m sh -c \\
        'ip link set lo up; mount --bind resolv.conf /etc/resolv.conf; python3 -m pytest integration/test_dns.py'
"""

import os

import pytest

from support.dns import DnsServer
from support.mta import Instance
from support.ports import free_port
from support.sink import Sink


@pytest.fixture(scope="module")
def world(suite):
    """An instance that delivers by MX to sinks on 127.0.0.2, 127.0.0.3 ... all on one port (smtp_tcp_port)."""
    dns_port = os.environ.get("STAGEPOST_TEST_DNS_PORT")
    if suite.is_postfix and not dns_port:
        pytest.skip("Postfix has no dns_resolver_nameservers; see the top of this file")
    port = free_port()
    with DnsServer(port=int(dns_port) if dns_port else None) as dns, Sink(host="127.0.0.2", port=port) as first, Sink(host="127.0.0.3", port=port) as second:
        own = {} if suite.is_postfix else {"dns_resolver_nameservers": dns.address}
        routes = "inline:{ {bracketed.test=smtp:[hosted.test]} {named.test=smtp:hosted.test} {literal.test=smtp:[127.0.0.3]} }"
        with Instance(suite, default_transport="smtp", **own, smtp_tcp_port=port, inet_protocols="all", transport_maps=routes,
                      minimal_backoff_time="300s", queue_run_delay="300s") as mta:
            dns.add("mx1.test", "A", "127.0.0.2")
            dns.add("mx2.test", "A", "127.0.0.3")
            yield mta, dns, first, second


def test_lowest_preference_first_then_the_next(world):
    mta, dns, first, second = world
    dns.add("pref.test", "MX", (20, "mx2.test"), (10, "mx1.test"))
    mta.submit("a@pref.test")
    first.wait_for_recipient("a@pref.test")
    first.on("CONNECT", "421 4.3.2 busy", times=1)
    mta.submit("b@pref.test")
    second.wait_for_recipient("b@pref.test")
    assert "relay=mx2.test[127.0.0.3]" in mta.log.wait(r"to=<b@pref\.test>, (.*)")[1]


def test_no_mx_falls_back_to_the_address(world):
    mta, dns, first, _ = world
    dns.add("bare.test", "A", "127.0.0.2")
    mta.submit("a@bare.test")
    first.wait_for_recipient("a@bare.test")


def test_mx_reached_through_a_cname(world):
    mta, dns, first, _ = world
    dns.add("alias-domain.test", "CNAME", "canonical.test")
    dns.add("canonical.test", "MX", (10, "mx1.test"))
    mta.submit("a@alias-domain.test")
    first.wait_for_recipient("a@alias-domain.test")


def test_equal_preferences_are_shuffled(world):
    mta, dns, first, second = world
    dns.add("equal.test", "MX", (10, "mx1.test"), (10, "mx2.test"))
    for n in range(24):
        mta.submit(f"e{n}@equal.test")
    mta.wait_empty()
    # Each of two orders 24 times in a row: one in eight million.
    for sink in (first, second):
        assert sink.wait_messages(1, where=lambda m: m.recipients[0].endswith("@equal.test"))


def test_a_nexthop_in_brackets_is_a_host_without_mx(world):
    mta, dns, first, second = world
    dns.add("hosted.test", "MX", (10, "mx2.test"))
    dns.add("hosted.test", "A", "127.0.0.2")
    mta.submit(["a@bracketed.test", "a@named.test", "a@literal.test"])
    assert first.wait_for_recipient("a@bracketed.test").recipients == ["a@bracketed.test"]
    assert mta.status("a@bracketed.test")["relay"].startswith("hosted.test[127.0.0.2]:")
    second.wait_for_recipient("a@named.test")
    assert mta.status("a@named.test")["relay"].startswith("mx2.test[127.0.0.3]:")
    second.wait_for_recipient("a@literal.test")


def test_relayhost_is_a_domain_unless_bracketed_and_transport_maps_come_first(suite, world):
    _, dns, first, second = world
    dns.add("smarthost.test", "MX", (10, "mx1.test"))
    dns.add("smarthost.test", "A", "127.0.0.3")
    own = {} if suite.is_postfix else {"dns_resolver_nameservers": dns.address}
    with Instance(suite, **own, relayhost="smarthost.test", smtp_tcp_port=first.port, transport_maps="inline:{ {other.test=smtp:[127.0.0.3]} }") as mta:
        mta.submit(["by-mx@anywhere.test", "by-map@other.test"])
        first.wait_for_recipient("by-mx@anywhere.test")
        second.wait_for_recipient("by-map@other.test")
        mta.set(relayhost="[smarthost.test]")
        mta.reload()
        mta.submit("by-host@anywhere.test")
        second.wait_for_recipient("by-host@anywhere.test")


@pytest.fixture
def sixth(world):
    _, _, first, _ = world
    try:
        with Sink(host="::1", port=first.port) as sink:
            yield sink
    except OSError as error:
        pytest.skip(f"no IPv6 on this host: {error}")


def test_ipv6_only_and_literal(world, sixth):
    mta, dns, _, _ = world
    dns.add("six.test", "AAAA", "::1")
    mta.submit("a@six.test")
    sixth.wait_for_recipient("a@six.test")
    assert mta.status("a@six.test")["relay"] == f"six.test[::1]:{sixth.port}"
    mta.submit("a@[IPv6:::1]")
    sixth.wait_for_recipient("a@[IPv6:::1]")


@pytest.mark.parametrize("preference", ["ipv4", "ipv6"])
def test_both_protocols_are_tried_the_preferred_one_first(suite, world, sixth, preference):
    _, dns, first, _ = world
    name = f"both-{preference}.test"
    dns.add(name, "A", "127.0.0.2")
    dns.add(name, "AAAA", "::1")
    own = {} if suite.is_postfix else {"dns_resolver_nameservers": dns.address}
    wanted, other = (first, sixth) if preference == "ipv4" else (sixth, first)
    with Instance(suite, default_transport="smtp", **own, smtp_tcp_port=first.port, inet_protocols="all", smtp_address_preference=preference) as mta:
        for n in range(4):
            mta.submit(f"p{n}@{name}")
            wanted.wait_for_recipient(f"p{n}@{name}")
        wanted.on("CONNECT", "421 4.3.2 busy", times=1)
        mta.submit(f"fallback@{name}")
        other.wait_for_recipient(f"fallback@{name}")


def test_unknown_domain_bounces(world):
    mta, _, _, _ = world
    mta.submit("a@nowhere.test", sender="")
    status = mta.status("a@nowhere.test")
    assert (status["status"], status["dsn"]) == ("bounced", "5.4.4")
    assert status["text"].startswith("Host or domain name not found. Name service error for name=nowhere.test type=A")


@pytest.mark.parametrize("how", ["SERVFAIL", "TIMEOUT"])
def test_dns_trouble_defers(world, how):
    mta, dns, _, _ = world
    domain = f"{how.lower()}.test"
    dns.fail(domain, how)
    mta.submit(f"a@{domain}")
    status = mta.status(f"a@{domain}", timeout=60)
    assert (status["status"], status["dsn"]) == ("deferred", "4.4.3")


def test_null_mx_bounces(world):
    mta, dns, _, _ = world
    dns.add("nullmx.test", "MX", (0, "."))
    mta.submit("a@nullmx.test", sender="")
    status = mta.status("a@nullmx.test")
    assert (status["status"], status["dsn"]) == ("bounced", "5.1.0")


def test_truncated_answers_are_repeated_over_tcp(world):
    mta, dns, first, _ = world
    dns.add("tcp.test", "MX", (10, "mx1.test"))
    dns.truncate = True
    try:
        mta.submit("a@tcp.test")
        first.wait_for_recipient("a@tcp.test")
    finally:
        dns.truncate = False
    assert ("tcp.test", "MX", "tcp") in dns.queries
