"""What Schemathesis is told about this API when it calls one operation after another.

It loads this module by itself (SCHEMATHESIS_HOOKS). Random requests hardly ever make anything, so
bodies start from the document's own examples, what must be new in each is new, and ids are such as
answers had. Deleting is a POST here, which Schemathesis does not know: its two checks of what is
there, and what no longer, are made anew.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from typing import Any

import schemathesis

#: Fields that nobody else may have, by what they look like.
_OWN = {
    "request_id": "fuzz-{}",
    "email": "{}@example.com",
    "registration_number": "HRB {}",
    "display_name": "Name {}",
    "reference": "old-{}",
    "clearing_reference": "clr-{}",
    "bank_reference": "bank-{}",
}
#: What ids in bodies may be ids of, if their names do not say.
_OF = {
    "owner_id": ("user_id", "company_id"),
    "subject_id": ("account_id", "card_id", "user_id", "company_id", "programme_id"),
}
#: Ids that the next call may choose from: older things tend to be closed.
_RECENT = 4
_LAST = re.compile(r"\{([a-z_]+)\}$")
_DELETE = ":delete"
#: Ids that answers had, by what they are called in paths, and what is deleted of them.
_told: dict[str, list[str]] = json.loads(os.environ.get("FUZZ_IDS", "{}"))
_deleted: set[str] = set()
_calls = itertools.count()


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Chains begin with what needs nothing: Schemathesis takes `…_id` in a body for something that
    must be made before, so those go (they come from `map_body`), but for request ids of what is
    done to something: nothing makes these, so it is only done to what a link names.
    """
    for path, verbs in raw_schema["paths"].items():
        for operation in verbs.values():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            properties = content["schema"].get("properties", {}) if content else {}
            for name in [one for one in properties if one.endswith("_id")]:
                if name != "request_id" or "{" not in path:
                    del properties[name]


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """The operation's example, with some of what was generated, and a request id of its own."""
    assert context.operation is not None
    content = context.operation.definition.raw["requestBody"]["content"]["application/json"]
    if not isinstance(body, dict) or "example" not in content:
        return body
    # Every fifth is a request that may have been there before.
    random = _number(body) if _number(body) % 5 == 0 else _number((body, next(_calls)))
    # Of what may be there every fourth is.
    kept = {name: one for name, one in body.items() if random % 4 == len(name) % 4}
    return _with_ids({**kept, **content["example"]}, random)


def _number(of: Any) -> int:
    """Of the same always the same, so that runs can be repeated."""
    text = json.dumps(of, sort_keys=True, default=str)
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16)


def _with_ids(value: Any, random: int) -> Any:
    if isinstance(value, list):
        return [_with_ids(one, random) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _OWN[name].format(random) if name in _OWN else _id(name, _with_ids(one, random))
        for name, one in value.items()
    }


def _id(name: str, otherwise: Any) -> Any:
    """An id that an answer had, if the name is of one."""
    names = _OF.get(name, (name,))
    known = [one for each in names for one in _told.get(each, ())[-_RECENT:]]
    return known[_number(otherwise) % len(known)] if known else otherwise


@schemathesis.hook
def map_path_parameters(context: schemathesis.HookContext, path_parameters: Any) -> Any:
    """What was told before, where no link says."""
    return {name: _id(name, one) for name, one in (path_parameters or {}).items()}


@schemathesis.hook
def map_query(context: schemathesis.HookContext, query: Any) -> Any:
    """Pages are asked for by links, or not at all."""
    return {
        name: _id(name, one) for name, one in (query or {}).items() if not name.startswith("page_")
    }


@schemathesis.hook
def map_headers(context: schemathesis.HookContext, headers: Any) -> Any:
    """Request ids are in bodies."""
    return {name: one for name, one in (headers or {}).items() if name != "Idempotency-Key"}


@schemathesis.check
def what_was_told_is_there(
    context: schemathesis.CheckContext,
    response: schemathesis.Response,
    case: schemathesis.Case[Any],
) -> None:
    """Who is told an id can ask for it, until it is deleted."""
    path = case.formatted_path
    own = path.removesuffix(_DELETE).rpartition("/")[2]
    last = _LAST.search(case.path)
    if path.endswith(_DELETE) and response.status_code == 200:
        _deleted.add(own)
    if case.method == "GET" and last:
        if own in _deleted:
            assert response.status_code != 200, f"{own} is deleted, and still there"
        elif own in _told.get(last[1], ()):
            assert response.status_code != 404, f"{own} was told, and is not there"
    # Who asks without a credential is told of somebody else: the person that is registered.
    is_open = case.operation.definition.raw["security"] == []
    is_json = "json" in response.headers.get("content-type", [""])[0]
    if response.status_code == 200 and is_json and not is_open:
        for name, one in ids_of(response.json()):
            if one not in _deleted and one not in _told.setdefault(name, []):
                _told[name].append(one)


def ids_of(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """The things that an answer has: what a path calls them, and their ids."""
    found = []
    for name, one in answer.items():
        if isinstance(one, dict) and one.get("id"):
            found.append((f"{name}_id".removeprefix("webhook_"), one["id"]))
        elif name.endswith("_id") and isinstance(one, str) and one:
            found.append((name, one))
    return found
