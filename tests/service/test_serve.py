"""`dmls serve` from the outside: what it prints, where it listens, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from pydantic import ValidationError

from dmls.errors import InvalidArgumentError
from dmls.service.app import StartError, open_core
from dmls.service.config import Settings, check_listen
from dmls.service.handlers.devices import register_device
from dmls.v1 import admin_pb2, admin_pb2_grpc, common_pb2, device_pb2
from tests.service.processes import ServeProcess

_ROOT = Path(__file__).resolve().parents[2]


def serve(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dmls.cli", "serve", *options]
    return subprocess.run(
        command, cwd=_ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def info(address: str) -> admin_pb2.GetServerInfoResponse:
    with grpc.insecure_channel(address) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        return stub.GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=10, wait_for_ready=True)


def test_it_says_where_it_listens_and_drains_when_asked_to_stop(folder: Path) -> None:
    port_file = folder / "port"
    process = ServeProcess(folder, "hs1", "--port-file", str(port_file), listen="127.0.0.1:0")
    address = process.start()
    assert address.startswith("127.0.0.1:")
    assert json.loads(port_file.read_text()) == {"listening": address}
    assert (info(address).server_name, info(address).hosting) == ("hs1", True)
    # A journal is there for as long as a transaction lasts.
    files = [path for path in process.folder.iterdir() if not path.name.endswith("-journal")]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}
    assert modes == {"dmls.sqlite3": 0o600, "dmls.sqlite3.lock": 0o600, "key": 0o600}
    assert stat.S_IMODE(process.folder.stat().st_mode) == 0o700
    status, log = process.terminate()
    assert status == 0
    assert [line["event"] for line in log] == ["serving", "call", "call", "stopped"]
    assert all(line["timestamp"] for line in log)


def test_a_second_service_on_the_same_data_is_refused(folder: Path) -> None:
    process = ServeProcess(folder, "hs1")
    process.start()
    try:
        second = serve("--data", str(process.folder), "--server-name", "hs1")
        assert second.returncode == 1
        assert "open in another process" in second.stderr
        assert not second.stdout
        assert info(process.listen).server_name == "hs1"
    finally:
        process.kill()


def test_a_wrong_command_line_is_told_with_a_hint(tmp_path: Path) -> None:
    told = serve("--listen", "0.0.0.0:80", DMLS_SERVER_NAME="not a name")
    assert told.returncode == 2
    assert "--data: Field required" in told.stderr
    assert "--server-name: not a server name" in told.stderr
    assert "--listen: without TLS the service listens on this machine only; use 127.0.0.1" in told.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "address", ["127.0.0.1:0", "127.1.2.3:65535", "[::1]:80", "localhost:0", "unix:/run/dmls.sock", "unix:relative"]
)
def test_addresses_of_this_machine_are_taken(address: str) -> None:
    assert check_listen(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0:80",
        "[::]:80",
        "192.0.2.1:80",
        "example.org:80",
        "localhost.example:80",
        "127.0.0.1",
        "127.0.0.1:65536",
        "",
        "unix:",
    ],
)
def test_addresses_that_others_can_reach_are_refused(address: str) -> None:
    with pytest.raises(InvalidArgumentError):
        check_listen(address)


def test_settings_come_from_the_environment_unless_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DMLS_DATA", "there")
    monkeypatch.setenv("DMLS_SERVER_NAME", "hs1")
    monkeypatch.setenv("DMLS_HOSTING", "true")
    settings = Settings(data=Path("here"))  # type: ignore[call-arg]
    assert (settings.data, settings.server_name, settings.hosting) == (Path("here"), "hs1", True)
    assert settings.listen == "127.0.0.1:0"
    monkeypatch.setenv("DMLS_HOSTING", "perhaps")
    with pytest.raises(ValidationError):
        Settings()  # type: ignore[call-arg]


def test_a_data_directory_that_others_may_read_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    settings = Settings(data=tmp_path, server_name="hs1")
    with pytest.raises(StartError, match="0700"):
        open_core(settings, lambda report: None)
    tmp_path.chmod(0o700)
    open_core(settings, lambda report: None).store.close()
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(StartError, match="key file"):
        open_core(settings, lambda report: None)


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    settings = Settings(data=tmp_path, server_name="hs1")
    open_core(settings, lambda report: None).store.close()
    (tmp_path / "key").write_bytes(bytes(32))
    with pytest.raises(StartError, match="does not open"):
        open_core(settings, lambda report: None)


def test_a_store_of_another_homeserver_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    mine = open_core(Settings(data=tmp_path, server_name="hs1", hosting=True), lambda report: None)
    register_device(
        mine,
        device_pb2.RegisterDeviceRequest(user_id="@alice:hs1", device_id="D1", custody=common_pb2.CUSTODY_HOSTED),
    )
    mine.store.close()
    with pytest.raises(StartError, match="another homeserver"):
        open_core(Settings(data=tmp_path, server_name="hs2"), lambda report: None)
    open_core(Settings(data=tmp_path, server_name="hs1"), lambda report: None).store.close()
