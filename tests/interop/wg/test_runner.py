"""A runner notices servers that are wrong, at the step where they are."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.interop.proto import mls_client_pb2 as pb
from tests.interop.wg.processes import ROOT
from tests.interop.wg.runner.matrix import plans
from tests.interop.wg.runner.play import play, play_plan
from tests.interop.wg.runner.report import describe_plan
from tests.interop.wg.runner.run import Failure, Peer, Run
from tests.interop.wg.runner.scenarios import Script, Step, read_scenarios
from tests.interop.wg.server.member import Member
from tests.interop.wg.server.service import Service
from tests.interop.wg.server.serving import serve
from tests.support.scenarios import SHA256, scenario_file

_LIE = bytes(32)


@contextmanager
def _connected(service: Service) -> Iterator[Peer]:
    with serve(service) as (_, address), Peer.connect(address) as peer:
        yield peer


def _script(*steps: dict[str, Any]) -> Script:
    return Script(Path("some.json"), "some", tuple(Step.read(step) for step in steps))


def _find(config: str, name: str) -> Script:
    (script,) = [script for script in read_scenarios(scenario_file(config)) if script.name == name]
    return script


def _play(script: Script, peer: Peer, deadline: float = 120.0) -> tuple[Run, Failure | None]:
    run = Run(script, 1, False, dict.fromkeys(script.actors, peer), deadline, keep_calls=True)
    return run, play(run)


def _lying(method: str, **lies: object) -> Service:
    """A server that answers one method with something else than is true."""

    class Liar(Service):
        pass

    def lie(self: Service, request: Any, context: Any) -> Any:
        answer = getattr(Service, method)(self, request, context)
        for field, value in lies.items():
            assert getattr(answer, field) != value, "this would be true"
            setattr(answer, field, value)
        return answer

    setattr(Liar, method, lie)
    return Liar("liar")


@pytest.mark.parametrize(
    ("config", "name", "method", "lies", "step"),
    [
        ("application.json", "in_order", "JoinGroup", {"epoch_authenticator": _LIE}, 0),
        ("application.json", "in_order", "JoinGroup", {"epoch_authenticator": b""}, 0),
        ("application.json", "in_order", "Unprotect", {"plaintext": b"hello world 0"}, 4),
        ("application.json", "in_order", "Unprotect", {"authenticated_data": b""}, 4),
        ("application.json", "out_of_order_across_epochs", "HandleCommit", {"epoch_authenticator": _LIE}, 3),
        ("commit.json", "update", "HandlePendingCommit", {"epoch_authenticator": _LIE}, 0),
        ("commit.json", "update", "UpdateProposal", {"proposal": b"no message"}, 2),
        ("external_join.json", "normal", "ExternalJoin", {"epoch_authenticator": _LIE}, 1),
        ("external_join.json", "with_external_tree", "GroupInfo", {"ratchet_tree": b""}, 1),
        ("external_proposals.json", "external_remove", "ExternalSignerProposal", {"proposal": b""}, 4),
        ("welcome_join.json", "with_external_tree", "Commit", {"ratchet_tree": b""}, 3),
        ("reinit.json", "force_path", "HandleReInitCommit", {"epoch_authenticator": _LIE}, 1),
        ("reinit.json", "force_path", "HandleReInitWelcome", {"epoch_authenticator": _LIE}, 1),
        ("branch.json", "base", "HandleBranch", {"epoch_authenticator": _LIE}, 1),
        ("branch.json", "base", "CreateBranch", {"welcome": b""}, 1),
    ],
)
def test_a_lie_ends_the_script_where_it_is_told(config: str, name: str, method: str, lies: dict[str, Any], step: int) -> None:
    with _connected(_lying(method, **lies)) as peer:
        _, failure = _play(_find(config, name), peer)
    assert failure is not None
    assert failure.step == step, failure


def test_a_failing_status_ends_the_script_and_its_text_is_told() -> None:
    class Refusing(Service):
        def HandleCommit(self, request: pb.HandleCommitRequest, context: Any) -> pb.HandleCommitResponse:
            context.abort(grpc.StatusCode.ABORTED, "not today")
            raise AssertionError

    with _connected(Refusing("refusing")) as peer:
        run, failure = _play(_find("commit.json", "update"), peer)
    assert failure == Failure(2, "fullCommit", "HandleCommit at bob (refusing): ABORTED: not today")
    rpcs = [call.rpc for call in run.calls]
    assert set(rpcs[rpcs.index("HandleCommit") + 1 :]) == {"Free"}


def test_a_method_that_a_server_does_not_have_is_a_failed_step() -> None:
    class Partial(Service):
        def ExternalJoin(self, request: pb.ExternalJoinRequest, context: Any) -> pb.ExternalJoinResponse:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "")
            raise AssertionError

    with _connected(Partial("partial")) as peer:
        _, failure = _play(_find("external_join.json", "normal"), peer)
    assert failure is not None
    assert failure.step == 1
    assert "UNIMPLEMENTED" in failure.error


def test_a_call_has_a_deadline() -> None:
    released = threading.Event()

    class Hanging(Service):
        def Protect(self, request: pb.ProtectRequest, context: Any) -> pb.ProtectResponse:
            released.wait()
            return pb.ProtectResponse()

    with _connected(Hanging("hanging")) as peer:
        script = _script(
            {"action": "createGroup", "actor": "alice"},
            {"action": "protect", "actor": "alice", "authenticatedData": "", "plaintext": "hello"},
        )
        run = Run(script, 1, False, {"alice": peer}, deadline=0.5)
        try:
            failure = play(run)
        finally:
            released.set()
    assert failure is not None
    assert "DEADLINE_EXCEEDED" in failure.error
    assert [call.rpc for call in run.calls] == ["CreateGroup", "Protect"]


def test_a_suite_can_only_change_to_one_that_all_support() -> None:
    class Poor(Service):
        def SupportedCiphersuites(self, request: Any, context: Any) -> pb.SupportedCiphersuitesResponse:
            return pb.SupportedCiphersuitesResponse(ciphersuites=[1])

    with _connected(Poor("poor")) as peer:
        _, failure = _play(_find("reinit.json", "change_ciphersuite"), peer)
    assert failure is not None
    assert "no other cipher suite" in failure.error


@pytest.mark.parametrize(
    "steps",
    [
        [{"action": "fly", "actor": "alice"}],
        [{"actor": "alice"}],
        [{"action": "protect", "actor": "alice", "authenticatedData": "", "plaintext": ""}],
        [{"action": "createKeyPackage", "actor": "alice"}, {"action": "joinGroup", "actor": "alice", "welcome": 0}],
        [{"action": "createGroup", "actor": "alice"}, {"action": "addProposal", "actor": "alice", "keyPackage": 0}],
        [{"action": "createGroup", "actor": "alice"}, {"action": "fullCommit", "actor": "alice", "joiners": ["bob"]}],
        [{"action": "externalSignerProposal", "actor": "alice", "member": "alice"}],
        [{"action": "installExternalPSK", "clients": ["alice"]}],
    ],
)
def test_a_script_that_makes_no_sense_fails_at_that_step(steps: list[dict[str, Any]]) -> None:
    with _connected(Service("some")) as peer:
        _, failure = _play(_script(*steps), peer)
    assert failure is not None
    assert failure.step == len(steps) - 1


@pytest.mark.parametrize(
    ("config", "name"), [("branch.json", "base"), ("reinit.json", "change_group_id"), ("external_join.json", "removing_prior")]
)
def test_every_state_is_freed(config: str, name: str) -> None:
    service = Service("some")
    with _connected(service) as peer:
        run, failure = _play(_find(config, name), peer)
    assert failure is None
    given = {call.response.state_id for call in run.calls if call.response is not None and hasattr(call.response, "state_id")}
    freed = [call.request.state_id for call in run.calls if isinstance(call.request, pb.FreeRequest)]
    assert sorted(freed) == sorted(given)
    assert all(call.response is not None for call in run.calls)


class _Renumbering(Service):
    """A server as others are: a state has another number in each epoch, and trees come twice."""

    def _renumber(self, answer: pb.HandleCommitResponse) -> pb.HandleCommitResponse:
        member = self._handles.find(answer.state_id, Member)
        self._handles.drop(answer.state_id)
        answer.state_id = self._handles.add(member)
        return answer

    def HandleCommit(self, request: pb.HandleCommitRequest, context: Any) -> pb.HandleCommitResponse:
        return self._renumber(super().HandleCommit(request, context))

    def HandlePendingCommit(self, request: pb.HandlePendingCommitRequest, context: Any) -> pb.HandleCommitResponse:
        return self._renumber(super().HandlePendingCommit(request, context))

    def GroupInfo(self, request: pb.GroupInfoRequest, context: Any) -> pb.GroupInfoResponse:
        inline = super().GroupInfo(pb.GroupInfoRequest(state_id=request.state_id), context)
        beside = super().GroupInfo(pb.GroupInfoRequest(state_id=request.state_id, external_tree=True), context)
        return pb.GroupInfoResponse(group_info=inline.group_info, ratchet_tree=beside.ratchet_tree)


@pytest.mark.parametrize("config", sorted(SHA256.keys() - {"deep_random.json"}))
def test_servers_of_other_habits_are_played_with_right(config: str, seed: int) -> None:
    with _connected(_Renumbering("other")) as other, _connected(Service("dmls")) as ours:
        for plan in plans(read_scenarios(scenario_file(config)), [other, ours], suites=[1], seed=seed):
            assert play_plan(plan) is None, describe_plan(plan)


# The steps that no file of the working group has


def test_a_commit_can_be_handled_step_by_step() -> None:
    script = _script(
        {"action": "createGroup", "actor": "alice", "members": ["bob"]},
        {"action": "createKeyPackage", "actor": "carol"},
        {"action": "addProposal", "actor": "bob", "keyPackage": 1},
        {"action": "commit", "actor": "alice", "byReference": [2]},
        {"action": "handlePendingCommit", "actor": "alice"},
        {"action": "handleCommit", "actor": "bob", "commit": 3, "byReference": [2]},
        {"action": "joinGroup", "actor": "carol", "welcome": 3},
        {"action": "groupInfo", "actor": "carol", "externalTree": True},
        {"action": "protect", "actor": "carol", "authenticatedData": "", "plaintext": "hello"},
        {"action": "unprotect", "actor": "bob", "ciphertext": 8},
    )
    with _connected(Service("some")) as peer:
        run, failure = _play(script, peer)
    assert failure is None
    assert run.outputs[7]["ratchet_tree"]


# The program


def _run_program(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.interop.wg.runner", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_the_program_plays_every_assignment_and_logs_every_call(addresses: list[str], tmp_path: Path) -> None:
    config, log = str(scenario_file("application.json")), tmp_path / "log.jsonl"
    clients = [option for address in addresses for option in ("--client", address)]
    done = _run_program("--config", config, *clients, "--suite", "1", "--script", "in_order", "--log", str(log))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("8 runs, 0 failed")
    runs = [json.loads(line) for line in log.read_text().splitlines()]
    casts = {(run["encrypt_handshake"], *run["actors"].values()) for run in runs}
    assert casts == {(flag, first, second) for flag in (True, False) for first in ("one", "two") for second in ("one", "two")}
    for run in runs:
        assert run["failure"] is None
        assert [call["rpc"] for call in run["calls"]][:2] == ["CreateGroup", "CreateKeyPackage"]
        assert all("response" in call for call in run["calls"])


def test_a_failed_run_says_how_to_repeat_it() -> None:
    config = str(scenario_file("external_join.json"))
    with (
        serve(_lying("ExternalJoin", epoch_authenticator=_LIE)) as (_, liar),
        serve(Service("honest")) as (_, honest),
    ):
        clients = ("--client", honest, "--client", liar)
        done = _run_program("--config", config, *clients, "--suite", "1", "--handshake", "public", "--seed", "7")
        assert done.returncode == 1, done.stderr
        repeats = [line for line in done.stdout.splitlines() if line.lstrip().startswith("repeat with")]
        assert repeats
        again = _run_program(*clients, *repeats[0].split()[2:])
    assert again.returncode == 1
    assert "1 runs, 1 failed" in again.stdout.splitlines()[-1]
    failures = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert again.stdout.splitlines()[0] == failures[0]


@pytest.mark.parametrize(
    "options",
    [
        ["--config", "nowhere.json"],
        ["--config", "pyproject.toml"],
        ["--config", "CONFIG", "--script", "nothing"],
        ["--config", "CONFIG", "--suite", "99"],
    ],
)
def test_the_program_says_when_there_is_nothing_to_play(options: list[str], addresses: list[str]) -> None:
    config = str(scenario_file("application.json"))
    done = _run_program("--client", addresses[0], *(config if option == "CONFIG" else option for option in options))
    assert done.returncode == 2
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr


def test_a_random_assignment_is_one_run_for_each_script_suite_and_handshake(peers: list[Peer]) -> None:
    scripts = read_scenarios(scenario_file("commit.json"))
    assert len(list(plans(scripts, peers, seed=0))) == len(scripts) * 7 * 2
