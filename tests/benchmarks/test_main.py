"""The program itself, on groups that are small enough to wait for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.group_operations.catalogue import OPERATIONS
from benchmarks.group_operations.results import FLOOR, OURS, PUNCTURABLE, read_results

ARGUMENTS = ["--sizes", "2,3", "--peers", "none", "--rounds", "2", "--seconds", "0.01"]


def test_a_run_measures_everything_and_can_be_shown_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, pictures = tmp_path / "kept.json", tmp_path / "pictures"
    main([*ARGUMENTS, "--json", str(kept), "--plot", str(pictures)])
    table = capsys.readouterr().out
    results = read_results(kept)
    for operation in OPERATIONS.values():
        cases = [case for case in results.cases if case.operation == operation.name]
        assert len(cases) == (4 if operation.needs_group else 2)
        assert operation.title in table
        for case in cases:
            if operation.name != "apply":
                assert not case.lacks
                assert case.times(OURS)
                assert case.times(PUNCTURABLE)
                assert (case.ratio(OURS, FLOOR) is None) is (operation.floor is None)
    assert {(each["contestant"], each["what"]) for each in results.memory} == {
        (name, what) for name in (OURS, PUNCTURABLE) for what in ("group", "epoch", "fork", "device")
    }
    assert len(list(pictures.glob("*.svg"))) == 3
    main(["show", str(kept), "--markdown"])
    assert "| create a commit |" in capsys.readouterr().out
    main(["compare", str(kept), str(kept)])
    assert "1.00 x  commit N=3 full" in capsys.readouterr().out


@pytest.mark.parametrize("operation", ["commit", "create"])
def test_a_profile_tells_libraries_from_the_rest(operation: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["profile", operation, "--size", "3", "--seconds", "0.5"])
    table = capsys.readouterr().out
    assert OPERATIONS[operation].title in table
    assert "X25519, Ed25519 (PyNaCl)" in table
    assert "dmls.mls." in table


def test_what_got_slower_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    main([*ARGUMENTS, "--ops", "commit,save", "--trees", "full", "--json", str(before)])
    data = json.loads(before.read_text())
    for case in data["cases"]:
        if (case["operation"], case["size"]) == ("save", 3):
            case["rounds"] = [{**turn, OURS: 3 * turn[OURS]} for turn in case["rounds"]]
    after.write_text(json.dumps(data))
    with pytest.raises(SystemExit, match=r"1 of 4 take more than 1\.25 times as long"):
        main(["compare", str(before), str(after)])
    assert "3.00 x  save N=3 full" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--sizes", "1"], "at least 2 members"),
        (["--ops", "commit,dance"], "dance: choose from key-package"),
        (["--peers", "somebody"], "somebody: choose from"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert hint in capsys.readouterr().err


def test_who_is_too_many_for_one_commit_has_no_fresh_tree() -> None:
    with pytest.raises(SystemExit, match="hint: --trees full"):
        main(["--sizes", "10002"])


def test_a_group_of_several_commits_is_measured_like_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("benchmarks.group_operations.stage.MOST_ADDED", 2)
    main(
        [
            "--sizes",
            "6",
            "--peers",
            "none",
            "--rounds",
            "1",
            "--trees",
            "full",
            "--ops",
            "add-all,commit,join",
            "--json",
            str(tmp_path / "kept"),
        ]
    )
    assert [(case.operation, bool(case.times(OURS))) for case in read_results(tmp_path / "kept").cases] == [
        ("add-all", True),
        ("commit", True),
        ("join", True),
    ]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(SystemExit, match="hint: python -m benchmarks --json"):
        main(["show", str(other)])
