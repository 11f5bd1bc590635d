"""Puts together what tells users."""

from __future__ import annotations

import asyncpg
import grpc

from holdfast.notify.v1.notification_service_pb2_grpc import (
    add_NotificationServiceServicer_to_server,
)
from notify.notices import worker
from notify.notices.carrying import Carrier, LogCarrier
from notify.notices.contacts import AccountsContacts
from notify.notices.kind import Channel
from notify.notices.mail import FOLDER, FileCarrier, SmtpCarrier, smtp_server
from notify.notices.phones import PushCarrier, SmsCarrier
from notify.notices.planner import Planner
from notify.notices.service import NotificationService
from notify.notices.store import NoticeStore
from notify.notices.unsubscribing import RING, Tokens
from notify.notices.worker import Links, NoticeWorker
from notify.settings import NotifySettings
from notify.webhook_store import WebhookStore
from runtime.clock import Clock
from runtime.key_ring import key_ring
from runtime.secrets import secret_text, secrets_of
from runtime.server import Server


def planner(settings: NotifySettings, clock: Clock) -> Planner:
    """What makes notices of events."""
    return Planner(
        clock,
        caps={
            Channel.EMAIL: settings.notify_email_per_hour,
            Channel.SMS: settings.notify_sms_per_hour,
            Channel.PUSH: settings.notify_push_per_hour,
        },
    )


def carriers(settings: NotifySettings) -> dict[Channel, Carrier]:
    """What is configured; what is not is for development."""
    sender = settings.notify_sender
    mail: Carrier = FileCarrier(settings.home / FOLDER, sender=sender)
    if settings.smtp_url:
        mail = SmtpCarrier(smtp_server(settings.smtp_url), sender=sender)
    sms: Carrier = LogCarrier()
    if settings.notify_sms_url:
        sms = SmsCarrier(
            settings.notify_sms_url,
            account=settings.notify_sms_account,
            token=_secret(settings, "sms-token"),
            sender=settings.notify_sms_sender,
        )
    push: Carrier = LogCarrier()
    if settings.notify_push_url:
        push = PushCarrier(settings.notify_push_url, token=_secret(settings, "push-token"))
    return {Channel.EMAIL: mail, Channel.SMS: sms, Channel.PUSH: push}


def add_notifications(
    process: Server,
    pool: asyncpg.Pool,
    channel: grpc.aio.Channel,
    transactions: WebhookStore,
    *,
    carried: dict[Channel, Carrier],
    settings: NotifySettings,
    clock: Clock,
) -> NoticeWorker:
    """Adds what users ask; returns what sends."""
    secrets, store = secrets_of(settings), NoticeStore(pool)
    tokens, ring = Tokens(key_ring(secrets, RING, clock)), key_ring(secrets, worker.RING, clock)
    add_NotificationServiceServicer_to_server(
        NotificationService(store, transactions, clock, tokens=tokens, ring=ring),
        process.services,
    )
    return NoticeWorker(
        store,
        carried,
        AccountsContacts(channel).contact,
        clock,
        tokens=tokens,
        ring=ring,
        links=Links(site=settings.notify_site_url, api=settings.notify_api_url),
    )


def _secret(settings: NotifySettings, name: str) -> str:
    known = secrets_of(settings).stamp(name) is not None
    return secret_text(settings, name) if known else ""
