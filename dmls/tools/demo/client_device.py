"""A client device of the demo: a process of its own with a store of its own, and the pipe to it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import Message

from dmls.client.channel import method_of
from dmls.client.failures import from_failure
from dmls.errors import InternalError
from dmls.ids import CommitRef, DeviceId, RoomId, UserId
from dmls.matrix.encoding import decode_base64, encode_base64
from dmls.tools.demo.pipe import from_json, read_line, to_json, write_line
from dmls.tools.demo.service import last_line
from dmls.v1 import common_pb2, room_pb2

__all__ = ["ClientProcess", "Trial"]

_STOP_S = 10.0
A = TypeVar("A", bound=Message)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying a whole store on a message: `opened` is the epoch whose keys opened it, or empty."""

    opened: CommitRef
    epochs: int


class ClientProcess:
    """The process of one device; its store is in `folder`, its service at `address`."""

    def __init__(self, name: tuple[UserId, DeviceId], folder: Path, address: str) -> None:
        """Start the process; the first request waits until it is ready."""
        self.name = f"{name[0]} {name[1]}"
        self.incarnation = 1
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._command = [
            sys.executable, "-m", "dmls.tools.demo.client_main",
            "--data", str(folder), "--service", address, "--user", name[0], "--device", name[1],
        ]  # fmt: skip
        self._process = self._start()

    @property
    def signature_key(self) -> common_pb2.SignatureKey:
        """What the homeserver registers with its service."""
        return from_json(self._ask("hello")["signature_key"], common_pb2.SignatureKey)

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)  # noqa: S603

    def kill(self) -> None:
        """End the process with SIGKILL."""
        self._process.kill()
        self._close()

    def restart(self) -> None:
        """Start the process again, on the store that it left."""
        self._process = self._start()

    def stop(self) -> None:
        """End the process."""
        if self._process.poll() is None and self._process.stdin is not None:
            self._process.stdin.close()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._close()

    def _close(self) -> None:
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def stock(self) -> None:
        """Let it upload key packages."""
        self._ask("stock")

    def call(self, request: Message, answer: type[A]) -> A:
        """Make a call of dmls.v1.

        Raises:
            DMLSError: what the client refused.
        """
        method_of(request)
        told = self._ask("call", request=request.DESCRIPTOR.full_name, body=to_json(request))
        return from_json(told["body"], answer)

    def pending(self) -> Sequence[room_pb2.OutboxItem]:
        """Return what it wants its homeserver to do, in order."""
        return [from_json(item, room_pb2.OutboxItem) for item in self._ask("pending")["items"]]

    def lists_changed(self, users: Sequence[UserId]) -> None:
        """Tell it that devices of users of its homeserver have changed."""
        self._ask("lists_changed", users=list(users))

    def try_everything(self, room_id: RoomId, content: Mapping[str, Any]) -> Trial:
        """Let it try every epoch that its store holds on an event's content, whatever epoch that says it is of."""
        told = self._ask("try", room_id=room_id, content=content)
        return Trial(CommitRef(decode_base64(told["opened"])), told["epochs"])

    def put_blob(self, room_id: str, data: bytes) -> None:
        """Give it a blob."""
        self._ask("put_blob", room_id=room_id, data=encode_base64(data))

    def get_blob(self, room_id: str, sha256: bytes) -> bytes:
        """Return a blob that it wants stored."""
        return decode_base64(self._ask("get_blob", room_id=room_id, sha256=encode_base64(sha256))["data"])

    def _ask(self, do: str, **fields: Any) -> dict[str, Any]:
        stdin, stdout, answer = self._process.stdin, self._process.stdout, None
        if stdin is not None and stdout is not None and not stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                write_line(stdin, {"do": do, **fields})
                answer = read_line(stdout)
        if answer is None:
            raise InternalError(f"the process of {self.name} ended: {last_line(self._folder / 'log')}")
        if "error" in answer:
            raise from_failure(from_json(answer["error"], common_pb2.Failure))
        told: dict[str, Any] = answer["ok"]
        return told
