"""postdrop and postqueue, installed set-group-ID and called by a user without rights: only configurations that the default main.cf lists
are used, and nothing the caller chose makes them do more."""

import grp
import os
import pathlib
import pwd
import shutil
import tempfile

import pytest

from instances import BUILD, World, can_unshare

def _no_account():
    try:
        return pwd.getpwnam("postfix") is None or grp.getgrnam("postdrop") is None
    except KeyError:
        return True


pytestmark = [
    pytest.mark.skipif(_no_account(), reason="needs the accounts postfix and postdrop"),
    pytest.mark.skipif(not all((BUILD / "bin" / name).exists() for name in ("postdrop", "postqueue", "postlog", "postfix", "postconf")), reason="postdrop is not built"),
    pytest.mark.skipif(not can_unshare(), reason="needs root, to install set-group-ID programs and a default configuration"),
]

SCRIPT = r"""
exec 2>&1
bin=$(dirname $(command -v postdrop))
mkdir $AREA/bin
for name in postdrop postqueue postlog; do cp $bin/$name $AREA/bin/; chgrp postdrop $AREA/bin/$name; chmod 2755 $AREA/bin/$name; done
chmod 755 $AREA/bin
for name in alt inst evil; do
  mkdir $AREA/$name $AREA/spool/$name $AREA/lib/$name; chown postfix $AREA/lib/$name
  sed "s#^queue_directory.*#queue_directory = $AREA/spool/$name#; s#^data_directory.*#data_directory = $AREA/lib/$name#" $CONFIG/main.cf > $AREA/$name/main.cf
  cp $CONFIG/master.cf $AREA/$name
  postfix -c $AREA/$name check > /dev/null 2>&1
done
postfix -c $CONFIG check > /dev/null 2>&1
# A directory that the user made, whose queue would be open to him if postdrop believed it.
chown -R nobody $AREA/evil
postconf -c $CONFIG -e "alternate_config_directories = $AREA/alt" "multi_instance_directories = $AREA/inst" 2> /dev/null
printf 'T\0011S\003s@xR\003r@xM\000N\002hiX\000E\000' > $AREA/mail
printf 'T\0011S\003s@x' > $AREA/half
printf 'junk' > $AREA/junk
chmod 644 $AREA/mail $AREA/half $AREA/junk
user() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
status() { user "$@" < $AREA/input > $AREA/out 2>&1; code=$?; case $code in 0) word=done;; *) word=refused;; esac; [ $code -lt 126 ] || word="died $code"; echo "--- $* = $word"; }
cp $AREA/mail $AREA/input
unset MAIL_CONFIG
status $AREA/bin/postqueue -p
for dir in $AREA/evil $AREA/alt/ $AREA/evil/../alt $AREA/inst $AREA/alt nosuch . ''; do
  status $AREA/bin/postqueue -c "$dir" -p
  status env MAIL_CONFIG="$dir" $AREA/bin/postqueue -p
  status env MAIL_CONFIG="$dir" $AREA/bin/postdrop
  status $AREA/bin/postdrop -c "$dir"
  status env MAIL_CONFIG="$dir" $AREA/bin/postlog words
  status $AREA/bin/postlog -c "$dir" words
done
# An environment as somebody would make it who wants in.
status env -i $AREA/bin/postqueue -p
status env -i $AREA/bin/postlog words
status env MAIL_DEBUG=1 MAIL_VERBOSE=1 LD_PRELOAD=/nonexistent TZ=:/etc/shadow LANG=../../x IFS=x $AREA/bin/postqueue -p
for name in postqueue postdrop postlog; do
  status sh -c "MAIL_CONFIG=\$(printf %050000d 0) exec $AREA/bin/$name"
  status sh -c "MAIL_CONFIG=\"\$(echo $AREA/alt; echo $AREA/evil)\" exec $AREA/bin/$name"
done
status sh -c "MAIL_LOGTAG=\"\$(echo a; printf %050000d 0)\" exec $AREA/bin/postlog words"
status $AREA/bin/postdrop
for file in half junk; do cp $AREA/$file $AREA/input; status $AREA/bin/postdrop; done
: > $AREA/input
status $AREA/bin/postdrop
status $AREA/bin/postdrop extra
status $AREA/bin/postqueue -f
status $AREA/bin/postqueue -i ../../x
user sh -c "$AREA/bin/postdrop <&-" > /dev/null 2>&1; echo "closed input $(test $? -ne 0 && echo refused)"
user sh -c "$AREA/bin/postqueue -p >&- 2>&-" > /dev/null 2>&1; echo "closed output done"
for name in postfix alt inst evil; do echo "$name: $(ls $AREA/spool/$name/maildrop | wc -l) $(stat -c '%U %a' $AREA/spool/$name/maildrop/* | sort | uniq -c | tr -s ' ')"; done
user ls $AREA/spool/postfix/maildrop > /dev/null 2>&1; echo "list $?"
user sh -c "echo x > $AREA/spool/postfix/maildrop/x" > /dev/null 2>&1; echo "write $?"
"""


