"""What `holdfast events listen` does: asks for events again and again, and hands them on."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
from google.protobuf import json_format

from holdfast.notify.v1 import event_pb2
from holdfast.notify.v1 import event_service_pb2 as pb
from notify.payload import Told, body_of
from runtime.clock import SystemClock, datetime_of
from runtime.events.signing import headers, key_of, secret_text
from runtime.files import write_atomically
from runtime.mesh_client import CALL_TIMEOUT_S
from runtime.settings import Settings

#: What forwarded events are signed with, among the secrets of the home.
_SIGNING = "events-listen"
_KEY_BYTES = 32
#: How often is asked when there was nothing new, and while nobody answers.
POLL_S = 0.25
PAUSE_S = 1.0
FORWARD_TIMEOUT_S = 30.0
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An event, and what became of forwarding it: HTTP status or an error; empty: it was not."""

    event: event_pb2.Event
    body: bytes
    sent: str = ""

    @property
    def taken(self) -> bool:
        """Whether who it was forwarded to has taken it."""
        return self.sent.startswith("2")

    def data(self) -> str:
        """The data as JSON."""
        return json.dumps(json_format.MessageToDict(self.event.data), sort_keys=True)

    def document(self) -> str:
        """One line of JSON: the event as webhooks have it."""
        sent = {"forwarded": self.sent} if self.sent else {}
        return json.dumps({"event": json.loads(self.body), **sent}, separators=(",", ":"))


class Forwarder:
    """Sends events to one URL, signed as webhooks are: once each, one after the other."""

    def __init__(self, url: str, secret: str) -> None:
        self.secret = secret
        self._url = url
        self._client = httpx.AsyncClient(timeout=FORWARD_TIMEOUT_S, trust_env=False)

    async def close(self) -> None:
        """Closes its connections."""
        await self._client.aclose()

    async def send(self, event_id: str, body: bytes) -> str:
        """What became of it: HTTP status, or the kind of error."""
        signed = headers(
            [key_of(self.secret)],
            message_id=event_id,
            timestamp_s=SystemClock().now_ms() // 1000,
            body=body,
        )
        given = {"content-type": "application/json", **signed}
        try:
            answer = await self._client.post(self._url, content=body, headers=given)
        except httpx.HTTPError as error:
            return type(error).__name__
        return str(answer.status_code)


def listen_secret(settings: Settings) -> str:
    """The secret of this installation's listeners; made when it is first asked for."""
    path = settings.secret_path(_SIGNING)
    if not path.exists():
        write_atomically(path, secret_text(os.urandom(_KEY_BYTES)).encode(), mode=0o600)
    return path.read_text().strip()


def body(event: event_pb2.Event) -> bytes:
    """The event as webhooks carry it."""
    return body_of(
        Told(
            id=event.id,
            type=event.type,
            sequence=event.sequence,
            account_id=event.account_id,
            owner_id=event.owner_id,
            user_id=event.user_id,
            data=json.dumps(json_format.MessageToDict(event.data), separators=(",", ":")),
            create_time=datetime_of(event.create_time.ToMilliseconds()),
            test=event.test,
        )
    )


async def listened(
    stub: Any,
    wanted: pb.ListEventsRequest,
    forwarder: Forwarder | None,
    *,
    count: int,
    show: Callable[[Heard], None],
    say: Callable[[str], None],
) -> None:
    """Shows what comes, until `count` events have (0: for ever). While nobody answers, it waits,
    and goes on where it was.
    """
    request, shown, away = pb.ListEventsRequest(), 0, False
    request.CopyFrom(wanted)
    while True:
        try:
            answer: pb.ListEventsResponse = await stub.ListEvents(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _AWAY:
                raise
            if not away:
                say(f"nobody answers ({error.code().name}); waiting")
            away = True
            await asyncio.sleep(PAUSE_S)
            continue
        if away or not request.page_token:
            say("listening")
        away = False
        for event in answer.events:
            content = body(event)
            sent = await forwarder.send(event.id, content) if forwarder else ""
            show(Heard(event=event, body=content, sent=sent))
            shown += 1
            if shown == count:
                return
        request.page_token = answer.next_page_token
        if not answer.events:
            await asyncio.sleep(POLL_S)
