"""Documentation that repeats what the code says, says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authz import keys
from runtime.cli.output import ExitCode
from runtime.devstack.services import mesh
from tests.tidy.sources import ROOT, SERVICES, own, text

OPERATIONS = Path("docs/OPERATIONS.md")
ARCHITECTURE = Path("docs/ARCHITECTURE.md")
PAGES = tuple(own(".md"))
#: Reasons of the statuses that need no page: they say what their status says.
SELF_EXPLAINING = {
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
}


def reasons() -> set[str]:
    """Every reason that a caller can be told."""
    found: set[str] = set()
    for path in own(".py", below=("runtime", *SERVICES)):
        found |= set(re.findall(r'(?:default_)?reason(?:: \w+[^=]*)? ?= ?"([A-Z_]+)"', text(path)))
        # A table of refusals: status, error, message, reason.
        found |= set(re.findall(r'^ {8}"([A-Z]+(?:_[A-Z]+)+)",$', text(path), re.MULTILINE))
        found |= set(re.findall(r'default_reason: ClassVar\[str\] = "([A-Z_]+)"', text(path)))
    return found


def test_every_reason_is_explained() -> None:
    """Whoever meets a reason finds it in the operations page, and the page has no other."""
    stated = set(re.findall(r"`([A-Z][A-Z_]+)`(?=[,\s|`A-Z_]*\|)", text(OPERATIONS)))
    stated = {word for word in stated if not word.startswith("HOLDFAST_")}
    assert stated == reasons() - SELF_EXPLAINING


def test_every_exit_code_is_explained() -> None:
    """The table of exit codes is the enum."""
    table = text(OPERATIONS).partition("## Exit codes")[2]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == set(ExitCode)


def test_every_key_is_explained() -> None:
    """The table of keys names each kind of key that the scripts are given."""
    tag, identifier = "2a", f"acct_2a{'0' * 32}"
    made = (
        keys.meta(tag),
        keys.account(identifier),
        keys.card(identifier),
        keys.learned(identifier),
        keys.window(tag, "control"),
        keys.hold(identifier),
        keys.request(tag, "somebody", "request"),
        keys.clearing(tag, "network", "reference", 0),
        keys.payment(f"pay_2a{'0' * 32}"),
        keys.expiry(tag),
        keys.journal(tag),
    )
    kinds = {key.partition("}:")[2].partition(":")[0] for key in made}
    assert set(re.findall(r"\{pp\}:(\w+)", text(ARCHITECTURE).partition("## Keys")[2])) >= kinds


def test_every_process_is_explained() -> None:
    """The table of processes names each service that the supervisor starts."""
    boxes = text(ARCHITECTURE).partition("## Boxes")[2].partition("\n## ")[0]
    for service in mesh(authz_workers=1):
        assert re.search(rf"^\| {service.instance}\b", boxes, re.MULTILINE), service.instance


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file of the project and, after `#`, one of its headings."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), f"{page} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}
            assert anchor in anchors, f"{page} links to {target}"
