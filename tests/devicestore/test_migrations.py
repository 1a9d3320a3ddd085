from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.schema import CreateColumn

from devicestore import Sealing, Store, migrations
from devicestore.errors import SchemaMismatch
from devicestore.models import Base
from tests.devicestore.processes import die_while_opening
from tests.devicestore.support import start, write

DATABASES = ("sqlite",)


def test_migrations_make_what_the_models_say(store: Store) -> None:
    def differences(conn: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), Base.metadata))

    assert store.read(differences) == []


def test_migrations_and_models_agree_to_the_letter(store: Store, tmp_path: Path) -> None:
    """Constraints, partial indexes and autoincrement too, which the comparison of Alembic leaves out."""

    def statements(conn: Connection) -> list[tuple[str, list[str]]]:
        rows = conn.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'")
        return sorted((row.name, sorted(part.strip().rstrip(",") for part in row.sql.splitlines())) for row in rows)

    engine = create_engine(f"sqlite:///{tmp_path}/models.db")
    with engine.begin() as conn:
        Base.metadata.create_all(conn)
        expected = statements(conn)
    engine.dispose()
    assert [name for name, _ in expected]
    assert store.read(statements) == expected


def test_every_column_is_described(store: Store) -> None:
    found = store.read(
        lambda conn: {table: {c["name"] for c in inspect(conn).get_columns(table)} for table in Base.metadata.tables}
    )
    assert found == {name: {CreateColumn(c).element.name for c in table.columns} for name, table in Base.metadata.tables.items()}


def test_new_database_is_at_the_head(store: Store) -> None:
    assert store.read(migrations.revision) == migrations.head()


def test_upgrade_again_changes_nothing(store: Store, url: str, sealing: Sealing) -> None:
    write(store, migrations.upgrade)
    store.close()
    with Store.open(url, sealing, migrate=True) as again:
        assert again.read(migrations.revision) == migrations.head()


def test_upgrade_of_an_engine_is_committed(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/a.db")
    migrations.upgrade(engine)
    with engine.connect() as conn:
        migrations.check(conn)
    engine.dispose()


@pytest.mark.parametrize("migrate", [False, True])
def test_newer_schema_is_refused_and_left_alone(store: Store, url: str, sealing: Sealing, tmp_path: Path, migrate: bool) -> None:
    write(store, lambda conn: conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'").close())
    store.close()
    before = (tmp_path / "store.db").read_bytes()
    with pytest.raises(SchemaMismatch, match="9999"):
        Store.open(url, sealing, migrate=migrate)
    assert (tmp_path / "store.db").read_bytes() == before


def test_older_schema_is_refused_unless_migrated(
    store: Store, url: str, sealing: Sealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    monkeypatch.setattr(migrations, "head", lambda: "0002")
    with pytest.raises(SchemaMismatch, match="older"):
        Store.open(url, sealing, migrate=False)


def test_empty_file_has_no_schema(url: str, sealing: Sealing, tmp_path: Path) -> None:
    (tmp_path / "store.db").touch(mode=0o600)
    with pytest.raises(SchemaMismatch, match="no schema"):
        Store.open(url, sealing, migrate=False)
    Store.open(url, sealing, migrate=True).close()


def test_database_of_something_else_is_refused_and_left_alone(url: str, sealing: Sealing, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "store.db")
    other.execute("CREATE TABLE room (name TEXT)")
    other.commit()
    other.close()
    (tmp_path / "store.db").chmod(0o600)
    before = (tmp_path / "store.db").read_bytes()
    with pytest.raises(SchemaMismatch):
        Store.open(url, sealing, migrate=True)
    assert (tmp_path / "store.db").read_bytes() == before


@pytest.mark.parametrize("statement", [2, 3, 10, 40, 46])
def test_migration_killed_at_a_statement_leaves_the_old_schema(
    url: str, sealing: Sealing, tmp_path: Path, statement: int
) -> None:
    victim, _pipe = start(die_while_opening, url, statement)
    victim.join(30)
    assert victim.exitcode == -9
    probe = sqlite3.connect(tmp_path / "store.db")
    assert probe.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    probe.close()
    with Store.open(url, sealing, migrate=True) as store:
        assert store.read(migrations.revision) == migrations.head()
