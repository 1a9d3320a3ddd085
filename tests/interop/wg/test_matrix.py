"""Which runs a runner makes."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from tests.interop.proto.mls_client_pb2_grpc import MLSClientStub
from tests.interop.wg.runner.matrix import plans
from tests.interop.wg.runner.run import Peer
from tests.interop.wg.runner.scenarios import Script, Step


def _script(*actors: str, name: str = "some") -> Script:
    return Script(Path("file.json"), name, tuple(Step.read({"actor": actor}) for actor in actors))


def _peer(name: str, *suites: int) -> Peer:
    return Peer(name, cast(MLSClientStub, None), name, frozenset(suites))


def test_all_assignments_are_played_in_all_suites_with_both_handshakes() -> None:
    one, two = _peer("one", 1, 2), _peer("two", 1, 2)
    runs = list(plans([_script("a", "b", "c")], [one, two]))
    assert len(runs) == 2 * 2 * 2**3
    assert len({(run.suite, run.encrypt_handshake, tuple(peer.name for peer in run.cast)) for run in runs}) == len(runs)


def test_a_peer_stays_out_of_suites_that_it_does_not_support() -> None:
    both, second = _peer("both", 1, 2), _peer("second", 2)
    runs = list(plans([_script("a", "b")], [both, second], handshakes=[True]))
    assert [run.suite for run in runs] == [1, 2, 2, 2, 2]
    assert {peer.name for run in runs if run.suite == 1 for peer in run.cast} == {"both"}


def test_a_suite_that_nobody_supports_is_not_played() -> None:
    assert list(plans([_script("a")], [_peer("one", 1)], suites=[3])) == []


def test_a_random_assignment_repeats_with_its_seed() -> None:
    peers = [_peer("one", 1), _peer("two", 1)]
    scripts = [_script(*"abcdefghij"), _script(*"abcdefghij", name="other")]
    first = list(plans(scripts, peers, seed=1))
    assert len(first) == 2 * 2
    assert list(plans(scripts, peers, seed=1)) == first
    assert list(plans(scripts, peers, seed=2)) != first
    assert len({run.assignment for run in first}) > 1
    assert list(plans(scripts[1:], peers, seed=1, handshakes=[False])) == first[3:]


def test_one_assignment_can_be_named() -> None:
    peers = [_peer("one", 1), _peer("two", 1), _peer("three", 1)]
    for run in plans([_script("a", "b", "c")], peers):
        (named,) = plans([run.script], peers, suites=[1], handshakes=[run.encrypt_handshake], assignments=[run.assignment])
        assert named == run
