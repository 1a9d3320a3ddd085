"""A service of the demo: a real `dmls serve` process, called through gRPC, killed and started again where the plan says so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from dmls.client.channel import ServiceChannel, with_request_id
from dmls.client.failures import CallError
from dmls.errors import InternalError
from dmls.ids import ServerName
from dmls.tools.demo.differences import DifferenceError
from dmls.tools.demo.kills import Kill, KillPlan
from dmls.v1 import room_pb2

__all__ = ["ServiceProcess", "last_line"]

_STOP_S = 10.0
_LOOK_S = 0.2
A = TypeVar("A", bound=Message)


def _acknowledged(request: Message) -> tuple[int, ...]:
    """Return the outbox items that a request acknowledges."""
    if isinstance(request, room_pb2.AckOutboxRequest):
        return tuple(ack.sequence for ack in request.acks)
    if isinstance(request, room_pb2.ProvideKeyPackagesRequest) and not request.partial:
        return (int(request.claim_id.rpartition("-")[2]),)
    return ()


def last_line(log: Path) -> str:
    """Return the last words of a process, for people."""
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "it said nothing"


class ServiceProcess:
    """The process of one homeserver's service; its data directory is `folder`."""

    def __init__(
        self,
        short_name: str,
        server_name: ServerName,
        folder: Path,
        socket: Path,
        plan: KillPlan,
        on_kill: Callable[[str], None],
    ) -> None:
        """Start the process. It listens on the Unix socket `socket`; `on_kill` is told of every kill, in words."""
        self.name = f"the service of {short_name}"
        self.incarnation = 0
        self.found_again = 0
        """Outbox items that waited when the process was killed, and were there afterwards."""
        self._waiting: dict[int, room_pb2.OutboxItem] = {}
        self._short_name = short_name
        self._folder = folder
        self._plan = plan
        self._on_kill = on_kill
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.address = f"unix:{socket}"
        self._command = [
            sys.executable, "-m", "dmls.cli", "serve", "--hosting",
            "--data", str(folder), "--server-name", server_name, "--listen", self.address,
        ]  # fmt: skip
        self._process = self._start()
        self._channel = ServiceChannel(self.address)

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )

    def wait_until_ready(self) -> None:
        """Wait until the process says that it listens.

        Raises:
            InternalError: it ended instead.
        """
        if self._process.stdout is None or not self._process.stdout.readline():
            raise InternalError(f"{self.name} does not start: {last_line(self._folder / 'log')}")

    def kill(self) -> None:
        """End the process with SIGKILL, and start it again on what it left."""
        self._process.kill()
        self._close()
        self._process = self._start()
        self.wait_until_ready()
        self._channel = ServiceChannel(self.address)

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._close()

    def _close(self) -> None:
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._channel.close()

    def call(self, request: Message, answer: type[A]) -> A:
        """Make a call. One that is interrupted by a kill is made again with the same request id.

        Raises:
            DMLSError: what the service refused.
        """
        changes_something = "request_id" in request.DESCRIPTOR.fields_by_name
        kill = self._plan.take(self._short_name) if changes_something else None
        told = self._channel.call(request, answer) if kill is None else self._call_and_kill(kill, request, answer)
        for sequence in _acknowledged(request):
            self._waiting.pop(sequence, None)
        return told

    def _call_and_kill(self, kill: Kill, request: Message, answer: type[A]) -> A:
        named = with_request_id(request)
        first: A | None = None
        if kill.delay_s is not None:
            first = self._channel.attempt(named, answer, kill.delay_s)
        call = request.DESCRIPTOR.name.removesuffix("Request")
        moment = "before" if kill.delay_s is None else "during" if first is None else "right after"
        self._on_kill(f"{self.name} is killed {moment} {call}, and started again")
        self.kill()
        self._check_outbox(_acknowledged(request))
        again = self._channel.call(named, answer)
        if first is not None and first != again:
            raise DifferenceError(f"{self.name} gives another answer to the same {call} after a kill")
        return again

    def kill_idle(self) -> None:
        """Do the kills that no call was left for, now."""
        while self._plan.take_any(self._short_name):
            self._on_kill(f"{self.name} is killed while nothing happens, and started again")
            self.kill()
            self._check_outbox(())

    def _check_outbox(self, doubtful: Collection[int]) -> None:
        """Check that what waited in the outbox before a kill waits there still, with the very same bytes.

        `doubtful`: what was being acknowledged at that moment.
        """
        before = {sequence: item for sequence, item in self._waiting.items() if sequence not in doubtful}
        after = {item.sequence: item for item in self.pending()}
        for sequence, item in before.items():
            if after.get(sequence) != item:
                raise DifferenceError(f"{self.name} has lost item {sequence} of its outbox with a kill, or has changed it")
        self.found_again += len(before)

    def pending(self) -> Sequence[room_pb2.OutboxItem]:
        """Return what it wants done and what is not acknowledged, in order."""
        items: list[room_pb2.OutboxItem] = []
        frames = self._channel.stream(room_pb2.WatchOutboxRequest(), room_pb2.WatchOutboxResponse)
        for frame in frames:
            if frame.HasField("started"):
                self.incarnation = frame.started.incarnation
            elif frame.HasField("item"):
                items.append(frame.item)
            elif frame.HasField("caught_up"):
                break
        frames.close()
        self._waiting = {item.sequence: item for item in items}
        return items

    def wait_for_work(self) -> None:
        """Wait until something new is wanted, for a moment at most."""
        request, caught_up = room_pb2.WatchOutboxRequest(), False
        frames = self._channel.stream(request, room_pb2.WatchOutboxResponse, timeout_s=_LOOK_S)
        try:
            for frame in frames:
                caught_up = caught_up or frame.HasField("caught_up")
                if caught_up and frame.HasField("item"):
                    break
        except CallError as error:
            if error.code != grpc.StatusCode.DEADLINE_EXCEEDED.name:
                raise
        finally:
            frames.close()

    def put_blob(self, room_id: str, data: bytes) -> None:
        """Give it a blob of a room."""
        self._channel.put_blob(room_id, data)

    def get_blob(self, room_id: str, sha256: bytes) -> bytes:
        """Return a blob that it made."""
        return self._channel.get_blob(room_id, sha256)
