"""Connection URLs: logins are put in and taken out without a trace."""

from __future__ import annotations

import pytest

from runtime import dsn

_SOCKET = "postgresql:///holdfast?host=%2Frun%2Fdb"
_TCP = "postgres://owner:p%40ss@db.example:5433/bank?sslmode=require"


def test_socket_url() -> None:
    """Goal: a server is named by the folder of its socket."""
    assert dsn.of_socket("/run/db", database="holdfast") == _SOCKET


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (_SOCKET, "postgresql://holdfast_authz:s%2Fcret@/holdfast?host=%2Frun%2Fdb"),
        (_TCP, "postgres://holdfast_authz:s%2Fcret@db.example:5433/bank?sslmode=require"),
    ],
)
def test_login_replaces_login(url: str, expected: str) -> None:
    """Goal: the owner's login is gone, the new one is quoted, the rest stays."""
    assert dsn.with_login(url, user="holdfast_authz", password="s/cret") == expected


@pytest.mark.parametrize(
    "url",
    [
        _TCP,
        "postgres://db.example:5433/bank?user=owner&password=p%40ss&sslmode=require",
        "postgres://db.example:5433/bank?passfile=%2Fx&sslmode=require",
    ],
)
def test_no_login_is_left(url: str) -> None:
    """Goal: whichever way the password came in, it does not go out to services."""
    assert dsn.without_login(url) == "postgres://db.example:5433/bank?sslmode=require"


def test_database_and_parameters() -> None:
    """Goal: the other parts are read and replaced one by one."""
    assert dsn.with_database(_SOCKET, "test_1") == "postgresql:///test_1?host=%2Frun%2Fdb"
    assert dsn.database_of(_TCP) == "bank"
    assert dsn.database_of("postgresql://localhost") == ""
    changed = dsn.with_parameters(_TCP, sslmode="disable", lock_timeout="4000")
    assert dsn.parameters_of(changed) == {"sslmode": "disable", "lock_timeout": "4000"}
