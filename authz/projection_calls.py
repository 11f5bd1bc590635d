"""What each projection's script is called with. A projection is a version of configuration that the
accounts service owns.
"""

from __future__ import annotations

from typing import NamedTuple

from authz import keys, scripts
from authz.commands import ApplyAccount, ApplyAccountUser, ApplyCard, ApplyRules
from runtime import ids
from runtime.script import Script


class Call(NamedTuple):
    """A script with its keys and arguments; the epoch comes in front."""

    script: Script
    key_names: tuple[str, ...]
    arguments: tuple[str | bytes, ...]


def apply_account(command: ApplyAccount, entry: bytes, *, now_ms: int) -> Call:
    """An account's configuration."""
    tag = ids.tag_of(command.account_id)
    return Call(
        scripts.APPLY_ACCOUNT,
        (keys.meta(tag), keys.account(command.account_id), keys.journal(tag)),
        (
            str(now_ms),
            str(command.version),
            str(command.state),
            command.currency_code,
            str(command.limit_minor),
            command.owner_id,
            command.programme_id,
            command.parent_account_id,
            entry,
            command.controls,
        ),
    )


def apply_card(command: ApplyCard, entry: bytes, *, now_ms: int) -> Call:
    """A card's configuration."""
    tag = ids.tag_of(command.card_id)
    return Call(
        scripts.APPLY_CARD,
        (
            keys.meta(tag),
            keys.card(command.card_id),
            keys.account(command.account_id),
            keys.journal(tag),
            keys.learned(command.root_card_id),
            keys.recent(command.root_card_id),
        ),
        (
            str(now_ms),
            str(command.version),
            str(command.state),
            command.account_id,
            command.root_card_id,
            str(command.expire_at_ms),
            "1" if command.single_use else "0",
            entry,
            command.controls,
            command.user_id,
            str(command.suspicion_clear_ms or ""),
        ),
    )


def apply_account_user(command: ApplyAccountUser, entry: bytes, *, now_ms: int) -> Call:
    """What a user may use an account for."""
    tag = ids.tag_of(command.account_id)
    return Call(
        scripts.APPLY_ACCOUNT_USER,
        (
            keys.meta(tag),
            keys.account_user(command.account_id, command.user_id),
            keys.account(command.account_id),
            keys.journal(tag),
        ),
        (
            str(now_ms),
            str(command.version),
            keys.user_version(command.user_id),
            command.controls,
            entry,
        ),
    )


def apply_rules(command: ApplyRules, tag: str, entry: bytes, *, now_ms: int) -> Call:
    """The rules of a programme or company, in one partition."""
    return Call(
        scripts.APPLY_RULES,
        (keys.meta(tag), keys.rules(tag, command.scope_id), keys.journal(tag)),
        (
            str(now_ms),
            str(command.version),
            keys.rules_version(command.scope_id),
            command.rules,
            entry,
        ),
    )
