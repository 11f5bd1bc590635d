"""The id of a mutation: its `request_id` field, or the `Idempotency-Key` header of JSON clients."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message

from runtime.validate import Violations

#: Envoy hands the HTTP header `Idempotency-Key` on under its lower-case name.
IDEMPOTENCY_KEY_HEADER = "idempotency-key"

#: Initial metadata of an answer that was stored before.
REPLAYED = (("idempotent-replayed", "true"),)


def content_of(request: Message) -> bytes:
    """The request without its id, for fingerprints: the id may have come in it or in the header."""
    content = type(request)()
    content.CopyFrom(request)
    content.ClearField("request_id")
    return content.SerializeToString(deterministic=True)


def request_id_of(
    value: str, metadata: Iterable[tuple[str, str | bytes]] | None, violations: Violations
) -> str:
    """The request's id; `value` is its own field. What is wrong with it goes to `violations`.

    Field and header may both be there if they say the same; a header may stand several times if it
    says the same each time.
    """
    if not metadata:
        violations.request_id(value)
        return value
    keys = {text for key, text in metadata or () if key == IDEMPOTENCY_KEY_HEADER and text}
    if len(keys) > 1:
        violations.add("request_id", "the Idempotency-Key header came with different values")
        return value
    if value and keys and keys != {value}:
        violations.add("request_id", "differs from the Idempotency-Key header")
        return value
    request_id = value or "".join(text for text in keys if isinstance(text, str))
    violations.request_id(request_id)
    return request_id
