"""postcat, postlog, postkick and postqueue called in every way the command line allows, also wrongly: what they print and their exit
status, beside an installed Postfix. What the options do with messages is compared in test_queue_files.py and test_queue_listing.py."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", SOURCE / "build" / "dev")).resolve()
NAMES = ("postcat", "postlog", "postkick", "postqueue")
OURS = {name: BUILD / "bin" / name for name in NAMES}
THEIRS = {name: shutil.which(name, path="/usr/sbin:/usr/local/sbin") for name in NAMES}
FIXTURES = sorted((SOURCE / "tests" / "fixtures" / "queue").iterdir())

pytestmark = [pytest.mark.skipif(not all(THEIRS.values()), reason="no Postfix is installed (apt-get install postfix)"),
              pytest.mark.skipif(not all(path.exists() for path in OURS.values()), reason="the commands are not built")]

# One call a line; FILE and OTHER are queue files, QUEUED the ID of a message in the queue. "|" begins what comes on standard input.
CALLS = """
postcat -q QUEUED
postcat -vq QUEUED
postcat -qe QUEUED
postcat -qbh QUEUED
postcat -q
postcat -q NOSUCHID QUEUED
postcat -q ../active/x
postcat -q a/b
postcat FILE OTHER
postcat -h FILE OTHER
postcat nosuchfile
postcat FILE nosuchfile OTHER
postcat -c
postcat -x FILE
postcat -s x -do FILE
postcat -s -1 FILE
postcat -f QUEUED
postcat -- FILE
postcat -bq QUEUED QUEUED
postcat|FILE
postcat -e|FILE
postcat|garbage
postcat|
postlog words and more
postlog -p warn words
postlog -p warning words
postlog -p error words
postlog -p fatal words
postlog -p panic words
postlog -p nosuch words
postlog -p
postlog -i words
postlog -v words
postlog -t tag words
postlog -t tag -p info words
postlog -z
postlog --
postlog|one
postlog -p error|one
postlog|
postlog -c /nosuch words
postkick
postkick public
postkick public qmgr
postkick public qmgr W extra
postkick nosuch qmgr W
postkick public nosuch W
postkick private nosuch W
postkick public ../x W
postkick -x public qmgr W
postkick -v public nosuch W
postkick public qmgr LONG
postkick -c
postqueue
postqueue -x
postqueue -c
postqueue -s
postqueue -i
postqueue -p x
postqueue -pf
postqueue -s [nosuch
postqueue -s -x
postqueue -s a..b
postqueue -i a/b
postqueue -i QUEUED
postqueue -f x
postqueue -j -p
""".strip().splitlines()


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    area = tmp_path_factory.mktemp("small")
    queue, config = area / "queue", area / "etc"
    config.mkdir()
    for name in ("deferred", "incoming", "active", "hold", "maildrop", "defer", "corrupt", "public", "private", "pid"):
        (queue / name).mkdir(parents=True)
    queued = "0123456789A"
    shutil.copy(FIXTURES[0], queue / "deferred" / queued)
    (config / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = box.example\ninet_interfaces = loopback-only\n"
                                    f"queue_directory = {queue}\ndata_directory = {area}/data\nhash_queue_names = corrupt\n")
    (config / "master.cf").write_text("")
    for name in ("main.cf", "master.cf"):
        os.utime(config / name, (1_600_000_000, 1_600_000_000))
    files = {"FILE": str(FIXTURES[0]), "OTHER": str(FIXTURES[-1]), "QUEUED": queued, "LONG": "W" * 5000}

    def ask(program, call):
        line, _, standard_input = call.partition("|")
        words = [files.get(word, word) for word in line.split()]
        text = files.get(standard_input)
        if text is None:  # a file, because Postfix's postcat moves about in it
            text = area / f"input-{abs(hash(standard_input))}"
            text.write_text(standard_input)
        with open(text, "rb") as opened:
            done = subprocess.run(words, executable=str(program), stdin=opened, capture_output=True, timeout=60, check=False, cwd=area,
                                  env={"TZ": "UTC", "PATH": os.environ["PATH"], "MAIL_CONFIG": str(config), "LC_ALL": "C"})
        lines = done.stderr.decode("utf-8", "replace").replace(str(area), "AREA").splitlines()
        chatter = re.compile(r"\w+: (?!warning|fatal|error|panic|[Uu]sage)")  # of -v
        return done.returncode, done.stdout, [line for line in lines if "-v" not in call or not chatter.match(line)]

    def both(call):
        name = call.split()[0].partition("|")[0]
        return ask(THEIRS[name], call), ask(OURS[name], call)

    # Postfix waits a second before each fatal end.
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return dict(zip(CALLS, pool.map(both, CALLS)))


@pytest.mark.parametrize("call", CALLS)
def test_the_same_answer(answers, call):
    theirs, ours = answers[call]
    assert ours[:2] == theirs[:2], (ours[2], theirs[2])
    # Each failure has a reason on standard error. Postfix's postlog has it on a terminal only, and in the log.
    if not (call.startswith("postlog") and ours[0] != 0):
        assert (ours[2] == []) == (theirs[2] == []), (ours[2], theirs[2])
    assert ours[0] == 0 or len(ours[2]) >= 1
