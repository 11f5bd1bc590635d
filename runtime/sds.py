"""Envoy's secret discovery by files: one small file per secret, which Envoy watches for renames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from runtime.files import make_private_folder, write_atomically

#: Name of the secret that holds the trusted CA certificates.
CA_SECRET = "ca"  # noqa: S105 - a name, not a secret

_SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105


def write_sds(pki: Path, names: Sequence[str], *, ca: Path) -> None:
    """Writes `pki/sds/<name>.yaml` for each identity and for the CA; unchanged files stay."""
    folder = pki / "sds"
    make_private_folder(folder)
    # Renames in this folder make Envoy read the certificate again.
    watched = {"watched_directory": {"path": str(pki)}}
    for name in names:
        file = str(pki / f"{name}.pem")
        certificate = {
            "certificate_chain": {"filename": file},
            "private_key": {"filename": file},
            **watched,
        }
        _write(folder, name, {"tls_certificate": certificate})
    trusted = {"trusted_ca": {"filename": str(ca)}, **watched}
    _write(folder, CA_SECRET, {"validation_context": trusted})


def _write(folder: Path, name: str, secret: dict[str, Any]) -> None:
    resource = {"@type": _SECRET_TYPE, "name": name, **secret}
    content = yaml.safe_dump({"resources": [resource]}, sort_keys=False).encode()
    path = folder / f"{name}.yaml"
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content, mode=0o600)
