"""AccountService: convert, load, decide, commit, convert."""

from __future__ import annotations

from dataclasses import replace

from accounts import convert, convert_controls, convert_lifecycle, convert_rules, suspending
from accounts.account import (
    Account,
    AccountTransition,
    move_account,
    open_account,
    require_open,
    set_controls,
    update_credit_limit,
)
from accounts.account_user import AccountUser, add_user, set_user_controls
from accounts.caller import calling_user
from accounts.company_settings import member_controls, programme_of
from accounts.company_store import Companies
from accounts.convert_company import refuse_inactive
from accounts.convert_programme import programme_retired
from accounts.freezing import Authority, authority_over
from accounts.leaving import leave
from accounts.mutation import Context, Mutations
from accounts.ownership_store import OwnershipStore
from accounts.programme import ProgrammeState
from accounts.programme_store import Programmes
from accounts.store import Store
from accounts.suspension import Cause
from accounts.transaction import Transaction
from accounts.user_store import check_person
from holdfast.accounts.v1 import account_lifecycle_pb2 as life
from holdfast.accounts.v1 import account_pb2, account_user_pb2
from holdfast.accounts.v1 import account_service_pb2 as pb
from holdfast.accounts.v1.account_service_pb2_grpc import AccountServiceServicer
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from runtime import ids
from runtime.clock import Clock
from runtime.identity import Identity, current_identity
from runtime.ownership import owners
from runtime.paging import Position


