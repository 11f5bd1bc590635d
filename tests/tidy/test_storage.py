"""SQL, Lua, migrations and metrics: nothing unnamed, nothing unused, nothing changed afterwards."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics import MetricWrapperBase

import authz.scripts
import gateway.scripts
from runtime import metrics, migrations
from runtime.queries import load_queries
from runtime.script import Script
from tests.tidy.sources import PACKAGES, ROOT, own, strings, text, tree

QUERY_FILES = tuple(path for path in own(".sql") if path.parent.name == "sql")
MIGRATIONS = tuple(path for path in own(".sql") if path.parent.name == "migrations")
#: `sha256sum` of every migration that was ever committed. Lines are added, never changed.
APPLIED = Path(__file__).with_name("migrations.sha256")
#: Names under which modules keep their loaded queries.
QUERY_DICTIONARIES = ("QUERIES", "_SQL")


def test_there_are_queries_and_migrations() -> None:
    """The rules below look at something."""
    assert QUERY_FILES
    assert MIGRATIONS


@pytest.mark.parametrize("path", QUERY_FILES, ids=str)
def test_every_query_is_described_and_used(path: Path) -> None:
    """Each named block says what it does or takes, and some module of its package uses it."""
    package = path.parts[0]
    used = {value for source in own(".py", below=(package,)) for value in strings(source)}
    for name, statement in load_queries(ROOT / path).items():
        assert statement.startswith("-- "), f"{path}: {name} has no description"
        assert name in used, f"{path}: {name} is used by nobody"


def test_every_used_query_exists() -> None:
    """No module asks for a block that is not there."""
    known = {name for path in QUERY_FILES for name in load_queries(ROOT / path)}
    for path in own(".py", below=PACKAGES):
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
                continue
            if node.value.id in QUERY_DICTIONARIES and isinstance(node.slice, ast.Constant):
                assert node.slice.value in known, f"{path}:{node.lineno}"


def test_queries_name_their_parameters() -> None:
    """A block that takes `$1` says what it is."""
    for path in QUERY_FILES:
        for name, statement in load_queries(ROOT / path).items():
            comment = "\n".join(
                line for line in statement.splitlines() if line.lstrip().startswith("--")
            )
            for parameter in set(re.findall(r"\$\d+", statement)):
                assert parameter in comment, f"{path}: {name} does not explain {parameter}"


INCLUDES = Path("authz/lua/include")
#: Where each package's scripts are listed.
SCRIPTS: dict[str, Any] = {"authz": authz.scripts, "gateway": gateway.scripts}


def lua_statuses(source: str) -> set[str]:
    """First words of the answers that a script returns."""
    return set(re.findall(r"return \{'([A-Z_]+)'", source))


def lua_functions() -> dict[str, str]:
    """The shared pieces' functions: name to text."""
    found = [text(path) for path in own(".lua") if path.parent == INCLUDES]
    return {
        match[1]: match[0]
        for source in found
        for match in re.finditer(
            r"^local function (\w+)\(.*?^end$", source, re.MULTILINE | re.DOTALL
        )
    }


def reached_statuses(source: str) -> set[str]:
    """What a script can answer: its own words, and those of the shared functions it calls."""
    functions, found, waiting = lua_functions(), lua_statuses(source), [source]
    while waiting:
        for name in set(re.findall(r"\b(\w+)\(", waiting.pop())) & set(functions):
            body = functions.pop(name)
            found |= lua_statuses(body)
            waiting.append(body.partition("\n")[2])
    return found


def test_every_script_is_loaded() -> None:
    """No `.lua` file lies about unused: each is a script or a piece of one."""
    for path in own(".lua"):
        package = path.parts[0]
        if path.parent.name == "include":
            assert path.stem in set(strings(Path(package) / "scripts.py")), path
        else:
            assert path.stem in {script.name for script in SCRIPTS[package].ALL}, path


def test_statuses_are_those_of_the_scripts() -> None:
    """The words that scripts answer are exactly the enum's: a new one cannot be forgotten."""
    for module in SCRIPTS.values():
        spoken = {word for script in module.ALL for word in lua_statuses(script.text)}
        assert spoken == {str(status) for status in module.Status}


