"""ProgrammeService without its rules, which have a file of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from holdfast.accounts.v1 import card_pb2, programme_pb2, terms_pb2
from holdfast.accounts.v1 import programme_service_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from tests.accounts_mesh import AccountsMesh, call, call_replayed, refused, usd

Programme = programme_pb2.Programme


def underwriting(**fields: Any) -> programme_pb2.Underwriting:
    limits = {"credit_limit_min": usd(50_000), "credit_limit_max": usd(1_000_000)}
    return programme_pb2.Underwriting(**(limits | fields))


def creation(**fields: Any) -> pb.CreateProgrammeRequest:
    valid: dict[str, Any] = {
        "request_id": "r-1",
        "programme_id": "prog_gold",
        "display_name": "Gold",
        "kind": Programme.KIND_CONSUMER,
        "network": Programme.NETWORK_VISA,
        "currency_code": "USD",
        "bin": "400000",
        "underwriting": underwriting(),
    }
    return pb.CreateProgrammeRequest(**(valid | fields))


def terms(day: str = "2027-01-01", purchase: str = "24.99", **fields: Any) -> terms_pb2.Terms:
    valid: dict[str, Any] = {
        "effective_date": day,
        "annual_rates": [
            terms_pb2.AnnualRate(
                category=terms_pb2.BALANCE_CATEGORY_PURCHASE,
                percent=purchase,
                promotional_percent="0",
                promotional_months=12,
            ),
            terms_pb2.AnnualRate(category=terms_pb2.BALANCE_CATEGORY_CASH_ADVANCE, percent="29.99"),
        ],
        "interest_method": terms_pb2.INTEREST_METHOD_DAILY,
        "cycle": terms_pb2.Cycle(due_days=25, grace=True, time_zone="America/New_York"),
        "minimum_payment": terms_pb2.MinimumPayment(floor=usd(3_500), percent="1"),
        "fees": terms_pb2.Fees(late=usd(3_000), cash_advance_percent="5"),
    }
    return terms_pb2.Terms(**(valid | fields))


async def create(mesh: AccountsMesh, **fields: Any) -> programme_pb2.Programme:
    request = creation(**({"request_id": mesh.request_id()} | fields))
    response: pb.CreateProgrammeResponse = await call(mesh.programmes.CreateProgramme, request)
    return response.programme


async def add(mesh: AccountsMesh, value: terms_pb2.Terms, **fields: Any) -> Any:
    valid: dict[str, Any] = {
        "request_id": mesh.request_id(),
        "programme_id": "prog_gold",
        "terms": value,
    }
    request = pb.AddProgrammeTermsRequest(**(valid | fields))
    return (await call(mesh.programmes.AddProgrammeTerms, request)).terms


async def refused_terms(mesh: AccountsMesh, value: terms_pb2.Terms, **fields: Any) -> Any:
    valid: dict[str, Any] = {
        "request_id": mesh.request_id(),
        "programme_id": "prog_gold",
        "terms": value,
    }
    request = pb.AddProgrammeTermsRequest(**(valid | fields))
    return await refused(mesh.programmes.AddProgrammeTerms, request)


async def test_create_get_list_update(mesh: AccountsMesh) -> None:
    created = await create(mesh)
    assert (created.id, created.state, created.version) == (
        "prog_gold",
        Programme.STATE_ACTIVE,
        1,
    )
    judged = created.underwriting
    assert (judged.approve_score, judged.decline_score, judged.decide_within_days) == (700, 500, 30)
    assert created.first_card_kind == card_pb2.Card.KIND_VIRTUAL
    assert created.open_cards_max == 100
    request = pb.GetProgrammeRequest(programme_id="prog_gold")
    assert (await call(mesh.programmes.GetProgramme, request)).programme == created
    mesh.clock.advance(1)
    other = await create(mesh, programme_id="prog_other", bin="41000000")
    page = await call(mesh.programmes.ListProgrammes, pb.ListProgrammesRequest(page_size=1))
    assert list(page.programmes) == [other]
    rest = pb.ListProgrammesRequest(page_size=1, page_token=page.next_page_token)
    assert list((await call(mesh.programmes.ListProgrammes, rest)).programmes) == [created]
    change = pb.UpdateProgrammeRequest(
        request_id="u",
        programme_id="prog_gold",
        display_name="Gold 2",
        state=Programme.STATE_RETIRED,
        first_card_kind=card_pb2.Card.KIND_PHYSICAL,
        underwriting=underwriting(approve_score=800),
        open_cards_max=7,
    )
    changed = (await call(mesh.programmes.UpdateProgramme, change)).programme
    assert (changed.display_name, changed.state, changed.version) == (
        "Gold 2",
        Programme.STATE_RETIRED,
        2,
    )
    assert (changed.underwriting.approve_score, changed.open_cards_max) == (800, 7)
    assert (changed.bin, changed.network) == (created.bin, created.network)
    change.request_id = "again"
    assert (await call(mesh.programmes.UpdateProgramme, change)).programme == changed


async def test_replay_reuse_and_a_taken_id(mesh: AccountsMesh) -> None:
    first = await call(mesh.programmes.CreateProgramme, creation())
    assert await call_replayed(mesh.programmes.CreateProgramme, creation()) == (first, True)
    error = await refused(mesh.programmes.CreateProgramme, creation(bin="400001"))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    error = await refused(mesh.programmes.CreateProgramme, creation(request_id="r-2"))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "PROGRAMME_EXISTS")


async def test_wrong_fields_of_a_programme(mesh: AccountsMesh) -> None:
    wrong: list[tuple[dict[str, Any], list[str]]] = [
        ({"programme_id": "Gold"}, ["programme_id"]),
        ({"display_name": ""}, ["display_name"]),
        ({"display_name": "x" * 101}, ["display_name"]),
        ({"kind": 0}, ["kind"]),
        ({"network": 99}, ["network"]),
        ({"currency_code": "XXX"}, ["currency_code"] + 2 * ["underwriting"]),
        ({"bin": "40000"}, ["bin"]),
        ({"bin": "4000000"}, ["bin"]),
        ({"bin": "520000"}, ["bin"]),
        ({"network": Programme.NETWORK_MASTERCARD, "bin": "222099"}, ["bin"]),
        ({"underwriting": underwriting(approve_score=1001)}, ["underwriting"]),
        ({"underwriting": underwriting(approve_score=400)}, ["underwriting"]),
        ({"underwriting": programme_pb2.Underwriting()}, 2 * ["underwriting"]),
        ({"underwriting": underwriting(credit_limit_max=usd(1))}, ["underwriting"]),
        ({"first_card_kind": 9}, ["first_card_kind"]),
        ({"open_cards_max": -1}, ["open_cards_max"]),
        ({"open_cards_max": 10_001}, ["open_cards_max"]),
    ]
    for fields, names in wrong:
        error = await refused(mesh.programmes.CreateProgramme, creation(**fields))
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT, fields
        assert [name.partition(".")[0] for name in error.fields] == names, fields
    assert await mesh.count("programme") == 0


async def test_terms_are_added_and_found_by_day(mesh: AccountsMesh) -> None:
    """The clock stands at 2027-01-15."""
    await create(mesh)
    first = await add(mesh, terms())
    assert (first.version, first.terms) == (1, terms())
    second = await add(mesh, terms("2027-03-01", "26.99"))
    for day, expected in (
        ("", first),
        ("2027-01-01", first),
        ("2027-02-28", first),
        ("2027-03-01", second),
        ("2099-12-31", second),
    ):
        request = pb.GetProgrammeTermsRequest(programme_id="prog_gold", on_date=day)
        assert (await call(mesh.programmes.GetProgrammeTerms, request)).terms == expected
    early = pb.GetProgrammeTermsRequest(programme_id="prog_gold", on_date="2026-12-31")
    assert (await refused(mesh.programmes.GetProgrammeTerms, early)).reason == "TERMS_NOT_FOUND"
    listing = pb.ListProgrammeTermsRequest(programme_id="prog_gold", page_size=1)
    page = await call(mesh.programmes.ListProgrammeTerms, listing)
    assert list(page.terms) == [second]
    listing.page_token = page.next_page_token
    page = await call(mesh.programmes.ListProgrammeTerms, listing)
    assert (list(page.terms), page.next_page_token) == ([first], "")


async def test_terms_that_may_not_follow(mesh: AccountsMesh) -> None:
    await create(mesh)
    await add(mesh, terms())
    for value, reason in (
        (terms("2027-01-01"), "TERMS_NOT_LATER"),
        (terms("2027-01-14"), "TERMS_IN_THE_PAST"),
        (terms("2027-02-28", "25.00"), "NOTICE_TOO_SHORT"),
    ):
        error = await refused_terms(mesh, value)
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, reason)
    assert error.metadata["risen"] == "annual_rate.BALANCE_CATEGORY_PURCHASE"
    error = await refused_terms(mesh, terms(), programme_id="prog_none")
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "PROGRAMME_NOT_FOUND")
    assert await mesh.count("programme_terms") == 1


async def test_terms_added_at_once_have_versions_of_their_own(mesh: AccountsMesh) -> None:
    await create(mesh)
    days = [f"2027-04-{day:02d}" for day in range(1, 7)]
    results = await asyncio.gather(*(add(mesh, terms(day)) for day in days), return_exceptions=True)
    added = sorted(one.version for one in results if not isinstance(one, BaseException))
    assert added == list(range(1, len(added) + 1))
    assert await mesh.count("programme_terms") == len(added)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"effective_date": "2027-1-1"}, "terms.effective_date"),
        ({"effective_date": "2027-02-29"}, "terms.effective_date"),
        ({"annual_rates": []}, "terms.annual_rates"),
        ({"interest_method": 0}, "terms.interest_method"),
        ({"cycle": terms_pb2.Cycle(due_days=20, time_zone="UTC")}, "terms.cycle.due_days"),
        ({"cycle": terms_pb2.Cycle(due_days=25, time_zone="Mars")}, "terms.cycle.time_zone"),
        ({"fees": terms_pb2.Fees(foreign_percent="x")}, "terms.fees.foreign_percent"),
        ({"fees": terms_pb2.Fees(late=usd(-1))}, "terms.fees.late.amount_minor"),
        ({"penalty": terms_pb2.Penalty(days_late=60, cure_payments=6)}, "terms.penalty"),
    ],
)
async def test_wrong_fields_of_terms(mesh: AccountsMesh, fields: dict[str, Any], name: str) -> None:
    await create(mesh)
    error = await refused_terms(mesh, terms(**fields))
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.fields == [name]


async def test_amounts_are_in_the_currency_of_the_programme(mesh: AccountsMesh) -> None:
    await create(
        mesh,
        currency_code="EUR",
        underwriting=programme_pb2.Underwriting(
            credit_limit_min=Money(currency_code="EUR", amount_minor=1),
            credit_limit_max=Money(currency_code="EUR", amount_minor=2),
        ),
    )
    error = await refused_terms(mesh, terms())
    assert set(error.fields) == {
        "terms.minimum_payment.floor.currency_code",
        "terms.fees.late.currency_code",
    }


async def test_what_does_not_exist(mesh: AccountsMesh) -> None:
    for method, request in (
        (mesh.programmes.GetProgramme, pb.GetProgrammeRequest(programme_id="prog_x")),
        (
            mesh.programmes.UpdateProgramme,
            pb.UpdateProgrammeRequest(request_id="u", programme_id="prog_x"),
        ),
        (mesh.programmes.GetProgrammeTerms, pb.GetProgrammeTermsRequest(programme_id="prog_x")),
        (mesh.programmes.ListProgrammeTerms, pb.ListProgrammeTermsRequest(programme_id="prog_x")),
    ):
        error = await refused(method, request)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "PROGRAMME_NOT_FOUND")
