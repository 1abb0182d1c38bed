"""One instance with all address classes, shared by the tests of a run. Tests keep apart by unique addresses (`unique`)."""

import itertools
import os
import types

import pytest

from support.mta import Instance
from support.sink import Sink

_counter = itertools.count(1)


@pytest.fixture
def unique():
    """unique("bob") gives a local part nobody used before in this run."""
    return lambda name="user": f"{name}{next(_counter)}"


@pytest.fixture(scope="session")
def sink(suite):
    """Where the shared instance relays everything that is not its own. Rules must match on a test's own addresses."""
    with Sink() as running:
        yield running


@pytest.fixture(scope="session")
def mta(suite, sink, certificate, tmp_path_factory):
    """The shared instance; `listeners` lists its ports."""
    listeners = {
        # A client from outside: no trusted network, recipients are checked, bare newlines are treated as for strangers.
        "outside": {"mynetworks": "", "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
                    "smtpd_hard_error_limit": "1000", "smtpd_error_sleep_time": "0"},
        # Errors cost no time here.
        "limitless": {"smtpd_hard_error_limit": "1000", "smtpd_error_sleep_time": "0"},
        "flood": {"smtpd_hard_error_limit": "1000000", "smtpd_error_sleep_time": "0"},
        "limits": {"smtpd_timeout": "1s", "smtpd_hard_error_limit": "3", "smtpd_soft_error_limit": "2", "smtpd_error_sleep_time": "0",
                   "smtpd_junk_command_limit": "2", "smtpd_recipient_limit": "3", "smtpd_recipient_overshoot_limit": "2"},
        "reject_bare": {"smtpd_forbid_bare_newline": "reject"},
        "allow_bare": {"smtpd_forbid_bare_newline": "no", "smtpd_forbid_unauth_pipelining": "no"},
        "tls": {"smtpd_tls_security_level": "may", "smtpd_tls_received_header": "yes", "smtpd_tls_loglevel": "1"},
        "tls_required": {"smtpd_tls_security_level": "encrypt"},
        "wrapped": {"smtpd_tls_security_level": "encrypt", "smtpd_tls_wrappermode": "yes"},
    }
    instance = Instance(
        suite, smtpd=listeners, relayhost=sink.nexthop,
        smtpd_tls_cert_file=certificate.cert, smtpd_tls_key_file=certificate.key,
        message_size_limit="1000000", minimal_backoff_time="300s", maximal_backoff_time="300s", queue_run_delay="300s",
        virtual_mailbox_domains="virtual.test", virtual_mailbox_maps="inline:{ {box@virtual.test=box/}, {mbox@virtual.test=mbox} }",
        virtual_alias_domains="alias.test", notify_classes="resource, software")
    directory = instance.directory
    user = instance.user.pw_name
    valias = instance.write("config/virtual", f"""
one@alias.test      {user}@local.test
many@alias.test     many1@remote.test, many2@remote.test
nested@alias.test   many@alias.test
@catchall.test      {user}
ext@alias.test      ext-target@remote.test
""")
    transport = instance.write("config/transport", f"""
error.test      error:5.2.9 mailbox closed for tests
retry.test      retry:4.2.9 come back later
discard.test    discard:silently
direct.test     smtp:{sink.nexthop}
viarelay.test   relay:{sink.nexthop}
dead.test       smtp:[127.0.0.1]:9
.sub.test       discard:subdomain
""")
    aliases = instance.write("config/aliases", f"""
# comment
postmaster: {user}
list: listed1@remote.test,
  listed2@remote.test
"quoted name": {user}
tofile: {directory}/files/tofile
todir: {directory}/files/todir/
loop: loop
include: :include:{directory}/config/included
""")
    instance.write("config/included", "included1@remote.test\n# comment\nincluded2@remote.test\n")
    files = directory / "files"
    files.mkdir()
    files.chmod(0o1777)
    instance.set(virtual_alias_maps=f"texthash:{valias}", virtual_alias_domains="alias.test, catchall.test", transport_maps=f"texthash:{transport}",
                 alias_maps=f"lmdb:{aliases}", alias_database=f"lmdb:{aliases}")
    instance.run("postalias", f"lmdb:{aliases}", check=True)
    with instance:
        yield instance


@pytest.fixture
def me(mta):
    """The account that local deliveries reach, its address and mailbox."""
    name = mta.user.pw_name
    return types.SimpleNamespace(name=name, address=f"{name}@local.test", mailbox=mta.mailbox())


@pytest.fixture
def as_root():
    if os.geteuid() != 0:
        pytest.skip("needs root")
