"""Descriptions of parameters: our own words, of reasonable length, and the page and the command made from them."""

import gzip
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from support.required import not_there

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", SOURCE / "build/dev")).resolve()
FILES = sorted((SOURCE / "docs/parameters").glob("*.txt"))
FOREIGN = [pathlib.Path("/usr/share/man/man5") / name for name in ("postconf.5.gz", "postconf.5", "postconf.5postfix.gz")]
# This many words in a row, the same as theirs, are a copied sentence.
COPIED = 8


def texts():
    """Name and own text of each description."""
    found = {}
    for path in FILES:
        joined = re.sub(r"\n +", " ", path.read_text())
        found.update(re.findall(r"(?m)^(\w+): (.*?)(?: =\w+)?$", joined))
    assert len(found) > 800, "the files changed their form; this test must follow"
    return found


def words(text):
    return re.findall(r"[a-z0-9_']+", text.lower())


def runs(text):
    found = words(text)
    return {tuple(found[i:i + COPIED]) for i in range(len(found) - COPIED + 1)}


def plain(page):
    """A manual page's source without requests and escapes."""
    return re.sub(r"(?m)^\.\S*", "", re.sub(r"\\f[BIRP]|\\&|\\", "", page))


def test_runs_finds_a_copy():
    """The check itself: one sentence out of a page is found, with other markup and other punctuation."""
    page = ".IP\nThe \\fBmaximal\\fR size in bytes of a message,\nincluding envelope information, as seen here."
    assert runs(plain(page)) & runs("Note: maximal size in bytes of a message including envelope information")
    assert not runs(plain(page)) & runs("Largest message in bytes, envelope included; as seen here.")


def test_descriptions_are_our_own_words():
    """No description has a sentence of the installed Postfix's postconf(5)."""
    page = next((path for path in FOREIGN if path.exists()), None)
    if page is None:
        pytest.skip("no postconf(5) of Postfix is installed")
    source = gzip.open(page, "rt").read() if page.suffix == ".gz" else page.read_text()
    if "Stagepost" in source:
        pytest.skip(f"{page} is not Postfix's")
    theirs = runs(plain(source))
    assert len(theirs) > 10000
    copied = {name: " ".join(run) for name, text in texts().items() for run in runs(text) & theirs}
    assert copied == {}


def test_descriptions_are_short():
    """One to three sentences (four where a copy of another text follows a lead)."""
    long = {name: text for name, text in texts().items() if len(re.findall(r"[.!?](?= [A-Z<\"]|$)", text)) > 4 or len(text) > 400}
    assert long == {}


def test_files_stay_readable():
    for path in FILES:
        lines = path.read_text().splitlines()
        assert len(lines) <= 600, path.name
        assert max(map(len, lines)) <= 150, path.name


def page():
    path = BUILD / "docs/postconf.5"
    if not path.exists():
        not_there(f"{path} is not built")
    return path


def test_generated_page_is_well_formed():
    path = page()
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_generated_page_has_every_parameter_once():
    shown = re.findall(r"(?m)^\.It Va (\w+) Pq ", page().read_text())
    suffixes = re.findall(r"(?m)^\.It Ar service Ns Va (_\w+)$", page().read_text())
    assert sorted(shown + suffixes) == sorted(texts())


def test_readers_have_pages_that_name_the_parameter():
    """The page of a program that reads a parameter, as postconf(5) says, names it (lmtp is described in smtp's)."""
    checked = 0
    for name, entry in re.findall(r"(?ms)^\.It Va (\w+) Pq (.*?)(?=^\.It |^\.El)", page().read_text()):
        for program, section in re.findall(r"(?m)^\.Xr ([\w-]+) (\d)", entry):
            source = "smtp" if program == "lmtp" else program
            spelled = name.replace("lmtp_", "smtp_", 1) if program == "lmtp" else name
            text = (SOURCE / f"docs/man/{source}.{section}").read_text()
            assert re.search(rf"\b({name}|{spelled})\b", text), f"{name}: {program}({section})"
            checked += 1
    assert checked > 300
