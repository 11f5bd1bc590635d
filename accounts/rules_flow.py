"""The rules of programmes and companies: convert, load, decide, commit, convert."""

from __future__ import annotations

from accounts import convert_rules
from accounts.mutation import Context, Mutations
from accounts.rules import Rules, set_rules
from accounts.store import Store
from accounts.transaction import Transaction
from holdfast.accounts.v1 import rules_pb2
from runtime.clock import Clock


class RulesFlow:
    """Sets and gets the rules of whomever."""

    def __init__(self, store: Store, mutations: Mutations, clock: Clock) -> None:
        self._store = store
        self._mutations = mutations
        self._clock = clock

    async def set(
        self, request: convert_rules.SetRulesRequest, context: Context
    ) -> rules_pb2.Rules:
        """Replaces all rules of a programme or company."""
        key, scope_id = convert_rules.set_rules(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Rules:
            before = await transaction.rules(scope_id)
            kept = convert_rules.counting_rules(request.rules, before=before.rules, now_ms=now_ms)
            changed = set_rules(before, kept, now_ms=now_ms)
            if changed is not before:
                await transaction.update_rules(changed)
            return changed

        return rules_pb2.Rules.FromString(await self._mutations.run(key, effect, context))

    async def get(self, request: convert_rules.GetRulesRequest) -> rules_pb2.Rules:
        """Returns the rules of a programme or company."""
        return convert_rules.rules(await self._store.rules(convert_rules.scope_id(request)))
