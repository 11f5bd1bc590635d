"""The scenes in their order: each shows one thing that a card programme does, and checks it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from runtime.demo import (
    billing,
    books,
    customers,
    edge,
    households,
    lives,
    mails,
    paying,
    rush,
    telling,
)
from runtime.demo.stage import Stage

Scene = Callable[[Stage], Awaitable[None]]

PARTS: tuple[tuple[str, tuple[Scene, ...]], ...] = (
    (
        "Customers, who send JSON over HTTPS",
        (
            customers.apply,
            households.plastic,
            households.shared,
            households.freeze,
            households.lost,
            households.single_use,
            customers.reveal,
        ),
    ),
    (
        "Merchants, whose network sends gRPC over mutual TLS",
        (
            lives.accounts,
            lives.tip,
            lives.hotel,
            lives.fuel,
            lives.partial,
            lives.refund,
            lives.expiry,
            lives.repeat,
            lives.daily_limit,
        ),
    ),
    (
        "Paying the balance, and telling the world",
        (paying.pay, paying.schedule, paying.give_back, telling.webhook, mails.told),
    ),
    ("The edge: who may do what, and how often", (edge.session, edge.api_key, edge.rotate_keys)),
    (
        "Months of a credit account, in seconds",
        (billing.month, billing.late, billing.autopay, billing.dispute),
    ),
    ("Everybody at once, and the books", (rush.rush, books.close_books, edge.audit)),
)
