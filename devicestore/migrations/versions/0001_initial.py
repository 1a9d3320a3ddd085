"""All tables of the first release."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_RECORDS = ("room_record", "member_state", "device_list", "node", "vote", "tree_node", "parked_event", "event_outcome")


def upgrade() -> None:
    _create_store_tables()
    _create_device_tables()
    _create_room_tables()
    _create_service_tables()


def _create_store_tables() -> None:
    op.create_table(
        "meta",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        _bytes("store_id"),
        _int("incarnation"),
        _int("root_version"),
        _bytes("sealed_root"),
        sa.CheckConstraint("id = 1", name=op.f("ck_meta_one_row")),
        _primary_key("meta", "id"),
    )
    op.create_table("counter", _name("name"), _int("value"), _primary_key("counter", "name"))
    op.create_table(
        "data_key",
        sa.Column("id", _SEQUENCE, nullable=False),
        sa.Column("is_free", sa.Boolean(), nullable=False),
        _bytes("sealed"),
        _primary_key("data_key", "id"),
    )
    _partial_index("ix_data_key_free", "data_key", ["id"], "is_free", unique=False)


def _create_device_tables() -> None:
    op.create_table(
        "user",
        _name("user_id"),
        _int("device_list_version"),
        _primary_key("user", "user_id"),
    )
    op.create_table(
        "device",
        sa.Column("id", _SEQUENCE, nullable=False),
        _name("user_id"),
        _name("device_id"),
        _name("custody"),
        _bytes("signature_key"),
        _bytes("credential"),
        sa.Column("suites", sa.JSON(), nullable=False),
        _name("display_name", nullable=True),
        _bytes("device_keys", nullable=True),
        _int("created_at_ms"),
        _int("updated_at_ms"),
        _int("deleted_at_ms", nullable=True),
        _int("version"),
        _int("first_version"),
        _int("status_version"),
        _slot(nullable=True),
        _bytes("sealed_private_key", nullable=True),
        _slot_key("device"),
        sa.CheckConstraint("custody IN ('hosted', 'client')", name=op.f("ck_device_custody")),
        sa.ForeignKeyConstraint(["user_id"], ["user.user_id"], name=op.f("fk_device_user_id_user")),
        _primary_key("device", "id"),
        sa.UniqueConstraint("user_id", "device_id", "signature_key", name=op.f("uq_device_user_id_device_id_signature_key")),
        sqlite_autoincrement=True,
    )
    _partial_index("ix_device_live", "device", ["user_id", "device_id"], "deleted_at_ms IS NULL", unique=True)
    _index("device", "version")
    _index("device", "status_version")
    op.create_table(
        "key_package",
        sa.Column("seq", _SEQUENCE, nullable=False),
        _bytes("ref"),
        _name("user_id"),
        _name("device_id"),
        _int("suite"),
        _int("not_before_ms"),
        _int("not_after_ms"),
        sa.Column("is_last_resort", sa.Boolean(), nullable=False),
        _int("uses"),
        _bytes("capabilities"),
        _bytes("data"),
        _int("uploaded_at_ms"),
        _primary_key("key_package", "seq"),
        sa.UniqueConstraint("ref", name=op.f("uq_key_package_ref")),
        sqlite_autoincrement=True,
    )
    _index("key_package", "user_id", "device_id", "suite", "is_last_resort", "seq")
    _index("key_package", "not_after_ms")
    _partial_index("ix_key_package_last_resort", "key_package", ["user_id", "device_id", "suite"], "is_last_resort", unique=True)
    op.create_table(
        "key_package_secret",
        _bytes("ref"),
        _name("user_id"),
        _name("device_id"),
        _slot(),
        _bytes("sealed"),
        _int("delete_after_ms"),
        _slot_key("key_package_secret"),
        _primary_key("key_package_secret", "ref"),
    )
    _index("key_package_secret", "user_id", "device_id")
    _index("key_package_secret", "delete_after_ms")
    op.create_table(
        "issued_key_package",
        _bytes("ref"),
        _name("user_id"),
        _name("device_id"),
        _int("suite"),
        _int("not_before_ms"),
        _int("not_after_ms"),
        sa.Column("is_last_resort", sa.Boolean(), nullable=False),
        _int("uploaded_at_ms"),
        _name("requester"),
        _name("request_id"),
        _name("room_id", nullable=True),
        _int("issued_at_ms"),
        _primary_key("issued_key_package", "ref"),
    )
    _index("issued_key_package", "user_id", "device_id", "issued_at_ms", "ref")
    _index("issued_key_package", "not_after_ms")


def _create_room_tables() -> None:
    op.create_table(
        "room",
        _name("room_id"),
        _int("version"),
        _int("fork_count"),
        _int("wake_at_ms", nullable=True),
        _int("forgotten_at_ms", nullable=True),
        _primary_key("room", "room_id"),
    )
    _index("room", "wake_at_ms")
    for table in _RECORDS:
        _create_table_of_room(table, _bytes("key"), _bytes("value"))
    for table in ("epoch", "private_key"):
        _create_table_of_room(table, _bytes("key"), _int("version"), _slot(), _bytes("sealed"), _slot_key(table))
    _create_table_of_room("plaintext", _name("event_id"), _int("version"), _slot(), _bytes("sealed"), _slot_key("plaintext"))


def _create_service_tables() -> None:
    op.create_table(
        "outbox",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        _name("room_id"),
        _name("kind"),
        _bytes("payload"),
        _int("created_at_ms"),
        _int("acked_at_ms", nullable=True),
        _bytes("answer", nullable=True),
        _primary_key("outbox", "seq"),
    )
    _partial_index("ix_outbox_pending", "outbox", ["seq"], "acked_at_ms IS NULL", unique=False)
    _index("outbox", "room_id", "seq")
    op.create_table(
        "room_change",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        _name("room_id"),
        _name("kind"),
        _bytes("payload"),
        _int("at_ms"),
        _primary_key("room_change", "seq"),
    )
    _index("room_change", "room_id", "seq")
    _index("room_change", "at_ms")
    op.create_table(
        "idempotency",
        _name("caller"),
        _name("method"),
        _name("request_id"),
        _bytes("body_hash"),
        _bytes("response"),
        _int("expires_at_ms"),
        _primary_key("idempotency", "caller", "method", "request_id"),
    )
    _index("idempotency", "expires_at_ms")
    op.create_table(
        "blob",
        _bytes("sha256"),
        _int("size"),
        _bytes("data"),
        _int("created_at_ms"),
        _primary_key("blob", "sha256"),
    )
    op.create_table(
        "token",
        _bytes("digest"),
        _name("subject"),
        _name("scope"),
        _int("created_at_ms"),
        _int("expires_at_ms", nullable=True),
        _int("revoked_at_ms", nullable=True),
        _primary_key("token", "digest"),
    )
    op.create_table(
        "audit",
        sa.Column("seq", _SEQUENCE, nullable=False),
        _int("at_ms"),
        _name("caller"),
        _name("action"),
        _name("subject"),
        _name("outcome"),
        _primary_key("audit", "seq"),
        sqlite_autoincrement=True,
    )
    _index("audit", "at_ms")


def _create_table_of_room(table: str, key: sa.Column[Any], *columns: sa.Column[Any] | sa.ForeignKeyConstraint) -> None:
    op.create_table(
        table,
        _name("room_id"),
        key,
        *columns,
        sa.ForeignKeyConstraint(["room_id"], ["room.room_id"], name=op.f(f"fk_{table}_room_id_room"), ondelete="CASCADE"),
        _primary_key(table, "room_id", key.name),
    )


def _name(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, _NAME, nullable=nullable)


def _bytes(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def _int(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _slot(*, nullable: bool = False) -> sa.Column[int]:
    return sa.Column("slot", _SEQUENCE, nullable=nullable)


def _slot_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["slot"], ["data_key.id"], name=op.f(f"fk_{table}_slot_data_key"))


def _primary_key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def _index(table: str, *columns: str) -> None:
    op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns))


def _partial_index(name: str, table: str, columns: list[str], where: str, *, unique: bool) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
