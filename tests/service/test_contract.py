"""The contract keeps to its own conventions."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from dmls.v1 import common_pb2
from tests.service.contract import FILES, rpcs

SERVICES = {
    "DeviceService": "RegisterDevice GetDevice ListDevices UpdateDevice DeleteDevice WatchDevices",
    "KeyPackageService": "UploadKeyPackages ReplaceKeyPackages ClaimKeyPackages GetKeyPackageStatus WatchKeyPackageStatus "
    "ListKeyPackages DeleteKeyPackages",
    "RoomService": "UpdateRoomState IngestEvents IngestToDevice UpdateDeviceLists ProvideKeyPackages PutBlob GetBlob "
    "SetRoomOptions GetRoom ListRooms ForgetRoom GetGroupInfo GetRatchetTree GetEpochGraph WatchOutbox AckOutbox WatchRoom",
    "EncryptionService": "EncryptEvents DecryptEvents ExportSecret ReportFailure",
    "AdminService": "GetServerInfo GetStatistics RunMaintenance GetParameters",
}
READS = ("Get", "List", "Watch", "Export")


def _of(*prefixes: str) -> pytest.MarkDecorator:
    chosen = {name: method for name, method in rpcs().items() if method.name.startswith(prefixes)}
    return pytest.mark.parametrize("method", chosen.values(), ids=list(chosen))


def _message_name(field: FieldDescriptor) -> str:
    return field.message_type.full_name if field.message_type is not None else ""


def test_the_services_offer_exactly_these_calls() -> None:
    assert set(rpcs()) == {f"/dmls.v1.{service}/{name}" for service, names in SERVICES.items() for name in names.split()}


@pytest.mark.parametrize("method", [m for m in rpcs().values() if not m.name.startswith(READS)], ids=lambda m: m.name)
def test_every_mutation_takes_a_request_id(method: MethodDescriptor) -> None:
    first = method.input_type.fields_by_number[1]
    assert (first.name, first.type) == ("request_id", first.TYPE_STRING)


@_of("List")
def test_every_list_is_paged(method: MethodDescriptor) -> None:
    assert {"page_size", "page_token"} <= set(method.input_type.fields_by_name)
    assert "next_page_token" in method.output_type.fields_by_name


@_of("Watch")
def test_every_watch_starts_catches_up_and_resumes(method: MethodDescriptor) -> None:
    assert method.server_streaming
    assert "cursor" in method.input_type.fields_by_name
    assert "cursor" in method.output_type.fields_by_name
    frames = {_message_name(field) for field in method.output_type.oneofs_by_name["frame"].fields}
    assert {f"dmls.v1.{name}" for name in ("Started", "CaughtUp", "Keepalive")} < frames


@pytest.mark.parametrize("method", list(rpcs().values()), ids=lambda m: m.name)
def test_batches_answer_for_each_item(method: MethodDescriptor) -> None:
    items = {"events", "messages", "lists", "acks", "key_packages", "tasks"}
    if method.name.startswith(READS) or not items & set(method.input_type.fields_by_name):
        return
    assert method.output_type.fields_by_number[1].name == "results"
    assert method.output_type.fields_by_number[1].is_repeated


def test_names_of_mls_values_are_bytes_and_names_of_matrix_values_are_text() -> None:
    text = {"user_id", "device_id", "room_id", "event_id"}
    data = {"commit_ref", "epoch_id", "ref", "sha256", "public_key", "signature_key", "key_package", "group_info", "content"}
    for file in FILES:
        for message in file.message_types_by_name.values():
            for field in message.fields:
                if field.name in text:
                    assert field.type == field.TYPE_STRING, field.full_name
                if field.name in data:
                    assert field.type == field.TYPE_BYTES, field.full_name
                if field.name in ("cipher_suite", "cipher_suites"):
                    assert field.type == field.TYPE_UINT32, field.full_name
                if field.name.endswith("_time") or field.name == "time":
                    assert _message_name(field) == "google.protobuf.Timestamp", field.full_name


def test_no_field_is_a_python_keyword() -> None:
    import keyword

    names = [field.full_name for file in FILES for message in file.message_types_by_name.values() for field in message.fields]
    assert not [name for name in names if keyword.iskeyword(name.rpartition(".")[2])]


def test_results_that_fail_say_why_in_one_form() -> None:
    failures = [
        field
        for file in FILES
        for message in file.message_types_by_name.values()
        for field in message.fields
        if field.name == "failure" and message.name != "EncryptResult"
    ]
    assert failures
    assert {_message_name(field) for field in failures} == {common_pb2.Failure.DESCRIPTOR.full_name}
