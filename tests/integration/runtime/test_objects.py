"""Every storage keeps the same contract; S3 is moto's server, which others wrote to play it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from runtime.objects import LocalFolder, ObjectStorage, ObjectsUnavailable, objects_of
from runtime.objects_s3 import CREDENTIALS, S3Bucket
from runtime.secrets import FileSecrets
from runtime.settings import Settings

BUCKET = "papers"
CONTENT = os.urandom(180 * 1024)


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="k",
        aws_secret_access_key="s",
    )
    client.create_bucket(Bucket=BUCKET)
    client.close()
    yield url
    server.stop()


def settings_of(home: Path, url: str, **fields: str) -> Settings:
    """An installation that keeps its files in S3, and has the secret for it."""
    FileSecrets(home / "secrets").change(CREDENTIALS, lambda _: b"key:secret\n")
    valid = {"objects": "s3", "s3_bucket": BUCKET, "s3_url": url, "s3_prefix": "hf/"}
    return Settings.model_validate({"home": home, **valid, **fields})


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStorage:
    if request.param == "folder":
        return objects_of(Settings(home=tmp_path))
    return objects_of(settings_of(tmp_path, request.getfixturevalue("s3_url")))


async def test_what_is_put_is_there(storage: ObjectStorage) -> None:
    assert await storage.get("app_1/doc_none") is None
    await storage.put("app_1/doc_1-ab", CONTENT)
    await storage.put("app_1/doc_2", b"")
    assert await storage.get("app_1/doc_1-ab") == CONTENT
    assert await storage.get("app_1/doc_2") == b""
    assert await storage.get("app_1") is None


async def test_the_same_file_again(storage: ObjectStorage) -> None:
    """Also at once: nobody ever reads a part."""
    await asyncio.gather(*(storage.put("app_2/doc", CONTENT) for _ in range(4)))
    found = await asyncio.gather(*(storage.get("app_2/doc") for _ in range(4)))
    assert found == [CONTENT] * 4


async def test_a_folder_goes_with_all_its_files(storage: ObjectStorage) -> None:
    for name in ("app_8/doc_1", "app_8/doc_2", "app_80/doc_1"):
        await storage.put(name, b"x")
    for _ in range(2):
        await storage.remove_all("app_8")
    found = [await storage.get(name) for name in ("app_8/doc_1", "app_8/doc_2", "app_80/doc_1")]
    assert found == [None, None, b"x"]


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../b", "a//b", "a b", "a/", "é"])
async def test_names_lead_nowhere_else(storage: ObjectStorage, name: str) -> None:
    with pytest.raises(ValueError, match="names of files"):
        await storage.put(name, b"x")
    with pytest.raises(ValueError, match="names of files"):
        await storage.get(name)
    with pytest.raises(ValueError, match="names of files"):
        await storage.remove_all(name)


async def test_files_of_the_folder_are_private(tmp_path: Path) -> None:
    await LocalFolder(tmp_path / "documents").put("app_3/doc", b"x")
    path = tmp_path / "documents" / "app_3" / "doc"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "documents").write_text("in the way")
    with pytest.raises(ObjectsUnavailable):
        await LocalFolder(tmp_path / "documents").put("app_4/doc", b"x")


async def test_the_prefix_keeps_installations_apart(tmp_path: Path, s3_url: str) -> None:
    ours = objects_of(settings_of(tmp_path / "a", s3_url, s3_prefix="a/"))
    theirs = objects_of(settings_of(tmp_path / "b", s3_url, s3_prefix="b/"))
    await ours.put("app_5/doc", b"ours")
    assert await theirs.get("app_5/doc") is None


async def test_what_s3_refuses(tmp_path: Path, s3_url: str) -> None:
    none = objects_of(settings_of(tmp_path, s3_url, s3_bucket="nobodys"))
    with pytest.raises(ObjectsUnavailable, match="NoSuchBucket"):
        await none.put("app_6/doc", b"x")
    with pytest.raises(ObjectsUnavailable, match="NoSuchBucket"):
        await none.get("app_6/doc")


async def test_s3_that_does_not_answer(tmp_path: Path, unused_tcp_port: int) -> None:
    gone = objects_of(settings_of(tmp_path, f"http://127.0.0.1:{unused_tcp_port}"))
    with pytest.raises(ObjectsUnavailable, match="gives no answer"):
        await gone.put("app_7/doc", b"x")
    with pytest.raises(ObjectsUnavailable, match="gives no answer"):
        await gone.remove_all("app_7")


def test_settings_that_lack_something(tmp_path: Path) -> None:
    secrets = FileSecrets(tmp_path / "secrets")
    with pytest.raises(ValueError, match="HOLDFAST_S3_BUCKET"):
        S3Bucket.of(Settings(home=tmp_path, objects="s3"), secrets)
    secrets.change(CREDENTIALS, lambda _: b"no colon")
    with pytest.raises(ValueError, match=CREDENTIALS) as refused:
        S3Bucket.of(Settings(home=tmp_path, objects="s3", s3_bucket="b"), secrets)
    assert "no colon" not in str(refused.value)
