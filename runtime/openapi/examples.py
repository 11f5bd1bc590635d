"""Examples: a body for every operation, with what is required and little else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto


def _money(amount_minor: int) -> Mapping[str, str]:
    return {"amount_minor": str(amount_minor), "currency_code": "USD"}


_PLACE = "2a0195a3f0c4d17e8b9c2d4e6f8a0b1c2d"
#: What fields of these names look like.
BY_NAME: Mapping[str, Any] = {
    "account_id": f"acct_{_PLACE}",
    "accepts_terms": True,
    "amounts_minor": ["32", "45"],
    "authorization_code": "4f1a9c",
    "authorization_id": f"auth_{_PLACE}",
    "bank_reference": "2026-01-31/000123",
    "bin": "400000",
    "birth_date": "1990-12-10",
    "card_id": f"card_{_PLACE}",
    "category_code": "5411",
    "code": "123456",
    "company_id": f"co_{_PLACE}",
    "consents_to_credit_check": True,
    "consents_to_electronic_notices": True,
    "content": "JVBERi0xLjQK",
    "country_code": "US",
    "currency_code": "USD",
    "day": "2026-01-31",
    "descriptor": "CORNER SHOP",
    "display_name": "Marketing",
    "email": "ada@example.com",
    "employment_months": 48,
    "entry_id": f"ent_{_PLACE}",
    "flow_token": "0f5d3c",
    "issuer": "https://accounts.example.com",
    "legal_name": "Ada Lovelace",
    "media_type": "application/pdf",
    "name": "Ada Lovelace",
    "new_password": "correct horse battery",
    "note": "Charged twice.",
    "owner_id": f"usr_{_PLACE}",
    "password": "correct horse battery staple",
    "programme_id": "prog_standard",
    "receive_date": "2026-01-31",
    "redirect_uri": "https://app.example.com/signed-in",
    "reference": "old-17",
    "refresh_token": "3b7e21",
    "registration_number": "HRB 12345",
    "request_id": "order-42",
    "start_date": "2026-01-01",
    "subject_id": f"acct_{_PLACE}",
    "tax_id": "123-45-6789",
    "text": "Called, will send a bank statement.",
    "time_zone": "Europe/Berlin",
    "token": "9c41d2",
    "url": "https://hooks.example.com/holdfast",
    "user_id": f"usr_{_PLACE}",
}
#: The same of fields that mean something else in one message.
BY_FIELD: Mapping[str, Any] = {
    ".holdfast.accounts.v1.AddProgrammeTermsRequest.terms": {
        "effective_date": "2027-01-01",
        "annual_rates": [{"category": "BALANCE_CATEGORY_PURCHASE", "percent": "24.99"}],
        "interest_method": "INTEREST_METHOD_DAILY",
        "cycle": {"due_days": 25, "grace": True, "time_zone": "America/New_York"},
        "minimum_payment": {"floor": _money(3_500), "percent": "1"},
        "fees": {"late": _money(3_000)},
    },
    ".holdfast.accounts.v1.Applicant.annual_income": _money(6_000_000),
    ".holdfast.accounts.v1.Applicant.employment": "EMPLOYMENT_EMPLOYED",
    ".holdfast.accounts.v1.Applicant.housing": "HOUSING_RENTS",
    ".holdfast.accounts.v1.Applicant.monthly_housing": _money(90_000),
    ".holdfast.accounts.v1.CreateCompanyRequest.country_code": "DE",
    ".holdfast.accounts.v1.CreateCompanyRequest.legal_name": "Analytical Engines GmbH",
    ".holdfast.accounts.v1.CreateProgrammeRequest.display_name": "Everyday",
    ".holdfast.accounts.v1.CreateProgrammeRequest.programme_id": "prog_everyday",
    ".holdfast.accounts.v1.DeclineApplicationRequest.reasons": "Income is too low for the limit.",
    ".holdfast.accounts.v1.ImportCardsRequest.cards": {
        "reference": "old-17",
        "owner_id": f"usr_{_PLACE}",
        "credit_limit": _money(250_000),
    },
    ".holdfast.accounts.v1.OpenAccountRequest.credit_limit": _money(250_000),
    ".holdfast.accounts.v1.ResolveDisputeRequest.liability": {"merchant": _money(1_250)},
    ".holdfast.accounts.v1.SubmitApplicationRequest.programme_id": "prog_everyday",
    ".holdfast.accounts.v1.SubmitApplicationRequest.requested_limit": _money(250_000),
    ".holdfast.accounts.v1.UpdateCreditLimitRequest.credit_limit": _money(400_000),
    ".holdfast.accounts.v1.Underwriting.credit_limit_max": _money(1_000_000),
    ".holdfast.accounts.v1.Underwriting.credit_limit_min": _money(50_000),
    ".holdfast.authz.v1.Merchant.id": "mer_corner_shop",
    ".holdfast.gateway.v1.CompleteOidcSignInRequest.state": "7d20aa",
    ".holdfast.gateway.v1.CreateApiKeyRequest.owner_id": "mer_corner_shop",
    ".holdfast.gateway.v1.CreateApiKeyRequest.scopes": "authorizations:read",
    ".holdfast.gateway.v1.LinkOidcIdentityRequest.state": "7d20aa",
    ".holdfast.gateway.v1.SetUserAccessRequest.roles": "cardholder",
    ".holdfast.notify.v1.TriggerEventRequest.type": "card.frozen",
    ".holdfast.notify.v1.UpdateNotificationPreferencesRequest.preferences": {
        "choices": [
            {
                "kind": "NOTIFICATION_KIND_PURCHASE_DECLINED",
                "channels": ["NOTIFICATION_CHANNEL_EMAIL"],
            }
        ]
    },
    ".holdfast.payments.v1.AddFundingSourceRequest.source": "PAYMENT_SOURCE_IN_HOUSE",
    ".holdfast.payments.v1.RecordTransferRequest.source": "PAYMENT_SOURCE_WIRE",
    ".holdfast.payments.v1.IncomingTransfer.source": "PAYMENT_SOURCE_WIRE",
    ".holdfast.payments.v1.DismissTransferRequest.source": "PAYMENT_SOURCE_WIRE",
    ".holdfast.payments.v1.ReturnPaymentRequest.reason": "R01",
    ".holdfast.payments.v1.SchedulePaymentRequest.date": "2026-12-01",
}
#: Not required, but without it there is nothing to see, or staff is refused.
_ALSO = frozenset(
    {
        ".holdfast.accounts.v1.SubmitApplicationRequest.user_id",
        ".holdfast.payments.v1.MakePaymentRequest.amount",
        ".holdfast.payments.v1.SchedulePaymentRequest.amount",
        ".holdfast.stats.v1.ScheduleReportRequest.user_id",
    }
)
_BY_TYPE: Mapping[str, Any] = {
    ".google.protobuf.Timestamp": "2026-01-31T12:00:00Z",
    ".google.protobuf.Duration": "3600s",
    ".holdfast.type.v1.Money": _money(1_250),
}


def of_field(message: str, field: FieldDescriptorProto) -> Any:
    """What a field looks like if its name says so, else None. Of a list: one of its elements."""
    found = BY_FIELD.get(f"{message}.{field.name}")
    if found is None and field.type != FieldDescriptorProto.TYPE_MESSAGE:
        found = BY_NAME.get(field.name)
    return _BY_TYPE.get(field.type_name) if found is None else found


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Examples of messages."""

    #: Fields of a message, and values of an enum, by full name.
    fields: Callable[[str], Mapping[str, FieldDescriptorProto]]
    values: Callable[[str], Sequence[str]]
    #: Whether a field is required.
    is_required: Callable[[FieldDescriptorProto], bool]

    def of_request(self, message: str, without: frozenset[str] = frozenset()) -> dict[str, Any]:
        """A request: its id, and what is required and not in the path."""
        return {
            name: self._of(message, field)
            for name, field in self.fields(message).items()
            if name not in without
            and (name == "request_id" or self.is_required(field) or f"{message}.{name}" in _ALSO)
        }

    def _of(self, message: str, field: FieldDescriptorProto) -> Any:
        one = of_field(message, field)
        if one is None:
            one = self._of_type(field)
        is_list = field.label == FieldDescriptorProto.LABEL_REPEATED
        return [one] if is_list and not isinstance(one, list) else one

    def _of_type(self, field: FieldDescriptorProto) -> Any:
        if field.type == FieldDescriptorProto.TYPE_ENUM:
            # The first one says that there is none.
            return self.values(field.type_name)[1]
        assert field.type == FieldDescriptorProto.TYPE_MESSAGE, f"{field.name} has no example yet"
        # A part of a request: what is required of it, and what can be shown.
        return {
            name: self._of(field.type_name, one)
            for name, one in self.fields(field.type_name).items()
            if self.is_required(one) or of_field(field.type_name, one) is not None
        }
