"""Credentials: what an address and a password must be, and who may sign in. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace

from runtime.email_address import is_email_address

#: Roles that a user may have.
USER_ROLES = ("admin", "manager", "cardholder", "merchant", "auditor")
#: NIST SP 800-63B-4 §3.1.1: length is what counts; no rules about kinds of characters.
PASSWORD_LENGTH_MIN = 12
PASSWORD_LENGTH_MAX = 128
#: Merchants are named by whoever runs the installation.
MERCHANT_ID = re.compile(r"mer_[A-Za-z0-9_-]{1,60}")
MERCHANT_ID_RULE = "must be mer_ and 1 to 60 characters of A-Z a-z 0-9 _ -"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """How a user signs in, and as what."""

    user_id: str
    roles: tuple[str, ...]
    #: The company of a manager.
    company_id: str = ""
    #: The merchant whose API keys a user of role merchant manages.
    merchant_id: str = ""
    #: Operators say so.
    disabled: bool = False
    #: Accounts says so: the person is suspended or closed.
    barred: bool = False
    #: Accounts says so: the company has removed the user, or made an employee of it.
    dismissed: bool = False
    #: The version of the person that said last whether it may sign in.
    person_version: int = 0
    #: The version of the person that said last which address it is; 0: it was registered.
    email_version: int = 0
    email_hash: bytes | None = field(default=None, repr=False)
    email_key: str | None = None
    password_hash: str | None = field(default=None, repr=False)
    version: int = 1
    create_ms: int
    update_ms: int

    @property
    def may_sign_in(self) -> bool:
        """Whether neither operators nor accounts say no, and there is something left to do."""
        return not (self.disabled or self.barred) and bool(self.held_roles)

    @property
    def held_roles(self) -> tuple[str, ...]:
        """The roles that count: nobody manages a company that says otherwise."""
        return tuple(one for one in self.roles if one != "manager" or not self.dismissed)

    @property
    def held_company_id(self) -> str:
        """The company that counts."""
        return "" if self.dismissed else self.company_id

    def manages(self, company_id: str) -> bool:
        """Whether operators say so."""
        return "manager" in self.roles and self.company_id == company_id

    def with_bar(self, *, barred: bool, person_version: int, now_ms: int) -> Credential:
        """The next version, as a person's version says; the same object if that is not newer."""
        if person_version <= self.person_version:
            return self
        return replace(
            self,
            barred=barred,
            person_version=person_version,
            version=self.version + 1,
            update_ms=now_ms,
        )

    def with_password(self, password_hash: str, *, now_ms: int) -> Credential:
        """The next version, with another password."""
        return replace(
            self, password_hash=password_hash, version=self.version + 1, update_ms=now_ms
        )

    def with_email(
        self, email_hash: bytes, email_key: str, *, email_version: int, now_ms: int
    ) -> Credential:
        """The next version, with another address; the same object if nothing newer says so, or if
        none signs in.
        """
        if self.email_hash is None or email_version <= self.email_version:
            return self
        return replace(
            self,
            email_hash=email_hash,
            email_key=email_key,
            email_version=email_version,
            version=self.version + 1,
            update_ms=now_ms,
        )

    def touched(self, *, now_ms: int) -> Credential:
        """The next version, alike: whatever rests on the one before must look again."""
        return replace(self, version=self.version + 1, update_ms=now_ms)

    def with_access(
        self,
        *,
        roles: tuple[str, ...],
        company_id: str,
        merchant_id: str,
        disabled: bool,
        now_ms: int,
    ) -> Credential:
        """The next version, which may do other things."""
        return replace(
            self,
            roles=roles,
            company_id=company_id,
            merchant_id=merchant_id,
            disabled=disabled,
            version=self.version + 1,
            update_ms=now_ms,
        )


def normalized_email(text: str) -> str:
    """The one way in which an address is written; empty if it is none. Case does not matter."""
    email = unicodedata.normalize("NFKC", text).strip().lower()
    return email if is_email_address(email) else ""


def normalized_password(text: str) -> str:
    """The same password, however a keyboard composes its characters (NIST SP 800-63B-4)."""
    return unicodedata.normalize("NFC", text)


def password_violation(text: str, *, email: str = "") -> str:
    """What is wrong with a new password; empty if nothing is."""
    if not PASSWORD_LENGTH_MIN <= len(text) <= PASSWORD_LENGTH_MAX:
        return f"must have {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters"
    if len(set(text)) < PASSWORD_LENGTH_MIN // 2:
        return "must not repeat so few characters"
    if email and email.partition("@")[0] in text.lower():
        return "must not contain the address"
    return ""


def access_violation(
    roles: tuple[str, ...], company_id: str, merchant_id: str
) -> tuple[str, str] | None:
    """The wrong field and what is wrong with it."""
    unknown = sorted(set(roles) - set(USER_ROLES))
    if unknown or not roles:
        return "roles", f"must be one or more of {', '.join(USER_ROLES)}"
    if "manager" in roles and not company_id:
        return "company_id", "is required for managers"
    if "merchant" in roles and not merchant_id:
        return "merchant_id", "is required for merchants"
    if merchant_id and MERCHANT_ID.fullmatch(merchant_id) is None:
        return "merchant_id", MERCHANT_ID_RULE
    return None
