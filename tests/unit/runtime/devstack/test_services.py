"""The services of a mesh, in the order in which `holdfast restart all` replaces them."""

from __future__ import annotations

from runtime.devstack.services import mesh


def test_who_reads_is_replaced_before_who_writes() -> None:
    """A settler that does not know an entry stops its partition, and accounts may ask for movements
    that only a new authorizer knows: docs/OPERATIONS.md, "Upgrading".
    """
    names = [service.instance for service in mesh(authz_workers=2)]
    order = ["settler", "authz-0", "authz-1", "accounts", "payments"]
    assert [name for name in names if name in order] == order
