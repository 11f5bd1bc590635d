"""What no file of the project says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tidy.sources import ROOT, files, own, text

#: Written in two halves: this file is searched, too.
REGISTRIES = tuple(
    "".join(halves)
    for halves in (
        ("py", "pi.org"),
        ("pythonhost", "ed.org"),
        ("registry.npm", "js.org"),
        ("deb.deb", "ian.org"),
        ("proxy.gol", "ang.org"),
        ("/simple", "/"),
        ("buf", ".build"),
        ("docker", ".io"),
    )
)
#: Folders that exist on somebody's machine.
MACHINE_PATHS = re.compile(r"(?<![\w.~/-])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me|Us" + r"ers)/[\w.-]")
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X:)(?!\(#\d+\))")
SOURCE = (".py", ".lua", ".sql", ".proto", ".j2", ".yaml", ".sh")
#: Runs before every child process: it imports as little as it can.
UNPOSTPONED = ("runtime/devstack/spawn.py",)
LOCKS = ("bootstrap", "runtime", "dev", "security")


def test_no_package_registry_is_named() -> None:
    """Where packages come from is the machine's business, not the project's."""
    for path in files():
        for host in REGISTRIES:
            assert host not in text(path), f"{path} names {host}"


def test_no_path_of_a_machine_is_named() -> None:
    """What is in the project works from any folder."""
    for path in own():
        found = MACHINE_PATHS.search(text(path))
        assert found is None, f"{path} names {found[0] if found else ''}"


def test_unfinished_work_names_its_issue() -> None:
    """A note to do something later says where it is tracked: `(#12)` follows the word."""
    for path in own(*SOURCE):
        for number, line in enumerate(text(path).splitlines(), 1):
            assert not UNFINISHED.search(line), f"{path}:{number}: {line.strip()}"


@pytest.mark.parametrize("name", LOCKS)
def test_requirements_are_pinned_by_hash(name: str) -> None:
    """Every requirement has one exact version and a hash; no index is named."""
    lock = text(Path(f"requirements/{name}.txt"))
    requirements = re.split(r"\n(?=\S)", lock.strip())
    pinned = [part for part in requirements if not part.startswith("#")]
    assert pinned
    for requirement in pinned:
        assert re.match(r"[\w.\[\]-]+==[\w.!+]+", requirement), requirement.splitlines()[0]
        assert "--hash=sha256:" in requirement, requirement.splitlines()[0]
    assert not re.search(r"--(extra-)?index-url|--find-links|https?://", lock)


def test_the_development_lock_contains_the_runtime_lock() -> None:
    """What is tested is what runs: the same version of every package in both locks."""

    def versions(name: str) -> set[str]:
        return set(re.findall(r"^(\S+==\S+)", text(Path(f"requirements/{name}.txt")), re.MULTILINE))

    assert versions("runtime") <= versions("dev")


def test_python_files_postpone_annotations() -> None:
    """Every module begins the same way, and has a docstring that says what it is for."""
    for path in own(".py"):
        source = text(path)
        if not source.strip() or path.as_posix() in UNPOSTPONED:
            continue
        if path.parts[0] != "tests":
            assert source.startswith(('"""', "#!")), f"{path} has no docstring"
        only_docstring = len(re.findall(r'"""', source)) == 2 and source.rstrip().endswith('"""')
        assert only_docstring or "from __future__ import annotations" in source, path


def test_the_makefile_lists_its_targets() -> None:
    """`make help` shows every target: each has a line that says what it does."""
    makefile = (ROOT / "Makefile").read_text()
    phony = {
        name
        for line in re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
        for name in line.split()
    }
    described = set(re.findall(r"^([a-z-]+):[^\n]*## ", makefile, re.MULTILINE))
    assert phony - {"FORCE"} == described
