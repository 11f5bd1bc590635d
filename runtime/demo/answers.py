"""Purchases of the demonstration with the answer that they must have, shown and checked."""

from __future__ import annotations

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import decline_reason_pb2 as reasons
from runtime.demo.stage import Stage, money
from runtime.mesh_client import CALL_TIMEOUT_S


def line(request: rpc.AuthorizeRequest, answer: rpc.AuthorizeResponse, detail: str) -> str:
    """A purchase and its answer, in columns."""
    decision = pb.Decision.Name(answer.decision).removeprefix("DECISION_")
    return (
        f"{request.merchant.descriptor:<18}{money(request.amount.amount_minor):>10}"
        f"  {decision:<8} {answer.response_code}  {detail}"
    )


async def approved(stage: Stage, request: rpc.AuthorizeRequest) -> rpc.AuthorizeResponse:
    """A purchase that is approved in full."""
    answer = await stage.mesh.network.Authorize(request, timeout=CALL_TIMEOUT_S)
    stage.check("decision", found=answer.decision, expected=pb.DECISION_APPROVED)
    stage.check("code", found=answer.response_code, expected="00")
    stage.check(
        "approved amount",
        found=answer.approved_amount.amount_minor,
        expected=request.amount.amount_minor,
    )
    available_minor = answer.available_credit.amount_minor
    detail = f"code {answer.authorization_code}, {money(available_minor)} left"
    stage.tell(
        line(request, answer, detail),
        style="green",
        authorization_id=answer.authorization_id,
        available_minor=available_minor,
    )
    return answer


async def declined(
    stage: Stage,
    request: rpc.AuthorizeRequest,
    reason: reasons.DeclineReason.ValueType,
    *,
    code: str,
) -> rpc.AuthorizeResponse:
    """A purchase that is declined for this reason."""
    answer = await stage.mesh.network.Authorize(request, timeout=CALL_TIMEOUT_S)
    stage.check("decision", found=answer.decision, expected=pb.DECISION_DECLINED)
    stage.check("reason", found=answer.decline_reason, expected=reason)
    stage.check("code", found=answer.response_code, expected=code)
    name = reasons.DeclineReason.Name(reason).removeprefix("DECLINE_REASON_")
    stage.tell(
        line(request, answer, name),
        style="yellow",
        decline_reason=name,
        response_code=code,
    )
    return answer
