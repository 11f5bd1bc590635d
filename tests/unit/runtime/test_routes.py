"""How calls are carried on follows from the contract: its options, its comments, its levels."""

from __future__ import annotations

import re

from google.protobuf.descriptor_pb2 import MethodOptions

from holdfast.type.v1 import deadline_pb2
from holdfast.type.v1.deadline_pb2 import DeadlineClass
from runtime.access import load_access
from runtime.contract import contract, rpcs
from runtime.routes import DEADLINES_S, handlings, routes

MUTATION = "/holdfast.accounts.v1.CardService/FreezeCard"


def test_the_contract_states_each_deadline() -> None:
    (file,) = (one for one in contract().file if one.name.endswith("type/v1/deadline.proto"))
    comments = {
        tuple(place.path): place.leading_comments for place in file.source_code_info.location
    }
    for index, value in enumerate(file.enum_type[0].value):
        if number := value.number:
            stated = re.search(r": (\d+) s\.", comments[5, 0, 2, index])
            assert stated is not None
            assert int(stated[1]) == DEADLINES_S[DeadlineClass.ValueType(number)], value.name


def test_only_what_has_no_side_effects_is_sent_again() -> None:
    for rpc in rpcs():
        level = rpc.method.options.idempotency_level
        assert handlings()[rpc.path].repeatable == (level == MethodOptions.NO_SIDE_EFFECTS)


def test_a_class_is_stated_only_where_it_is_another() -> None:
    usual = {deadline_pb2.DEADLINE_CLASS_READ, deadline_pb2.DEADLINE_CLASS_MUTATION}
    for rpc in rpcs():
        assert rpc.method.options.Extensions[deadline_pb2.deadline] not in usual, rpc.path


def test_every_method_of_the_edge_has_one_route() -> None:
    paths = load_access().credentialed
    found = routes(paths)
    assert sorted(path for route in found for path in route.paths) == sorted(paths)
    assert len(found) == len({route.handling for route in found})
    for path in paths:
        (route,) = (one for one in found if re.fullmatch(one.regex, path))
        assert route.handling == handlings()[path]
    assert handlings()[MUTATION].name == "mutation"
