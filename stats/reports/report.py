"""What a report is, and how long it lives. No I/O, no clock, no grpc."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from runtime.record import record

#: Days of one report.
DAYS_MAX = 1_100
#: By so many things spending is broken down.
GROUPS_MAX = 5


class Type(StrEnum):
    """What it is."""

    SPENDING = "SPENDING"
    ACCOUNTING = "ACCOUNTING"


class Format(StrEnum):
    """What kind of file."""

    CSV = "CSV"
    JSON = "JSON"
    XLSX = "XLSX"
    PDF = "PDF"
    QUICKBOOKS_IIF = "QUICKBOOKS_IIF"
    QUICKBOOKS_CSV = "QUICKBOOKS_CSV"
    XERO_CSV = "XERO_CSV"


class Group(StrEnum):
    """By what spending is broken down."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    ACCOUNT = "ACCOUNT"
    DEPARTMENT = "DEPARTMENT"
    USER = "USER"
    CARD = "CARD"
    CATEGORY = "CATEGORY"
    MERCHANT = "MERCHANT"
    COUNTRY = "COUNTRY"


class Books(StrEnum):
    """Whose books a journal is for."""

    ISSUER = "ISSUER"
    HOLDER = "HOLDER"


class State(StrEnum):
    """Where it stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    READY = "READY"
    FAILED = "FAILED"
    #: Told to nobody: the row is kept for who asks again for it to be removed.
    DELETED = "DELETED"


#: Kinds of files of each type.
FORMATS = {
    Type.SPENDING: (Format.CSV, Format.JSON, Format.XLSX, Format.PDF),
    Type.ACCOUNTING: (
        Format.CSV,
        Format.XLSX,
        Format.QUICKBOOKS_IIF,
        Format.QUICKBOOKS_CSV,
        Format.XERO_CSV,
    ),
}
GROUPS_DEFAULT = (Group.DEPARTMENT, Group.CARD, Group.CATEGORY)
#: Ending and media type of each.
_FILES = {
    Format.CSV: ("csv", "text/csv; charset=utf-8"),
    Format.JSON: ("json", "application/json"),
    Format.XLSX: ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    Format.PDF: ("pdf", "application/pdf"),
    Format.QUICKBOOKS_IIF: ("iif", "text/tab-separated-values; charset=utf-8"),
    Format.QUICKBOOKS_CSV: ("csv", "text/csv; charset=utf-8"),
    Format.XERO_CSV: ("csv", "text/csv; charset=utf-8"),
}


@record
class Wanted:
    """What is wanted of a report, whatever its days."""

    subject_id: str
    type: Type
    format: Format
    #: '': all.
    currency_code: str
    groups: tuple[Group, ...]
    books: Books


@record
class Report:
    """One report."""

    id: str
    wanted: Wanted
    start: date
    end: date
    state: State
    progress_percent: int
    row_count: int
    size_bytes: int
    part_count: int
    sha256: str
    failure: str
    key: bytes
    schedule_id: str
    #: Who asked; of a scheduled one, who is told: '': whoever manages its owner.
    principal: str
    #: Who owns what a scheduled one is about.
    owner_id: str
    attempts: int
    create_time_ms: int
    end_time_ms: int | None
    expire_time_ms: int

    def is_gone(self, now_ms: int) -> bool:
        """True if nobody is told of it any more: it was deleted, or is done and its time over."""
        done = self.end_time_ms is not None
        return self.state is State.DELETED or (done and self.expire_time_ms <= now_ms)

    @property
    def folder(self) -> str:
        """Where its file lies: each attempt has a folder of its own."""
        return f"{self.id}/{self.attempts}"

    @property
    def file_name(self) -> str:
        """A name that says what it is."""
        kind = "spending" if self.wanted.type is Type.SPENDING else "journal"
        format_ = self.wanted.format
        if format_ in (Format.QUICKBOOKS_CSV, Format.XERO_CSV):
            kind += "-" + format_.partition("_")[0].lower()
        return f"{kind}-{self.wanted.subject_id}-{self.start}-{self.end}.{_FILES[format_][0]}"

    @property
    def content_type(self) -> str:
        """Its media type."""
        return _FILES[self.wanted.format][1]


def queued(
    report_id: str,
    wanted: Wanted,
    days: tuple[date, date],
    *,
    key: bytes,
    principal: str,
    now_ms: int,
    kept_ms: int,
    schedule_id: str = "",
    owner_id: str = "",
) -> Report:
    """One that waits for its turn."""
    return Report(
        id=report_id,
        wanted=wanted,
        start=days[0],
        end=days[1],
        state=State.QUEUED,
        progress_percent=0,
        row_count=0,
        size_bytes=0,
        part_count=0,
        sha256="",
        failure="",
        key=key,
        schedule_id=schedule_id,
        principal=principal,
        owner_id=owner_id,
        attempts=0,
        create_time_ms=now_ms,
        end_time_ms=None,
        expire_time_ms=now_ms + kept_ms,
    )


def percent(done: int, whole: int) -> int:
    """How much is done, 0 to 99: 100 says that it is ready."""
    return min(done * 100 // whole, 99) if whole > 0 else 0
