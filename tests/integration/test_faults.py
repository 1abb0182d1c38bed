"""Trouble with the disk and with damaged queue files: the right reply or a log line, never a crash, never a silent loss."""

import os
import re
import shutil
import subprocess

import pytest

from support.mta import Instance
from support.sink import Sink
from support.waiting import wait_for


@pytest.fixture(scope="module")
def faulty(suite):
    with Sink() as sink, Instance(suite, relayhost=sink.nexthop, minimal_backoff_time="300s", queue_run_delay="300s") as mta:
        yield mta, sink


def deferred_file(mta, sink, recipient):
    rule = sink.on("RCPT", "450 4.2.0 wait", match=re.escape(recipient))
    message_id = mta.submit(recipient, body="x" * 3000)
    path = mta.wait_in_queue(message_id, "deferred")
    rule.times = 0
    return message_id, path


def truncate_envelope(data):
    return data[:40]


def truncate_content(data):
    return data[:len(data) // 2]


def truncate_end(data):
    return data[:-2]


def flip_type(data):
    return b"\xff" + data[1:]


def unknown_size_record(data):
    return b"F" + data[1:]


def wild_length(data):
    position = data.index(b"N", 100)
    return data[:position + 1] + b"\xff\xff\xff\xff\x7f" + data[position + 6:]


def garbage(data):
    return bytes((i * 7919 + 13) % 251 for i in range(len(data)))


def empty(_):
    return b""


@pytest.mark.parametrize("damage", [truncate_envelope, truncate_content, truncate_end, flip_type, unknown_size_record, wild_length, garbage,
                                    empty],
                         ids=lambda f: f.__name__)
def test_damaged_queue_file(faulty, damage):
    """Moved to corrupt/, or (when only the end is affected and Postfix still reads it) delivered or returned: never silently gone."""
    mta, sink = faulty
    recipient = f"{damage.__name__.replace('_', '-')}@remote.test"
    message_id, path = deferred_file(mta, sink, recipient)
    mark = mta.log.mark()
    data = path.read_bytes()
    with open(path, "r+b") as file:
        file.truncate(0)
        file.write(damage(data))
    mta.postqueue("-f", check=True)

    def outcome():
        if mta.in_queue(message_id, "corrupt"):
            return "corrupt"
        if any(recipient in m.recipients for m in sink.messages):
            return "delivered"
        if mta.log.find(rf"{message_id}: .*status=bounced", since=mark):
            return "bounced"
        if not mta.in_queue(message_id) and mta.log.find(rf"warning: .*{message_id}", since=mark):
            return "removed with a warning"
        return None

    result = wait_for(outcome, 20, "an outcome", mta.log.tail)
    # Without the record that says how many recipients there are, nobody knows what is missing.
    if damage in (flip_type, unknown_size_record):
        assert result == "corrupt"
    if result == "corrupt":
        mta.log.wait(rf"(warning|saving corrupt file|error).*{message_id}|{message_id}.*(corrupt|warning)", since=mark)
    # The queue manager and other mail are not affected.
    fine = f"fine-{damage.__name__.replace('_', '-')}@remote.test"
    mta.submit(fine)
    sink.wait_for_recipient(fine)
    assert not mta.log.find(r"qmgr.*killed by signal (11|6)", since=mark)


def test_foreign_files_in_the_queue_do_no_harm(faulty):
    mta, sink = faulty
    for queue in ("incoming", "deferred/A", "maildrop"):
        directory = mta.queue / queue
        directory.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            os.chown(directory, mta.owner.pw_uid, mta.owner.pw_gid)
        for name in ("README", ".hidden", "A" * 60, "x y"):
            (directory / name).write_text("not a queue file\n")
    mta.postqueue("-f", check=True)
    mta.submit("foreign@remote.test")
    sink.wait_for_recipient("foreign@remote.test")
    assert mta.postqueue("-p").returncode == 0
    for queue in ("incoming", "deferred/A", "maildrop"):
        for name in ("README", ".hidden", "A" * 60, "x y"):
            (mta.queue / queue / name).unlink(missing_ok=True)


def test_queue_minfree_refuses_before_data(make_instance, make_sink):
    sink = make_sink()
    free = shutil.disk_usage(os.environ.get("STAGEPOST_TEST_DIR", "/var/tmp")).free
    mta = make_instance(relayhost=sink.nexthop, queue_minfree=free * 2, message_size_limit=1000000)
    with mta.smtp() as client:
        client.ehlo()
        assert str(client.command("MAIL FROM:<a@b.test>")) == "452 4.3.1 Insufficient system storage"
    mta.log.wait(r"NOQUEUE: reject: MAIL from \S+\[127\.0\.0\.1\]: 452 4\.3\.1 Insufficient system storage; proto=ESMTP helo=<client\.example\.test>$")


@pytest.fixture
def small_disk(as_root, suite, tmp_path):
    """An instance whose queue is on a file system of 6 MB of its own."""
    sink = Sink().start()
    mta = Instance(suite, relayhost=sink.nexthop, queue_minfree=0, message_size_limit=3500000, minimal_backoff_time="1s", queue_run_delay="1s")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=755", "tmpfs", str(mta.queue)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        mta.close()
        sink.stop()
        pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
    try:
        with mta:
            yield mta, sink
    finally:
        sink.stop()
        subprocess.run(["umount", "-l", str(mta.queue)], check=False)
        mta.close()


def fill(path, leave):
    """Writes a file that takes the free space of its file system but for `leave` bytes."""
    with open(path, "wb", buffering=0) as file:
        room = os.statvfs(path).f_bavail * os.statvfs(path).f_frsize - leave
        try:
            while room > 0:
                room -= file.write(b"\0" * min(65536, room))
        except OSError:
            pass


def test_disk_full_in_mid_write(small_disk):
    mta, sink = small_disk
    with mta.smtp() as client:
        client.ehlo()
        client.envelope("a@b.test", "toobig@remote.test")
        fill(mta.queue / "filler", leave=1000000)
        reply = client.data((b"x" * 78 + b"\r\n") * 40000)
        full, error = "452 4.3.1 Error: insufficient system storage", "451 4.3.0 Error: queue file write error"
        assert str(reply) == (error if mta.suite.is_postfix else full)
    mta.log.wait(r"cleanup\[\d+\]: warning: .*(No space left on device|queue file write error)")
    wait_for(lambda: not mta.queue_files("incoming", "active"), 10, "the partial file to be removed")
    assert not [m for m in sink.messages if "toobig@remote.test" in m.recipients]
    (mta.queue / "filler").unlink()
    mta.submit("afterfull@remote.test")
    sink.wait_for_recipient("afterfull@remote.test")


def test_disk_full_for_sendmail(small_disk):
    mta, sink = small_disk
    filler = mta.queue / "filler"
    fill(filler, leave=0)
    done = mta.sendmail("full@remote.test", message="Subject: x\n\n" + "y\n" * 50000)
    assert done.returncode in (75, 73, 74, 71), done
    filler.unlink()
    assert mta.sendmail("ok@remote.test").returncode == 0
    sink.wait_for_recipient("ok@remote.test")
    assert not [m for m in sink.messages if "full@remote.test" in m.recipients]


def test_unwritable_incoming_is_temporary(faulty, as_root, only_stagepost):
    """Postfix tries again for minutes before it replies; ours says 4xx at once, so that the client can go elsewhere."""
    mta, sink = faulty
    incoming = mta.queue / "incoming"
    # A directory owned by root: the mail owner cannot create files there.
    os.chown(incoming, 0, 0)
    os.chmod(incoming, 0o755)
    try:
        with mta.smtp(timeout=60) as client:
            client.ehlo()
            client.command("MAIL FROM:<a@b.test>")
            reply = client.command("RCPT TO:<x@remote.test>")
            if reply.code == 250:
                reply = client.command("DATA")
                if reply.code == 354:
                    client.send("Subject: x\r\n\r\n.\r\n")
                    reply = client.read()
            assert reply.code // 100 == 4, reply
    finally:
        os.chown(incoming, mta.owner.pw_uid, 0)
        os.chmod(incoming, 0o700)
    mta.submit("writable@remote.test")
    sink.wait_for_recipient("writable@remote.test")


def test_unreadable_table_is_temporary(make_instance):
    mta = make_instance(start=False, relayhost="[127.0.0.1]:9")
    mta.set(virtual_alias_maps=f"lmdb:{mta.config}/missing")
    mta.start()
    with mta.smtp() as client:
        client.ehlo()
        client.command("MAIL FROM:<a@b.test>")
        reply = client.command("RCPT TO:<x@alias.test>")
        assert reply.code == 451 and reply.lines[0].startswith("4.3.0"), reply
    mta.log.wait(r"(error|warning|fatal): .*missing")