REFUSED = ("AREA/evil", "AREA/alt/", "AREA/evil/../alt", "nosuch", ".")
ALLOWED = ("AREA/inst", "AREA/alt")


@pytest.fixture(scope="module")
def lines():
    base = pathlib.Path(tempfile.mkdtemp(prefix="sp-setgid-", dir=os.environ.get("STAGEPOST_TEST_DIR", "/var/tmp")))
    base.chmod(0o755)
    try:
        area = base / "stagepost"
        area.mkdir()
        yield World("stagepost", area).run(SCRIPT)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def verdicts(lines, command):
    return [line.rsplit(" = ", 1)[1] for line in lines if line.startswith(f"--- {command} = ")]


@pytest.mark.parametrize("directory", REFUSED)
def test_other_configurations_are_refused(lines, directory):
    for command in (f"AREA/bin/postqueue -c {directory} -p", f"env MAIL_CONFIG={directory} AREA/bin/postqueue -p",
                    f"env MAIL_CONFIG={directory} AREA/bin/postdrop", f"AREA/bin/postdrop -c {directory}",
                    f"env MAIL_CONFIG={directory} AREA/bin/postlog words", f"AREA/bin/postlog -c {directory} words"):
        assert verdicts(lines, command) == ["refused"], command


@pytest.mark.parametrize("directory", ALLOWED)
def test_listed_configurations_are_used(lines, directory):
    for command in (f"env MAIL_CONFIG={directory} AREA/bin/postdrop", f"AREA/bin/postdrop -c {directory}",
                    f"env MAIL_CONFIG={directory} AREA/bin/postlog words", f"AREA/bin/postlog -c {directory} words"):
        assert verdicts(lines, command) == ["done"], command


def test_a_hostile_environment_gets_nowhere(lines):
    odd = [line for line in lines if line.startswith("--- sh -c MAIL_")]
    assert len(odd) == 7
    for line in odd:
        assert line.endswith(" = done" if "MAIL_LOGTAG" in line else " = refused"), line[:200]
    for command in ("env -i AREA/bin/postlog words", "env -i AREA/bin/postqueue -p"):
        assert len(verdicts(lines, command)) == 1 and not verdicts(lines, command)[0].startswith("died")
    for line in lines:
        assert "died" not in line, line[:200]


def test_what_is_no_submission_is_refused(lines):
    # A message, half of one, junk, nothing.
    assert verdicts(lines, "AREA/bin/postdrop") == ["done", "refused", "refused", "refused"]
    assert verdicts(lines, "AREA/bin/postdrop extra") == ["refused"]
    assert verdicts(lines, "AREA/bin/postqueue -i ../../x") == ["refused"]
    assert "closed input refused" in lines
    assert not any("died" in line for line in lines)


def test_files_are_where_they_belong_and_nowhere_else(lines):
    queues = dict(line.split(": ", 1) for line in lines if line.split(":")[0] in ("postfix", "alt", "inst", "evil"))
    assert {name: text.split()[0] for name, text in queues.items()} == {"postfix": "2", "alt": "2", "inst": "2", "evil": "0"}
    assert queues["alt"].split()[2:] == ["nobody", "744"]
    # The user can neither list the queue nor write to it without postdrop.
    assert "list 2" in lines and "write 2" in lines
