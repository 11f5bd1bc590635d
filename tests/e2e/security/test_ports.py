"""Every port that the mesh opens, asked in plaintext."""

from __future__ import annotations

import asyncio

import psutil

from runtime.devstack.supervisor import Devstack

#: What a scanner sends: HTTP/1, HTTP/2, Redis, PostgreSQL's SSLRequest.
PROBES = (
    b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"PING\r\n",
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
)
#: The demo's edge, and the metrics of all processes: both on loopback.
PLAINTEXT = ("edge_http", "metrics")


def _processes(mesh: Devstack) -> list[psutil.Process]:
    """Those of this mesh: servers and services name one of its folders."""
    folders = (str(mesh.settings.home), str(mesh.settings.run_path))
    found = []
    for one in psutil.Process().children(recursive=True):
        try:
            told = " ".join((*one.cmdline(), *one.environ().values(), *one.cwd().split("\n")))
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
        if any(folder in told for folder in folders):
            found.append(one)
    return found


async def _answers(port: int, probe: bytes) -> bool:
    """True if anything but a TLS alert comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(probe)
    try:
        answer = await asyncio.wait_for(reader.read(1024), 1)
    except (TimeoutError, ConnectionResetError):
        return False
    finally:
        writer.close()
    return bool(answer) and answer[:1] != b"\x15"


async def test_only_the_demo_answers_plaintext(full_mesh: Devstack) -> None:
    """All TCP ports of all processes of the mesh; they are on loopback, and Envoy's alone."""
    processes = _processes(full_mesh)
    names = {one.name() for one in processes}
    assert len(processes) > 5, names
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for one in processes
        for connection in one.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert full_mesh.ports is not None
    assert listening == {("127.0.0.1", port) for port in full_mesh.ports.values()}, names

    ports = list(full_mesh.ports.items())
    asked = [(name, port, probe) for name, port in ports for probe in PROBES]
    answers = await asyncio.gather(*(_answers(port, probe) for _, port, probe in asked))
    talking = {name for (name, _, _), answered in zip(asked, answers, strict=True) if answered}
    assert talking == set(PLAINTEXT)
