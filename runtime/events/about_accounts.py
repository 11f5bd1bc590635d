"""Types of events about applications, accounts, their statements and disputes, and users.

No I/O, no clock, no grpc.
"""

from __future__ import annotations

from runtime.events.event_type import EventType, types

_MOVED = ("entry_id", "amount", "available_credit")
_DISPUTE = ("dispute_id", "authorization_id", "entry_id", "state", "reason", "amount")

ACCOUNTS: tuple[EventType, ...] = (
    *types(
        "application",
        ("application_id", "programme_id", "state"),
        {
            "submitted": "Somebody has applied.",
            "in_review": "A person looks at it.",
            "documents_required": "Documents are asked for.",
            "approved": "It was approved; an account and a card follow.",
            "declined": "It was declined.",
            "withdrawn": "The applicant took it back.",
            "expired": "Its time was over.",
        },
    ),
    *types(
        "account",
        ("programme_id", "state", "credit_limit"),
        {
            "opened": "An account was opened.",
            "suspended": "Purchases are declined until it is reopened.",
            "delinquent": "It is past due: purchases are declined until it is paid.",
            "reopened": "It was suspended or past due, and is open again.",
            "closing": "It takes no purchases any more, and closes once nothing is owed.",
            "closed": "It was closed.",
            "controls_changed": "What it may be used for was changed.",
        },
    ),
    EventType(
        name="account.limit_changed",
        meaning="Its credit limit was changed.",
        fields=("credit_limit", "previous_credit_limit"),
    ),
    *types(
        "account",
        ("state",),
        {
            "user_added": "A user (`user_id`) shares it now, who is told, and may leave.",
            "user_removed": "A user (`user_id`) shares it no longer, and is told.",
            "user_changed": "What a user (`user_id`) may use it for was changed.",
        },
    ),
    *types(
        "account",
        _MOVED,
        {
            "fee_charged": "A fee was charged.",
            "interest_charged": "Interest was charged.",
            "debited": "An adjustment, or credit that is paid back, raised what is owed.",
            "credited": "An adjustment, or credit that was not paid back, lowered what is owed.",
        },
        optional=("related_entry_id",),
    ),
    EventType(
        name="account.delinquency_changed",
        meaning="It is later than before, or has caught up.",
        fields=("bucket", "previous_bucket", "days_past_due", "past_due"),
    ),
    *types(
        "account",
        ("amount", "charged_off"),
        {
            "charged_off": "It left the issuer's book as a loss; it is owed still.",
            "recovered": "Something that had been charged off was paid.",
        },
    ),
    *types(
        "account",
        ("amount", "related_entry_id", "reason"),
        {
            "fee_waived": "Staff gave a fee back; `account.credited` follows.",
            "interest_waived": "Staff gave interest back; `account.credited` follows.",
        },
    ),
    EventType(
        name="account.spend_unusual",
        meaning="Far more was spent on a day than ever before; nothing is declined because of it.",
        fields=("anomaly_id", "date", "amount", "usual_amount"),
    ),
    EventType(
        name="account.declines_unusual",
        meaning="Far more purchases were declined on a day than usual.",
        fields=("anomaly_id", "date", "declined_count", "decided_count"),
    ),
    EventType(
        name="account.country_unusual",
        meaning="Several purchases were asked for in a country where there was none before.",
        fields=("anomaly_id", "date", "country_code", "attempt_count"),
    ),
    EventType(
        name="statement.ready",
        meaning="A cycle was closed, and its statement can be read.",
        fields=("statement_id", "cycle_end_date", "due_date", "balance", "minimum_payment"),
    ),
    *types(
        "dispute",
        _DISPUTE,
        {
            "submitted": "A charge was disputed.",
            "acknowledged": "Its receipt was acknowledged.",
            "investigating": "Somebody looks into it.",
            "charged_back": "The amount was claimed back through the network.",
            "represented": "The merchant contests the claim.",
            "in_arbitration": "The network decides.",
            "credit_granted": "`amount` was credited until it ends, or for good as it ended.",
            "credit_reversed": "`amount` of what had been credited is owed again.",
        },
    ),
    *types(
        "dispute",
        (*_DISPUTE, "won"),
        {
            "won": "It ended: the cardholder need not pay.",
            "partially_won": "It ended: the cardholder need not pay all of it.",
            "lost": "It ended: the charge stands.",
            "withdrawn": "The cardholder took it back: the charge stands.",
        },
    ),
    *types(
        "user",
        ("state",),
        {
            "created": "Somebody is known from now on.",
            "updated": "Details of a person were changed.",
            "verified": "Who the person is was checked.",
            "suspended": "The person may neither sign in nor pay until they are reactivated.",
            "reactivated": "The person may sign in again.",
            "closed": "The person was closed.",
            "erased": "Everything personal was destroyed.",
        },
    ),
)
