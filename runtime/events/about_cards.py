"""Types of events about cards and what is bought with them. No I/O, no clock, no grpc."""

from __future__ import annotations

from runtime.events.event_type import EventType, types

_MOVED = ("entry_id", "amount", "available_credit")
_MERCHANT = ("merchant_id", "category_code", "country_code")
_ASKED = ("requested_amount", *_MERCHANT)

CARDS: tuple[EventType, ...] = (
    *types(
        "card",
        ("card_id", "kind", "state"),
        {
            "issued": "A card was issued.",
            "activated": "Its holder has it, and it may be used.",
            "frozen": "It may not be used until it is unfrozen.",
            "unfrozen": "It may be used again.",
            "closed": "It was closed.",
            "reported_lost": "Its holder lost it.",
            "reported_stolen": "It was stolen.",
            "renewed": "It keeps its number for longer.",
            "controls_changed": "What it may be used for was changed.",
            "updated": "Something else about it was changed.",
        },
    ),
    EventType(
        name="card.replaced",
        meaning="Another card takes its place.",
        fields=("card_id", "kind", "state", "replaced_by_card_id"),
    ),
    *types(
        "card",
        ("card_id", "kind", "state", "shipping"),
        {
            "ordered": "The plastic is being made.",
            "shipped": "The plastic is on its way.",
            "delivered": "The plastic was delivered.",
            "returned": "The plastic came back.",
        },
    ),
    *types(
        "authorization",
        ("authorization_id", *_MOVED),
        {
            "approved": "A purchase was approved; its amount is held.",
            "incremented": "A hold was raised.",
            "advised": "The network approved a purchase in our place.",
            "posted": "A purchase or withdrawal was approved and posted at once.",
            "captured": "A purchase was cleared: it is owed from now on.",
            "reversed": "A hold was given back, in part or whole.",
            "expired": "A hold ran out.",
            "force_posted": "A purchase was cleared that nobody had asked for before.",
        },
        optional=("card_id", *_MERCHANT, "related_entry_id"),
    ),
    *types(
        "authorization",
        _MOVED,
        {
            "refunded": "A merchant gave money back.",
            "refund_reversed": "A refund was taken back.",
        },
        optional=("authorization_id", "card_id", *_MERCHANT, "related_entry_id"),
    ),
    *types(
        "authorization",
        ("entry_id", "amount", "decline_reason"),
        {
            "declined": "A purchase was declined.",
            "increment_declined": "A hold was not raised.",
        },
        optional=("authorization_id", "card_id", "available_credit", *_ASKED),
    ),
)
