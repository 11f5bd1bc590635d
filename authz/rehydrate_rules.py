"""The rules of programmes and companies, and what users may use accounts for, from the ledger to
what Valkey had. Pure, as rehydrate_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from authz import keys
from authz.outcome import EntryType
from authz.rehydrate_rows import Write, hset
from holdfast.authz.v1 import projection_service_pb2 as projection


@dataclass(slots=True)
class Rules:
    """The last version of every account-user and of all rules of a partition."""

    users: dict[tuple[str, str], projection.ApplyAccountUserRequest] = field(default_factory=dict)
    scopes: dict[str, projection.ApplyRulesRequest] = field(default_factory=dict)

    def add(self, kind: str, request: bytes) -> None:
        """One version, in the order in which they were applied; other kinds are not theirs."""
        if kind == EntryType.ACCOUNT_USER_APPLIED:
            user = projection.ApplyAccountUserRequest.FromString(request)
            self.users[user.account_id, user.user_id] = user
        elif kind == EntryType.RULES_APPLIED:
            rules = projection.ApplyRulesRequest.FromString(request)
            self.scopes[rules.programme_id or rules.company_id] = rules

    def writes(self, tag: str) -> Iterable[Write]:
        """As `apply_account_user.lua` and `apply_rules.lua` left them. Without an epoch in meta, no
        script reads them yet.
        """
        for user in self.users.values():
            version = str(user.version)
            controls = user.controls.SerializeToString(deterministic=True)
            key = keys.account_user(user.account_id, user.user_id)
            field = {keys.user_version(user.user_id): version}
            yield Write(
                (
                    hset(key, {"v": version, "ctl": controls}),
                    hset(keys.account(user.account_id), field),
                )
            )
        for scope_id, rules in self.scopes.items():
            version = str(rules.version)
            content = rules.rules.SerializeToString(deterministic=True)
            yield Write(
                (
                    hset(keys.rules(tag, scope_id), {"v": version, "rules": content}),
                    hset(keys.meta(tag), {keys.rules_version(scope_id): version}),
                )
            )
