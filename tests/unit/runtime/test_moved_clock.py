"""A clock that is moved ahead: only in homes made for it, never back, and looked up rarely."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from runtime import moved_clock
from runtime.cli.main import app
from runtime.clock import ManualClock, SystemClock
from runtime.moved_clock import LOOK_S, ClockFileError, MovedClock
from runtime.settings import Settings

HOUR_MS = 3_600_000
LOOK_NS = int(LOOK_S * 1e9)


class Ticks:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def moved(home: Path) -> tuple[MovedClock, ManualClock, Ticks]:
    moved_clock.make_movable(home)
    machine, ticks = ManualClock(1_000), Ticks()
    return MovedClock(home / "clock", machine, monotonic=ticks), machine, ticks


def test_a_home_goes_by_the_machine_unless_it_was_made_otherwise(tmp_path: Path) -> None:
    assert isinstance(moved_clock.clock_of(Settings(home=tmp_path)), SystemClock)
    assert moved_clock.ahead_ms(tmp_path) == 0
    moved_clock.make_movable(tmp_path)
    assert isinstance(moved_clock.clock_of(Settings(home=tmp_path)), MovedClock)
    assert (tmp_path / "clock").stat().st_mode & 0o777 == 0o600


def test_it_goes_on_like_the_machine_and_ahead_of_it(tmp_path: Path) -> None:
    clock, machine, ticks = moved(tmp_path)
    assert clock.now_ms() == 1_000
    assert moved_clock.move_ahead(tmp_path, HOUR_MS) == HOUR_MS
    assert clock.now_ms() == 1_000, "the file is looked at now and then"
    ticks.ns += LOOK_NS
    assert clock.now_ms() == 1_000 + HOUR_MS
    machine.advance(5)
    assert clock.now_ms() == 1_005 + HOUR_MS
    assert moved_clock.move_ahead(tmp_path, HOUR_MS) == 2 * HOUR_MS
    moved_clock.make_movable(tmp_path)
    ticks.ns += LOOK_NS
    assert clock.now_ms() == 1_005 + 2 * HOUR_MS, "made again, it stays as it is"


def test_it_never_goes_back(tmp_path: Path) -> None:
    clock, _, ticks = moved(tmp_path)
    moved_clock.move_ahead(tmp_path, HOUR_MS)
    ticks.ns += LOOK_NS
    assert clock.now_ms() == 1_000 + HOUR_MS
    partial = tmp_path / "other"
    partial.write_text("7")
    partial.replace(tmp_path / "clock")
    ticks.ns += LOOK_NS
    assert clock.now_ms() == 1_000 + HOUR_MS
    with pytest.raises(AssertionError, match="back"):
        moved_clock.move_ahead(tmp_path, -1)


@pytest.mark.parametrize("text", ["", "-5", "1.5", "soon", "9" * 20])
def test_a_file_that_says_no_time_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "clock").write_text(text)
    with pytest.raises(ClockFileError):
        MovedClock(tmp_path / "clock").now_ms()


def test_ten_years_are_enough(tmp_path: Path) -> None:
    moved_clock.make_movable(tmp_path)
    moved_clock.move_ahead(tmp_path, moved_clock.AHEAD_MS_MAX)
    with pytest.raises(ClockFileError):
        moved_clock.move_ahead(tmp_path, 1)


def test_the_command_moves_it_and_only_where_it_moves(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        ended = CliRunner().invoke(app, ["clock", "--home", str(tmp_path), "--json", *arguments])
        return ended.exit_code, ended.stdout

    assert run()[0] != 0
    assert not (tmp_path / "clock").exists()
    moved_clock.make_movable(tmp_path)
    code, shown = run("--ahead", "31d")
    assert (code, moved_clock.ahead_ms(tmp_path)) == (0, 31 * 24 * HOUR_MS)
    assert f'"ahead_s": {31 * 24 * 3600}' in shown
    assert run("--ahead", "1y")[0] != 0
    assert run()[0] == 0


@pytest.mark.parametrize(
    ("movable", "old", "option"),
    [(True, False, False), (False, True, True)],
    ids=["a moved home without the option", "the option for a home that has kept time"],
)
def test_up_refuses(tmp_path: Path, *, movable: bool, old: bool, option: bool) -> None:
    """What is in the books of one lies ahead for good; those of the other shall not."""
    if movable:
        moved_clock.make_movable(tmp_path)
    if old:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / "postgres-owner").write_text("x")
    arguments = ["up", "--home", str(tmp_path), *(["--movable-clock"] if option else [])]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code != 0
    assert "movable-clock" in str(ended.exception) + getattr(ended.exception, "hint", "") or (
        "cannot be moved" in str(ended.exception)
    )
    assert moved_clock.is_movable(tmp_path) is movable
