"""Secrets and key rings: who may read them, what rotation does, what does not open."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.clock import ManualClock
from runtime.key_ring import SETTLE_MS, VERSIONS_MAX, KeyRing, RingError, key_of, key_ring
from runtime.secrets import EnvironmentSecrets, FileSecrets, SecretError, secrets_of
from runtime.settings import Settings

DAY_MS = 86_400_000


@pytest.fixture
def files(tmp_path: Path) -> FileSecrets:
    return FileSecrets(tmp_path / "secrets")


def test_files_are_private_and_changes_are_seen(files: FileSecrets, tmp_path: Path) -> None:
    assert files.stamp("one") is None
    with pytest.raises(SecretError, match="secrets/one is missing"):
        files.read("one")
    assert files.change("one", lambda before: before or b"first") == b"first"
    assert files.change("one", lambda before: before or b"second") == b"first"
    path = tmp_path / "secrets" / "one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    stamp = files.stamp("one")
    assert files.stamp("one") == stamp
    files.change("one", lambda _: b"other")
    assert files.stamp("one") != stamp
    assert files.read("one") == b"other"


@pytest.mark.parametrize("name", ["", "../token-keys", "a/b", "A", "a--b", ".lock"])
def test_names_lead_nowhere_else(files: FileSecrets, name: str) -> None:
    with pytest.raises(AssertionError):
        files.read(name)


def test_the_environment_comes_first_and_stays(files: FileSecrets) -> None:
    files.change("postgres-authz", lambda _: b"file")
    files.change("other", lambda _: b"file")
    secrets = EnvironmentSecrets(files, {"HOLDFAST_SECRET_POSTGRES_AUTHZ": "environment"})
    assert secrets.read("postgres-authz") == b"environment"
    assert secrets.read("other") == b"file"
    assert secrets.stamp("postgres-authz") is not None
    assert secrets.change("postgres-authz", lambda before: before or b"") == b"environment"
    with pytest.raises(SecretError, match="HOLDFAST_SECRET_POSTGRES_AUTHZ") as refused:
        secrets.change("postgres-authz", lambda _: b"new")
    assert "environment:" in str(refused.value)


def test_settings_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_SECRET_TOKEN", "value")
    assert secrets_of(Settings(home=tmp_path)).stamp("token") is None
    chosen = secrets_of(Settings(home=tmp_path, secrets="environment"))
    assert chosen.read("token") == b"value"


def test_many_processes_make_one_first_version(files: FileSecrets) -> None:
    clock = ManualClock()
    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(lambda _: key_ring(files, "ring", clock), range(16)))
    assert len({ring.current.id for ring in rings}) == 1


def test_rotation_is_seen_at_once_and_used_when_settled(files: FileSecrets) -> None:
    clock = ManualClock()
    ring, operator = key_ring(files, "ring", clock), KeyRing(files, "ring", clock)
    first = ring.current
    sealed, (_, digest) = ring.seal(b"text", context=b"here"), ring.mac(b"token")
    clock.advance(1)
    second = operator.rotate()
    assert ring.keys == (first, second)
    assert ring.current == first
    clock.advance(SETTLE_MS)
    assert ring.current == second
    assert ring.open(sealed, context=b"here") == b"text"
    assert ring.macs(b"token")[first.id] == digest
    assert key_of(ring.seal(b"text", context=b"here")) == second.id
    assert operator.prune(unused_ms=DAY_MS) == ()
    clock.advance(DAY_MS)
    assert operator.prune(unused_ms=DAY_MS) == (first.id,)
    assert ring.find(first.id) is None
    with pytest.raises(ValueError, match="does not have"):
        ring.open(sealed, context=b"here")


@given(content=st.binary(max_size=200), flipped=st.integers(min_value=0))
def test_what_is_sealed_opens_only_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, flipped: int
) -> None:
    """Any changed bit and any other context is refused."""
    ring = key_ring(FileSecrets(tmp_path_factory.mktemp("ring")), "ring", ManualClock())
    sealed = ring.seal(content, context=b"user:1")
    assert ring.open(sealed, context=b"user:1") == content
    assert content not in sealed or not content or len(content) < 8
    with pytest.raises(ValueError, match="sealed"):
        ring.open(sealed, context=b"user:2")
    changed = bytearray(sealed)
    bit = flipped % (8 * len(sealed))
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match="sealed"):
        ring.open(bytes(changed), context=b"user:1")


@pytest.mark.parametrize("content", [b"", b"junk", b"[]", b'{"keys":[]}', b'{"keys":[{"id":"x"}]}'])
def test_what_is_no_ring_says_only_its_name(files: FileSecrets, content: bytes) -> None:
    files.change("ring", lambda _: content)
    with pytest.raises(RingError, match="ring") as refused:
        KeyRing(files, "ring", ManualClock()).keys  # noqa: B018
    assert content.decode() not in str(refused.value) or not content


def test_a_ring_is_bounded_and_prints_no_secret(files: FileSecrets) -> None:
    clock = ManualClock()
    ring = key_ring(files, "ring", clock)
    for _ in range(VERSIONS_MAX - 1):
        ring.rotate()
    with pytest.raises(RingError, match="prune"):
        ring.rotate()
    assert "secret" not in repr(ring.current)
