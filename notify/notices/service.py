"""NotificationService: convert, load, decide, commit, convert."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from holdfast.notify.v1 import notification_service_pb2 as pb
from holdfast.notify.v1.notification_service_pb2_grpc import NotificationServiceServicer
from notify.mutations import Mutations
from notify.notices import convert
from notify.notices.store import (
    NoticeStore,
    add_notices,
    locked_preferences,
    write_preferences,
)
from notify.notices.unsubscribing import Tokens
from notify.webhook_store import WebhookStore, WebhookTransaction
from runtime.clock import Clock
from runtime.key_ring import KeyRing
from runtime.pages import cut


class NotificationService(NotificationServiceServicer):
    """Knows what users want to be told of, and what they were told."""

    def __init__(
        self,
        store: NoticeStore,
        transactions: WebhookStore,
        clock: Clock,
        *,
        tokens: Tokens,
        ring: KeyRing,
    ) -> None:
        self._store = store
        self._transactions = transactions
        self._mutations = Mutations(transactions)
        self._clock = clock
        self._tokens = tokens
        self._ring = ring

    async def GetNotificationPreferences(
        self, request: pb.GetNotificationPreferencesRequest, context: Any
    ) -> pb.GetNotificationPreferencesResponse:
        """Returns what a user wants to be told of."""
        del context
        found = await self._store.preferences(convert.user(request.user_id))
        return pb.GetNotificationPreferencesResponse(preferences=convert.preferences(found))

    async def UpdateNotificationPreferences(
        self, request: pb.UpdateNotificationPreferencesRequest, context: Any
    ) -> pb.UpdateNotificationPreferencesResponse:
        """Replaces what a user wants to be told of."""
        now_ms = self._clock.now_ms()
        key, wanted = convert.update(request, context, now_ms=now_ms)

        async def effect(
            transaction: WebhookTransaction,
        ) -> pb.UpdateNotificationPreferencesResponse:
            before = await locked_preferences(transaction.connection, wanted.user_id)
            await write_preferences(transaction.connection, wanted)
            after = convert.preferences(wanted)
            await transaction.record(
                before=convert.preferences(before), after=after, targets=(wanted.user_id,)
            )
            return pb.UpdateNotificationPreferencesResponse(preferences=after)

        answer, _ = await self._mutations.once(
            key, effect, pb.UpdateNotificationPreferencesResponse, context, now_ms=now_ms
        )
        return answer

    async def ListNotifications(
        self, request: pb.ListNotificationsRequest, context: Any
    ) -> pb.ListNotificationsResponse:
        """Lists what a user was told."""
        del context
        page = convert.page(request)
        shown, token = cut(
            page, await self._store.notices(page, request.user_id), lambda one: one.id
        )
        return pb.ListNotificationsResponse(
            notifications=[convert.message(one) for one in shown], next_page_token=token
        )

    async def Unsubscribe(
        self, request: pb.UnsubscribeRequest, context: Any
    ) -> pb.UnsubscribeResponse:
        """Takes a user off one kind, on one channel."""
        del context
        found = self._tokens.read(convert.token(request))
        if found is None:
            raise convert.wrong_token()
        now_ms = self._clock.now_ms()
        async with self._transactions.transaction(now_ms=now_ms) as transaction:
            before = await locked_preferences(transaction.connection, found.user_id)
            after = before.without(found.kind, found.channel, now_ms=now_ms)
            if after is not before:
                await write_preferences(transaction.connection, after)
            await transaction.record(
                before=convert.preferences(before),
                after=convert.preferences(after),
                targets=(found.user_id,),
            )
        return pb.UnsubscribeResponse(
            kind=convert.kind_of(found.kind), channel=convert.channel_of(found.channel)
        )

    async def SendNotice(
        self, request: pb.SendNoticeRequest, context: Any
    ) -> pb.SendNoticeResponse:
        """Has a user told what the gateway knows."""
        del context
        now_ms = self._clock.now_ms()
        notice, secret = convert.notice(request, now_ms=now_ms)
        if secret:
            sealed = self._ring.seal(secret.encode(), context=notice.id.encode())
            notice = replace(notice, secret=sealed)
        async with self._transactions.transaction(now_ms=now_ms) as transaction:
            await add_notices(transaction.connection, [notice])
            await transaction.record(targets=(notice.user_id, notice.id))
        return pb.SendNoticeResponse()
