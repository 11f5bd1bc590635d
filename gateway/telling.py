"""Hands notices to notify."""

from __future__ import annotations

from typing import Any

import grpc

from gateway.notices import Notice
from holdfast.notify.v1 import notification_pb2
from holdfast.notify.v1 import notification_service_pb2 as pb
from holdfast.notify.v1.notification_service_pb2_grpc import NotificationServiceStub
from runtime.outbox import DELIVERY_TIMEOUT_S, DeliveryFailed
from runtime.validate import timestamp

_TOPIC = notification_pb2.Notice.Topic


class Telling:
    """Has users told; telling twice tells once."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        stub: Any = NotificationServiceStub(channel)
        self._send_notice = stub.SendNotice

    async def tell(self, notice: Notice) -> None:
        """Returns once notify has it; raises DeliveryFailed if that is not sure."""
        request = pb.SendNoticeRequest(
            request_id=notice.id,
            notice=notification_pb2.Notice(
                topic=_TOPIC.Value(f"TOPIC_{notice.told}"),
                user_id=notice.user_id,
                token=notice.token,
                expire_time=timestamp(notice.expire_ms),
            ),
        )
        try:
            await self._send_notice(request, timeout=DELIVERY_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise DeliveryFailed(f"{error.code().name}: {error.details()}") from None
