"""The process of the Stripe emulator, and what tells payments of it."""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import httpx

from runtime.devstack import environment
from runtime.devstack.errors import StartFailedError
from runtime.devstack.home import Home
from runtime.devstack.process import ProcessSpec
from runtime.devstack.settings import StackSettings
from runtime.files import write_atomically

INSTANCE = "stripe"
KEY, HOOK_SECRET = "stripe-key", "stripe-webhook"
_HOST = "127.0.0.1"
_TEST_KEY = "sk_test_"
_HOOK_PATH = "/v1/hooks/stripe"
_PROBE_S = 1.0
_CHECKOUT = Path(__file__).resolve().parents[2]


def spec(home: Home, settings: StackSettings, *, ports: Mapping[str, int]) -> ProcessSpec:
    """Its process, on a free port; `listens` is its URL."""
    if find_spec("localstripe") is None:
        raise StartFailedError(
            "localstripe is not installed", hint="`make setup` installs what development needs"
        )
    _ensure_secrets(settings)
    with socket.create_server((_HOST, 0)) as held:
        port = held.getsockname()[1]
    url = f"http://{_HOST}:{port}"
    return ProcessSpec(
        instance=INSTANCE,
        argv=(
            *(sys.executable, "-m", "runtime.devstack.stripe_emulator", "--port", str(port)),
            *("--data", str(home.root / "stripe-emulator")),
            *("--hook", f"http://{_HOST}:{ports['edge_http']}{_HOOK_PATH}"),
            *("--secret-file", str(settings.secret_path(HOOK_SECRET))),
        ),
        env=environment.of_server(settings),
        cwd=_CHECKOUT,
        log=home.log(INSTANCE),
        listens=url,
        ready=lambda: _answers(url),
        stop_timeout_s=3.0,
    )


def settings_of_services(url: str) -> dict[str, str]:
    """What services are started with, so that they charge there."""
    return {"HOLDFAST_PAYMENTS_STRIPE": "on", "HOLDFAST_PAYMENTS_STRIPE_URL": url}


def _ensure_secrets(settings: StackSettings) -> None:
    key = settings.secret_path(KEY)
    if key.exists() and not key.read_text().startswith(_TEST_KEY):
        raise StartFailedError(
            f"{key} is no test key: it must not be shown to an emulator",
            hint="use another --home, or start without the emulator",
        )
    for path, begin in ((key, _TEST_KEY), (settings.secret_path(HOOK_SECRET), "whsec_")):
        if not path.exists():
            write_atomically(path, f"{begin}{secrets.token_hex(16)}".encode(), mode=0o600)


async def _answers(url: str) -> bool:
    async with httpx.AsyncClient(timeout=_PROBE_S, trust_env=False) as client:
        try:
            await client.get(f"{url}/v1/balance")
        except httpx.HTTPError:
            return False
    return True
