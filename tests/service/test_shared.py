"""Two processes of one service on one PostgreSQL database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from dmls.v1 import common_pb2, device_pb2, device_pb2_grpc, key_package_pb2, key_package_pb2_grpc
from tests.service.processes import ServeProcess
from tests.service.scene import Client
from tests.support.postgres import new_database

ALICE = "@alice:hs1"
CLAIMS = 40


class Half:
    """One of the two processes."""

    def __init__(self, folder: Path, url: str) -> None:
        self.process = ServeProcess(folder, "hs1", "--database", url, listen="127.0.0.1:0")
        self.channel = grpc.insecure_channel(self.process.start())
        self.devices = device_pb2_grpc.DeviceServiceStub(self.channel)
        self.key_packages = key_package_pb2_grpc.KeyPackageServiceStub(self.channel)

    def claim(self, number: int) -> bytes:
        """Claim one key package of alice's under a request id."""
        target = key_package_pb2.ClaimTarget(user_id=ALICE)
        request = key_package_pb2.ClaimKeyPackagesRequest(request_id=f"r{number}", targets=[target], cipher_suites=[1])
        return self.key_packages.ClaimKeyPackages(request, timeout=30).users[0].devices[0].ref


@pytest.fixture
def halves(folder: Path) -> Iterator[list[Half]]:
    with new_database() as url:
        made = [Half(folder, url) for _ in range(2)]
        yield made
        for half in made:
            half.channel.close()
            half.process.kill()


def test_both_give_out_each_key_package_once_and_one_goes_on_without_the_other(halves: list[Half]) -> None:
    one, two = halves
    phone = Client(ALICE, "PHONE", os.urandom)
    watch = two.devices.WatchDevices(device_pb2.WatchDevicesRequest(), timeout=30)
    one.devices.RegisterDevice(
        device_pb2.RegisterDeviceRequest(
            user_id=ALICE, device_id="PHONE", custody=common_pb2.CUSTODY_CLIENT, signature_keys=[phone.key]
        ),
        timeout=30,
    )
    changes = (frame.change for frame in watch if frame.WhichOneof("frame") == "change")
    assert next(changes).device.device_id == "PHONE"
    upload = key_package_pb2.UploadKeyPackagesRequest(
        user_id=ALICE, device_id="PHONE", key_packages=phone.key_packages(CLAIMS + 1)
    )
    two.key_packages.UploadKeyPackages(upload, timeout=30)
    with ThreadPoolExecutor(8) as pool:
        refs = list(pool.map(lambda number: halves[number % 2].claim(number), range(CLAIMS)))
    assert len(set(refs)) == CLAIMS
    assert all(refs)
    # A request that is made again at the other process gets the answer that it got.
    assert [halves[(number + 1) % 2].claim(number) for number in range(4)] == refs[:4]
    one.process.kill()
    last = two.claim(CLAIMS)
    assert last
    assert last not in refs
    watch.cancel()
