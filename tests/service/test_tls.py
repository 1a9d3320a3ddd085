"""Services with TLS as processes of their own: who may connect, who callers are, and certificates that change."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dmls.client.failures import CallFailure, read_rpc_error
from dmls.service.tls import TLSError, TLSFiles
from dmls.v1 import admin_pb2, admin_pb2_grpc, common_pb2, device_pb2, device_pb2_grpc
from tests.service.processes import ServeProcess

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def put(certificate: trustme.LeafCert, folder: Path) -> TLSFiles:
    """Write a server's certificate and key where a service looks for them."""
    files = TLSFiles(folder / "chain.pem", folder / "key.pem")
    for path, blobs in ((files.certificate, certificate.cert_chain_pems), (files.key, [certificate.private_key_pem])):
        draft = path.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_bytes(b"".join(blob.bytes() for blob in blobs))
        draft.replace(path)
    return files


@contextmanager
def serving(folder: Path, files: TLSFiles, *options: str) -> Iterator[tuple[ServeProcess, str]]:
    tls = ("--tls-certificate", str(files.certificate), "--tls-key", str(files.key))
    process = ServeProcess(folder, "hs1", *tls, *options, listen="127.0.0.1:0")
    address = process.start()
    try:
        yield process, address
    finally:
        process.kill()


def root_of(authority: trustme.CA) -> bytes:
    return authority.cert_pem.bytes()


