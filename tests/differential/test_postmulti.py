"""Life of instances under postmulti, Postfix's and ours: what is printed, the exit status, and what main.cf files say afterwards."""

import os
import pathlib
import re
import shutil
import tempfile

import pytest

from instances import BUILD, World, can_unshare

pytestmark = [
    pytest.mark.skipif(shutil.which("postmulti", path="/usr/sbin") is None, reason="Postfix is not installed"),
    pytest.mark.skipif(not all((BUILD / "bin" / name).exists() for name in ("postmulti", "postfix", "postconf")), reason="postmulti is not built"),
    pytest.mark.skipif(not can_unshare(), reason="needs root, to have a mount namespace with a default configuration of its own"),
]

MISTAKES = r"""
t postmulti
t postmulti -e foo
t postmulti -l -R -p status
t postmulti -p -R status
t postmulti -l extra
t postmulti -l -G x
t postmulti -l -g ''
t env MAIL_CONFIG=$AREA/etc postmulti -l
t env MAIL_CONFIG=$CONFIG postmulti -l
t postmulti -e create -I postfix-a
t postmulti -e disable -i -
t postmulti -e enable
t postmulti -e enable -a
t postmulti -e enable -i nobody
t postmulti -e assign -i -
t postmulti -e init x=y
t postmulti -e init -I postfix-x
t postmulti -e destroy -i -
t postmulti -e deport -i -
t postmulti -e create -I foo
t postmulti -e create
t postmulti -e create -I postfix-a foo
t postmulti -e create -I postfix-a foo=bar
t postmulti -e create -I postfix-a config_directory=rel
t postmulti -e create -I postfix-a queue_directory=$AREA/spool/postfix
t postmulti -e create -I 'postfix-a b'
t postmulti -e create -G 'a b'
t postmulti -e create -I -
t postmulti -e import
t postmulti -e create -I postfix-a -i nope
t postmulti -e create -I postfix-a -g nope
"""

LIFE = r"""
show() { for i in $(postconf -h multi_instance_directories); do postconf -c $i -n multi_instance_name multi_instance_group multi_instance_enable queue_directory data_directory master_service_disable authorized_submit_users; done; postconf -n | grep multi_; }
t postmulti -l
t postmulti -e init
for i in a b; do t postmulti -e create -I postfix-$i -G grp; done
t show
t postmulti -l
t postmulti -e create -I postfix-a
t postmulti -e create -I postfix-h -i postfix-b -G other queue_directory=$AREA/spool/hhh
t postmulti -e create -G x config_directory=$AREA/nameless queue_directory=$AREA/spool/nameless data_directory=$AREA/lib/nameless
t postmulti -e create -I postfix-j queue_directory=$AREA/spool/postfix-a
t postmulti -e create -I postfix-j data_directory=$AREA/lib/postfix-a
t postmulti -l
t postmulti -lR
t postmulti -l -g grp
t postmulti -l -i postfix-b
t postmulti -l -i $CONFIG-b
t postmulti -l -i -
t postmulti -i postfix-b -x sh -c 'echo $MAIL_CONFIG $config_directory $queue_directory $data_directory $multi_instance_name $multi_instance_group $multi_instance_enable'
t postmulti -x sh -c 'echo $config_directory; test -n "$multi_instance_group"'
t postmulti -i - -x nosuchprogram
t postmulti -e enable -i postfix-b
t postmulti -e deport -i postfix-b
t postmulti -e destroy -i postfix-b
t postmulti -e assign -i postfix-b -I postfix-bb
t postmulti -e assign -i postfix-bb -I postfix-a
t postmulti -e assign -i postfix-bb -I -
t postmulti -e assign -i $CONFIG-b -G -
t postmulti -e assign -i $CONFIG-b -G g -I postfix-b
t postmulti -e assign -i - -I postfix-primary
t postmulti -l
t postmulti -e assign -i - -I -
t postmulti -e disable -i postfix-b
t postmulti -e deport -i postfix-b
t postmulti -l
t postmulti -e import -I postfix-b -G imp
t postmulti -e import config_directory=$CONFIG-b
t show
t postmulti -e destroy -i postfix-a
t ls -d $CONFIG-a $AREA/spool/postfix-a $AREA/lib/postfix-a
t postmulti -e disable -i -
"""

RUN = r"""
postmulti -e init
for i in a b; do postmulti -e create -I postfix-$i; postmulti -e enable -i postfix-$i; done
postmulti -e disable -i postfix-a
t postfix status
t postfix -c $CONFIG-b status
t postmulti -i postfix-b -p start
t postmulti -p status
t postfix start
t postfix status
t postfix reload
t postmulti -e destroy -i postfix-b
t postfix stop
t postfix stop
t postmulti -i - -p frob
t env MAIL_CONFIG=$CONFIG-b postfix status
postconf -e multi_instance_wrapper=
t postfix status
postconf -e 'multi_instance_wrapper=/bin/echo x y'
t postfix status a b
t postfix -D start q
t env MAIL_CONFIG=$CONFIG postfix status
"""


@pytest.fixture(scope="module")
def base():
    """Not below /tmp/pytest-*, whose directories only root may enter: daemons run as another user."""
    directory = tempfile.mkdtemp(prefix="sp-postmulti-", dir=os.environ.get("STAGEPOST_TEST_DIR", "/var/tmp"))
    os.chmod(directory, 0o755)
    yield directory
    if not os.environ.get("STAGEPOST_TEST_KEEP"):
        shutil.rmtree(directory, ignore_errors=True)


def text_of(line):
    """Who speaks is not compared (postmulti-script is a program of its own there), nor one mistake in spelling."""
    for word in ("fatal: ", "warning: "):
        if word in line:
            line = word + line.split(word, 1)[1]
    line = re.sub(r"PID: \d+", "PID: n", line)
    return line.replace("Specity", "Specify").strip()


def both(base, name, script):
    outputs = {}
    for suite in ("postfix", "stagepost"):
        area = pathlib.Path(base) / f"{name}-{suite}"
        area.mkdir()
        outputs[suite] = [text_of(line) for line in World(suite, area).run(script)]
    assert any("status" in line for line in outputs["postfix"])
    return outputs["stagepost"], outputs["postfix"]


@pytest.mark.parametrize("name, script", [("mistakes", MISTAKES), ("life", LIFE), ("run", RUN)], ids=["mistakes", "life", "run"])
def test_postmulti(base, name, script):
    ours, theirs = both(base, name, script)
    # The stock master.cf names programs that are not there yet, and the programs of a build tree have no group of their own:
    # "postfix check" says so.
    ignored = ("Usage:postmulti", "usage: postmulti", "postconf: fatal", ": no program /", "warning: not owned by group", "warning: not set-gid")
    assert [line for line in ours if not any(word in line for word in ignored)] == [
        line for line in theirs if not any(word in line for word in ignored)]
