"""Names of the keys in the money Valkey. All keys of a partition share the hash tag `{pp}`."""

from __future__ import annotations

from hashlib import blake2b

from runtime.settings import PARTITIONS

#: The two hex digits of every partition, in order.
TAGS = tuple(f"{partition:02x}" for partition in range(PARTITIONS))

#: What the gate last found, with the epoch it found it for.
VERDICT = "gate:verdict"

#: Lease of the worker that sweeps expired holds.
SWEEPER = "gate:sweeper"


def meta(tag: str) -> str:
    """HASH epoch, pseq: the partition's epoch and the number of its last journal entry; and the
    version of the rules of each programme and company.
    """
    return f"{{{tag}}}:meta"


def rules_version(scope_id: str) -> str:
    """The field of meta with the version of a programme's or company's rules. '': of nobody's."""
    return f"r:{scope_id}"


def rules(tag: str, scope_id: str) -> str:
    """HASH of a programme's or company's rules, as the partition's accounts obey them."""
    return f"{{{tag}}}:rules:{scope_id}"


def journal(tag: str) -> str:
    """STREAM of journal entries; the id is `<pseq>-0`."""
    return f"{{{tag}}}:journal"


def expiry(tag: str) -> str:
    """ZSET of open holds by the time (ms) they expire."""
    return f"{{{tag}}}:expiry"


def account(account_id: str) -> str:
    """HASH of one account: configuration, balances, seq, and versions of its users' controls."""
    return f"{{{account_id[5:7]}}}:acct:{account_id[5:]}"


def user_version(user_id: str) -> str:
    """The field of an account with the version of a user's controls. '': of nobody's."""
    return f"u:{user_id}"


def account_user(account_id: str, user_id: str) -> str:
    """HASH of what a user may use an account for."""
    return f"{{{account_id[5:7]}}}:user:{account_id[5:]}:{user_id}"


def card(card_id: str) -> str:
    """HASH of one card's configuration."""
    return f"{{{card_id[5:7]}}}:card:{card_id[5:]}"


def learned(root_card_id: str) -> str:
    """HASH of what the authorizer learned about a line of cards; projections never write it."""
    return f"{{{root_card_id[5:7]}}}:learned:{root_card_id[5:]}"


def recent(root_card_id: str) -> str:
    """HASH of what a line of cards did within the last hour, as checks against fraud look at it."""
    return f"{{{root_card_id[5:7]}}}:recent:{root_card_id[5:]}"


def hold(authorization_id: str) -> str:
    """HASH of one authorization."""
    return f"{{{authorization_id[5:7]}}}:hold:{authorization_id[5:]}"


def request(tag: str, principal: str, request_id: str) -> str:
    """STRING record of one request's answer. Two principals never share one."""
    digest = blake2b(f"{principal}\x00{request_id}".encode(), digest_size=16).hexdigest()
    return f"{{{tag}}}:req:{digest}"


def payment(payment_id: str) -> str:
    """HASH of one payment: its amount and what became of it."""
    return f"{{{payment_id[4:6]}}}:pay:{payment_id[4:]}"


def clearing(tag: str, scope: str, reference: str, sequence: int) -> str:
    """STRING record of one clearing's answer: it posts once, whatever its request ids. References
    are unique per network; where none is named, `scope` is the principal.
    """
    digest = blake2b(f"{scope}\x00{reference}\x00{sequence}".encode(), digest_size=16)
    return f"{{{tag}}}:clr:{digest.hexdigest()}"


def window(tag: str, name: str) -> str:
    """HASH slot -> amount|count of one limit of one subject, since it was set."""
    return f"{{{tag}}}:win:{name}"


def window_names(windows: str) -> tuple[str, ...]:
    """The windows that a hold counts in, from how it keeps them."""
    return tuple(item.partition(",")[0] for item in windows.split(";")) if windows else ()
