"""Statements that the two databases spell alike but SQLAlchemy keeps in each one's dialect."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from devicestore.models import Base

__all__ = ["insert_into", "insert_or_ignore", "upsert"]


def upsert(conn: Connection, model: type[Base], key: tuple[str, ...], values: tuple[str, ...]) -> Any:
    """Return an insert into `model` that overwrites the columns `values` of a row whose columns `key` are present already."""
    statement = insert_into(conn, model)
    return statement.on_conflict_do_update(index_elements=key, set_={name: statement.excluded[name] for name in values})


def insert_or_ignore(conn: Connection, model: type[Base], key: tuple[str, ...]) -> Any:
    """Return an insert into `model` that leaves a row as it is whose columns `key` are present already."""
    return insert_into(conn, model).on_conflict_do_nothing(index_elements=key)


def insert_into(conn: Connection, model: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """Return an insert into `model` that can be told what to do with a row that is there already."""
    return sqlite.insert(model) if conn.dialect.name == "sqlite" else postgresql.insert(model)
