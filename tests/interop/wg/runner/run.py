"""One run of one script: who plays whom, what is known so far, and every call that was made."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from tests.interop.proto.mls_client_pb2 import FreeRequest, FreeResponse, NameRequest, SupportedCiphersuitesRequest
from tests.interop.proto.mls_client_pb2_grpc import MLSClientStub
from tests.interop.wg.channels import UNLIMITED
from tests.interop.wg.runner.scenarios import Script

__all__ = ["Call", "Failure", "Outputs", "Peer", "Run", "StepError"]

Outputs = dict[str, bytes]
"""What a step leaves behind for later ones."""

Response = TypeVar("Response", bound=Message)

_KEPT_CALLS = 20

_SILENCE = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)


class StepError(Exception):
    """A step failed: a call did, or what came back is wrong."""


@dataclass(frozen=True)
class Failure:
    """Where a run ended too early, and why."""

    step: int
    action: str
    error: str


@dataclass(frozen=True)
class Peer:
    """A server of the interface, and what it said of itself."""

    address: str
    stub: MLSClientStub
    name: str
    suites: frozenset[int]

    @classmethod
    @contextmanager
    def connect(cls, address: str, patience: float = 10.0) -> Iterator[Peer]:
        """Connect to a server that is there, or will be within `patience` seconds.

        Raises:
            grpc.RpcError: it does not answer.
        """
        with grpc.insecure_channel(address, options=UNLIMITED) as channel:
            stub = MLSClientStub(channel)
            name = stub.Name(NameRequest(), timeout=patience, wait_for_ready=True).name
            suites = stub.SupportedCiphersuites(SupportedCiphersuitesRequest(), timeout=patience).ciphersuites
            yield cls(address, stub, name, frozenset(suites))


@dataclass(frozen=True)
class Call:
    """One call, as it went."""

    actor: str
    rpc: str
    request: Message
    response: Message | None
    error: str = ""


@dataclass
class Run:
    """One run, from scratch."""

    script: Script
    suite: int
    """The cipher suite of the group; a reinit may change it."""
    encrypt_handshake: bool
    peers: Mapping[str, Peer]
    """Who plays each actor."""
    deadline: float = 120.0
    """Seconds a call may take."""
    keep_calls: bool = False
    """Whether all calls are kept, and not only the last few."""
    states: dict[str, int] = field(default_factory=dict)
    transactions: dict[str, int] = field(default_factory=dict)
    signers: dict[str, int] = field(default_factory=dict)
    outputs: dict[int, dict[str, bytes]] = field(default_factory=dict)
    """What each step left behind, by its number."""
    calls: deque[Call] = field(init=False)
    _given: dict[tuple[str, int], str] = field(default_factory=dict)
    _silent: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.calls = deque(maxlen=None if self.keep_calls else _KEPT_CALLS)

    def call(self, actor: str, rpc: str, request: Message, answer: type[Response]) -> Response:
        """Call a method of whoever plays `actor`.

        Raises:
            StepError: nobody does, or the answer is an error, or does not come in time.
        """
        peer = self.peers.get(actor)
        if peer is None:
            raise StepError(f"nobody plays {actor}")
        try:
            response = getattr(peer.stub, rpc)(request, timeout=self.deadline)
        except grpc.RpcError as error:
            if error.code() in _SILENCE:
                self._silent.add(peer.address)
            text = f"{error.code().name}: {error.details()}"
            self.calls.append(Call(actor, rpc, request, None, text))
            raise StepError(f"{rpc} at {actor} ({peer.name}): {text}") from error
        if not isinstance(response, answer):
            raise StepError(f"{rpc} answers with {type(response).__name__}")
        self.calls.append(Call(actor, rpc, request, response))
        return response

    def state(self, actor: str) -> int:
        """Return the state of a member.

        Raises:
            StepError: it has none.
        """
        if actor not in self.states:
            raise StepError(f"{actor} is in no group")
        return self.states[actor]

    def enter(self, actor: str, state_id: int) -> None:
        """Remember the state that a member has from now on."""
        self.states[actor] = state_id
        self._given[self.peers[actor].address, state_id] = actor

    def forget(self, actor: str, state_id: int) -> None:
        """Let a server forget a state. One that has forgotten it by itself is no failure; one that is gone is not asked."""
        address = self.peers[actor].address
        self._given.pop((address, state_id), None)
        if address in self._silent:
            return
        try:
            self.call(actor, "Free", FreeRequest(state_id=state_id), FreeResponse)
        except StepError:
            return

    def output(self, step: int, name: str) -> bytes:
        """Return what an earlier step left behind.

        Raises:
            StepError: it left no such thing.
        """
        if name not in self.outputs.get(step, {}):
            raise StepError(f"step {step} has no {name}")
        return self.outputs[step][name]

    def output_list(self, steps: Iterable[int], name: str) -> list[bytes]:
        """Return what several earlier steps left behind."""
        return [self.output(step, name) for step in steps]

    def free(self) -> None:
        """Let the servers forget every state of this run."""
        for (_, state_id), actor in list(self._given.items()):
            self.forget(actor, state_id)
