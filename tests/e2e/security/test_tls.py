"""TLS as it is served, in the judgement of sslyze and Mozilla's recommended configurations."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import pki
from runtime.devstack.supervisor import Devstack

ROOT = Path(__file__).resolve().parents[3]
SSLYZE = ROOT / ".venv" / "security" / "bin" / "sslyze"


@pytest.fixture(scope="module")
def sslyze() -> Path:
    """It has an environment of its own, made when it is missing."""
    command = [sys.executable, str(ROOT / "tools" / "security.py"), "install"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    if done.returncode != 0:
        pytest.skip(f"sslyze: {done.stderr.strip()}")
    return SSLYZE


async def _judged(
    mesh: Devstack, sslyze: Path, tmp_path: Path, listener: str, configuration: str
) -> tuple[int, str]:
    """Exit code and conclusion: 0 if the listener is as the configuration says."""
    shown = pki.load_credentials(mesh.settings, "network-demo")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(shown.certificate)
    key.write_bytes(shown.private_key)
    client = ("--cert", certificate, "--key", key) if listener != "edge_https" else ()
    trust = ("--certinfo_ca_file", pki.ca_path(mesh.settings))
    process = await asyncio.create_subprocess_exec(
        *(sslyze, f"--mozilla_config={configuration}", *trust, *client),
        f"localhost:{mesh.ports[listener]}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode().partition("COMPLIANCE")[2]


@pytest.mark.parametrize(
    ("listener", "configuration"),
    [("network", "modern"), ("mesh", "modern"), ("edge_https", "intermediate")],
)
async def test_a_listener_is_as_mozilla_recommends(
    full_mesh: Devstack, sslyze: Path, tmp_path: Path, listener: str, configuration: str
) -> None:
    code, conclusion = await _judged(full_mesh, sslyze, tmp_path, listener, configuration)
    assert code == 0, conclusion
    assert "Compliant" in conclusion


async def test_sslyze_does_find_fault(full_mesh: Devstack, sslyze: Path, tmp_path: Path) -> None:
    """The edge takes TLS 1.2, which is not modern."""
    code, conclusion = await _judged(full_mesh, sslyze, tmp_path, "edge_https", "modern")
    assert code == 1
    assert "TLSv1.2" in conclusion
