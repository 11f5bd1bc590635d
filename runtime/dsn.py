"""PostgreSQL connection URLs: whose login they carry, and to which database they lead."""

from __future__ import annotations

from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit, urlunsplit

#: Query parameters that are a login in disguise.
_LOGIN_PARAMETERS = ("user", "password", "passfile")


def of_socket(folder: str, *, database: str) -> str:
    """URL without login of the server whose unix socket lies in `folder`."""
    return f"postgresql:///{quote(database)}?{urlencode({'host': folder})}"


def with_login(dsn: str, *, user: str, password: str) -> str:
    """The same server and database, logged in as `user`."""
    parts = urlsplit(without_login(dsn))
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    return _join(parts.scheme, login + parts.netloc, parts.path, parts.query)


def without_login(dsn: str) -> str:
    """The same server and database, without user and password."""
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    fields = {k: v for k, v in parse_qs(parts.query).items() if k not in _LOGIN_PARAMETERS}
    return _join(parts.scheme, host, parts.path, urlencode(fields, doseq=True))


def with_database(dsn: str, database: str) -> str:
    """The same server and login, another database."""
    parts = urlsplit(dsn)
    return _join(parts.scheme, parts.netloc, f"/{quote(database)}", parts.query)


def with_parameters(dsn: str, **parameters: str) -> str:
    """The same URL with query parameters added or replaced."""
    parts = urlsplit(dsn)
    fields = parse_qs(parts.query) | {name: [value] for name, value in parameters.items()}
    return _join(parts.scheme, parts.netloc, parts.path, urlencode(fields, doseq=True))


def database_of(dsn: str) -> str:
    """Name of the database, empty when the URL names none."""
    return unquote(urlsplit(dsn).path.lstrip("/"))


def parameters_of(dsn: str) -> dict[str, str]:
    """The query parameters; of a repeated one the last."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(dsn).query).items()}


def _join(scheme: str, netloc: str, path: str, query: str) -> str:
    # urlunsplit drops the empty authority of `postgresql:///db`.
    if netloc:
        return urlunsplit((scheme, netloc, path, query, ""))
    return f"{scheme}://{path}" + (f"?{query}" if query else "")
