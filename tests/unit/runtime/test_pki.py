"""Development certificates: what they say, who may read them, when they are renewed."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from runtime import pki
from runtime.clock import ManualClock
from runtime.settings import SERVICES, Settings

DAY_MS = int(timedelta(days=1).total_seconds() * 1000)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def _certificate(settings: Settings, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pki.identity_path(settings, name).read_bytes())


def _names(settings: Settings, name: str) -> x509.SubjectAlternativeName:
    extensions = _certificate(settings, name).extensions
    return extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def _content(settings: Settings) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in settings.home.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "spiffe_id"),
    [
        *(
            (f"service-{service}", f"spiffe://holdfast.local/service/{service}")
            for service in SERVICES
        ),
        ("network-demo", "spiffe://holdfast.local/network/demo"),
    ],
)
def test_a_client_has_one_name(settings: Settings, name: str, spiffe_id: str) -> None:
    pki.ensure_certificates(settings)
    names = _names(settings, name)
    assert list(names) == [x509.UniformResourceIdentifier(spiffe_id)]


@pytest.mark.parametrize("listener", ["edge", "network", "mesh"])
def test_a_listener_has_the_names_that_clients_dial(settings: Settings, listener: str) -> None:
    pki.ensure_certificates(settings)
    names = _names(settings, f"envoy-{listener}")
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == [f"spiffe://holdfast.local/envoy/{listener}"]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    assert addresses == ["127.0.0.1", "::1"]


def test_keys_are_private(settings: Settings) -> None:
    pki.ensure_certificates(settings)
    folder = pki.pki_path(settings)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.glob("*"):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_nothing_changes_the_second_time(settings: Settings, clock: ManualClock) -> None:
    pki.ensure_certificates(settings, clock=clock)
    before = _content(settings)
    clock.advance(59 * DAY_MS)
    pki.ensure_certificates(settings, clock=clock)
    assert _content(settings) == before


def test_a_certificate_is_renewed_before_it_ends(settings: Settings, clock: ManualClock) -> None:
    pki.ensure_certificates(settings, clock=clock)
    before, ca = _certificate(settings, "service-accounts"), pki.ca_path(settings).read_bytes()
    clock.advance(61 * DAY_MS)
    pki.ensure_certificates(settings, clock=clock)
    after = _certificate(settings, "service-accounts")
    assert after.not_valid_after_utc > before.not_valid_after_utc
    assert pki.ca_path(settings).read_bytes() == ca


def test_an_old_ca_stays_trusted_beside_the_new_one(settings: Settings, clock: ManualClock) -> None:
    pki.ensure_certificates(settings, clock=clock)
    (old,) = x509.load_pem_x509_certificates(pki.ca_path(settings).read_bytes())
    clock.advance(3650 * DAY_MS - 364 * DAY_MS)
    pki.ensure_certificates(settings, clock=clock)
    new, kept = x509.load_pem_x509_certificates(pki.ca_path(settings).read_bytes())
    assert kept == old
    _certificate(settings, "network-demo").verify_directly_issued_by(new)


def test_another_trust_domain_gets_other_certificates(settings: Settings) -> None:
    pki.ensure_certificates(settings)
    renamed = settings.model_copy(update={"trust_domain": "bank.example"})
    pki.ensure_certificates(renamed)
    names = _names(renamed, "service-authz")
    assert list(names) == [x509.UniformResourceIdentifier("spiffe://bank.example/service/authz")]


@pytest.mark.parametrize("damage", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\nAA\n"])
def test_a_damaged_certificate_is_replaced(settings: Settings, damage: bytes) -> None:
    pki.ensure_certificates(settings)
    pki.identity_path(settings, "service-authz").write_bytes(damage)
    pki.ensure_certificates(settings)
    assert _certificate(settings, "service-authz")


def test_a_foreign_ca_is_left_alone(settings: Settings) -> None:
    """Certificates that others issue are never overwritten; ours cannot be issued."""
    pki.ensure_certificates(settings)
    (pki.pki_path(settings) / "ca.key").unlink()
    pki.identity_path(settings, "service-authz").write_bytes(b"theirs")
    pki.ensure_certificates(settings)
    assert pki.identity_path(settings, "service-authz").read_bytes() == b"theirs"
    with pytest.raises(ValueError, match="another CA"):
        pki.issue_network_certificate(settings, "visa")


@pytest.mark.parametrize("name", ["", "Visa", "a/b", "../x", "a b", "-a", "a" * 64, "ä"])
def test_a_network_needs_a_plain_name(settings: Settings, name: str) -> None:
    with pytest.raises(ValueError, match="network name"):
        pki.issue_network_certificate(settings, name)


def test_a_network_gets_its_credentials(settings: Settings) -> None:
    credentials = pki.issue_network_certificate(settings, "visa")
    assert credentials.private_key.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert credentials.certificate.startswith(b"-----BEGIN CERTIFICATE-----")
    assert b"PRIVATE" not in credentials.certificate
    assert credentials.ca == pki.ca_path(settings).read_bytes()
    assert pki.issue_network_certificate(settings, "visa") == credentials


def test_envoy_finds_every_identity(settings: Settings) -> None:
    pki.ensure_certificates(settings)
    for path in (pki.pki_path(settings) / "sds").glob("*.yaml"):
        (secret,) = yaml.safe_load(path.read_text())["resources"]
        assert secret["name"] == path.stem
        if path.stem == "ca":
            assert secret["validation_context"]["trusted_ca"]["filename"].endswith("/ca.pem")
        else:
            chain = secret["tls_certificate"]["certificate_chain"]["filename"]
            assert chain == str(pki.identity_path(settings, path.stem))