class AccountService(AccountServiceServicer):
    """Opens and manages credit accounts."""

    def __init__(
        self,
        store: Store,
        ownership: OwnershipStore,
        mutations: Mutations,
        new_ids: ids.IdSource,
        clock: Clock,
    ) -> None:
        self._store = store
        self._ownership = ownership
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
            companies = Companies(transaction.connection)
            company = await companies.steady_of_owner(account.owner_id)
            refuse_inactive(company)
            parent_id = account.parent_account_id
            if parent_id and await transaction.steady_account(parent_id) is None:
                raise convert.parent_not_found()
            await check_person(transaction.connection, account.owner_id)
            programme_id = account.programme_id or programme_of(company)
            programme = await Programmes(transaction.connection).get(programme_id)
            if programme is not None:
                if programme.state is not ProgrammeState.ACTIVE:
                    raise programme_retired()
                if programme.currency_code != account.currency_code:
                    raise convert.not_the_programmes(programme.currency_code)
            opened = replace(account, programme_id=programme_id)
            await transaction.insert_account(opened)
            return opened

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

    async def _owners(self, identity: Identity) -> tuple[str, ...]:
        """Whose accounts the caller is shown: a company's until it has removed its manager."""
        found = []
        for name in owners(identity):
            company = ids.is_id(name, ids.COMPANY)
            belongs = company and await self._ownership.company_belongs(name, identity.principal)
            if not (belongs and belongs.dismissed):
                found.append(name)
        return tuple(found)

    async def ListAccounts(
        self, request: pb.ListAccountsRequest, context: Context
    ) -> pb.ListAccountsResponse:
        """Lists accounts, newest first."""
        del context
        page = convert.accounts_page(request)
        identity = current_identity()
        if identity.sees_everything:
            found = await self._store.accounts(page, owner_id=request.owner_id)
        else:
            found = await self._ownership.accounts_of(
                page,
                owner_ids=await self._owners(identity),
                user_id=identity.principal if "cardholder" in identity.roles else "",
                owner_id=request.owner_id,
            )
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

    async def AddAccountUser(
        self, request: life.AddAccountUserRequest, context: Context
    ) -> life.AddAccountUserResponse:
        """Shares an account with a user."""
        key = convert_lifecycle.add_account_user(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> AccountUser:
            account = await transaction.steady_account(request.account_id)
            if account is None:
                raise convert.account_not_found(request.account_id)
            if refusal := require_open(account):
                raise convert.refusal(refusal)
            convert_lifecycle.check_not_owner(request.user_id, account.owner_id)
            convert_controls.check_currency(request.controls, account.currency_code)
            stranger = authority_over(account) is not Authority.ISSUER
            await check_person(transaction.connection, request.user_id, to_stranger=stranger)
            user = await transaction.account_user(request.account_id, request.user_id)
            wanted = await _controls_of_new_user(transaction, account, user, request)
            controls = convert_controls.counting(wanted, before=user.controls, now_ms=now_ms)
            changed = add_user(user, controls, now_ms=now_ms)
            if changed is not user:
                await transaction.update_account_user(changed)
            return changed

        answer = await self._mutations.run(key, effect, context)
        found = account_user_pb2.AccountUser.FromString(answer)
        return life.AddAccountUserResponse(account_user=found)

    async def RemoveAccountUser(
        self, request: life.RemoveAccountUserRequest, context: Context
    ) -> life.RemoveAccountUserResponse:
        """Ends the sharing, and closes the user's cards."""
        key = convert_lifecycle.remove_account_user(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> AccountUser:
            # Locked for a change: nobody gives the user a card in the meantime.
            account = await transaction.account(request.account_id)
            if account is None:
                raise convert.account_not_found(request.account_id)
            if authority_over(account) is Authority.USER and request.user_id != calling_user():
                raise convert.account_not_found(request.account_id)
            user = await transaction.account_user(request.account_id, request.user_id)
            changed = await leave(transaction, user, now_ms=now_ms)
            if not isinstance(changed, AccountUser):
                raise convert.refusal(changed)
            return changed

        answer = await self._mutations.run(key, effect, context)
        found = account_user_pb2.AccountUser.FromString(answer)
        return life.RemoveAccountUserResponse(account_user=found)

    async def ListAccountUsers(
        self, request: life.ListAccountUsersRequest, context: Context
    ) -> life.ListAccountUsersResponse:
        """Lists the users who share an account, newest first."""
        del context
        page = convert_lifecycle.page_of_account(request)
        found = await self._store.account_users(page, account_id=request.account_id)
        if not found and await self._store.account(request.account_id) is None:
            raise convert.account_not_found(request.account_id)
        users, more = page.cut(found)
        last = Position(users[-1].create_time_ms, users[-1].user_id) if more else None
        return life.ListAccountUsersResponse(
            account_users=[convert_rules.account_user(user) for user in users],
            next_page_token=page.token_after(last) if last else "",
        )

    async def SuspendAccount(
        self, request: life.SuspendAccountRequest, context: Context
    ) -> life.SuspendAccountResponse:
        """Refuses new purchases until the account is reopened."""
        key, cause = convert_lifecycle.account_transition(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Account:
            account = await _locked(transaction, request.account_id)
            return await suspending.suspend(
                transaction,
                account,
                cause or Cause.ISSUER,
                principal=key.principal,
                now_ms=now_ms,
            )

        answer = await self._mutations.run(key, effect, context)
        return life.SuspendAccountResponse(account=account_pb2.Account.FromString(answer))

    async def ReopenAccount(
        self, request: life.ReopenAccountRequest, context: Context
    ) -> life.ReopenAccountResponse:
        """Ends a cause for which the account is suspended."""
        key, cause = convert_lifecycle.account_transition(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Account:
            account = await _locked(transaction, request.account_id)
            return await suspending.lift(
                transaction, account, cause, principal=key.principal, now_ms=now_ms
            )

        answer = await self._mutations.run(key, effect, context)
        return life.ReopenAccountResponse(account=account_pb2.Account.FromString(answer))

    async def ListAccountSuspensions(
        self, request: life.ListAccountSuspensionsRequest, context: Context
    ) -> life.ListAccountSuspensionsResponse:
        """Lists why an account is, or was, suspended, newest first."""
        del context
        page = convert_lifecycle.page_of_account(request)
        found = await self._store.suspensions(page, account_id=request.account_id)
        if not found and await self._store.account(request.account_id) is None:
            raise convert.account_not_found(request.account_id)
        suspensions, token = convert_lifecycle.suspensions_page(page, found)
        return life.ListAccountSuspensionsResponse(suspensions=suspensions, next_page_token=token)

    async def CloseAccount(
        self, request: life.CloseAccountRequest, context: Context
    ) -> life.CloseAccountResponse:
        """Begins to close an account; `closing.py` ends it."""
        key, _ = convert_lifecycle.account_transition(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Account:
            account = await _locked(transaction, request.account_id)
            moved = move_account(account, AccountTransition.CLOSE, now_ms=now_ms)
            if not isinstance(moved, Account):
                raise convert.refusal(moved)
            if moved is not account:
                await transaction.update_account(moved)
            return moved

        answer = await self._mutations.run(key, effect, context)
        return life.CloseAccountResponse(account=account_pb2.Account.FromString(answer))

    async def ListAccountChanges(
        self, request: life.ListAccountChangesRequest, context: Context
    ) -> life.ListAccountChangesResponse:
        """Lists every change of an account and of its users, newest first."""
        del context
        page = convert_lifecycle.page_of_account(request)
        found = await self._store.changes(page, line_id=request.account_id)
        if not found and await self._store.account(request.account_id) is None:
            raise convert.account_not_found(request.account_id)
        changes, token = convert_lifecycle.changes_page(page, found)
        return life.ListAccountChangesResponse(changes=changes, next_page_token=token)


async def _locked(transaction: Transaction, account_id: str) -> Account:
    account = await transaction.account(account_id)
    if account is None:
        raise convert.account_not_found(account_id)
    return account


async def _controls_of_new_user(
    transaction: Transaction,
    account: Account,
    user: AccountUser,
    request: life.AddAccountUserRequest,
) -> SpendControls:
    """What was asked for, else what the user has, else what the company that owns it has chosen."""
    if request.HasField("controls"):
        return request.controls
    if user.controls:
        return SpendControls.FromString(user.controls)
    companies = Companies(transaction.connection)
    company = await companies.of_owner(account.owner_id)
    member = await companies.member(company.id, user.user_id) if company else None
    chosen = member_controls(company, member, currency_code=account.currency_code)
    return chosen or SpendControls()
