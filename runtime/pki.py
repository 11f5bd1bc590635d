"""The development CA and the certificates it issues, below `home/pki`.

Every identity is one file, `<name>.pem` (0600): private key, then certificate. One file is replaced
by one rename, so nobody ever sees a key beside the certificate of another. Envoy reads them through
`pki/sds/<name>.yaml` and notices the rename; no restart. `ca.pem` is what peers trust.

Another CA (cert-manager, SPIRE, Vault) takes its place by writing the same files: where `ca.pem`
lies without `ca.key`, nothing is issued here and nothing is overwritten.
"""

from __future__ import annotations

import fcntl
import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from runtime.certificates import (
    make_authority_certificate,
    make_leaf_certificate,
    private_pem,
)
from runtime.clock import Clock, SystemClock, datetime_of
from runtime.files import make_private_folder, write_atomically
from runtime.sds import write_sds
from runtime.settings import SERVICES, Settings

#: How long before its end a new CA takes over (the old one stays trusted until then).
CA_RENEW_BEFORE = timedelta(days=365)
#: How long before its end a certificate is renewed.
LEAF_RENEW_BEFORE = timedelta(days=30)

#: The network client that the demo, `holdfast replay` and the tests are.
DEMO_NETWORK = "demo"

_NETWORK_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LOCAL_NAMES: tuple[x509.GeneralName, ...] = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One identity in PEM, ready for `grpc.ssl_channel_credentials` or an HTTP client."""

    path: Path
    private_key: bytes
    certificate: bytes
    ca: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What a certificate says: its SPIFFE id and, for listeners, the names clients dial."""

    name: str
    spiffe_id: str
    server: bool = False
    client: bool = False

    def alternative_names(self) -> x509.SubjectAlternativeName:
        # Python's gRPC client refuses a server certificate that has only a URI.
        names = _LOCAL_NAMES if self.server else ()
        return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(self.spiffe_id), *names])

    def usages(self) -> x509.ExtendedKeyUsage:
        server = [ExtendedKeyUsageOID.SERVER_AUTH] if self.server else []
        client = [ExtendedKeyUsageOID.CLIENT_AUTH] if self.client else []
        return x509.ExtendedKeyUsage([*server, *client])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Authority:
    """The CA's key, its certificate, and all that is trusted (an older CA until it ends)."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    bundle: tuple[x509.Certificate, ...]


def pki_path(settings: Settings) -> Path:
    """The folder of certificates; Envoy watches it."""
    return settings.home / "pki"


def ca_path(settings: Settings) -> Path:
    """The PEM file of the CA certificates that clients of our listeners trust."""
    return pki_path(settings) / "ca.pem"


def identity_path(settings: Settings, name: str) -> Path:
    """The PEM file of one identity: `service-accounts`, `network-demo`, `envoy-edge`."""
    return pki_path(settings) / f"{name}.pem"


def service_spiffe_id(settings: Settings, service: str) -> str:
    """The SPIFFE id of a service of this installation."""
    return f"spiffe://{settings.trust_domain}/service/{service}"


def network_spiffe_id(settings: Settings, name: str) -> str:
    """The SPIFFE id of a card network or merchant."""
    return f"spiffe://{settings.trust_domain}/network/{name}"


def listener_spiffe_id(settings: Settings, listener: str) -> str:
    """The SPIFFE id that one of Envoy's TLS listeners shows: `edge`, `network`, `mesh`."""
    return f"spiffe://{settings.trust_domain}/envoy/{listener}"


def ensure_certificates(settings: Settings, *, clock: Clock | None = None) -> None:
    """Makes what is missing, renews what ends soon or says something else; idempotent.

    Also writes the SDS files. Safe to call again while Envoy runs: call it daily to rotate.
    """
    now = datetime_of((clock or SystemClock()).now_ms())
    with _locked(settings):
        if not _is_foreign(settings):
            authority = _ensure_authority(settings, now)
            for subject in _subjects(settings):
                _ensure_leaf(settings, subject, authority, now)
        names = [subject.name for subject in _subjects(settings)]
        write_sds(pki_path(settings), names, ca=ca_path(settings))


def rotate_certificates(settings: Settings, *, clock: Clock | None = None) -> tuple[str, ...]:
    """Replaces every certificate and its key; returns their names. Connections that stand go on
    with the old ones, which stay valid until they end.
    """
    now = datetime_of((clock or SystemClock()).now_ms())
    with _locked(settings):
        authority = _own_authority(settings, now)
        # Also those of networks, as far as their keys are ours.
        known = {subject.name: subject for subject in _subjects(settings)}
        for path in pki_path(settings).glob("network-*.pem"):
            known.setdefault(path.stem, _network(settings, path.stem.removeprefix("network-")))
        for subject in known.values():
            _issue(settings, subject, authority, now)
    return tuple(sorted(known))


def stage_authority(settings: Settings, *, clock: Clock | None = None) -> None:
    """Makes another CA, which is trusted from now on and signs nothing yet. Everybody who trusts
    `ca.pem` needs the new one before `adopt_authority`.
    """
    now = datetime_of((clock or SystemClock()).now_ms())
    with _locked(settings):
        authority = _own_authority(settings, now)
        if _next_key_path(settings).exists():
            return
        key = ec.generate_private_key(ec.SECP256R1())
        staged = make_authority_certificate(key, now)
        write_atomically(_next_key_path(settings), private_pem(key), mode=0o600)
        _write_bundle(settings, (*authority.bundle, staged))


