"""The contract, read from its descriptors."""

from __future__ import annotations

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from dmls.v1 import admin_pb2, common_pb2, device_pb2, encryption_pb2, key_package_pb2, room_pb2

FILES: tuple[FileDescriptor, ...] = tuple(
    module.DESCRIPTOR for module in (common_pb2, device_pb2, key_package_pb2, room_pb2, encryption_pb2, admin_pb2)
)


def rpcs() -> dict[str, MethodDescriptor]:
    """Every RPC by full name, `/dmls.v1.RoomService/GetRoom`."""
    services = [service for file in FILES for service in file.services_by_name.values()]
    return {f"/{service.full_name}/{method.name}": method for service in services for method in service.methods}
