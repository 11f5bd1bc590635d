"""The Vault provider against recorded exchanges: no Vault server is to be had from the registries.

The recordings follow the API documentation of KV version 2 (paths, bodies, status codes), which
Vault and OpenBao share.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runtime.clock import ManualClock
from runtime.key_ring import SETTLE_MS, key_ring
from runtime.secrets import FileSecrets, SecretError
from runtime.vault import VaultSecrets

TOKEN = "hvs.recorded"
CAS_MISMATCH = "check-and-set parameter did not match the current version"


class Recorded:
    """Plays Vault: keeps versions, answers in its words."""

    def __init__(self) -> None:
        self.versions: dict[str, list[dict[str, str]]] = {}
        self.requests: list[tuple[str, str]] = []
        self.down = False
        #: Somebody else writes this right before our next write.
        self.interloper: dict[str, str] | None = None

    def answer(self, verb: str, path: str, token: str, body: dict[str, Any]) -> tuple[int, Any]:
        self.requests.append((verb, path))
        if self.down:
            return 503, {"errors": ["Vault is sealed"]}
        if token != TOKEN:
            return 403, {"errors": ["permission denied"]}
        kept = self.versions.setdefault(path, [])
        if verb == "GET":
            if not kept:
                return 404, {"errors": []}
            metadata = {
                "created_time": "2026-01-01T00:00:00Z",
                "custom_metadata": None,
                "deletion_time": "",
                "destroyed": False,
                "version": len(kept),
            }
            return 200, {"request_id": "1", "data": {"data": kept[-1], "metadata": metadata}}
        if self.interloper is not None:
            kept.append(self.interloper)
            self.interloper = None
        if body["options"]["cas"] != len(kept):
            return 400, {"errors": [CAS_MISMATCH]}
        kept.append(body["data"])
        return 200, {"data": {"version": len(kept)}}


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def address(recorded: Recorded) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def _play(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            token = self.headers.get("X-Vault-Token", "")
            status, answer = recorded.answer(self.command, self.path, token, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _play  # noqa: N815 - names of the library

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def vault(address: str, tmp_path: Path) -> VaultSecrets:
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    files = FileSecrets(tmp_path / "secrets")
    return VaultSecrets(
        address,
        token_file=token_file,
        mount="kv",
        folder="/holdfast/",
        fallback=files,
        refresh_s=0,
    )


PATH = "/v1/kv/data/holdfast/ring"


def test_a_ring_lives_in_vault(vault: VaultSecrets, recorded: Recorded) -> None:
    clock = ManualClock()
    ring = key_ring(vault, "ring", clock)
    first = ring.current
    assert next(verb for verb, path in recorded.requests if path == PATH) == "GET"
    assert len(recorded.versions[PATH]) == 1
    asked = len(recorded.requests)
    for _ in range(10):
        ring.mac(b"content")
    assert len(recorded.requests) == asked, "no use of a key asks Vault"
    second = ring.rotate()
    clock.advance(2 * SETTLE_MS)
    assert ring.current == second
    assert ring.keys == (first, second)
    assert len(recorded.versions[PATH]) == 2


def test_a_change_by_others_is_seen_and_nothing_is_lost(
    vault: VaultSecrets, recorded: Recorded
) -> None:
    assert vault.change("ring", lambda before: (before or b"") + b"a") == b"a"
    recorded.interloper = {"value": "theirs"}
    assert vault.change("ring", lambda before: (before or b"") + b"b") == b"theirsb"
    stamp = vault.stamp("ring")
    recorded.versions[PATH].append({"value": "newest"})
    assert vault.read("ring") == b"theirsb"
    vault.refresh()
    assert vault.read("ring") == b"newest"
    assert vault.stamp("ring") != stamp


def test_what_is_known_stays_while_vault_is_down(vault: VaultSecrets, recorded: Recorded) -> None:
    vault.change("ring", lambda _: b"secret content")
    recorded.down = True
    vault.refresh()
    assert vault.read("ring") == b"secret content"
    with pytest.raises(SecretError, match="other") as refused:
        vault.read("other")
    assert "sealed" not in str(refused.value)
    with pytest.raises(SecretError, match="ring"):
        vault.change("ring", lambda _: b"new")
    assert vault.read("ring") == b"secret content"


def test_files_stand_in_for_what_vault_lacks(
    vault: VaultSecrets, recorded: Recorded, tmp_path: Path
) -> None:
    FileSecrets(tmp_path / "secrets").change("postgres-owner", lambda _: b"file")
    assert vault.read("postgres-owner") == b"file"
    assert vault.change("postgres-owner", lambda _: b"file2") == b"file2"
    assert "/v1/kv/data/holdfast/postgres-owner" not in {
        path for path, kept in recorded.versions.items() if kept
    }
    with pytest.raises(SecretError, match="missing"):
        vault.read("nowhere")


def test_the_token_is_read_anew(vault: VaultSecrets, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hvs.expired")
    with pytest.raises(SecretError, match="Forbidden"):
        vault.read("ring")
    (tmp_path / "token").write_text(TOKEN)
    assert vault.change("ring", lambda _: b"x") == b"x"
