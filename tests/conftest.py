"""What all tests share: a cache of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Encoded data goes to a folder of this test run; processes that tests start inherit it."""
    before = os.environ.get("SFTUI_CACHE")
    os.environ["SFTUI_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["SFTUI_CACHE"]
    else:
        os.environ["SFTUI_CACHE"] = before
