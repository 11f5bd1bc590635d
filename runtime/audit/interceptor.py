"""Gives every mutating call its entry: refusals always, changes unless their transaction did. For
a service with a journal: what it refuses to whoever administers it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from grpc_interceptor.server import AsyncServerInterceptor

from runtime.audit import call
from runtime.audit.writer import AuditWriter
from runtime.errors import HoldfastError, Internal
from runtime.identity import find_identity

#: Our own services ask again by themselves until these have passed: that is no refusal.
_NOT_YET = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)


def is_mutation(method_name: str) -> bool:
    """True for a method whose contract does not say that it only reads."""
    service, _, method = method_name.strip("/").partition("/")
    options = (
        descriptor_pool.Default().FindServiceByName(service).methods_by_name[method].GetOptions()
    )
    return bool(options.idempotency_level != MethodOptions.NO_SIDE_EFFECTS)


class AuditInterceptor(AsyncServerInterceptor):
    """Stands within the one that turns errors into statuses, and around all that may refuse."""

    def __init__(self, log: AuditWriter) -> None:
        self._log = log

    async def intercept(self, method: Any, request: Any, context: Any, method_name: str) -> Any:
        """Writes the entry before the caller is answered."""
        running = call.AuditedCall(method=method_name, request=request, write=self._log.write)
        token = call.begin(running)
        try:
            answer = await method(request, context)
            if not running.recorded:
                after = answer if isinstance(answer, Message) else None
                await self._log.write(call.entry_of_call(after=after))
        except asyncio.CancelledError:
            # The caller has gone, or its time is over. What has no transaction may have happened;
            # what has one has its own entry if it was committed.
            self._log.write_soon(call.entry_of_call(code=grpc.StatusCode.CANCELLED.name))
            raise
        except (grpc.aio.AbortError, grpc.aio.UsageError):
            raise
        except Exception as error:
            known = error if isinstance(error, HoldfastError) else Internal("")
            await self._log.write(call.entry_of_call(code=known.code.name, reason=known.reason))
            raise
        else:
            return answer
        finally:
            call.end(token)


class RefusalInterceptor(AsyncServerInterceptor):
    """Records what is refused, for a service whose changes have a journal, around the same methods.

    What card networks and merchants are refused is not recorded: nobody waits for PostgreSQL there.
    """

    def __init__(self, log: AuditWriter) -> None:
        self._log = log

    async def intercept(self, method: Any, request: Any, context: Any, method_name: str) -> Any:
        """Writes the entry before the caller is told."""
        try:
            return await method(request, context)
        except asyncio.CancelledError:
            if _administers(grpc.StatusCode.CANCELLED):
                with call.of(method_name, request):
                    self._log.write_soon(call.entry_of_call(code=grpc.StatusCode.CANCELLED.name))
            raise
        except (grpc.aio.AbortError, grpc.aio.UsageError):
            raise
        except Exception as error:
            known = error if isinstance(error, HoldfastError) else Internal("")
            if _administers(known.code):
                with call.of(method_name, request):
                    entry = call.entry_of_call(code=known.code.name, reason=known.reason)
                await self._log.write(entry)
            raise


def _administers(code: grpc.StatusCode) -> bool:
    """Whether what the caller is refused with this code is recorded."""
    identity = find_identity()
    if identity is None:
        return True
    if identity.is_certificate:
        return "/service/" in identity.principal and code not in _NOT_YET
    return "merchant" not in identity.roles or "admin" in identity.roles
