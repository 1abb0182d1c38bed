"""Manual pages: one for each program, well formed, and true as far as a program can check: options, parameters, references."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from support.required import not_there

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", SOURCE / "build/dev")).resolve()
PAGES = sorted((SOURCE / "docs/man").glob("*.[158]"))
# Pages made while the project is built.
GENERATED = {"postconf.5"}
# Manual pages that are the system's.
FOREIGN = {"syslog(3)", "flock(2)", "listen(2)", "strftime(3)"}
# Where a program's options are, as text that the options are the first group of.
GETOPT = r'getopt\(argc, argv, "([^"]+)"'
OPTIONS = {
    "postalias": ("src/commands/postalias/main.cpp", r'\.options = "([^"]+)"'),
    "postcat": ("src/commands/postcat/postcat.cpp", GETOPT),
    "postconf": ("src/commands/postconf/options.cpp", r'kLetters = "([^"]+)"'),
    "postdrop": ("src/commands/postdrop/postdrop.cpp", GETOPT),
    "postfix": ("src/commands/postfix/options.cpp", r"argument\[i\] == '(.)'"),
    "postkick": ("src/commands/postkick/main.cpp", GETOPT),
    "postlock": ("src/commands/postlock/postlock.cpp", r'getopt\(argc, argv, "\+([^"]+)"'),
    "postlog": ("src/commands/postlog/main.cpp", GETOPT),
    "postmap": ("src/commands/postmap/main.cpp", r'\.options = "([^"]+)"'),
    "postmulti": ("src/commands/postmulti/options.cpp", r'getopt\(argc, argv, "\+([^"]+)"'),
    "postqueue": ("src/commands/postqueue/options.cpp", GETOPT),
    "postsuper": ("src/commands/postsuper/postsuper.cpp", GETOPT),
    "qshape": ("src/commands/qshape/qshape.cpp", GETOPT),
    "sendmail": ("src/commands/sendmail/options.cpp", r'kWith(?:out)?Value = "([^"]+)"|letter == \'(.)\''),
    "smtp-sink": ("src/commands/smtp-sink/options.cpp", r'kShortOptions = "([^"]+)"'),
    "smtp-source": ("src/commands/smtp-source/options.cpp", r'kShortOptions = "([^"]+)"'),
    "master": ("src/master/options.cpp", r"case '(.)'"),
}
# One word of a Flag macro is one of these instead of letters.
NO_LETTERS = {"Ns", "Op", "Oo", "Oc", "Ar", "Cm", "No", "Sm"}


def programs():
    """Name and directory of everything sp_program() builds."""
    found = {}
    for path in (SOURCE / "src").rglob("CMakeLists.txt"):
        for name, kind in re.findall(r"^sp_program\(([\w-]+)\s+(DAEMON|COMMAND)", path.read_text(), re.M):
            found[name] = (kind, path.parent)
    assert len(found) > 20, "sp_program() changed its form; this test must follow"
    return found


PROGRAMS = programs()


def page_of(name):
    kind, _ = PROGRAMS[name]
    return SOURCE / f"docs/man/{name}.{'8' if kind == 'DAEMON' else '1'}"


def macro_words(text, macro):
    """What stands behind each use of a macro, up to the next macro on the line."""
    for line in re.findall(r"(?m)^\.(.*)$", text):
        words = line.split()
        for i, word in enumerate(words):
            if word == macro:
                for following in words[i + 1:]:
                    if following != macro and re.fullmatch(r"[A-Z][a-z]", following):
                        break
                    yield following.replace("\\&", "")


def flags_of(text):
    """Option letters that the page has a place of their own for: in a list of options, or one by one in a sentence."""
    described = re.sub(r"(?ms)^\.Sh SYNOPSIS$.*?(?=^\.Sh )", "", text)
    return {word for word in macro_words(described, "Fl") if len(word) == 1 and (word.isalnum() or word == "#")}


def options_of(name):
    path, pattern = OPTIONS[name]
    found = re.findall(pattern, (SOURCE / path).read_text())
    letters = {letter for match in found for letter in "".join(match) if letter != ":"}
    assert letters, f"{path}: the options are written differently now; this test must follow"
    return letters


def registry():
    """Every parameter there is."""
    names = set()
    for path in (SOURCE / "src/lib/config").glob("registry_*.hpp"):
        names.update(re.findall(r'(?m)^\s*(?:\w+\(|\{\.name = )"(\w+)"', path.read_text()))
    assert len(names) > 800, "the registry changed its form; this test must follow"
    return names


REGISTRY = registry()


def parameters_in(text):
    return {word for word in macro_words(text, "Va") if re.fullmatch(r"\w+", word)}


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_every_program_has_a_page(name):
    text = page_of(name).read_text()
    assert f".Dt {name.upper()} " in text
    assert re.search(rf"(?m)^\.Nm {re.escape(name)}\b", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_pages_are_well_formed(page):
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_options_are_those_of_the_program(name):
    """Each option has a description, and the page describes no option that does not exist."""
    text = page_of(name).read_text()
    letters = options_of(name)
    assert letters - flags_of(text) == set()
    # What another implementation has is named below COMPATIBILITY, daemons' own options in master's list of them.
    own = re.sub(r"(?ms)^\.S[hs] (?:COMPATIBILITY|Options of daemons)$.*?(?=^\.S[hs] )", "", text)
    assert flags_of(own) - letters == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_parameters_exist(page):
    assert parameters_in(page.read_text()) - REGISTRY == set()


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_parameters_a_program_reads_are_in_its_page(name):
    """Or in master(8), for those that all daemons share."""
    _, directory = PROGRAMS[name]
    read = set()
    for path in directory.glob("*.cpp"):
        if not path.name.endswith(("_test.cpp", "_fuzz.cpp")):
            read.update(re.findall(r'"([a-z0-9_]+)"', path.read_text()))
    if name == "smtp":
        # "helo_timeout" is smtp_helo_timeout or lmtp_helo_timeout there, whether or not there is a parameter without prefix.
        read = {f"smtp_{word}" if f"smtp_{word}" in REGISTRY else word for word in read}
    known = parameters_in(page_of(name).read_text()) | parameters_in(page_of("master").read_text())
    assert (read & REGISTRY) - known == set()


def test_parameters_the_libraries_read_are_in_some_page():
    """postconf(5) takes from the pages who reads a parameter, so one that no page names would count as unused."""
    named = set()
    for page in PAGES:
        if page.suffix != ".5":
            text = re.sub(r"(?ms)^\.Sh (?:COMPATIBILITY|SEE ALSO)$.*?(?=^\.Sh |\Z)", "", page.read_text())
            named |= parameters_in(text)
    named |= {name.replace("smtp_", "lmtp_", 1) for name in named if name.startswith("smtp_")}
    read = {}
    for path in (SOURCE / "src/lib").rglob("*.cpp"):
        # The configuration layer knows every name.
        if path.parent.name != "config" and not path.name.endswith(("_test.cpp", "_fuzz.cpp")):
            read.update({name: path.name for name in re.findall(r'"([a-z0-9_]+)"', path.read_text())})
    missing = {name: path for name, path in read.items() if name in REGISTRY - named}
    assert missing == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_references_lead_somewhere(page):
    names = {path.name for path in PAGES} | GENERATED
    names.update(re.findall(r"([\w.-]+)=", re.search(r"set\(_links ([^)]*)\)", (SOURCE / "docs/CMakeLists.txt").read_text())[1]))
    for name, section in re.findall(r"(?:^\.|\s)Xr (\S+) (\d)", page.read_text(), re.M):
        assert f"{name}.{section}" in names or f"{name}({section})" in FOREIGN, f"{name}({section})"


def test_pages_are_installed_where_manpage_directory_says(tmp_path):
    script = BUILD / "docs/cmake_install.cmake"
    if not script.exists():
        pytest.skip(f"{BUILD} is not configured")
    done = subprocess.run(["cmake", "-P", script], env={**os.environ, "DESTDIR": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    setting = re.search(r"(?m)^STAGEPOST_MANPAGE_DIRECTORY:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text())
    root = tmp_path / setting[1].lstrip("/")
    for page in PAGES:
        assert (root / f"man{page.suffix[1]}" / page.name).read_text() == page.read_text()
    for name in GENERATED:
        assert (root / f"man{name[-1]}" / name).read_text() == (BUILD / "docs" / name).read_text()
    for link, target in (("mailq.1", "sendmail.1"), ("newaliases.1", "sendmail.1"), ("lmtp.8", "smtp.8")):
        path = root / f"man{link[-1]}" / link
        assert path.is_symlink() and path.resolve().name == target


COMMANDS = sorted(name for name, (kind, _) in PROGRAMS.items() if kind == "COMMAND")
# Long options that every command has.
SHARED = {"help", "version"}


def run_command(name, *arguments):
    path = BUILD / "bin" / name
    if not path.exists():
        not_there(f"{path} is not built")
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60)


def long_options_of(name):
    _, directory = PROGRAMS[name]
    sources = [path for path in directory.glob("*.cpp") if not path.name.endswith(("_test.cpp", "_fuzz.cpp"))]
    return SHARED | {option for path in sources for option in re.findall(r'"--([a-z][a-z-]+)"', path.read_text())}


@pytest.mark.parametrize("name", COMMANDS)
def test_long_options_are_those_of_the_program(name):
    described = {word[1:] for word in macro_words(page_of(name).read_text(), "Fl") if re.fullmatch(r"-[a-z][a-z-]+", word)}
    assert long_options_of(name) - described == set()
    # A page may name an option of another command.
    assert described - {option for command in COMMANDS for option in long_options_of(command)} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_every_option(name):
    done = run_command(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{name} - ")
    assert f"man {name}\n" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    # "-x", or one of several letters behind a dash in the synopsis.
    shown = set("".join(re.findall(r"(?<![\w-])-([A-Za-z0-9#]+)", done.stdout)))
    if name in OPTIONS:
        assert options_of(name) - shown == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_mistyped_long_option_is_one_line_with_the_right_one(name):
    done = run_command(name, "--hlep")
    assert done.returncode != 0 and done.stdout == ""
    assert done.stderr == f'{name}: fatal: unknown option --hlep (did you mean --help?); "{name} --help" lists the options\n'


@pytest.mark.parametrize("name", sorted(set(COMMANDS) & {"sendmail", "postdrop", "postsuper", "postlog", "postqueue", "postkick"}))
def test_an_error_before_the_log_is_open_is_written_once(name):
    done = run_command(name, "-Z", "x")
    lines = [line for line in done.stderr.splitlines() if "invalid option -- 'Z'" not in line]
    assert done.returncode != 0 and len(lines) == 1, done.stderr
    assert lines[0].startswith(f"{name}: fatal: ")


def test_a_mistyped_priority_is_an_error_with_the_right_one():
    done = run_command("postlog", "-p", "warnig", "text")
    assert (done.returncode, done.stderr) == (1, "postlog: fatal: invalid priority: warnig (did you mean warning?)\n")


def test_verbs_of_postfix_are_in_its_page():
    verbs = set(re.findall(r'\{"([a-z-]+)", Command::', (SOURCE / "src/commands/postfix/options.cpp").read_text()))
    assert len(verbs) > 5, "the verbs are written differently now; this test must follow"
    assert verbs - set(macro_words(page_of("postfix").read_text(), "Cm")) == set()
