"""The interceptors of the service, in their order."""

from __future__ import annotations

import grpc

from dmls.ids import ServerName
from dmls.service.interceptors.access_log import AccessLogInterceptor
from dmls.service.interceptors.admission import AdmissionInterceptor, Authenticate
from dmls.service.interceptors.deadline import DEFAULT_LIMIT_S, DeadlineInterceptor
from dmls.service.interceptors.errors import ErrorInterceptor
from dmls.service.interceptors.request_id import RequestIdInterceptor
from dmls.service.limits import Limits

__all__ = ["interceptors"]


def interceptors(
    server_name: ServerName,
    authenticate: Authenticate,
    *,
    limits: Limits | None = None,
    deadline_s: float = DEFAULT_LIMIT_S,
) -> list[grpc.aio.ServerInterceptor]:
    """Gives the interceptors for `grpc.aio.server`, the outermost first.

    The id comes first because log lines and errors bear it; the log line stands outside of the errors because it tells the
    status that they became; everything that raises stands inside of them.

    Args:
        server_name: The homeserver that the service serves.
        authenticate: Says who makes a call.
        limits: The limits of requests. None: the defaults.
        deadline_s: Seconds that a call may take, Watch streams excepted.
    """
    return [
        RequestIdInterceptor(),
        AccessLogInterceptor(),
        ErrorInterceptor(),
        DeadlineInterceptor(deadline_s),
        AdmissionInterceptor(server_name, limits or Limits(), authenticate),
    ]
