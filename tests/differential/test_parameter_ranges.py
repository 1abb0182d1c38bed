"""Numbers and times out of range: what every program of an installed Postfix refuses at its start, ours refuse too, with the line."""

import concurrent.futures
import os
import pathlib
import subprocess

import pytest

from support.mta import postfix_suite, stagepost_suite

THEIRS, OURS = postfix_suite().program("postmap"), stagepost_suite().program("postmap")
pytestmark = pytest.mark.skipif(not (os.path.exists(THEIRS) and os.path.exists(OURS)), reason="no Postfix is installed, or nothing is built")

# Parameters that all programs read. What single daemons refuse is stated in src/lib/config/registry_ranges_test.cpp.
NUMBERS = """berkeley_db_create_buffer_size berkeley_db_read_buffer_size debug_peer_level default_process_limit deliver_lock_attempts
fork_attempts hash_queue_depth header_address_token_limit header_size_limit line_length_limit lmdb_map_size max_use
mime_boundary_length_limit mime_nesting_limit message_size_limit delay_logging_resolution_limit""".split()
TIMES = """application_event_drain_time daemon_timeout deliver_lock_delay fork_delay in_flow_delay ipc_idle ipc_timeout ipc_ttl max_idle
stale_lock_time trigger_timeout""".split()
CASES = [(name, value) for name in NUMBERS for value in ("0", "1", "7", "0x10", "1k", "+1", "", "99999999999999999999")]
CASES += [(name, value) for name in TIMES for value in ("0", "1", "11s", "-1", "5x", "1.5h", "", "99999999999", "1 m")]
# Where ours know less than Postfix: nothing can be lost by an answer at the start.
ONLY_OURS = {("hash_queue_depth", "7"), ("hash_queue_depth", "+1"), ("delay_logging_resolution_limit", "7"), ("in_flow_delay", "11s")}


def refused(program, directory, name, value):
    directory = pathlib.Path(directory)
    directory.mkdir()
    (directory / "main.cf").write_text(f"compatibility_level = 3.6\nmyhostname = h.test\nmynetworks = 127.0.0.1\n{name} = {value}\n")
    os.utime(directory / "main.cf", (1_600_000_000, 1_600_000_000))  # else Postfix reads it again until it is a second old
    done = subprocess.run([program, "-c", str(directory), "-q", "x", "static:y"], capture_output=True, text=True, timeout=60,
                          env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"})
    return None if done.returncode == 0 else done.stderr.strip()


def test_the_same_values_are_refused(tmp_path):
    def both(number):
        name, value = CASES[number]
        return refused(THEIRS, tmp_path / f"t{number}", name, value), refused(OURS, tmp_path / f"o{number}", name, value)

    # Postfix waits a second before it ends.
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        results = dict(zip(CASES, pool.map(both, range(len(CASES)))))
    different = {case for case, (theirs, ours) in results.items() if (theirs is None) != (ours is None)}
    assert different <= ONLY_OURS, {case: results[case] for case in different - ONLY_OURS}
    for (name, _), (_, ours) in results.items():
        assert ours is None or ("main.cf, line 4: " in ours and name in ours)
