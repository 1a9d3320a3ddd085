"""The database of a service or of a client device: users, devices, key packages, rooms, secrets, outbox.

It stores bytes and plain columns and knows nothing of what they mean. A `Store` runs units of work, plain functions of a
SQLAlchemy `Connection`; the modules `devices`, `key_packages`, `rooms`, `outbox` and so on are the functions they are made of.
Secrets are sealed before they reach a row (`sealing`).
"""

from sqlalchemy import Connection

from devicestore.engine import Store, read_unsealed, rekey, write_beside
from devicestore.errors import StoreError
from devicestore.sealing import Sealing, load_or_create_key

__all__ = ["Connection", "Sealing", "Store", "StoreError", "load_or_create_key", "read_unsealed", "rekey", "write_beside"]
