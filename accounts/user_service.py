"""UserService: convert, load, decide, commit, convert."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import TypeAlias

from google.protobuf.message import Message

from accounts import convert, convert_user, holding, user_import
from accounts.applications.erasing import Erasing
from accounts.caller import is_staff
from accounts.leaving import leave_all
from accounts.mutation import Context, delivered, outcome_unknown
from accounts.requests import Answer
from accounts.sign_in_address import SignInAddress
from accounts.user import (
    User,
    UserState,
    UserTransition,
    create_user,
    erase_user,
    move_user,
    reidentified,
    unknown_identity,
    update_user,
)
from accounts.user_export import UserExport
from accounts.user_store import UserStore, UserTransaction
from accounts.vault.vault import Vault
from holdfast.accounts.v1 import user_export_pb2, user_import_pb2, user_pb2, user_search_pb2
from holdfast.accounts.v1 import user_service_pb2 as pb
from holdfast.accounts.v1.user_service_pb2_grpc import UserServiceServicer
from runtime import ids
from runtime.audit.log import REPLAYED_REASON
from runtime.clock import Clock, datetime_of
from runtime.errors import AlreadyExists, FailedPrecondition, PermissionDenied
from runtime.identity import current_identity
from runtime.outbox import Outbox, Row
from runtime.paging import Position
from runtime.request_id import REPLAYED
from runtime.request_records import RequestKey

Effect: TypeAlias = Callable[[UserTransaction], Awaitable[User]]

ADMIN = "admin"
#: How long an answer waits until the gateway knows who may sign in.
SIGN_IN_WAIT_S = 5.0
#: First byte of a stored answer: whether the person's key opens the rest.
_PLAIN, _SEALED = b"\x00", b"\x01"


class UserService(UserServiceServicer):
    """Knows people, and shows no more of them than is asked for."""

    def __init__(
        self,
        store: UserStore,
        outbox: Outbox,
        new_ids: ids.IdSource,
        clock: Clock,
        *,
        export: UserExport,
        erasing: Erasing,
        vault: Vault,
        address: SignInAddress,
    ) -> None:
        self._outbox = outbox
        self._store = store
        self._export = export
        self._erasing = erasing
        self._vault = vault
        self._address = address
        self._ids = new_ids
        self._clock = clock

    async def CreateUser(
        self, request: pb.CreateUserRequest, context: Context
    ) -> pb.CreateUserResponse:
        """Makes a person known."""
        key, personal = convert_user.create_user(request, context, self._today())
        user_id = request.user_id or self._ids.new(
            ids.USER, ids.partition_for_owner(f"{key.principal}|{key.request_id}")
        )
        created = create_user(personal, user_id=user_id, now_ms=self._clock.now_ms())

        async def effect(transaction: UserTransaction) -> User:
            if not await transaction.insert_user(created):
                raise AlreadyExists(
                    "there is a user with this id",
                    reason="USER_EXISTS",
                    metadata={"user_id": user_id},
                )
            return created

        return pb.CreateUserResponse(user=await self._run(key, request, effect, context))

    async def ImportUsers(
        self, request: user_import_pb2.ImportUsersRequest, context: Context
    ) -> user_import_pb2.ImportUsersResponse:
        """Makes many people known."""
        key = convert_user.import_users(request, context, limit=user_import.IMPORT_MAX)
        found = await user_import.prepared(
            request, self._store.keys, now_ms=self._clock.now_ms(), today=self._today()
        )
        if request.validate_only:
            return await user_import.known(self._store, found)
        key = self._store.keyed(key, convert_user.content(request))
        async with self._store.transaction(now_ms=self._clock.now_ms()) as transaction:
            stored = await transaction.claim(key)
            if stored is None:
                created = await transaction.insert_rows(list(found.rows.values()))
                answer = found.response(created)
                # It has ids and what fields must be, nothing of what they were.
                response = answer.SerializeToString()
                await transaction.answer(key, Answer(response=response, outbox_key=""))
                for targets in user_import.audited(created):
                    await transaction.record(targets=targets)
                return answer
            stored.require(key)
            await transaction.record(reason=REPLAYED_REASON)
        await context.send_initial_metadata(REPLAYED)
        return user_import_pb2.ImportUsersResponse.FromString(stored.answer.response)

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        """Returns one person."""
        del context
        user_id = convert_user.get_user(request)
        full = request.view == user_pb2.VIEW_FULL
        found = await self._user(user_id)
        if full:
            await self._reveal([user_id], "GetUser")
        return pb.GetUserResponse(user=convert_user.user(found, full=full))

    async def ListUsers(
        self, request: pb.ListUsersRequest, context: Context
    ) -> pb.ListUsersResponse:
        """Lists people, newest first."""
        del context
        page = convert_user.users_page(request)
        users, more = page.cut(await self._store.users(page))
        last = Position(users[-1].create_time_ms, users[-1].id) if more else None
        full = request.view == user_pb2.VIEW_FULL
        if full:
            await self._reveal([user.id for user in users], "ListUsers")
        return pb.ListUsersResponse(
            users=[convert_user.user(user, full=full) for user in users],
            next_page_token=page.token_after(last) if last else "",
        )

    async def SearchUsers(
        self, request: user_search_pb2.SearchUsersRequest, context: Context
    ) -> user_search_pb2.SearchUsersResponse:
        """Finds people by email, phone, tax number or reference."""
        del context
        field, value, page = convert_user.search(request)
        users, more = page.cut(await self._store.found_by(field, value, page))
        last = Position(users[-1].create_time_ms, users[-1].id) if more else None
        return user_search_pb2.SearchUsersResponse(
            users=[convert_user.user(user) for user in users],
            next_page_token=page.token_after(last) if last else "",
        )

    async def UpdateUser(
        self, request: pb.UpdateUserRequest, context: Context
    ) -> pb.UpdateUserResponse:
        """Changes what the request has."""
        key = convert_user.update_user(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: UserTransaction) -> User:
            user = await _locked(transaction, request.user_id)
            personal = convert_user.updated(request, user.personal, self._today())
            if user.state is UserState.CLOSED:
                raise convert_user.user_closed(user)
            if not is_staff() and (fields := reidentified(user, personal)):
                raise convert_user.identity_verified(user, fields)
            if personal.email != user.personal.email:
                self._address.require_proof()
            changed = update_user(user, personal, now_ms=now_ms)
            if changed is not user:
                await transaction.update_user(changed)
            if personal.email not in ("", user.personal.email):
                await self._address.reserve(user.id, personal.email)
                await transaction.tell_address(changed)
            return changed

        return pb.UpdateUserResponse(user=await self._run(key, request, effect, context))

    async def VerifyUser(
        self, request: pb.VerifyUserRequest, context: Context
    ) -> pb.VerifyUserResponse:
        """Says that it was checked who the person is."""
        moved = await self._move(request, UserTransition.VERIFY, context)
        return pb.VerifyUserResponse(user=moved)

    async def SuspendUser(
        self, request: pb.SuspendUserRequest, context: Context
    ) -> pb.SuspendUserResponse:
        """Sets a person aside."""
        moved = await self._move(request, UserTransition.SUSPEND, context)
        return pb.SuspendUserResponse(user=moved)

    async def ReactivateUser(
        self, request: pb.ReactivateUserRequest, context: Context
    ) -> pb.ReactivateUserResponse:
        """Takes back a suspension."""
        moved = await self._move(request, UserTransition.REACTIVATE, context)
        return pb.ReactivateUserResponse(user=moved)

    async def CloseUser(
        self, request: pb.CloseUserRequest, context: Context
    ) -> pb.CloseUserResponse:
        """Ends the relation with a person."""
        moved = await self._move(request, UserTransition.CLOSE, context)
        return pb.CloseUserResponse(user=moved)

    async def DeleteUser(
        self, request: pb.DeleteUserRequest, context: Context
    ) -> pb.DeleteUserResponse:
        """Removes a person who never had anything."""
        key = convert_user.transition(request, context)

        async def effect(transaction: UserTransaction) -> User:
            user = await _locked(transaction, request.user_id)
            if await transaction.is_in_use(user.id):
                raise FailedPrecondition(
                    "the user has, or had, accounts, cards or applications: close, then erase",
                    reason="USER_IN_USE",
                    metadata={"user_id": user.id},
                )
            erased = erase_user(_closed(user), now_ms=self._clock.now_ms())
            await transaction.delete_user(erased)
            await transaction.erase_words(erased.id)
            await transaction.tell_sign_in(erased)
            return erased

        await self._run(key, request, effect, context)
        return pb.DeleteUserResponse()

    async def ExportUserData(
        self, request: user_export_pb2.ExportUserDataRequest, context: Context
    ) -> user_export_pb2.ExportUserDataResponse:
        """Returns everything about a person."""
        del context
        user_id, page = convert_user.export(request)
        found = await self._user(user_id)
        await self._reveal([user_id], "ExportUserData")
        return await self._export.of(found, page, now_ms=self._clock.now_ms())

    async def EraseUser(
        self, request: pb.EraseUserRequest, context: Context
    ) -> pb.EraseUserResponse:
        """Destroys the key of everything personal."""
        key = convert_user.transition(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: UserTransaction) -> User:
            # Accounts are always locked before people. Closing ends shares, but once it did not.
            await leave_all(transaction, request.user_id, now_ms=now_ms, key=request.user_id)
            user = await _locked(transaction, request.user_id)
            if user.state is not UserState.CLOSED:
                raise FailedPrecondition(
                    "only closed users are erased",
                    reason="USER_NOT_CLOSED",
                    metadata={"user_id": user.id, "state": user.state},
                )
            erased = erase_user(user, now_ms=now_ms)
            if erased is not user:
                await transaction.update_user(erased)
                await transaction.tell_sign_in(erased)
                await transaction.tell_payments(user.id)
                await transaction.erase_words(user.id)
                # The vault has a transaction of its own. Numbers that are gone before this one ends
                # are missed by nobody: all of these cards are closed, and erasing can be repeated.
                await self._vault.forget(await transaction.erase_cards(user.id))
            return erased

        user = await self._run(key, request, effect, context)
        # When it is answered the files are gone, also if an earlier try stopped here.
        await self._erasing.forget(request.user_id)
        return pb.EraseUserResponse(user=user)

    async def _move(
        self,
        request: convert_user.UserTransitionRequest,
        transition: UserTransition,
        context: Context,
    ) -> user_pb2.User:
        """The same five steps for every transition."""
        key = convert_user.transition(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: UserTransaction) -> User:
            user_id = request.user_id
            locked: list[str] = []
            # Accounts are always locked before people.
            if transition is UserTransition.CLOSE:
                await leave_all(transaction, user_id, now_ms=now_ms, key=user_id)
            elif transition is not UserTransition.VERIFY:
                locked = await holding.lock_held(transaction, user_id)
            user = await _locked(transaction, user_id)
            if transition is UserTransition.CLOSE:
                await _check_free(transaction, user.id)
            moved = move_user(user, transition, now_ms=now_ms)
            if not isinstance(moved, User):
                raise convert.refusal(moved)
            verified = transition is UserTransition.VERIFY and moved is not user
            if verified and (unknown := unknown_identity(user)):
                raise convert_user.identity_unknown(user, unknown)
            if transition in (UserTransition.SUSPEND, UserTransition.REACTIVATE):
                suspended = moved.state is UserState.SUSPENDED
                await holding.set_suspended(
                    transaction, user_id, suspended, locked=locked, now_ms=now_ms
                )
            if moved is not user:
                await transaction.update_user(moved)
                if transition is not UserTransition.VERIFY:
                    await transaction.tell_sign_in(moved)
            return moved

        return await self._run(key, request, effect, context)

    async def _run(
        self, key: RequestKey, request: Message, effect: Effect, context: Context
    ) -> user_pb2.User:
        """Once per request id. What is stored of request and answer tells nothing without keys."""
        key = self._store.keyed(key, convert_user.content(request))
        async with self._store.transaction(now_ms=self._clock.now_ms()) as transaction:
            stored = await transaction.claim(key)
            if stored is None:
                user = await effect(transaction)
                message = convert_user.user(user)
                response = await _stored(transaction, user, message.SerializeToString())
                await transaction.answer(key, Answer(response=response, outbox_key=user.id))
                await transaction.record(after=message)
            else:
                stored.require(key)
                response = await _read(transaction, stored.answer)
                message = user_pb2.User.FromString(response)
                await transaction.record(reason=REPLAYED_REASON)
        if transaction.appended or stored is not None:
            await self._told(message.id, transaction.appended, context)
        if stored is not None:
            await context.send_initial_metadata(REPLAYED)
        return message

    async def _told(self, user_id: str, rows: Sequence[Row], context: Context) -> None:
        """Answers only once the gateway knows who may sign in, the authorizer who may pay."""
        if not await delivered(self._outbox, user_id, rows, context, wait_s=SIGN_IN_WAIT_S):
            raise outcome_unknown("the gateway, or the authorizer,")

    async def _user(self, user_id: str) -> User:
        found = await self._store.user(user_id)
        if found is None:
            raise convert_user.user_not_found(user_id)
        return found

    async def _reveal(self, user_ids: Sequence[str], method: str) -> None:
        """Records that everything is shown; refuses those who may see masked people only."""
        identity = current_identity()
        if ADMIN not in identity.roles and [identity.principal] != user_ids:
            raise PermissionDenied(
                "only administrators and the person see everything", reason="VIEW_NOT_ALLOWED"
            )
        await self._store.record_reveals(
            user_ids, principal=identity.principal, method=method, now_ms=self._clock.now_ms()
        )

    def _today(self) -> date:
        return datetime_of(self._clock.now_ms()).date()


async def _locked(transaction: UserTransaction, user_id: str) -> User:
    user = await transaction.user(user_id)
    if user is None:
        raise convert_user.user_not_found(user_id)
    return user


async def _check_free(transaction: UserTransaction, user_id: str) -> None:
    """Refuses to close somebody of whom something is open, or who was added to an account just now:
    what others have shared before has ended.
    """
    metadata = {"user_id": user_id}
    if await transaction.owns_account(user_id) or await transaction.shares_account(user_id):
        raise FailedPrecondition(
            "the user owns or shares an account that is not closed",
            reason="USER_HAS_ACCOUNTS",
            metadata=metadata,
        )
    if await transaction.has_applications(user_id):
        raise FailedPrecondition(
            "the user has an application that is open: decide or withdraw it first",
            reason="USER_HAS_APPLICATIONS",
            metadata=metadata,
        )


def _closed(user: User) -> User:
    """Of somebody who is removed, whatever the state was."""
    moved = move_user(user, UserTransition.CLOSE, now_ms=user.update_time_ms)
    assert isinstance(moved, User), "every state leads to CLOSED"
    return moved


async def _stored(transaction: UserTransaction, user: User, response: bytes) -> bytes:
    if user.erase_time_ms is not None:
        return _PLAIN + response
    return _SEALED + await transaction.seal_answer(user.id, response)


async def _read(transaction: UserTransaction, answer: Answer) -> bytes:
    if answer.response[:1] == _PLAIN:
        return answer.response[1:]
    opened = await transaction.open_answer(answer.outbox_key, answer.response[1:])
    if opened is None:
        raise convert_user.user_not_found(answer.outbox_key)
    return opened
