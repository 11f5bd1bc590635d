"""Whether there are file watches for an Envoy."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.devstack import checks, watches
from runtime.devstack.checks import Verdict
from runtime.devstack.watches import NoWatchesError

_DESCRIPTORS = Path("/proc/self/fd")


@pytest.fixture
def few() -> Iterator[None]:
    """Room for three more; the limit of the process answers like that of the user."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    last = os.dup(0)
    os.close(last)
    resource.setrlimit(resource.RLIMIT_NOFILE, (last + 3, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_there_are_enough() -> None:
    before = len(list(_DESCRIPTORS.iterdir()))
    assert watches.free(3) == 3
    assert len(list(_DESCRIPTORS.iterdir())) == before


@pytest.mark.usefixtures("few")
def test_too_few_are_named() -> None:
    assert watches.free(watches.NEEDED) <= 3
    with pytest.raises(NoWatchesError, match="Envoy needs 16") as raised:
        watches.require()
    assert "fs.inotify.max_user_instances" in raised.value.hint
    check = checks.file_watches()
    assert (check.verdict, check.hint) == (Verdict.FAIL, raised.value.hint)
