"""Documents that must not drift from what they describe: parameters that differ from Postfix, packages, links, diagrams."""

import os
import pathlib
import re
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([SOURCE / "README.md", *(SOURCE / "docs").rglob("*.md"), *(SOURCE / "tests").glob("*.md")])
REGISTRY = [SOURCE / "src/lib/config" / name for name in ("registry_differences.hpp", "registry_later_releases.hpp")]
SETS = ("build", "test", "bench")


def table_rows(path, heading):
    """First cell of each row of the tables below `heading` (up to the next heading of the same level)."""
    text = path.read_text()
    section = re.search(rf"(?ms)^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text)
    assert section, f"{path.name} has no section '{heading}'"
    cells = re.findall(r"(?m)^\| *([^|]+?) *\|", section[1])
    return [cell for cell in cells if not re.fullmatch(r"-+|parameter|package", cell)]


def names_in(cells):
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_every_parameter_that_differs_is_documented():
    registered = re.findall(r'^\s+(?:text|required|integer|boolean|time)\w*\("(\w+)"', "".join(path.read_text() for path in REGISTRY), re.M)
    assert len(registered) > 20, "the registry changed its form; this test must follow"
    documented = names_in(table_rows(SOURCE / "docs/compatibility.md", "Defaults and parameters"))
    assert sorted(documented) == sorted(registered)


def test_documented_defaults_are_the_programs_defaults():
    """`name` = `value` in the second column is what our postconf -d prints."""
    postconf = pathlib.Path(os.environ.get("STAGEPOST_BUILD", SOURCE / "build/dev")) / "bin/postconf"
    if not postconf.exists():
        pytest.skip(f"{postconf} is not built")
    text = (SOURCE / "docs/compatibility.md").read_text()
    rows = re.findall(r"(?m)^\| `(\w+)` \| `([^`]*)` \|", text)
    assert len(rows) >= 10
    for name, value in rows:
        done = subprocess.run([postconf, "-dh", name], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == value, name


def test_every_package_is_explained_and_nothing_else():
    listed = [package for name in SETS for package in
              subprocess.run([SOURCE / "scripts/deps", "list", name], capture_output=True, text=True, check=True).stdout.split()]
    assert len(listed) == len(set(listed))
    explained = names_in(table_rows(SOURCE / "docs/dependencies.md", "Packages"))
    assert sorted(explained) == sorted(listed)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(SOURCE)))
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", path.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_no_diagram_mixes_handing_over_and_asking():
    """In architecture.md mail moves along solid arrows and questions along dotted ones, never both in one diagram."""
    diagrams = re.findall(r"(?s)```mermaid\n(flowchart.*?)```", (SOURCE / "docs/architecture.md").read_text())
    assert len(diagrams) >= 4
    for diagram in diagrams:
        assert not ("-->" in diagram and ".->" in diagram), diagram
    assert sum(".->" in diagram for diagram in diagrams) >= 1
