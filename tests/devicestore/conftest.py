from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devicestore import Sealing, Store
from tests.support.postgres import new_database

DATABASES = ("sqlite", "postgresql")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests on both databases; a module that is about files says `DATABASES = ("sqlite",)`."""
    if "database" in metafunc.fixturenames:
        metafunc.parametrize("database", getattr(metafunc.module, "DATABASES", DATABASES))


@pytest.fixture
def url(database: str, tmp_path: Path) -> Iterator[str]:
    if database == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
        return
    with new_database() as made:
        yield made


@pytest.fixture
def sealing() -> Sealing:
    return Sealing(b"\x4b" * 32)


@pytest.fixture
def store(url: str, sealing: Sealing) -> Iterator[Store]:
    with Store.open(url, sealing, migrate=True) as opened:
        yield opened
