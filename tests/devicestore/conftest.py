from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devicestore import Sealing, Store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def sealing() -> Sealing:
    return Sealing(b"\x4b" * 32)


@pytest.fixture
def store(url: str, sealing: Sealing) -> Iterator[Store]:
    with Store.open(url, sealing, migrate=True) as opened:
        yield opened
