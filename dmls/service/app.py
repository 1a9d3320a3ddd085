"""The service put together: store, rooms, servicers, workers, server; started, and stopped in the opposite order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_NAME
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from devicestore import Connection, Sealing, Store, devices, load_or_create_key, meta
from devicestore.errors import StoreError
from dmls.errors import DMLSError
from dmls.ids import ServerName, UserId
from dmls.matrix.identifiers import server_of
from dmls.rooms.keeper import Keeper, Report
from dmls.rooms.public import SERVICE_DATABASE
from dmls.service.calls import Calls
from dmls.service.config import Settings
from dmls.service.core import Core
from dmls.service.defects import log_defect
from dmls.service.identity import Identities
from dmls.service.interceptors.chain import interceptors
from dmls.service.servicers.admin import AdminServicer
from dmls.service.servicers.devices import DeviceServicer
from dmls.service.servicers.encryption import EncryptionServicer
from dmls.service.servicers.key_packages import KeyPackageServicer
from dmls.service.servicers.rooms import RoomServicer
from dmls.service.signals import Signal
from dmls.service.streams import Streams
from dmls.service.tls import server_credentials
from dmls.service.workers import Workers
from dmls.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    device_pb2,
    device_pb2_grpc,
    encryption_pb2,
    encryption_pb2_grpc,
    key_package_pb2,
    key_package_pb2_grpc,
    room_pb2,
    room_pb2_grpc,
)

__all__ = ["Service", "StartError", "open_core", "serve"]

_KEY = "key"
_SERVICES = tuple(
    service.full_name
    for module in (device_pb2, key_package_pb2, room_pb2, encryption_pb2, admin_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
)
_log = structlog.get_logger("dmls.service")


class StartError(DMLSError):
    """The service cannot start."""

    reason = "START"
    code = "FAILED_PRECONDITION"


def open_core(settings: Settings, on_report: Callable[[Report], None]) -> Core:
    """Open the store in the data directory, both made if they are new, and the rooms in it.

    Raises:
        StartError: the directory, the key file or the database cannot be used.
    """
    _own_directory(settings.data)
    try:
        sealing = Sealing(load_or_create_key(settings.data / _KEY))
        store = Store.open(_database_url(settings), sealing, migrate=True)
    except StoreError as error:
        raise StartError(f"{settings.data}: {error}") from error
    try:
        identity = store.read(lambda conn: _identity(conn, settings.server_name))
    except BaseException:
        store.close()
        raise
    keeper = Keeper(
        store,
        ServerName(settings.server_name),
        is_service=True,
        clock=lambda: time.time_ns() // 1_000_000,
        random=os.urandom,
        hosting=settings.hosting,
        on_report=on_report,
    )
    return Core(keeper, identity, hosting=settings.hosting)


def _database_url(settings: Settings) -> str:
    if settings.database is not None:
        return settings.database.get_secret_value()
    return f"sqlite:///{(settings.data / SERVICE_DATABASE).resolve()}"


def _identity(conn: Connection, server_name: str) -> meta.Identity:
    """Return which store this is, once it is sure that it is this homeserver's."""
    identity = meta.identity(conn)
    if identity is None:
        raise StartError("the store has no identity")
    if any(server_of(UserId(row.user_id)) != server_name for row in devices.list_devices(conn, limit=1)):
        raise StartError(f"the store is that of another homeserver than {server_name}")
    return identity


def _own_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        raise StartError(f"{path}: {error.strerror or 'not usable'}") from error
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise StartError(f"{path}: others may read or change it; its mode must be 0700")


