"""Secrets from HashiCorp Vault or OpenBao, KV version 2, with hvac.

A secret `token-keys` is the field `value` of `<mount>/<folder>/token-keys`. What is read once is
kept and looked at again every `REFRESH_S` by a thread, so that no call waits for Vault and nothing
ends while Vault is down. Changes are written with check-and-set: of two writers one tries again.
The token comes from a file that an agent renews, and is read anew each time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from pathlib import Path

import hvac
import requests
from hvac.exceptions import InvalidPath, InvalidRequest, VaultError

from runtime.log import get_logger
from runtime.secrets import SecretError, SecretsProvider

#: How soon a change is seen: well below the time after which new keys are used.
REFRESH_S = 10.0
TIMEOUT_S = 5
#: Writers that change one secret at the same time, at most.
ATTEMPTS_MAX = 8

_FIELD = "value"

logger = get_logger()


class VaultSecrets:
    """One KV secret per secret. What is not there is asked of `fallback`: passwords of servers that
    we start ourselves are files.
    """

    def __init__(
        self,
        address: str,
        *,
        token_file: Path,
        mount: str,
        folder: str,
        fallback: SecretsProvider,
        refresh_s: float = REFRESH_S,
    ) -> None:
        self._client = hvac.Client(url=address, timeout=TIMEOUT_S)
        self._token_file = token_file
        self._mount = mount
        self._folder = folder.strip("/")
        self._fallback = fallback
        self._lock = threading.Lock()
        #: Name to version and content; version 0: there is none.
        self._known: dict[str, tuple[int, bytes]] = {}
        self._refresh_s = refresh_s
        self._thread: threading.Thread | None = None

    def read(self, name: str) -> bytes:
        """The secret as it was a few seconds ago at most, while Vault answers."""
        version, content = self._look(name)
        return content if version else self._fallback.read(name)

    def stamp(self, name: str) -> Hashable:
        """The version."""
        version, _ = self._look(name)
        return ("vault", version) if version else self._fallback.stamp(name)

    def change(self, name: str, replace: Callable[[bytes | None], bytes]) -> bytes:
        """Replaces the newest version; a secret that the fallback has stays there."""
        if not self._look(name)[0] and self._fallback.stamp(name) is not None:
            return self._fallback.change(name, replace)
        for _ in range(ATTEMPTS_MAX):
            version, before = self._fetch(name)
            after = replace(before if version else None)
            if version and after == before:
                return after
            if self._write(name, after, version=version):
                self._known[name] = self._fetch(name)
                return after
        raise SecretError(f"secret {name} in Vault is changed by too many at once")

    def refresh(self) -> None:
        """Looks at every secret that was asked for; keeps what is known if Vault is down."""
        for name in tuple(self._known):
            try:
                self._known[name] = self._fetch(name)
            except SecretError as error:
                logger.warning("vault_unavailable", name=name, error=str(error))

    def _look(self, name: str) -> tuple[int, bytes]:
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._fetch(name)
            self._start()
        return found

    def _fetch(self, name: str) -> tuple[int, bytes]:
        with self._lock:
            try:
                self._client.token = self._token_file.read_text().strip()
                answer = self._client.secrets.kv.v2.read_secret_version(
                    f"{self._folder}/{name}", mount_point=self._mount, raise_on_deleted_version=True
                )
                data = answer["data"]
                return int(data["metadata"]["version"]), str(data["data"][_FIELD]).encode()
            except InvalidPath:
                return 0, b""
            except KeyError:
                raise SecretError(f"secret {name} in Vault has no field {_FIELD!r}") from None
            except (VaultError, requests.RequestException, OSError) as error:
                raise SecretError(_failed(name, error)) from None

    def _write(self, name: str, content: bytes, *, version: int) -> bool:
        """False if somebody else has written since `version`."""
        with self._lock:
            try:
                self._client.secrets.kv.v2.create_or_update_secret(
                    f"{self._folder}/{name}",
                    {_FIELD: content.decode()},
                    cas=version,
                    mount_point=self._mount,
                )
            except InvalidRequest as error:
                if "check-and-set" in str(error):
                    return False
                raise SecretError(_failed(name, error)) from None
            except (VaultError, requests.RequestException, OSError) as error:
                raise SecretError(_failed(name, error)) from None
        return True

    def _start(self) -> None:
        if self._thread is None and self._refresh_s:
            self._thread = threading.Thread(target=self._keep_fresh, name="vault", daemon=True)
            self._thread.start()

    def _keep_fresh(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._refresh_s):
            self.refresh()


def _failed(name: str, error: Exception) -> str:
    """Without the error's own text: it may quote what was sent."""
    return f"Vault does not give or take secret {name}: {type(error).__name__}"
