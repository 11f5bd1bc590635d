"""What messages say. Values of events come from networks and merchants: in HTML they are escaped,
in subjects they stay on one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from notify.notices.kind import Kind
from notify.notices.notice import Notice
from runtime.money import format_minor

_TEMPLATES = Path(__file__).with_name("templates")
#: Text messages are cut: longer ones cost several times as much.
SHORT_LENGTH_MAX = 320


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One message, as each channel says it."""

    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)
    #: For text messages and apps.
    short: str = field(repr=False)


def _money(amount: Mapping[str, Any]) -> str:
    return format_minor(amount["amount_minor"], amount["currency_code"])


def _words(name: str) -> str:
    """`INSUFFICIENT_FUNDS` as people read it."""
    return name.replace("_", " ").lower()


#: Events that are told with words of their own.
_OWN = {
    "payment.refund_failed": "payment_refund_failed",
    "report.ready": "report_ready",
}
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
    undefined=StrictUndefined,
)
_ENVIRONMENT.filters |= {"money": _money, "words": _words}


def template_of(notice: Notice) -> str:
    """Which template says a notice."""
    if notice.kind is Kind.SECURITY:
        return notice.topic.rpartition(".")[2]
    return _OWN.get(notice.topic) or notice.kind.lower()


def words(
    notice: Notice, *, name: str, token: str = "", link: str = "", unsubscribe: str = ""
) -> Words:
    """What a notice says to somebody who is called so."""
    template = _ENVIRONMENT.get_template(f"{template_of(notice)}.txt.j2")
    context = template.new_context({**notice.data, "token": token})

    def block(which: str) -> str:
        return "".join(template.blocks[which](context)).strip()

    subject = " ".join(block("subject").split())
    greeting = [f"Hello {' '.join(name.split())},"] if name.strip() else []
    # Who has several, or manages those of a company, needs to know which.
    about = [f"It is about the account {notice.account_id}."] if notice.account_id else []
    shown = {
        "subject": subject,
        "paragraphs": [*greeting, *block("body").split("\n\n"), *about],
        "link": link,
        "unsubscribe": unsubscribe,
    }
    return Words(
        subject=subject,
        text=_ENVIRONMENT.get_template("mail.txt.j2").render(shown) + "\n",
        html=_ENVIRONMENT.get_template("mail.html.j2").render(shown) + "\n",
        short=" ".join(block("short").split())[:SHORT_LENGTH_MAX],
    )
