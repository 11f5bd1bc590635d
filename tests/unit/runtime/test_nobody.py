"""A call without identity is nobody's, whoever was called last in the same context."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.errors import Unauthenticated
from runtime.identity import Identity, find_identity, set_identity
from runtime.interceptors import IdentityInterceptor


class _WithoutMetadata:
    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()


async def test_the_last_caller_is_not_named() -> None:
    async def method(request: Any, context: Any) -> Any:
        raise AssertionError((request, context))

    set_identity(Identity(principal="usr_before", roles=frozenset({"admin"})), "/Before")
    with pytest.raises(Unauthenticated):
        await IdentityInterceptor(None).intercept(method, None, _WithoutMetadata(), "/Now")
    found = find_identity()
    assert found is not None
    assert (found.principal, found.roles) == ("", frozenset())