def credentials(authority: trustme.CA, client: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
    if client is None:
        return grpc.ssl_channel_credentials(root_of(authority))
    chain = b"".join(blob.bytes() for blob in client.cert_chain_pems)
    return grpc.ssl_channel_credentials(root_of(authority), client.private_key_pem.bytes(), chain)


def call(address: str, given: grpc.ChannelCredentials, token: str = "") -> CallFailure | admin_pb2.GetServerInfoResponse:
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.secure_channel(address, given) as channel:
        try:
            request = admin_pb2.GetServerInfoRequest()
            return admin_pb2_grpc.AdminServiceStub(channel).GetServerInfo(request, timeout=10, metadata=metadata)
        except grpc.RpcError as error:
            return read_rpc_error(error)


def code_of(answer: object) -> str:
    return answer.code if isinstance(answer, CallFailure) else "OK"


def token(process: ServeProcess, *arguments: str) -> str:
    command = [sys.executable, "-m", "dmls.cli", "token", *arguments, "--data", str(process.folder)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def handshake(address: str, authority: trustme.CA, version: ssl.TLSVersion) -> str | None:
    context = ssl.create_default_context(cadata=root_of(authority).decode())
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        return secured.version()


@pytest.mark.parametrize("kind", [trustme.KeyType.ECDSA, trustme.KeyType.RSA])
def test_only_tls_1_3_is_spoken_and_only_tokens_open_anything(folder: Path, authority: trustme.CA, kind: trustme.KeyType) -> None:
    files = put(authority.issue_cert("127.0.0.1", key_type=kind), folder)
    with serving(folder, files) as (process, address):
        assert handshake(address, authority, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            handshake(address, authority, ssl.TLSVersion.TLSv1_2)
        given = credentials(authority)
        assert code_of(call(address, given)) == "UNAUTHENTICATED"
        assert code_of(call(address, given, "dmls_" + "A" * 43)) == "UNAUTHENTICATED"
        good = token(process, "create", "homeserver", "--server-name", "hs1")
        assert code_of(call(address, given, good)) == "OK"
        assert code_of(call(address, given, good[:-1])) == "UNAUTHENTICATED"
        log = process.terminate()[1]
        assert good.removeprefix("dmls_") not in repr(log)


def test_a_token_is_good_for_its_scope_until_it_is_revoked(folder: Path, authority: trustme.CA) -> None:
    files = put(authority.issue_cert("127.0.0.1"), folder)
    with serving(folder, files) as (process, address):
        given = credentials(authority)
        device = token(process, "create", "device", "@alice:hs1 PHONE", "--server-name", "hs1")
        operator = token(process, "create", "operator", "--server-name", "hs1", "--hours", "1")
        listed = token(process, "list")
        assert [line.split()[1:3] for line in listed.splitlines()] == [["device", "good"], ["operator", "good"]]
        assert device not in listed
        assert operator not in listed

        def register(bearer: str) -> str:
            request = device_pb2.RegisterDeviceRequest(
                user_id="@alice:hs1", device_id="TABLET", custody=common_pb2.CUSTODY_HOSTED
            )
            with grpc.secure_channel(address, given) as channel:
                try:
                    metadata = (("authorization", f"Bearer {bearer}"),)
                    device_pb2_grpc.DeviceServiceStub(channel).RegisterDevice(request, timeout=10, metadata=metadata)
                except grpc.RpcError as error:
                    return read_rpc_error(error).code
                return "OK"

        assert (register(device), register(operator)) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
        assert code_of(call(address, given, device)) == code_of(call(address, given, operator)) == "OK"
        assert token(process, "revoke", listed.split()[0]) == "revoked"
        # Whoever has not shown it for a while is refused at once; for the others it is remembered for a few seconds.
        process.kill()
        again = process.start()
        assert code_of(call(again, given, device)) == "UNAUTHENTICATED"
        assert code_of(call(again, given, operator)) == "OK"


def test_a_client_certificate_in_the_homeservers_name_is_the_homeserver(folder: Path, authority: trustme.CA) -> None:
    files = put(authority.issue_cert("127.0.0.1"), folder)
    clients = trustme.CA()
    clients.cert_pem.write_to_path(str(folder / "clients.pem"))
    with serving(folder, files, "--tls-client-authority", str(folder / "clients.pem")) as (_, address):
        assert code_of(call(address, credentials(authority, clients.issue_cert("hs1")))) == "OK"
        assert code_of(call(address, credentials(authority, clients.issue_cert("hs2")))) == "UNAUTHENTICATED"
        assert code_of(call(address, credentials(authority))) == "UNAVAILABLE"
        stranger = trustme.CA().issue_cert("hs1")
        assert code_of(call(address, credentials(authority, stranger))) == "UNAVAILABLE"


def test_a_new_certificate_is_used_without_a_restart_and_a_bad_one_is_not(folder: Path, authority: trustme.CA) -> None:
    other = trustme.CA()
    files = put(authority.issue_cert("127.0.0.1"), folder)
    with serving(folder, files) as (process, address):
        assert code_of(call(address, credentials(authority))) == "UNAUTHENTICATED"
        assert code_of(call(address, credentials(other))) == "UNAVAILABLE"
        put(other.issue_cert("127.0.0.1"), folder)
        assert code_of(call(address, credentials(other))) == "UNAUTHENTICATED"
        assert code_of(call(address, credentials(authority))) == "UNAVAILABLE"
        files.certificate.write_bytes(root_of(authority))
        assert code_of(call(address, credentials(other))) == "UNAUTHENTICATED"
        status, log = process.terminate()
        assert status == 0
        assert any(line["event"] == "defect" and line["type"] == "TLSError" for line in log)


def _loose_key(files: TLSFiles, authority: trustme.CA) -> None:
    files.key.chmod(0o644)


def _foreign_key(files: TLSFiles, authority: trustme.CA) -> None:
    files.key.write_bytes(authority.issue_cert("127.0.0.1").private_key_pem.bytes())


def _locked_key(files: TLSFiles, authority: trustme.CA) -> None:
    key = rsa.generate_private_key(65537, 2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x"))
    files.key.write_bytes(key.private_bytes(*form))


def _no_certificate(files: TLSFiles, authority: trustme.CA) -> None:
    files.certificate.write_text("nothing")


def _missing(files: TLSFiles, authority: trustme.CA) -> None:
    files.certificate.unlink()


@pytest.mark.parametrize("spoil", [_loose_key, _foreign_key, _locked_key, _no_certificate, _missing])
def test_files_that_cannot_be_used_are_refused(
    tmp_path: Path, authority: trustme.CA, spoil: Callable[[TLSFiles, trustme.CA], None]
) -> None:
    files = put(authority.issue_cert("127.0.0.1"), tmp_path)
    files.read()
    spoil(files, authority)
    with pytest.raises(TLSError) as caught:
        files.read()
    assert b"PRIVATE" not in str(caught.value).encode()


def test_the_service_does_not_start_with_bad_files_or_in_the_open_without_tls(folder: Path, authority: trustme.CA) -> None:
    files = put(authority.issue_cert("127.0.0.1"), folder)
    files.key.chmod(0o644)

    def serve(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dmls.cli", "serve", "--data", str(folder / "d"), "--server-name", "hs1", *options]
        return subprocess.run(command, cwd=_ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False)

    tls = ("--tls-certificate", str(files.certificate), "--tls-key", str(files.key))
    done = serve(*tls)
    assert done.returncode == 1
    assert "0600" in done.stderr
    assert serve("--listen", "0.0.0.0:0").returncode == 2
    assert serve(*tls[:2]).returncode == 2
    assert serve("--tls-client-authority", str(files.certificate)).returncode == 2
    assert not (folder / "d").exists()
