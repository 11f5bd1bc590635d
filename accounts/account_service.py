"""AccountService: convert, load, decide, commit, convert."""

from __future__ import annotations

from accounts import convert, convert_controls, convert_rules
from accounts.account import Account, open_account, set_controls, update_credit_limit
from accounts.mutation import Context, Mutations
from accounts.rules import AccountUser, set_user_controls
from accounts.store import Store, Transaction
from holdfast.accounts.v1 import account_pb2, account_user_pb2
from holdfast.accounts.v1 import account_service_pb2 as pb
from holdfast.accounts.v1.account_service_pb2_grpc import AccountServiceServicer
from runtime import ids
from runtime.clock import Clock
from runtime.paging import Position


class AccountService(AccountServiceServicer):
    """Opens and manages credit accounts."""

    def __init__(
        self, store: Store, mutations: Mutations, new_ids: ids.IdSource, clock: Clock
    ) -> None:
        self._store = store
        self._mutations = mutations
        self._ids = new_ids
        self._clock = clock

    async def OpenAccount(
        self, request: pb.OpenAccountRequest, context: Context
    ) -> pb.OpenAccountResponse:
        """Opens an account with a credit limit."""
        key, command = convert.open_account(request, context)
        account = open_account(
            command,
            account_id=self._ids.new(ids.ACCOUNT, ids.partition_of(command.owner_id)),
            now_ms=self._clock.now_ms(),
        )

        async def effect(transaction: Transaction) -> Account:
            parent_id = account.parent_account_id
            if parent_id and await transaction.steady_account(parent_id) is None:
                raise convert.parent_not_found()
            await transaction.insert_account(account)
            return account

        answer = await self._mutations.run(key, effect, context)
        return pb.OpenAccountResponse(account=account_pb2.Account.FromString(answer))

    async def GetAccount(
        self, request: pb.GetAccountRequest, context: Context
    ) -> pb.GetAccountResponse:
        """Returns one account."""
        del context
        account_id = convert.account_id(request)
        account = await self._store.account(account_id)
        if account is None:
            raise convert.account_not_found(account_id)
        return pb.GetAccountResponse(account=convert.account(account))

    async def ListAccounts(
        self, request: pb.ListAccountsRequest, context: Context
    ) -> pb.ListAccountsResponse:
        """Lists accounts, newest first."""
        del context
        page = convert.accounts_page(request)
        found = await self._store.accounts(page, owner_id=request.owner_id)
        accounts, more = page.cut(found)
        last = Position(accounts[-1].create_time_ms, accounts[-1].id) if more else None
        return pb.ListAccountsResponse(
            accounts=[convert.account(account) for account in accounts],
            next_page_token=page.token_after(last) if last else "",
        )

    async def UpdateCreditLimit(
        self, request: pb.UpdateCreditLimitRequest, context: Context
    ) -> pb.UpdateCreditLimitResponse:
        """Raises or lowers the credit limit."""
        key, command = convert.update_credit_limit(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Account:
            account = await transaction.account(command.account_id)
            if account is None:
                raise convert.account_not_found(command.account_id)
            changed = update_credit_limit(account, command, now_ms=now_ms)
            if not isinstance(changed, Account):
                raise convert.refusal(changed)
            if changed is not account:
                await transaction.update_account(changed)
            return changed

        answer = await self._mutations.run(key, effect, context)
        return pb.UpdateCreditLimitResponse(account=account_pb2.Account.FromString(answer))

    async def SetAccountControls(
        self, request: pb.SetAccountControlsRequest, context: Context
    ) -> pb.SetAccountControlsResponse:
        """Replaces the account's spend controls."""
        key, account_id = convert_controls.set_account_controls(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Account:
            account = await transaction.account(account_id)
            if account is None:
                raise convert.account_not_found(account_id)
            convert_controls.check_currency(request.controls, account.currency_code)
            controls = convert_controls.counting(
                request.controls, before=account.controls, now_ms=now_ms
            )
            changed = set_controls(account, controls, now_ms=now_ms)
            if changed is not account:
                await transaction.update_account(changed)
            return changed

        answer = await self._mutations.run(key, effect, context)
        return pb.SetAccountControlsResponse(account=account_pb2.Account.FromString(answer))

    async def SetAccountUserControls(
        self, request: pb.SetAccountUserControlsRequest, context: Context
    ) -> pb.SetAccountUserControlsResponse:
        """Replaces the spend controls of a user of an account."""
        key = convert_rules.set_account_user_controls(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> AccountUser:
            account = await transaction.steady_account(request.account_id)
            if account is None:
                raise convert.account_not_found(request.account_id)
            convert_controls.check_currency(request.controls, account.currency_code)
            user = await transaction.account_user(request.account_id, request.user_id)
            controls = convert_controls.counting(
                request.controls, before=user.controls, now_ms=now_ms
            )
            changed = set_user_controls(user, controls, now_ms=now_ms)
            if changed is not user:
                await transaction.update_account_user(changed)
            return changed

        answer = await self._mutations.run(key, effect, context)
        found = account_user_pb2.AccountUser.FromString(answer)
        return pb.SetAccountUserControlsResponse(account_user=found)

    async def GetAccountUser(
        self, request: pb.GetAccountUserRequest, context: Context
    ) -> pb.GetAccountUserResponse:
        """Returns what a user may use an account for."""
        del context
        convert_rules.check_account_user(request)
        if await self._store.account(request.account_id) is None:
            raise convert.account_not_found(request.account_id)
        found = await self._store.account_user(request.account_id, request.user_id)
        return pb.GetAccountUserResponse(account_user=convert_rules.account_user(found))
