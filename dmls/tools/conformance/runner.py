"""Running vector files and reporting on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from dmls.errors import InvalidArgumentError
from dmls.tools.conformance.fields import CheckError, Fields, UnknownSuiteError
from dmls.tools.conformance.files import find_files, kind_of, read_cases
from dmls.tools.conformance.framing import check_message_protection, check_messages
from dmls.tools.conformance.groups import check_passive_client, check_welcome
from dmls.tools.conformance.primitives import check_crypto_basics, check_deserialization, check_psk_secret, check_tree_math
from dmls.tools.conformance.schedule import check_key_schedule, check_secret_tree, check_transcript_hashes
from dmls.tools.conformance.tree import check_tree_operations, check_tree_validation
from dmls.tools.conformance.treekem import check_treekem

__all__ = ["KINDS", "Failure", "FileReport", "Report", "VectorFile", "check_case", "load_files", "run_file", "run_files"]

KINDS: Final[Mapping[str, Callable[[Fields], None]]] = MappingProxyType(
    {
        "crypto-basics": check_crypto_basics,
        "deserialization": check_deserialization,
        "key-schedule": check_key_schedule,
        "message-protection": check_message_protection,
        "messages": check_messages,
        "passive-client": check_passive_client,
        "psk_secret": check_psk_secret,
        "secret-tree": check_secret_tree,
        "transcript-hashes": check_transcript_hashes,
        "tree-math": check_tree_math,
        "tree-operations": check_tree_operations,
        "tree-validation": check_tree_validation,
        "treekem": check_treekem,
        "welcome": check_welcome,
    }
)
"""The kinds of file by the prefix of their names, and the check of one case of each."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that failed, None for the file as a whole; which check, and why."""

    case: int | None
    check: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return the object that `--json` shows."""
        return {"case": self.case, "check": self.check, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class VectorFile:
    """A file that was read; `problem` says why it could not be."""

    name: str
    kind: str | None
    cases: tuple[object, ...] = ()
    problem: str | None = None


@dataclass(slots=True)
class FileReport:
    """How the cases of one file came out. A file that cannot be run counts as one failed case.

    Attributes:
        skipped: cases of cipher suites that RFC 9420 does not define.
    """

    name: str
    kind: str | None
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the object that `--json` shows."""
        return {
            "name": self.name,
            "kind": self.kind,
            "passed": self.passed,
            "failed": self.failed,
            "skipped": self.skipped,
            "failures": [failure.to_json() for failure in self.failures],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """How all files came out."""

    files: tuple[FileReport, ...]

    @property
    def passed(self) -> int:
        """Cases passed."""
        return sum(file.passed for file in self.files)

    @property
    def failed(self) -> int:
        """Cases failed."""
        return sum(file.failed for file in self.files)

    @property
    def skipped(self) -> int:
        """Cases skipped."""
        return sum(file.skipped for file in self.files)

    def to_json(self) -> dict[str, Any]:
        """Return the object that `--json` shows."""
        files = [file.to_json() for file in self.files]
        return {"files": files, "passed": self.passed, "failed": self.failed, "skipped": self.skipped}


def check_case(kind: str, case: object, *, now: int | None = None) -> None:
    """Run all checks of one case.

    Args:
        kind: a key of KINDS.
        case: an element of the file's array.
        now: seconds since the epoch at which the lifetimes of received leaves must be running; None for no such check.

    Raises:
        CheckError: a check fails.
        UnknownSuiteError: the case is of a cipher suite that RFC 9420 does not define.
    """
    fields = Fields(case)
    if kind == "passive-client":
        check_passive_client(fields, now)
    else:
        KINDS[kind](fields)


def load_files(folder: Path) -> Iterator[VectorFile]:
    """Read the vector files of a folder.

    Raises:
        InvalidArgumentError: there are none.
    """
    for path in find_files(folder):
        kind = kind_of(path, tuple(KINDS))
        if kind is None:
            yield VectorFile(path.name, None, problem="no kind of vector file has a name that starts like this")
            continue
        try:
            yield VectorFile(path.name, kind, tuple(read_cases(path)))
        except InvalidArgumentError as error:
            yield VectorFile(path.name, kind, problem=error.message)


def run_file(file: VectorFile, *, now: int | None = None, advance: Callable[[], None] | None = None) -> FileReport:
    """Run all cases of a file; `advance` is called after each."""
    report = FileReport(file.name, file.kind)
    if file.problem is not None or file.kind is None:
        report.failed = 1
        report.failures.append(Failure(None, "file", file.problem or "unknown kind"))
        return report
    for number, case in enumerate(file.cases):
        failure = _run_case(file.kind, number, case, now, report)
        if failure is not None:
            report.failed += 1
            report.failures.append(failure)
        if advance is not None:
            advance()
    return report


def _run_case(kind: str, number: int, case: object, now: int | None, report: FileReport) -> Failure | None:
    try:
        check_case(kind, case, now=now)
    except CheckError as error:
        return Failure(number, error.check, error.message)
    except UnknownSuiteError:
        report.skipped += 1
        return None
    except Exception as error:  # noqa: BLE001 a defect met in one case must not keep the others from being run
        return Failure(number, "no defect", f"{type(error).__name__} escaped the implementation")
    report.passed += 1
    return None


def run_files(files: Iterable[VectorFile], *, now: int | None = None, advance: Callable[[], None] | None = None) -> Report:
    """Run several files; `advance` is called after each case."""
    return Report(tuple(run_file(file, now=now, advance=advance) for file in files))
