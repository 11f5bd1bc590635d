"""Files in a bucket of S3, or of what speaks like it, with boto3.

Who we are there says the secret `s3-credentials` (`<access key id>:<secret access key>`); without
it, boto3 asks the machine, e.g. for the role of the instance. Its calls block, so each runs in a
thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from runtime.objects import ObjectsUnavailable, checked
from runtime.secrets import SecretsProvider
from runtime.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

#: Name of the secret.
CREDENTIALS = "s3-credentials"
CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 5
#: Tries of one call, the first included.
ATTEMPTS_MAX = 2

_Answer = TypeVar("_Answer")


class S3Bucket:
    """Files below `prefix` in a bucket."""

    def __init__(self, client: S3Client, *, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    @classmethod
    def of(cls, settings: Settings, secrets: SecretsProvider) -> S3Bucket:
        """The bucket that the settings name. Raises ValueError if they name none."""
        if not settings.s3_bucket:
            raise ValueError("HOLDFAST_OBJECTS=s3 needs HOLDFAST_S3_BUCKET")
        key_id, key = _credentials(secrets)
        client = boto3.client(
            "s3",
            region_name=settings.s3_region,
            endpoint_url=settings.s3_url or None,
            aws_access_key_id=key_id,
            aws_secret_access_key=key,
            config=Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"total_max_attempts": ATTEMPTS_MAX, "mode": "standard"},
            ),
        )
        return cls(client, bucket=settings.s3_bucket, prefix=settings.s3_prefix)

    async def put(self, name: str, content: bytes) -> None:
        """Stores a file; S3 answers once it is durable."""
        key = self._key(name)
        await self._run(lambda: self._client.put_object(Bucket=self._bucket, Key=key, Body=content))

    async def get(self, name: str) -> bytes | None:
        """A file, or None."""
        key = self._key(name)

        def read() -> bytes | None:
            try:
                return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            except self._client.exceptions.NoSuchKey:
                return None

        return await self._run(read)

    async def remove_all(self, folder: str) -> None:
        """Removes the files one by one: not every storage that speaks like S3 removes many at once.
        Earlier versions, where the bucket keeps some, are its own rules' to remove.
        """
        prefix = f"{self._key(folder)}/"

        def remove() -> None:
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                for found in page.get("Contents", ()):
                    self._client.delete_object(Bucket=self._bucket, Key=found["Key"])

        await self._run(remove)

    def _key(self, name: str) -> str:
        return self._prefix + checked(name)

    async def _run(self, call: Callable[[], _Answer]) -> _Answer:
        try:
            return await asyncio.to_thread(call)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise ObjectsUnavailable(f"S3 refuses: {code}") from None
        except BotoCoreError as error:
            raise ObjectsUnavailable(f"S3 gives no answer: {type(error).__name__}") from None


def _credentials(secrets: SecretsProvider) -> tuple[str | None, str | None]:
    if secrets.stamp(CREDENTIALS) is None:
        return None, None
    key_id, separator, key = secrets.read(CREDENTIALS).decode().strip().partition(":")
    if not separator:
        raise ValueError(f"secret {CREDENTIALS} must be <access key id>:<secret access key>")
    return key_id, key