@pytest.mark.parametrize(
    ("package", "script"),
    [(package, script) for package, module in SCRIPTS.items() for script in module.ALL],
    ids=lambda value: getattr(value, "name", value),
)
def test_scripts_say_what_they_take_and_answer(package: str, script: Script) -> None:
    """The header names KEYS, ARGV and every status; every index used is described: in the header,
    or in that of the shared piece that uses it.
    """
    source = text(Path(package) / "lua" / f"{script.name}.lua")
    header = source[: source.index("]]")]
    assert reached_statuses(source) == set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b|\b[A-Z]{5,}\b", (
        header[header.index("{status") :]
    )))  # fmt: skip
    shared = [text(path) for path in own(".lua") if path.parent == INCLUDES]
    headers = [
        header,
        *(piece.partition("\nlocal ")[0] for piece in shared if piece in script.text),
    ]
    for kind in ("KEYS", "ARGV"):
        used = {int(number) for number in re.findall(rf"{kind}\[(\d+)\]", script.text)}
        assert used == set(range(1, len(used) + 1)), f"{kind} has gaps"
        parts = [one.partition(f"  {kind}  ")[2] for one in headers]
        for number in used:
            assert any(re.search(rf"\b{number}  ?\S", part) for part in parts), (
                f"{kind}[{number}] is not described"
            )


def test_scripts_build_no_keys_and_read_no_clock() -> None:
    """All keys arrive in KEYS (one slot of a cluster), the time arrives as an argument."""
    for path in own(".lua"):
        source = text(path)
        assert "'TIME'" not in source, path
        for call in re.findall(r"redis\.call\('\w+', ([^,)]+)", source):
            assert re.fullmatch(r"[a-z_]+", call), f"{path}: {call} is not a named key"


def applied() -> dict[str, str]:
    """Digest of each migration, by path."""
    pairs = (line.split(maxsplit=1) for line in APPLIED.read_text().splitlines())
    return {name: digest for digest, name in pairs}


def test_migrations_are_never_altered() -> None:
    """What was applied somewhere stays as it was; a change is a new file, listed here."""
    found = {
        path.as_posix(): hashlib.sha256((ROOT / path).read_bytes()).hexdigest()
        for path in MIGRATIONS
    }
    assert found == applied()


@pytest.mark.parametrize("path", MIGRATIONS, ids=str)
def test_migrations_are_numbered_and_go_forward(path: Path) -> None:
    """`NNNN_verb_noun.sql` with both markers of dbmate; nothing follows `down`: there is no way
    back, and a partial one would lose money.
    """
    assert re.fullmatch(r"\d{4}_[a-z]+(_[a-z0-9]+)+\.sql", path.name)
    up, marker, down = text(path).partition("-- migrate:down")
    assert up.startswith("-- migrate:up\n")
    assert marker
    assert not down.strip()
    statements = re.sub(r"--.*", "", up).upper()
    assert not re.search(r"\b(DROP TABLE|DROP COLUMN|TRUNCATE|RENAME)\b", statements)


def test_no_two_migrations_have_one_number() -> None:
    """Each service counts from 0001. Gaps do no harm: what is written side by side takes numbers
    apart; one number twice would be applied once.
    """
    for folder in {path.parent for path in MIGRATIONS}:
        numbers = sorted(int(path.name[:4]) for path in MIGRATIONS if path.parent == folder)
        assert numbers[0] == 1, folder
        assert numbers == sorted(set(numbers)), folder


def test_migrations_wait_only_so_long_for_a_lock() -> None:
    """The runner gives every migration a lock_timeout: one that waited would block all after it."""
    assert 0 < migrations.LOCK_TIMEOUT_MS <= 4_000
    source = text(Path("runtime/migrations.py"))
    assert '"lock_timeout": str(LOCK_TIMEOUT_MS)' in source
    assert '"statement_timeout": str(STATEMENT_TIMEOUT_MS)' in source


def metric_names() -> Iterator[str]:
    """Names of the module's metrics."""
    for name, value in vars(metrics).items():
        if isinstance(value, MetricWrapperBase):
            yield name


@pytest.mark.parametrize("name", sorted(metric_names()))
def test_every_metric_is_explained_and_used(name: str) -> None:
    """A metric has a comment (meaning, unit), a help text, our prefix, and someone who sets it."""
    source = text(Path("runtime/metrics.py")).splitlines()
    line = next(number for number, line in enumerate(source) if line.startswith(f"{name} = "))
    assert source[line - 1].startswith("#: "), f"{name} has no comment"
    metric = vars(metrics)[name]
    assert metric._name.startswith("holdfast_")  # the library has no other way to ask
    assert metric._documentation
    users = [
        path
        for path in own(".py", below=PACKAGES)
        if path.name != "metrics.py"
        and any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree(path)))
    ]
    assert users, f"{name} is set by nobody"


def test_metrics_are_declared_in_one_place() -> None:
    """Every name once, in runtime/metrics.py."""
    for path in own(".py", below=PACKAGES):
        if path.as_posix() == "runtime/metrics.py":
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client":
                names = {alias.name for alias in node.names}
                assert not names & {"Counter", "Gauge", "Histogram", "Summary"}, path
