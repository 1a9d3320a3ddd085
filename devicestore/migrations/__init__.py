"""Schema revisions. Forward only; one upgrade is one transaction, so a killed one leaves the old schema."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from devicestore.errors import SchemaMismatch

__all__ = ["check", "head", "revision", "upgrade"]


@cache
def head() -> str:
    """Return the revision that this code is written for."""
    revision_id = _scripts().get_current_head()
    if revision_id is None:
        raise SchemaMismatch("no schema revision is installed")
    return revision_id


def revision(conn: Connection) -> str | None:
    """Return the revision of a database, or None if it has no schema."""
    return MigrationContext.configure(conn).get_current_revision()


def check(conn: Connection) -> None:
    """Refuse a database whose schema is not the one of this code.

    Raises:
        SchemaMismatch: it is older, newer, or none; the text says which.
    """
    found, wanted = revision(conn), head()
    if found == wanted:
        return
    if found is None:
        raise SchemaMismatch(f"the database has no schema; upgrade it to {wanted}")
    if _is_known(found):
        raise SchemaMismatch(f"the database has schema {found}, older than {wanted}; upgrade it")
    raise SchemaMismatch(f"the database has schema {found}, which this version does not know; use a newer version")


def upgrade(target: Engine | Connection) -> None:
    """Bring a database to `head()`. A connection's own transaction is used and left open.

    Raises:
        SchemaMismatch: the schema is newer than this code, or the database holds tables of something else.
    """
    if isinstance(target, Engine):
        with target.begin() as conn:
            upgrade(conn)
        return
    found = revision(target)
    if found == head():
        return
    if found is not None and not _is_known(found):
        raise SchemaMismatch(f"the database has schema {found}, which this version does not know; use a newer version")
    if found is None and inspect(target).get_table_names():
        raise SchemaMismatch("the database holds tables that are not of this store")
    config = _config()
    config.attributes["connection"] = target
    command.upgrade(config, "head")


def _is_known(revision_id: str) -> bool:
    return any(script.revision == revision_id for script in _scripts().walk_revisions())


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
