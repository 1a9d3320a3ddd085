"""Fuzzes targets for a bounded time each: `python -m tests.robustness.fuzz.run --help`."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.robustness.fuzz.corpus import CORPUS, MOST_BYTES, choose, read_corpus

_ABSENT: Final = "atheris is not installed, so no target was fuzzed: it has wheels for Linux on x86-64"
_MOST_KEPT: Final = 16
"""Of what one run finds."""
_NOISE: Final = ("INFO", "WARNING")


def fuzz(name: str, arguments: list[str]) -> None:
    """Fuzz one target until libFuzzer ends this process."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["dmls"]):
        target = importlib.import_module("tests.robustness.fuzz.targets").TARGETS[name]

    def feed(data: bytes) -> None:
        target(data)

    atheris.Setup([sys.argv[0], *arguments], feed)
    atheris.Fuzz()


def run(name: str, seconds: int, *, keep: bool) -> bool:
    """Fuzz one target in a process of its own; return whether nothing was found."""
    with tempfile.TemporaryDirectory() as folder:
        known, found = Path(folder) / "known", Path(folder) / "found"
        found.mkdir()
        write_inputs(known, read_corpus(name))
        limits = [f"-max_len={MOST_BYTES}", "-timeout=10", "-rss_limit_mb=2048", f"-artifact_prefix={folder}/"]
        done = _start(name, [*limits, f"-max_total_time={seconds}", "-print_final_stats=1", str(found), str(known)])
        count = next((line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line), "no")
        print(f"{name}: {count} inputs, {'nothing found' if done.returncode == 0 else 'FAILED'}", flush=True)
        if done.returncode:
            print("\n".join(line for line in done.stderr.splitlines() if not line.startswith(_NOISE)))
            for path in sorted(path for path in Path(folder).iterdir() if path.is_file()):
                print(f"{path.name}: {path.read_bytes().hex()}")
            return False
        if keep:
            write_inputs(CORPUS / name, choose([path.read_bytes() for path in found.iterdir()], _MOST_KEPT))
    return True


def _start(name: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.robustness.fuzz.run", "--one", name, "--", *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def write_inputs(folder: Path, inputs: list[bytes]) -> None:
    """Write inputs under their hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in inputs:
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def main() -> int:
    """Run what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description="Fuzz the decoders with atheris.")
    parser.add_argument("targets", nargs="*", help="names of targets; all by default")
    parser.add_argument("--seconds", type=int, default=10, help="for each target (10)")
    parser.add_argument("--keep", action="store_true", help="add what reaches new code to the corpus")
    parser.add_argument("--seed", action="store_true", help="add seeds to the corpus and fuzz nothing")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        fuzz(chosen.one, chosen.targets)
        return 0
    known = importlib.import_module("tests.robustness.fuzz.targets").TARGETS
    names = chosen.targets or list(known)
    if not known.keys() >= set(names):
        parser.error(f"the targets are {', '.join(known)}")
    if chosen.seed:
        for name, inputs in importlib.import_module("tests.robustness.fuzz.seeds").make_seeds().items():
            write_inputs(CORPUS / name, inputs)
        return 0
    if importlib.util.find_spec("atheris") is None:
        print(_ABSENT)
        return 0
    failed = [name for name in names if not run(name, chosen.seconds, keep=chosen.keep)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
