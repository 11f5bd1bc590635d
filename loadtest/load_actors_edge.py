"""Actors at the edge, who speak JSON with a token: cardholders look, an operator freezes cards."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from typing import Any, ClassVar

import gevent
from google.protobuf import json_format
from locust import FastHttpUser, task

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from loadtest.load_acts import Acts
from loadtest.load_network import ATTEMPTS_MAX, RETRY_PAUSE_S, Network
from loadtest.load_scenario import Holder
from loadtest.load_town import Town
from runtime.mesh_client import CALL_TIMEOUT_S, TokenSource

_PAUSE_S = (0.3, 1.0)
#: How long a card stays frozen.
_FROZEN_S = 0.5
#: What says that nothing has happened; anything else (no connection, 5xx) leaves it open.
_REFUSED = range(400, 500)


class EdgeActor(FastHttpUser):
    """An actor with a token."""

    abstract = True
    insecure = False
    network_timeout = connection_timeout = CALL_TIMEOUT_S
    town: ClassVar[Town]
    network: ClassVar[Network]
    acts: ClassVar[Acts]
    #: Tokens of the role that the actor needs.
    tokens: ClassVar[TokenSource]
    ssl_context_factory: Callable[[], ssl.SSLContext]

    def wait_time(self) -> float:
        """Pause before the next task."""
        return self.town.random.uniform(*_PAUSE_S)

    def get(self, name: str, path: str) -> Any:
        """What is there, or None."""
        response = self.client.get(path, name=name, headers=self._headers())
        return json.loads(response.text or "") if response.ok else None

    def post(self, name: str, path: str, body: dict[str, Any]) -> Any:
        """The answer, or None. A request whose outcome is unknown is repeated under its id."""
        unanswered = self.town.answers.unanswered
        unanswered[body["request_id"]] = name
        for _ in range(ATTEMPTS_MAX):
            response = self.client.post(path, name=name, json=body, headers=self._headers())
            if response.ok:
                del unanswered[body["request_id"]]
                return json.loads(response.text or "")
            if response.status_code in _REFUSED:
                del unanswered[body["request_id"]]
                return None
            gevent.sleep(RETRY_PAUSE_S)
        return None

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.token()}"}


class Cardholder(EdgeActor):
    """Looks at the balance, at what the limits leave, at the last purchases and at one of them."""

    weight = 2

    @task
    def look(self) -> None:
        """Opens the app."""
        self.acts.do(self._look)

    def _look(self) -> None:
        holder = self.town.holder()
        self._balance(holder)
        self.get("GET spendUsage", f"/v1/cards/{holder.card_id}/spendUsage")
        path = f"/v1/authorizations?card_id={holder.card_id}&page_size=20"
        page = self.get("GET authorizations", path)
        if page is not None and page["authorizations"]:
            one = page["authorizations"][0]["id"]
            self.get("GET authorization", f"/v1/authorizations/{one}")

    def _balance(self, holder: Holder) -> None:
        """What is available is the limit less what is owed, held and not released."""
        name = "GET balance"
        balance = self.get(name, f"/v1/accounts/{holder.account_id}/balance")
        if balance is None:
            return
        limit, posted, held, unreleased, available = (
            int(balance[field]["amount_minor"])
            for field in ("credit_limit", "posted", "held", "unreleased", "available_credit")
        )
        if available != limit - posted - held - unreleased:
            self.network.wrong(name, "the balance does not add up")


class Operator(EdgeActor):
    """Freezes a card now and then, sees that it pays no more, and thaws it."""

    fixed_count = 1

    @task
    def freeze(self) -> None:
        """One card."""
        self.acts.do(self._freeze)

    def _freeze(self) -> None:
        """After the freeze is answered, no purchase is approved."""
        town = self.town
        holder = town.holder()
        path = f"/v1/cards/{holder.card_id}"
        frozen = self.post("POST freeze", f"{path}:freeze", {"request_id": town.request_id()})
        if frozen is not None:
            town.frozen[holder.card_id] = object()
            self._try(holder)
            gevent.sleep(_FROZEN_S)
            del town.frozen[holder.card_id]
        self.post("POST unfreeze", f"{path}:unfreeze", {"request_id": town.request_id()})

    def _try(self, holder: Holder) -> None:
        name = "POST authorization"
        request = self.town.purchase(holder)
        body = json_format.MessageToDict(request, preserving_proto_field_name=True)
        found = self.post(name, "/v1/authorizations", body)
        if found is None:
            return
        answer = json_format.ParseDict(found, rpc.AuthorizeResponse())
        # The network cannot clear what an operator has bought.
        self.town.answers.authorized(holder.account_id, answer)
        if answer.decision != pb.DECISION_DECLINED:
            self.network.wrong(name, "approved on a frozen card")
