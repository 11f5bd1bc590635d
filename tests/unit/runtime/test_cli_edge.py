"""`holdfast token` and `holdfast envoy` as people and scripts see them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
import yaml


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def _holdfast(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from runtime.cli.main import main; main()", *arguments],
        env={"PATH": os.environ["PATH"], "HOLDFAST_HOME": str(home), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_token_is_one_line(home: Path) -> None:
    done = _holdfast(home, "token", "--subject", "usr_a", "--role", "admin", "--role", "auditor")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    claims = jwt.decode(done.stdout.strip(), options={"verify_signature": False})
    assert (claims["sub"], claims["roles"]) == ("usr_a", "admin auditor")
    assert claims["exp"] - claims["iat"] == 300


def test_a_token_as_json(home: Path) -> None:
    arguments = ("token", "--subject", "usr_a", "--role", "merchant", "--ttl", "60", "--json")
    document = json.loads(_holdfast(home, *arguments).stdout)
    assert document["expires_in_s"] == 60
    kid = jwt.get_unverified_header(document["token"])["kid"]
    assert kid in (home / "secrets" / "token-keys").read_text()
    # The key is kept: a second token names the same one.
    again = json.loads(_holdfast(home, *arguments).stdout)
    assert jwt.get_unverified_header(again["token"])["kid"] == kid


def test_keys_are_rotated(home: Path) -> None:
    """Nothing has to run: files change, and whoever reads them notices."""
    assert _holdfast(home, "token", "--subject", "usr_a", "--role", "admin").returncode == 0
    done = _holdfast(home, "keys", "rotate", "--json")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == {"token", "certificates"}
    ring = json.loads((home / "secrets" / "token-keys").read_text())
    assert len(ring["keys"]) == 2
    assert "staged" in _holdfast(home, "keys", "rotate", "ca").stdout
    assert _holdfast(home, "keys", "rotate", "ca", "--adopt").returncode == 0
    for arguments, says in (
        (("ca", "--adopt"), "no CA is staged"),
        (("token", "--adopt"), "--adopt goes with ca"),
        (("postgres-owner",), "no key ring"),
        (("../token-keys",), "no key ring"),
    ):
        refused = _holdfast(home, "keys", "rotate", *arguments)
        assert refused.returncode != 0
        assert says in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--subject", "alice", "--role", "admin"), "subject"),
        (("--subject", "usr_a", "--role", "root"), "roles"),
        (("--subject", "usr_a", "--role", "admin", "--ttl", "9999"), "lifetime"),
        (("--subject", "usr_a", "--role", "admin", "--home", "/nonexistent"), "no installation"),
    ],
)
def test_a_refused_token_says_why(home: Path, arguments: tuple[str, ...], says: str) -> None:
    done = _holdfast(home, "token", *arguments, "--json")
    assert done.returncode == 2
    assert says in json.loads(done.stdout)["error"]["message"]
    assert "Traceback" not in done.stderr


def test_the_configuration_is_rendered_and_checked(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "envoy.yaml"
    assert _holdfast(home, "envoy", "render", "--output", str(file)).returncode == 0
    shown = _holdfast(home, "envoy", "render").stdout
    assert file.read_text() == shown
    assert yaml.safe_load(shown)["node"]["cluster"] == "holdfast"
    assert json.loads(_holdfast(home, "envoy", "validate", "--json").stdout)["valid"] is True
    assert _holdfast(home, "envoy", "validate", str(file)).returncode == 0


def test_a_broken_configuration_is_named(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "envoy.yaml"
    file.write_text("nope: 1")
    done = _holdfast(home, "envoy", "validate", str(file))
    assert done.returncode == 1
    assert "no such field: 'nope'" in " ".join(done.stderr.split())
    assert _holdfast(home, "envoy", "validate", str(tmp_path / "none.yaml")).returncode == 2
