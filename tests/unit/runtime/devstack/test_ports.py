"""Choice of ports."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from runtime.devstack import ports
from runtime.devstack.errors import DevstackError, PortTakenError
from runtime.devstack.settings import LISTENERS, StackSettings


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener.getsockname()[1]


def test_zero_takes_five_different_free_ports() -> None:
    """Goal: every listener gets a port of its own."""
    chosen = ports.choose(StackSettings(), first=0)
    assert tuple(chosen) == LISTENERS
    assert len(set(chosen.values())) == len(LISTENERS)


def test_a_number_counts_up() -> None:
    """Goal: `--port N` is predictable."""
    free = ports.choose(StackSettings(), first=0)["edge_https"]
    for first in range(free, free + 200, 5):
        try:
            chosen = ports.choose(StackSettings(), first=first)
        except PortTakenError:
            continue
        assert list(chosen.values()) == list(range(first, first + len(LISTENERS)))
        return
    pytest.fail("no five free ports in a row")


def test_a_taken_port_is_named(taken: int) -> None:
    """Goal: the error says which port, whose listener, and what to do."""
    settings = StackSettings(
        edge_https_port=0, edge_http_port=0, network_port=taken, mesh_port=0, metrics_port=0
    )
    with pytest.raises(PortTakenError, match=f"port {taken} \\(network\\)") as refused:
        ports.choose(settings)
    assert "HOLDFAST_NETWORK_PORT" in refused.value.hint


def test_no_room_is_an_error() -> None:
    """Goal: the last ports of the range do not wrap around."""
    with pytest.raises(DevstackError, match="no room"):
        ports.choose(StackSettings(), first=65533)
