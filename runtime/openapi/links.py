"""Links: which operations take what an answer has, so that a program can call one after the other.

They are derived from the contract alone. An answer has a thing if a field of it is a message, or
ends in `_id`; the path parameter for a `Card` is `card_id`. Who makes a thing is linked to all that
takes its id; who changes one, or lists them, to what shows it; a list to its next page, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from runtime.access import ANYONE, TOKEN_ROLES, Policy
from runtime.contract import Binding, Rpc
from runtime.openapi.schemas import Schemas

_PATH_FIELD = re.compile(r"\{([a-z_]+)\}")
_WORD = re.compile(r"(?<!^)(?=[A-Z])")
_ID = "_id"
#: What it answers with is gone.
_DELETES = ":delete"
_PAGE_TOKEN, _NEXT_PAGE_TOKEN = "page_token", "next_page_token"
#: The link of a list to the rest of it.
NEXT_PAGE = "next_page"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One way to call a method, and what the document calls it."""

    name: str
    rpc: Rpc
    policy: Policy
    binding: Binding

    @property
    def path_fields(self) -> frozenset[str]:
        """The fields of the request that the path has."""
        return frozenset(_PATH_FIELD.findall(self.binding.template))

    @property
    def reads(self) -> bool:
        """Whether it is a GET."""
        return self.binding.verb == "GET"

    def shares_callers(self, other: Operation) -> bool:
        """Whether somebody may call both."""
        roles = self.policy.roles, other.policy.roles
        return any(ANYONE in one for one in roles) or bool(roles[0] & roles[1] & {*TOKEN_ROLES})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Thing:
    """What an answer has."""

    #: The path parameter that names such a thing.
    parameter: str
    #: Where in the answer its id is; empty if it has none.
    id: str
    #: Not just its id.
    is_whole: bool
    #: Where in the answer its other fields are.
    fields: dict[str, str]
    in_list: bool

    def place_of(self, parameter: str) -> str:
        """Where in the answer is what this path parameter wants; empty if nowhere."""
        # `endpoint_id` is enough for a WebhookEndpoint.
        if self.id and f"_{self.parameter}".endswith(f"_{parameter}"):
            return self.id
        return self.fields.get(parameter, "")

    def is_named_by(self, fields: Iterable[str]) -> bool:
        """Whether one of them is its id, and not just of what it belongs to."""
        return bool(self.id) and any(self.place_of(one) == self.id for one in fields)


class Links:
    """The links of all operations of the document."""

    def __init__(self, operations: Sequence[Operation], schemas: Schemas) -> None:
        self._operations = operations
        self._schemas = schemas
        self._things = {one.name: tuple(self._found_in_answer(one)) for one in operations}

    def of(self, source: Operation) -> dict[str, Any]:
        """The links of its answer, by name."""
        found: dict[str, Any] = {}
        for thing in self._things[source.name]:
            for target in self._operations:
                if target.name not in found and target.shares_callers(source):
                    parameters = self._handed_over(source, thing, target)
                    if parameters:
                        found[target.name] = _link(target, parameters)
        fields = self._schemas.fields(source.rpc.method.output_type)
        if source.reads and _NEXT_PAGE_TOKEN in fields:
            found[NEXT_PAGE] = _link(source, self._same_again(source))
        return found

    def _found_in_answer(self, operation: Operation) -> Iterator[_Thing]:
        if operation.binding.template.endswith(_DELETES):
            return
        for name, field in self._schemas.fields(operation.rpc.method.output_type).items():
            in_list = field.label == FieldDescriptorProto.LABEL_REPEATED
            if field.type == FieldDescriptorProto.TYPE_MESSAGE:
                place = f"/{name}/0" if in_list else f"/{name}"
                inner = {one: f"{place}/{one}" for one in self._scalars(field.type_name)}
                own = inner.pop("id", "")
                parameter = _parameter_for(field.type_name)
                yield _Thing(
                    parameter=parameter, id=own, is_whole=True, fields=inner, in_list=in_list
                )
            elif name.endswith(_ID) and not in_list:
                yield _Thing(
                    parameter=name, id=f"/{name}", is_whole=False, fields={}, in_list=False
                )

    def _scalars(self, message: str) -> Iterator[str]:
        if message.startswith(".google."):
            return
        for name, field in self._schemas.fields(message).items():
            is_scalar = field.type != FieldDescriptorProto.TYPE_MESSAGE
            if is_scalar and field.label != FieldDescriptorProto.LABEL_REPEATED:
                yield name

    def _handed_over(
        self, source: Operation, thing: _Thing, target: Operation
    ) -> dict[str, str] | None:
        """The parameters of the target that source and answer have; None if that is no link."""
        if not self._is_next(source, thing, target):
            return None
        found: dict[str, str] = {}
        for parameter in sorted(target.path_fields):
            if place := thing.place_of(parameter):
                found[parameter] = f"$response.body#{place}"
            elif parameter in source.path_fields:
                found[parameter] = f"$request.path.{parameter}"
            else:
                return None
        found |= {
            one: f"$response.body#{thing.id}"
            for one in sorted(self._query(target))
            if thing.is_named_by((one,))
        }
        return found

    def _is_next(self, source: Operation, thing: _Thing, target: Operation) -> bool:
        if self._shows(target, thing):
            return thing.in_list or not source.reads
        # What the request has named is not new.
        asked_for = self._schemas.fields(source.rpc.method.input_type)
        if thing.in_list or source.reads or thing.is_named_by(asked_for):
            return False
        return thing.is_named_by(target.path_fields | self._query(target))

    def _shows(self, target: Operation, thing: _Thing) -> bool:
        """Whether it is the GET of such a thing."""
        if not target.reads or ":" in target.binding.template:
            return False
        return any(
            one.is_whole and not one.in_list and one.parameter == thing.parameter
            for one in self._things[target.name]
        )

    def _query(self, operation: Operation) -> frozenset[str]:
        if not operation.reads:
            return frozenset()
        return frozenset(self._schemas.fields(operation.rpc.method.input_type)) - (
            operation.path_fields
        )

    def _same_again(self, source: Operation) -> dict[str, str]:
        """The same call, of the next page."""
        found = {one: f"$request.path.{one}" for one in sorted(source.path_fields)}
        found |= {one: f"$request.query.{one}" for one in sorted(self._query(source))}
        return {**found, _PAGE_TOKEN: f"$response.body#/{_NEXT_PAGE_TOKEN}"}


def _parameter_for(message: str) -> str:
    """`.holdfast.notify.v1.WebhookEndpoint` → `webhook_endpoint_id`."""
    return _WORD.sub("_", message.rpartition(".")[2]).lower() + _ID


def _link(target: Operation, parameters: dict[str, str]) -> dict[str, Any]:
    return {"operationId": target.name, "parameters": parameters}
