"""Exceptions, told over a real connection, and read again on the other side."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from devicestore import errors as store
from dmls import errors
from dmls.client.failures import CallError, from_failure, from_rpc_error, read_rpc_error, to_exception
from dmls.errors import DMLSError
from dmls.service.errors import DeadlineError, HostingDisabledError, InvalidRequestError, UnknownResourceError, Violation
from dmls.service.interceptors.errors import ErrorInterceptor
from dmls.service.interceptors.request_id import RequestIdInterceptor
from dmls.service.status import answer, to_failure, to_status
from dmls.v1 import admin_pb2, admin_pb2_grpc, common_pb2
from tests.service.loopback import loopback, run

CANARY = "canary-4f1d"

EVERY_ERROR = [getattr(errors, name) for name in errors.__all__]
TOLD = [kind for kind in EVERY_ERROR if kind.code != "INTERNAL" and kind is not DMLSError]
MASKED = [kind for kind in EVERY_ERROR if kind.code == "INTERNAL"]
STORE_ERRORS = [getattr(store, name) for name in store.__all__ if isinstance(getattr(store, name), type)]


class _Raising(admin_pb2_grpc.AdminServiceServicer):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def GetServerInfo(self, request: admin_pb2.GetServerInfoRequest, context: object) -> admin_pb2.GetServerInfoResponse:
        raise self.error


async def _call(error: BaseException, *, served: bool = True, request_id: str = "") -> grpc.aio.AioRpcError:
    def register(server: grpc.aio.Server) -> None:
        admin_pb2_grpc.add_AdminServiceServicer_to_server(_Raising(error), server)

    metadata = (("x-request-id", request_id),) if request_id else ()
    async with (
        loopback(register, interceptors=[RequestIdInterceptor(), ErrorInterceptor()]) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            if served:
                await stub.GetServerInfo(admin_pb2.GetServerInfoRequest(), metadata=metadata)
            else:
                await stub.GetStatistics(admin_pb2.GetStatisticsRequest(), metadata=metadata)
        return caught.value


@pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.__name__)
def test_an_error_survives_the_way_to_the_client(kind: type[DMLSError]) -> None:
    failed = run(_call(kind("what happened", rule="LN-02")))
    error = from_rpc_error(failed)
    assert failed.code().name == kind.code
    assert isinstance(kind("x"), type(error)), "the class told is the error's or a more general one"
    assert (error.reason, error.code, error.hint, error.rule) == (kind.reason, kind.code, kind.hint, "LN-02")
    assert error.message == "what happened"


@pytest.mark.parametrize(
    "kind", [*MASKED, ValueError, KeyError, RecursionError, TimeoutError, ExceptionGroup], ids=lambda kind: kind.__name__
)
def test_a_defect_leaks_nothing_but_the_request_id(kind: type[BaseException]) -> None:
    raised = kind(CANARY, [ValueError(CANARY)]) if kind is ExceptionGroup else kind(CANARY)
    failed = run(_call(raised, request_id="call-7"))
    told = read_rpc_error(failed)
    assert (failed.code(), told.reason, told.message) == (grpc.StatusCode.INTERNAL, "BUG", "internal error")
    assert told.request_id == "call-7"
    assert CANARY not in str(failed.trailing_metadata()) + str(failed.details()) + repr(failed)
    assert isinstance(from_rpc_error(failed), errors.InternalError)


@pytest.mark.parametrize("kind", STORE_ERRORS, ids=lambda kind: kind.__name__)
def test_the_text_of_a_store_error_never_leaves(kind: type[store.StoreError]) -> None:
    told = answer(kind(CANARY))
    status = to_status(kind(CANARY), "r")
    assert CANARY not in str(status) + told.message + told.hint
    assert (told.retry_after_ms is not None) == (kind.is_retryable or kind is store.Closed)


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        (store.NotFound, "NOT_FOUND", "NOT_FOUND"),
        (store.Conflict, "ABORTED", "CONFLICT"),
        (store.Busy, "UNAVAILABLE", "STORE_BUSY"),
        (store.Unavailable, "UNAVAILABLE", "STORE_UNAVAILABLE"),
        (store.Closed, "UNAVAILABLE", "SHUTTING_DOWN"),
        (store.Corrupt, "INTERNAL", "BUG"),
        (store.SealBroken, "INTERNAL", "BUG"),
        (store.Invalid, "INTERNAL", "BUG"),
        (store.StoreError, "INTERNAL", "BUG"),
    ],
)
def test_store_errors_have_their_codes(kind: type[store.StoreError], code: str, reason: str) -> None:
    told = answer(kind("x"))
    assert (told.code.name, told.reason) == (code, reason)


def test_a_busy_store_says_when_to_come_back() -> None:
    for raised in (store.Busy("x"), errors.StoreBusyError("x")):
        told = read_rpc_error(run(_call(raised)))
        assert (told.code, told.reason, told.retry_after_ms) == ("UNAVAILABLE", "STORE_BUSY", 250)


def test_wrong_fields_are_named() -> None:
    raised = InvalidRequestError(Violation("events[3].room_id", "not a room ID"), Violation("page_size", "negative"))
    told = read_rpc_error(run(_call(raised)))
    assert told.code == "INVALID_ARGUMENT"
    assert told.message == "events[3].room_id: not a room ID (and 1 more)"
    assert told.violations == (("events[3].room_id", "not a room ID"), ("page_size", "negative"))
    assert "events[3].room_id: not a room ID" in to_exception(told).__notes__


def test_what_is_missing_is_named() -> None:
    told = read_rpc_error(run(_call(UnknownResourceError("room", "!a:example.org"))))
    assert (told.code, told.reason, told.resource) == ("NOT_FOUND", "NOT_FOUND", ("room", "!a:example.org"))


def test_an_rpc_that_is_not_implemented_says_so() -> None:
    failed = run(_call(ValueError(), served=False))
    assert failed.code() is grpc.StatusCode.UNIMPLEMENTED
    error = from_rpc_error(failed)
    assert (type(error), error.reason) == (CallError, "UNIMPLEMENTED")


def test_reasons_of_the_service_alone_keep_their_name_and_hint() -> None:
    error = from_rpc_error(run(_call(HostingDisabledError("no keys here"))))
    assert isinstance(error, errors.StateError)
    assert (error.reason, error.hint) == ("HOSTING_DISABLED", HostingDisabledError.hint)
    late = from_rpc_error(run(_call(DeadlineError("too long"))))
    assert (type(late), late.reason, late.code) == (CallError, "DEADLINE", "DEADLINE_EXCEEDED")


def test_long_texts_fit_into_the_header() -> None:
    raised = InvalidRequestError(*(Violation(f"events[{i}]." + "x" * 5_000, "y") for i in range(1_000)))
    failed = run(_call(raised))
    assert failed.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(read_rpc_error(failed).violations) == 8


def test_a_connection_that_fails_is_a_call_error() -> None:
    async def main() -> DMLSError:
        async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=5)
            return from_rpc_error(caught.value)

    error = run(main())
    assert (type(error), error.reason, error.code) == (CallError, "UNAVAILABLE", "UNAVAILABLE")


def test_the_sync_client_reads_the_same() -> None:
    async def main() -> None:
        def register(server: grpc.aio.Server) -> None:
            admin_pb2_grpc.add_AdminServiceServicer_to_server(_Raising(errors.StaleEpochError("gone", rule="X-01")), server)

        async with loopback(register, interceptors=[RequestIdInterceptor(), ErrorInterceptor()]) as address:
            await asyncio.to_thread(call, address)

    def call(address: str) -> None:
        with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
            admin_pb2_grpc.AdminServiceStub(channel).GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=10)
        error = from_rpc_error(caught.value)
        assert (type(error), error.rule, error.message) == (errors.StaleEpochError, "X-01", "gone")

    run(main())


@pytest.mark.parametrize(
    "details",
    [
        b"\xff\xff",
        status_pb2.Status(code=5).SerializeToString(),
        status_pb2.Status(details=[{"type_url": "x/google.rpc.ErrorInfo", "value": b"\xff"}]).SerializeToString(),
        status_pb2.Status(details=[{"type_url": "", "value": b""}]).SerializeToString(),
    ],
)
def test_broken_details_are_as_if_absent(details: bytes) -> None:
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", details))
    failed = grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), trailers, details="nothing here")
    error = from_rpc_error(failed)
    assert (type(error), error.code, error.message) == (CallError, "NOT_FOUND", "nothing here")


def test_an_unknown_reason_falls_back_on_its_code() -> None:
    status = status_pb2.Status(code=grpc.StatusCode.ABORTED.value[0])
    status.details.add().Pack(error_details_pb2.ErrorInfo(domain="dmls", reason="FROM_THE_FUTURE", metadata={"hint": "upgrade"}))
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    error = from_rpc_error(grpc.aio.AioRpcError(grpc.StatusCode.ABORTED, grpc.aio.Metadata(), trailers))
    assert isinstance(error, errors.ConflictError)
    assert (error.reason, error.hint) == ("FROM_THE_FUTURE", "upgrade")
    assert errors.ConflictError.hint == "", "only the instance says so"


def test_a_failure_of_an_item_becomes_the_same_exception() -> None:
    failure = to_failure(errors.InvalidKeyPackageError("bad", rule="KP-07"))
    assert failure == common_pb2.Failure(
        reason="RULE_VIOLATION", rule="KP-07", message="bad", hint=errors.InvalidKeyPackageError.hint
    )
    error = from_failure(failure)
    assert (type(error), error.rule, error.message) == (errors.ValidationError, "KP-07", "bad")
    assert to_failure(ValueError(CANARY)).message == "internal error"


def test_every_reason_names_one_class() -> None:
    owners = [kind for kind in EVERY_ERROR if "reason" in vars(kind)]
    assert len({kind.reason for kind in owners}) == len(owners)
