"""WebhookService: convert, load, decide, commit, convert."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from holdfast.notify.v1 import webhook_pb2
from holdfast.notify.v1 import webhook_service_pb2 as pb
from holdfast.notify.v1.webhook_service_pb2_grpc import WebhookServiceServicer
from notify import convert_event
from notify import convert_webhook as convert
from notify.addresses import Network
from notify.endpoint import Endpoint, EndpointState, IllegalChange, move, rotate, update
from notify.mutations import Mutations
from notify.secrets import Secrets
from notify.webhook_store import WebhookStore, WebhookTransaction
from runtime import ids
from runtime.clock import Clock
from runtime.errors import ResourceExhausted
from runtime.events.signing import secret_text
from runtime.pages import cut
from runtime.paging import Position
from runtime.request_records import RequestKey

#: Endpoints of one company, and those of the whole installation.
ENDPOINTS_MAX = 20
#: Events that one replay sends.
REPLAY_MAX = 10_000
#: Endpoints of nobody in particular lie there.
_PARTITION = 0
_KEY_BYTES = 32

#: Returns the endpoint as it was, if it was there, and as it is now.
Change = Callable[[WebhookTransaction], Awaitable[tuple[Endpoint | None, Endpoint]]]


class WebhookService(WebhookServiceServicer):
    """Keeps endpoints. `allowed`: networks of ours that webhooks may go to all the same."""

    def __init__(
        self,
        store: WebhookStore,
        secrets: Secrets,
        clock: Clock,
        *,
        allowed: Sequence[Network] = (),
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._store = store
        self._mutations = Mutations(store)
        self._secrets = secrets
        self._clock = clock
        self._allowed = allowed
        self._random_bytes = random_bytes
        self._ids = ids.IdSource(clock, random_bytes)

    async def CreateWebhookEndpoint(
        self, request: pb.CreateWebhookEndpointRequest, context: Any
    ) -> pb.CreateWebhookEndpointResponse:
        """Creates an endpoint; the answer shows its secret, this once."""
        key, details = convert.create(request, context, allowed=self._allowed)
        now_ms, owner_id = self._clock.now_ms(), request.owner_id
        partition = ids.partition_of(owner_id) if owner_id else _PARTITION
        endpoint_id = self._ids.new(ids.WEBHOOK_ENDPOINT, partition)
        secret = self._random_bytes(_KEY_BYTES)

        async def change(transaction: WebhookTransaction) -> tuple[Endpoint | None, Endpoint]:
            if await transaction.count(owner_id) >= ENDPOINTS_MAX:
                raise ResourceExhausted(
                    f"a company has at most {ENDPOINTS_MAX} webhook endpoints; delete one",
                    reason="TOO_MANY_WEBHOOK_ENDPOINTS",
                )
            made = Endpoint(
                id=endpoint_id,
                owner_id=owner_id,
                url=details.url,
                description=details.description,
                types=details.types,
                state=EndpointState.ACTIVE,
                secret=self._secrets.sealed(endpoint_id, secret),
                previous_secret=None,
                previous_expire_time_ms=None,
                failing_since_ms=None,
                version=1,
                create_time_ms=now_ms,
                update_time_ms=now_ms,
            )
            await transaction.insert(made)
            return None, made

        answer, replayed = await self._change(key, change, context, now_ms=now_ms)
        return pb.CreateWebhookEndpointResponse(
            webhook_endpoint=answer, secret="" if replayed else secret_text(secret)
        )

    async def GetWebhookEndpoint(
        self, request: pb.GetWebhookEndpointRequest, context: Any
    ) -> pb.GetWebhookEndpointResponse:
        """Returns one endpoint."""
        del context
        convert.get(request.endpoint_id)
        endpoint = await self._endpoint(request.endpoint_id)
        return pb.GetWebhookEndpointResponse(
            webhook_endpoint=convert.message(endpoint, now_ms=self._clock.now_ms())
        )

    async def ListWebhookEndpoints(
        self, request: pb.ListWebhookEndpointsRequest, context: Any
    ) -> pb.ListWebhookEndpointsResponse:
        """Lists endpoints, newest first."""
        del context
        page = convert.page(request)
        found = await self._store.endpoints(page, owner_id=request.owner_id)
        shown, token = cut(page, found, lambda one: one.id)
        now_ms = self._clock.now_ms()
        return pb.ListWebhookEndpointsResponse(
            webhook_endpoints=[convert.message(one, now_ms=now_ms) for one in shown],
            next_page_token=token,
        )

    async def UpdateWebhookEndpoint(
        self, request: pb.UpdateWebhookEndpointRequest, context: Any
    ) -> pb.UpdateWebhookEndpointResponse:
        """Changes what its owner says of an endpoint."""
        key, details = convert.update(request, context, allowed=self._allowed)
        now_ms = self._clock.now_ms()

        def updated(found: Endpoint) -> Endpoint:
            return update(
                found,
                url=details.url,
                description=details.description,
                types=details.types,
                now_ms=now_ms,
            )

        answer, _ = await self._write(key, request.endpoint_id, updated, context, now_ms=now_ms)
        return pb.UpdateWebhookEndpointResponse(webhook_endpoint=answer)

    async def RotateWebhookSecret(
        self, request: pb.RotateWebhookSecretRequest, context: Any
    ) -> pb.RotateWebhookSecretResponse:
        """Gives an endpoint a new secret; the answer shows it, this once."""
        key, overlap_ms = convert.rotate(request, context)
        now_ms, secret = self._clock.now_ms(), self._random_bytes(_KEY_BYTES)

        def rotated(found: Endpoint) -> Endpoint:
            sealed = self._secrets.sealed(found.id, secret)
            return rotate(found, sealed, overlap_ms=overlap_ms, now_ms=now_ms)

        answer, replayed = await self._write(
            key, request.endpoint_id, rotated, context, now_ms=now_ms
        )
        return pb.RotateWebhookSecretResponse(
            webhook_endpoint=answer, secret="" if replayed else secret_text(secret)
        )

    async def PauseWebhookEndpoint(
        self, request: pb.PauseWebhookEndpointRequest, context: Any
    ) -> pb.PauseWebhookEndpointResponse:
        """Lets an endpoint wait."""
        answer = await self._move(request, context, EndpointState.PAUSED)
        return pb.PauseWebhookEndpointResponse(webhook_endpoint=answer)

    async def ResumeWebhookEndpoint(
        self, request: pb.ResumeWebhookEndpointRequest, context: Any
    ) -> pb.ResumeWebhookEndpointResponse:
        """Goes on with an endpoint."""
        answer = await self._move(request, context, EndpointState.ACTIVE)
        return pb.ResumeWebhookEndpointResponse(webhook_endpoint=answer)

    async def DeleteWebhookEndpoint(
        self, request: pb.DeleteWebhookEndpointRequest, context: Any
    ) -> pb.DeleteWebhookEndpointResponse:
        """Removes an endpoint."""
        answer = await self._move(request, context, EndpointState.DELETED)
        return pb.DeleteWebhookEndpointResponse(webhook_endpoint=answer)

    async def ListWebhookDeliveries(
        self, request: pb.ListWebhookDeliveriesRequest, context: Any
    ) -> pb.ListWebhookDeliveriesResponse:
        """Lists what was sent, or is to be."""
        del context
        page, state = convert.deliveries(request)
        endpoint = await self._endpoint(request.endpoint_id)
        shown, more = page.cut(await self._store.deliveries(page, endpoint.id, state=state))
        token = page.token_after(Position(shown[-1].event_number, "")) if more else ""
        return pb.ListWebhookDeliveriesResponse(
            deliveries=[convert.delivery(one) for one in shown], next_page_token=token
        )

    async def ListWebhookAttempts(
        self, request: pb.ListWebhookAttemptsRequest, context: Any
    ) -> pb.ListWebhookAttemptsResponse:
        """Lists what an endpoint said to an event."""
        del context
        convert.get(request.endpoint_id, request.event_id)
        endpoint = await self._endpoint(request.endpoint_id)
        found = await self._store.attempts(endpoint, request.event_id)
        if found is None:
            raise convert_event.not_found(request.event_id)
        return pb.ListWebhookAttemptsResponse(attempts=[convert.attempt(one) for one in found])

    async def ResendWebhookDelivery(
        self, request: pb.ResendWebhookDeliveryRequest, context: Any
    ) -> pb.ResendWebhookDeliveryResponse:
        """Sends an event again."""
        key = convert.resend(request, context)

        async def effect(transaction: WebhookTransaction) -> pb.ResendWebhookDeliveryResponse:
            endpoint = await self._locked(transaction, request.endpoint_id)
            event = await transaction.told_event(request.event_id, owner_id=endpoint.owner_id)
            if event is None:
                raise convert_event.not_found(request.event_id)
            sent = convert.delivery(await transaction.resend(endpoint.id, event))
            await transaction.record(after=sent)
            return pb.ResendWebhookDeliveryResponse(delivery=sent)

        answer, _ = await self._mutations.once(
            key, effect, pb.ResendWebhookDeliveryResponse, context, now_ms=self._clock.now_ms()
        )
        return answer

    async def ReplayWebhookEvents(
        self, request: pb.ReplayWebhookEventsRequest, context: Any
    ) -> pb.ReplayWebhookEventsResponse:
        """Sends what is missing."""
        now_ms = self._clock.now_ms()
        key, start_ms, end_ms = convert.replay(request, context, now_ms=now_ms)

        async def effect(transaction: WebhookTransaction) -> pb.ReplayWebhookEventsResponse:
            endpoint = await self._locked(transaction, request.endpoint_id)
            types = convert.types_of(endpoint.types)
            count = await transaction.replay(
                endpoint, types, start_ms=start_ms, end_ms=end_ms, limit=REPLAY_MAX
            )
            answer = pb.ReplayWebhookEventsResponse(event_count=count, more=count == REPLAY_MAX)
            await transaction.record(after=answer, targets=(endpoint.id,))
            return answer

        answer, _ = await self._mutations.once(
            key, effect, pb.ReplayWebhookEventsResponse, context, now_ms=now_ms
        )
        return answer

    async def _endpoint(self, endpoint_id: str) -> Endpoint:
        endpoint = await self._store.endpoint(endpoint_id)
        if endpoint is None:
            raise convert.not_found(endpoint_id)
        return endpoint

    async def _locked(self, transaction: WebhookTransaction, endpoint_id: str) -> Endpoint:
        endpoint = await transaction.endpoint(endpoint_id)
        if endpoint is None or endpoint.state is EndpointState.DELETED:
            raise convert.not_found(endpoint_id)
        return endpoint

    async def _move(
        self,
        request: pb.PauseWebhookEndpointRequest
        | pb.ResumeWebhookEndpointRequest
        | pb.DeleteWebhookEndpointRequest,
        context: Any,
        state: EndpointState,
    ) -> webhook_pb2.WebhookEndpoint:
        key, now_ms = convert.change(request, context), self._clock.now_ms()

        def moved(found: Endpoint) -> Endpoint:
            changed = move(found, state, now_ms=now_ms)
            if isinstance(changed, IllegalChange):
                raise convert.illegal(changed)
            return changed

        answer, _ = await self._write(key, request.endpoint_id, moved, context, now_ms=now_ms)
        return answer

    async def _write(
        self,
        key: RequestKey,
        endpoint_id: str,
        changed: Callable[[Endpoint], Endpoint],
        context: Any,
        *,
        now_ms: int,
    ) -> tuple[webhook_pb2.WebhookEndpoint, bool]:
        async def change(transaction: WebhookTransaction) -> tuple[Endpoint | None, Endpoint]:
            found = await self._locked(transaction, endpoint_id)
            after = changed(found)
            if after is not found:
                await transaction.update(after)
            return found, after

        return await self._change(key, change, context, now_ms=now_ms)

    async def _change(
        self, key: RequestKey, change: Change, context: Any, *, now_ms: int
    ) -> tuple[webhook_pb2.WebhookEndpoint, bool]:
        async def effect(transaction: WebhookTransaction) -> webhook_pb2.WebhookEndpoint:
            was, changed = await change(transaction)
            answer = convert.message(changed, now_ms=now_ms)
            before = convert.message(was, now_ms=now_ms) if was else None
            await transaction.record(before=before, after=answer)
            return answer

        return await self._mutations.once(
            key, effect, webhook_pb2.WebhookEndpoint, context, now_ms=now_ms
        )
