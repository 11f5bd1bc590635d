"""Folders and secrets of an installation."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.devstack import home as homes
from runtime.devstack.errors import DevstackError
from runtime.devstack.osuser import OsUser, reaches
from runtime.devstack.settings import StackSettings

_NOBODY = OsUser(name="somebody", uid=54321, gid=54321)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[StackSettings]:
    """Settings of a home that does not exist yet; the run folder may come to lie elsewhere."""
    settings = _settings(tmp_path)
    yield settings
    if settings.home.exists() and settings.home.stat().st_uid == os.geteuid():
        settings.home.chmod(0o700)
        homes.remove(settings)


def _settings(folder: Path) -> StackSettings:
    return StackSettings(
        home=folder / "home",
        servers_dir=folder / "servers",
        postgres_dsn=None,
        redis_url=None,
        cache_url=None,
    )


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_is_private_and_stays(settings: StackSettings) -> None:
    """Goal: folders 0700, secrets 0600, whatever the umask; a second start changes nothing."""
    previous = os.umask(0o000)
    try:
        home = homes.prepare(settings)
    finally:
        os.umask(previous)
    secrets = sorted((home.root / "secrets").iterdir())
    assert {path.name for path in secrets} >= {"postgres-owner", "valkey-money-authz"}
    assert {_mode(path) for path in secrets} == {0o600}
    assert {_mode(path) for path in (home.root, home.root / "secrets", home.sockets)} == {0o700}
    contents = [path.read_text() for path in secrets]
    assert len(set(contents)) == len(contents)
    assert min(len(content) for content in contents) >= 43
    assert homes.prepare(settings) == home
    assert [path.read_text() for path in secrets] == contents


def test_given_servers_need_no_secret_of_ours(settings: StackSettings) -> None:
    """Goal: a Valkey that others run has its login in its URL; no file of ours may replace it."""
    given = settings.model_copy(update={"redis_url": "redis://localhost/0"})
    home = homes.prepare(given)
    names = {path.name for path in (home.root / "secrets").iterdir()}
    assert not any(name.startswith("valkey-money") for name in names)
    assert "valkey-cache-gateway" in names


def test_a_long_path_gets_a_short_run_folder(tmp_path: Path) -> None:
    """Goal: no socket path exceeds the kernel's limit; the folder is found again, and removed."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    settings = _settings(deep)
    home = homes.prepare(settings)
    assert len(os.fsencode(home.run)) <= homes.RUN_DIR_BYTES_MAX
    assert homes.prepare(settings).run == home.run
    homes.remove(settings)
    assert not home.run.exists()
    assert not home.root.exists()
    assert not home.servers.exists()


def test_open_folders_and_foreign_ones_are_refused(settings: StackSettings) -> None:
    """Goal: nobody else can plant secrets or sockets."""
    settings.home.mkdir()
    settings.home.chmod(0o777)
    with pytest.raises(DevstackError, match="others may write") as refused:
        homes.prepare(settings)
    assert "chmod" in refused.value.hint
    assert _mode(settings.home) == 0o777


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_root_does_not_take_over_a_users_home(settings: StackSettings) -> None:
    """Goal: `sudo holdfast up` on a user's home is an error, not a second empty installation."""
    settings.home.mkdir(mode=0o700)
    os.chown(settings.home, 54321, 54321)
    with pytest.raises(DevstackError, match="belongs to user 54321"):
        homes.prepare(settings)


def test_run_folder_is_cleared_of_a_killed_life(settings: StackSettings) -> None:
    """Goal: stale sockets, locks and temporary folders do not meet the next start."""
    home = homes.prepare(settings)
    (home.run / "authz-0.a.sock").touch()
    (home.sockets / "valkey-money.sock").touch()
    (home.run / "tmpabc").mkdir()
    (home.run / "tmpabc" / "file").touch()
    homes.clear_run(home)
    assert list(home.run.iterdir()) == [home.sockets]
    assert list(home.sockets.iterdir()) == []


def test_reach_needs_every_folder_on_the_way(tmp_path: Path) -> None:
    """Goal: one closed folder on the way is found, whoever closed it."""
    outer = tmp_path / "outer"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    for folder in (*tmp_path.parents, tmp_path):
        if folder.stat().st_mode & 0o001 == 0:
            assert not reaches(_NOBODY, inner)
            break
    owner = OsUser(name="owner", uid=inner.stat().st_uid, gid=inner.stat().st_gid)
    outer.chmod(0o600)
    try:
        assert not reaches(owner, inner)
    finally:
        outer.chmod(0o700)
    assert not reaches(owner, tmp_path / "missing")
