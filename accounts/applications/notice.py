"""The notice of adverse action. No I/O, no clock, no grpc.

12 CFR 1002.9(a)(2) and (b): the action, the principal reasons, the creditor, the ECOA notice with
the agency; 15 U.S.C. 1681m(a): the score that was used, its range and date, its key factors, the
agency that supplied it, that it did not decide, and the rights to a free report and to dispute it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

_ECOA = (
    "The federal Equal Credit Opportunity Act prohibits creditors from discriminating against"
    " credit applicants on the basis of race, color, religion, national origin, sex, marital"
    " status, age (provided the applicant has the capacity to enter into a binding contract);"
    " because all or part of the applicant's income derives from any public assistance program;"
    " or because the applicant has in good faith exercised any right under the Consumer Credit"
    " Protection Act. The federal agency that administers compliance with this law concerning this"
    " creditor is: {agency}."
)
_FCRA = (
    "Our decision was based in whole or in part on information obtained from {bureau}. It played"
    " no part in our decision and is unable to supply specific reasons why we have denied credit."
    " You have a right to a free copy of your report from it, if you request it no later than 60"
    " days after you receive this notice, and to dispute with it the accuracy or completeness of"
    " any information in it."
)
_SCORE = (
    "We also used your credit score of {score}, created on {day}, from a range of {low} to {high}."
    " Key factors that adversely affected it: {factors}."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bureau:
    """Where a report came from."""

    name: str
    #: None: it has no file.
    score: int | None
    score_low: int
    score_high: int
    factors: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Creditor:
    """Who declines, and the agency that watches it."""

    name: str
    agency: str


def adverse_action(
    *, creditor: Creditor, reasons: tuple[str, ...], bureau: Bureau | None, day: date
) -> str:
    """The text that a declined applicant gets; it names nobody, so that it may be stored."""
    parts = [
        f"NOTICE OF ACTION TAKEN, {day}",
        f"{creditor.name} is unable to approve your application for credit.",
        "Principal reasons:\n" + "\n".join(f"- {reason}" for reason in reasons),
    ]
    if bureau is not None:
        parts.append(_FCRA.format(bureau=bureau.name))
        if bureau.score is not None:
            factors = "; ".join(bureau.factors) or "none stated"
            low, high = bureau.score_low, bureau.score_high
            parts.append(
                _SCORE.format(score=bureau.score, day=day, low=low, high=high, factors=factors)
            )
    parts.append(_ECOA.format(agency=creditor.agency))
    return "\n\n".join(parts)
