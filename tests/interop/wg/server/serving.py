"""A service on a loopback port."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from tests.interop.proto.mls_client_pb2_grpc import MLSClientServicer, add_MLSClientServicer_to_server
from tests.interop.wg.channels import UNLIMITED
from tests.interop.wg.server.statuses import Statuses

__all__ = ["serve"]


@contextmanager
def serve(service: MLSClientServicer, port: int = 0) -> Iterator[tuple[grpc.Server, str]]:
    """Serve on 127.0.0.1 while the context lasts; yield the server and its address.

    The kernel chooses the port where it is 0. Calls are answered one after the other, so that a service needs no locks.
    """
    server = grpc.server(ThreadPoolExecutor(max_workers=1), interceptors=[Statuses()], options=UNLIMITED)
    add_MLSClientServicer_to_server(service, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield server, f"127.0.0.1:{bound}"
    finally:
        server.stop(None).wait()