def adopt_authority(settings: Settings, *, clock: Clock | None = None) -> tuple[str, ...]:
    """Lets the staged CA sign, and replaces every certificate. The old CA stays trusted until its
    end: connections and clients with its certificates go on. ValueError if none is staged.
    """
    now = datetime_of((clock or SystemClock()).now_ms())
    with _locked(settings):
        authority = _own_authority(settings, now)
        if not _next_key_path(settings).exists():
            raise ValueError("no CA is staged: run `holdfast keys rotate ca` first")
        key = serialization.load_pem_private_key(
            _next_key_path(settings).read_bytes(), password=None
        )
        staged = [one for one in authority.bundle if one.public_key() == key.public_key()]
        if not staged:
            raise ValueError("the staged CA is not in ca.pem: remove ca.next.key and stage anew")
        # The key goes first, as in _ensure_authority, which finds its certificate in the bundle.
        _next_key_path(settings).replace(_ca_key_path(settings))
        _write_bundle(settings, (*staged, *(one for one in authority.bundle if one not in staged)))
    return rotate_certificates(settings, clock=clock)


def issue_network_certificate(
    settings: Settings, name: str, *, clock: Clock | None = None
) -> Credentials:
    """The client certificate of a card network or merchant; made or renewed if need be."""
    if _NETWORK_NAME.fullmatch(name) is None:
        raise ValueError(f"network name {name!r}: use lower-case letters, digits and hyphens")
    now = datetime_of((clock or SystemClock()).now_ms())
    with _locked(settings):
        authority = _own_authority(settings, now)
        _ensure_leaf(settings, _network(settings, name), authority, now)
    return load_credentials(settings, f"network-{name}")


def load_credentials(settings: Settings, name: str) -> Credentials:
    """Reads one identity; the error says what to do when there is none."""
    path = identity_path(settings, name)
    try:
        content = path.read_bytes()
        ca = ca_path(settings).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"certificate {path} is missing: run `holdfast up` once") from None
    key, marker, certificate = content.partition(b"-----BEGIN CERTIFICATE-----")
    return Credentials(path=path, private_key=key, certificate=marker + certificate, ca=ca)


def _subjects(settings: Settings) -> list[_Subject]:
    services = [
        _Subject(name=f"service-{name}", spiffe_id=service_spiffe_id(settings, name), client=True)
        for name in SERVICES
    ]
    listeners = [
        _Subject(name=f"envoy-{name}", spiffe_id=listener_spiffe_id(settings, name), server=True)
        for name in ("edge", "network", "mesh")
    ]
    return [*services, *listeners, _network(settings, DEMO_NETWORK)]


def _network(settings: Settings, name: str) -> _Subject:
    return _Subject(
        name=f"network-{name}", spiffe_id=network_spiffe_id(settings, name), client=True
    )


def _ca_key_path(settings: Settings) -> Path:
    return pki_path(settings) / "ca.key"


def _next_key_path(settings: Settings) -> Path:
    return pki_path(settings) / "ca.next.key"


def _own_authority(settings: Settings, now: datetime) -> _Authority:
    if _is_foreign(settings):
        raise ValueError(f"{ca_path(settings)} is of another CA: ask that one for certificates")
    return _ensure_authority(settings, now)


def _write_bundle(settings: Settings, bundle: tuple[x509.Certificate, ...]) -> None:
    content = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in bundle)
    write_atomically(ca_path(settings), content, mode=0o644)


def _is_foreign(settings: Settings) -> bool:
    """True if somebody else's CA issues the certificates: we have its certificate only."""
    return ca_path(settings).exists() and not _ca_key_path(settings).exists()


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """Two processes that start together must not make two CAs."""
    folder = pki_path(settings)
    make_private_folder(folder)
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _ensure_authority(settings: Settings, now: datetime) -> _Authority:
    key_path = _ca_key_path(settings)
    bundle: tuple[x509.Certificate, ...] = ()
    if key_path.exists() and ca_path(settings).exists():
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey), "ca.key is an EC key"
        bundle = tuple(x509.load_pem_x509_certificates(ca_path(settings).read_bytes()))
        # The key's own, wherever it stands: a CA that is adopted has its key in place first.
        own = [one for one in bundle if one.public_key() == key.public_key()]
        if own and own[0].not_valid_after_utc - now > CA_RENEW_BEFORE:
            return _Authority(key=key, certificate=own[0], bundle=bundle)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = make_authority_certificate(key, now)
    kept = tuple(old for old in bundle if old.not_valid_after_utc > now)
    bundle = (certificate, *kept)
    # The key goes first: a crash in between leaves a pair that does not match, and is made anew.
    write_atomically(key_path, private_pem(key), mode=0o600)
    _write_bundle(settings, bundle)
    return _Authority(key=key, certificate=certificate, bundle=bundle)


def _ensure_leaf(
    settings: Settings, subject: _Subject, authority: _Authority, now: datetime
) -> None:
    path = identity_path(settings, subject.name)
    if not path.exists() or not _is_current(path, subject, authority, now):
        _issue(settings, subject, authority, now)


def _issue(settings: Settings, subject: _Subject, authority: _Authority, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = make_leaf_certificate(
        authority.certificate,
        authority.key,
        public_key=key.public_key(),
        name=subject.name,
        alternative_names=subject.alternative_names(),
        usages=subject.usages(),
        now=now,
    )
    content = private_pem(key) + certificate.public_bytes(serialization.Encoding.PEM)
    write_atomically(identity_path(settings, subject.name), content, mode=0o600)


def _is_current(path: Path, subject: _Subject, authority: _Authority, now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        certificate.verify_directly_issued_by(authority.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    ends_late_enough = certificate.not_valid_after_utc - now > LEAF_RENEW_BEFORE
    return names == subject.alternative_names() and ends_late_enough
