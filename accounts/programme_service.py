"""ProgrammeService: convert, load, decide, commit, convert."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

from accounts import convert_programme as convert
from accounts.mutation import Context, Mutations
from accounts.programme import Programme, ProgrammeTerms, add_terms, risen
from accounts.programme_store import Programmes
from accounts.requests import Answer
from accounts.rules_flow import RulesFlow
from accounts.transaction import Transaction
from holdfast.accounts.v1 import programme_pb2, terms_pb2
from holdfast.accounts.v1 import programme_service_pb2 as pb
from holdfast.accounts.v1.programme_service_pb2_grpc import ProgrammeServiceServicer
from runtime.clock import Clock, datetime_of
from runtime.errors import AlreadyExists
from runtime.pages import cut
from runtime.paging import Position


class ProgrammeService(ProgrammeServiceServicer):
    """Programmes, their terms and their rules."""

    def __init__(
        self, programmes: Programmes, mutations: Mutations, clock: Clock, rules: RulesFlow
    ) -> None:
        self._programmes = programmes
        self._mutations = mutations
        self._clock = clock
        self._rules = rules

    async def CreateProgramme(
        self, request: pb.CreateProgrammeRequest, context: Context
    ) -> pb.CreateProgrammeResponse:
        """Creates a programme."""
        key, programme = convert.create_programme(request, context, now_ms=self._clock.now_ms())

        async def effect(transaction: Transaction) -> Answer:
            if not await Programmes(transaction.connection).insert(programme):
                raise AlreadyExists(
                    "there is a programme of this id",
                    reason="PROGRAMME_EXISTS",
                    metadata={"programme_id": programme.id},
                )
            return _answer(programme)

        answer = await self._mutations.run(key, effect, context)
        return pb.CreateProgrammeResponse(programme=programme_pb2.Programme.FromString(answer))

    async def GetProgramme(
        self, request: pb.GetProgrammeRequest, context: Context
    ) -> pb.GetProgrammeResponse:
        """Returns one programme."""
        del context
        programme = await self._existing(convert.programme_id(request))
        return pb.GetProgrammeResponse(programme=convert.programme(programme))

    async def ListProgrammes(
        self, request: pb.ListProgrammesRequest, context: Context
    ) -> pb.ListProgrammesResponse:
        """Lists programmes, newest first."""
        del context
        page = convert.programme_page(request)
        found, token = cut(page, await self._programmes.page(page), lambda one: one.id)
        return pb.ListProgrammesResponse(
            programmes=[convert.programme(one) for one in found], next_page_token=token
        )

    async def UpdateProgramme(
        self, request: pb.UpdateProgrammeRequest, context: Context
    ) -> pb.UpdateProgrammeResponse:
        """Changes what may be changed."""
        key = convert.update_programme(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Answer:
            programmes = Programmes(transaction.connection)
            programme = await programmes.get(request.programme_id, locked=True)
            if programme is None:
                raise convert.programme_not_found(request.programme_id)
            if changes := convert.updated(programme, request, now_ms=now_ms):
                programme = replace(programme, **changes)
                await programmes.update(programme)
            return _answer(programme)

        answer = await self._mutations.run(key, effect, context)
        return pb.UpdateProgrammeResponse(programme=programme_pb2.Programme.FromString(answer))

    async def AddProgrammeTerms(
        self, request: pb.AddProgrammeTermsRequest, context: Context
    ) -> pb.AddProgrammeTermsResponse:
        """Adds prices that apply from a day on."""
        key = convert.add_terms(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Answer:
            programmes = Programmes(transaction.connection)
            programme = await programmes.get(request.programme_id, locked=True)
            if programme is None:
                raise convert.programme_not_found(request.programme_id)
            convert.check_terms_currency(request.terms, programme.currency_code)
            before = await programmes.last_terms(programme.id)
            terms = _next_terms(before, request, now_ms=now_ms)
            await programmes.insert_terms(terms)
            message = convert.terms(terms).SerializeToString()
            return Answer(response=message, outbox_key=programme.id)

        answer = await self._mutations.run(key, effect, context)
        return pb.AddProgrammeTermsResponse(terms=terms_pb2.ProgrammeTerms.FromString(answer))

    async def GetProgrammeTerms(
        self, request: pb.GetProgrammeTermsRequest, context: Context
    ) -> pb.GetProgrammeTermsResponse:
        """Returns the terms that apply on a day."""
        del context
        day = convert.terms_day(request, today=datetime_of(self._clock.now_ms()).date())
        await self._existing(request.programme_id)
        terms = await self._programmes.terms_on(request.programme_id, day)
        if terms is None:
            raise convert.terms_not_found(request.programme_id, day)
        return pb.GetProgrammeTermsResponse(terms=convert.terms(terms))

    async def ListProgrammeTerms(
        self, request: pb.ListProgrammeTermsRequest, context: Context
    ) -> pb.ListProgrammeTermsResponse:
        """Lists all terms of a programme, latest first."""
        del context
        page = convert.terms_page(request)
        await self._existing(request.programme_id)
        found, more = page.cut(await self._programmes.all_terms(request.programme_id, page))
        token = page.token_after(Position(found[-1].version, "")) if more else ""
        return pb.ListProgrammeTermsResponse(
            terms=[convert.terms(one) for one in found], next_page_token=token
        )

    async def SetProgrammeRules(
        self, request: pb.SetProgrammeRulesRequest, context: Context
    ) -> pb.SetProgrammeRulesResponse:
        """Replaces all rules of a programme."""
        return pb.SetProgrammeRulesResponse(rules=await self._rules.set(request, context))

    async def GetProgrammeRules(
        self, request: pb.GetProgrammeRulesRequest, context: Context
    ) -> pb.GetProgrammeRulesResponse:
        """Returns the rules of a programme."""
        del context
        return pb.GetProgrammeRulesResponse(rules=await self._rules.get(request))

    async def _existing(self, programme_id: str) -> Programme:
        programme = await self._programmes.get(programme_id)
        if programme is None:
            raise convert.programme_not_found(programme_id)
        return programme


def _next_terms(
    before: ProgrammeTerms | None, request: pb.AddProgrammeTermsRequest, *, now_ms: int
) -> ProgrammeTerms:
    effective = date.fromisoformat(request.terms.effective_date)
    charged = convert.charges(terms_pb2.Terms.FromString(before.terms)) if before else {}
    charging = convert.charges(request.terms)
    refusal = add_terms(
        before,
        charged,
        effective_date=effective,
        charged_after=charging,
        today=datetime_of(now_ms).astimezone(ZoneInfo(request.terms.cycle.time_zone)).date(),
    )
    if refusal:
        raise convert.terms_refusal(refusal, risen(charged, charging))
    return ProgrammeTerms(
        programme_id=request.programme_id,
        version=before.version + 1 if before else 1,
        effective_date=effective,
        terms=convert.kept_terms(request.terms),
        create_time_ms=now_ms,
    )


def _answer(programme: Programme) -> Answer:
    message = convert.programme(programme).SerializeToString()
    return Answer(response=message, outbox_key=programme.id)
