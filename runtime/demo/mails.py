"""A scene of mails: what a customer is told, and a password that was forgotten."""

from __future__ import annotations

import asyncio
import re
import secrets
from email.message import EmailMessage

from holdfast.accounts.v1 import account_service_pb2
from runtime.demo import customers, requests, web
from runtime.demo.stage import DemoFailedError, Stage
from runtime.mesh_client import CALL_TIMEOUT_S

_LIMIT_MINOR = 1_000
_PATIENCE_S = 30.0
_PAUSE_S = 0.1


async def told(stage: Stage) -> None:
    """A purchase is declined, a password is reset: each has its mail, and one has a token."""
    stage.scene("Dora is told by mail, and gets back in although she forgot her password")
    user_id, login = await customers.register(stage, "Dora")
    await _decline(stage, user_id)
    mail = await _mail(stage, login["email"], "was declined")
    stage.tell(
        f"mailed, here into a file: “{mail['Subject']}”",
        subject=mail["Subject"],
    )
    answers = [
        await web.post(stage, "/v1/users:requestPasswordReset", {"email": email}, {})
        for email in (login["email"], "nobody@example.com")
    ]
    stage.check("known and unknown addresses", found=answers[1], expected=answers[0])
    mail = await _mail(stage, login["email"], "Reset your password")
    token = _token(mail)
    changed = {"token": token, "new_password": secrets.token_urlsafe(18)}
    await web.post(stage, "/v1/users:resetPassword", changed, {})
    again = {"email": login["email"], "password": changed["new_password"]}
    session = await web.post(stage, "/v1/sessions:login", again, {})
    stage.check("who", found=session["session"]["user_id"], expected=user_id)
    mail = await _mail(stage, login["email"], "Your password was changed")
    stage.tell(
        "known or not, an address gets one answer; the token of the mail works once,\n"
        f"  and is followed by “{mail['Subject']}”",
        mails=len(stage.backstage.mails(login["email"])),
    )


async def _decline(stage: Stage, user_id: str) -> None:
    """A purchase beyond the limit of a new account."""
    opened = await stage.mesh.accounts.OpenAccount(
        account_service_pb2.OpenAccountRequest(
            request_id=stage.request_id(),
            owner_id=user_id,
            credit_limit=requests.money_of(_LIMIT_MINOR),
        ),
        timeout=CALL_TIMEOUT_S,
    )
    card = await requests.issue_card(stage, opened.account.id, user_id=user_id)
    purchase = requests.purchase(stage, card.id, 2 * _LIMIT_MINOR, requests.COFFEE)
    answer = await stage.mesh.network.Authorize(purchase, timeout=CALL_TIMEOUT_S)
    stage.check("a purchase beyond the limit", found=bool(answer.decline_reason), expected=True)


async def _mail(stage: Stage, to: str, subject: str) -> EmailMessage:
    """A mail to somebody, as soon as it is there."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                for mail in stage.backstage.mails(to):
                    if subject in mail["Subject"]:
                        return mail
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        raise DemoFailedError(f"no mail says “{subject}”") from None


def _token(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    found = re.search(r"token=(\S+)", body.get_content() if body else "")
    if found is None:
        raise DemoFailedError("the mail has no token")
    return found[1]