class Service:
    """One running service."""

    def __init__(self, settings: Settings) -> None:
        """Prepare a service; `start` begins, in a running event loop."""
        self._settings = settings
        self.address = ""
        """Where it listens, once it has started."""

    async def start(self) -> None:
        """Open everything and begin to serve.

        Raises:
            StartError: something cannot be opened, or the address is taken.
        """
        loop = asyncio.get_running_loop()
        self._outbox_changed, self._rooms_changed = Signal(loop), Signal(loop)
        self._devices_changed, self._key_packages_changed, self._happened = Signal(loop), Signal(loop), Signal(loop)
        core = await loop.run_in_executor(None, lambda: open_core(self._settings, self._note))
        self._calls = Calls(core)
        signals = (self._outbox_changed, self._devices_changed, self._key_packages_changed, self._happened)
        self._streams = [Streams(self._calls, changed, keepalive_s=self._settings.keepalive_s) for changed in signals]
        self._workers = Workers(self._calls, rooms_changed=self._rooms_changed, key_packages_changed=self._key_packages_changed)
        self._health = health_aio.HealthServicer()
        self._server = self._make_server(core)
        try:
            self.address = self._bind()
            await self._server.start()
        except BaseException:
            self._calls.close()
            core.store.close()
            raise
        self._workers.start()
        for name in ("", *_SERVICES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        _log.info("serving", address=self.address, server_name=core.server_name, hosting=core.hosting)

    async def stop(self) -> None:
        """Take no new calls, let those under way end, and close everything."""
        await self._health.enter_graceful_shutdown()
        for streams in self._streams:
            streams.stop()
        await self._server.stop(self._settings.grace_s)
        await self._workers.stop()
        await asyncio.get_running_loop().run_in_executor(None, self._close)
        _log.info("stopped")

    def _close(self) -> None:
        self._calls.close()
        self._calls.core.store.close()

    def _make_server(self, core: Core) -> grpc.aio.Server:
        limits = core.limits
        has_tls = self._settings.tls is not None
        identities = Identities(core.store, core.server_name, core.now_ms, has_tls=has_tls)
        server = grpc.aio.server(
            interceptors=interceptors(core.server_name, identities.authenticate, limits=limits),
            options=[
                ("grpc.max_receive_message_length", limits.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
        )
        calls = self._calls
        outbox, device_changes, key_package_status, room_changes = self._streams
        devices_servicer = DeviceServicer(calls, device_changes, self._devices_changed)
        device_pb2_grpc.add_DeviceServiceServicer_to_server(devices_servicer, server)
        key_packages_servicer = KeyPackageServicer(calls, self._workers, key_package_status, self._key_packages_changed)
        key_package_pb2_grpc.add_KeyPackageServiceServicer_to_server(key_packages_servicer, server)
        room_pb2_grpc.add_RoomServiceServicer_to_server(RoomServicer(calls, outbox, room_changes), server)
        encryption_pb2_grpc.add_EncryptionServiceServicer_to_server(EncryptionServicer(calls), server)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(AdminServicer(calls), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((*_SERVICES, HEALTH_NAME, reflection.SERVICE_NAME), server)
        return server

    def _bind(self) -> str:
        listen, files = self._settings.listen, self._settings.tls
        try:
            if files is None:
                port = self._server.add_insecure_port(listen)
            else:
                port = self._server.add_secure_port(listen, server_credentials(files, log_defect))
        except RuntimeError as error:
            raise StartError(f"cannot listen on {listen}") from error
        return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"

    def _note(self, report: Report) -> None:
        """Pass on what a session did. Called on the session's thread."""
        if report.has_outgoing:
            self._outbox_changed.fire()
        if report.has_happened:
            self._happened.fire()
        if report.has_claims:
            self._key_packages_changed.fire()
        self._rooms_changed.fire()
        for room_id, notice in report.notices:
            said = {"kind": notice.kind.value, "commit_ref": notice.commit_ref.hex(), "about": notice.text}
            _log.info("notice", room_id=room_id, **said)
        for room_id, failure in report.failures:
            log_defect(failure, room_id=room_id)


async def _serve(settings: Settings) -> None:
    service = Service(settings)
    await service.start()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            os._exit(1)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    _announce(settings, service.address)
    await stopping.wait()
    await service.stop()


def _announce(settings: Settings, address: str) -> None:
    """Say where the service listens, when it is ready."""
    line = json.dumps({"listening": address}) + "\n"
    if settings.port_file is not None:
        draft = settings.port_file.with_name(settings.port_file.name + ".new")
        draft.write_text(line)
        draft.replace(settings.port_file)
    sys.stdout.write(line)
    sys.stdout.flush()


def serve(settings: Settings) -> None:
    """Run a service until SIGTERM or SIGINT; a second signal ends it at once.

    Raises:
        StartError: it cannot start.
    """
    asyncio.run(_serve(settings))
