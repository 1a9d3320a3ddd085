"""Generate code from the protocol buffers: messages, stubs and their types.

The generated files are committed, so that neither users nor the service need a protocol buffer compiler. The compiler's
version is pinned in `pyproject.toml`, because the generated code names it.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

__all__ = ["GENERATED", "ROOT", "SOURCES", "generate", "generated_files", "is_generated"]

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {
    Path("dmls") / "v1": Path("proto"),
    Path("tests") / "interop" / "proto": Path(),
}
"""For each folder of generated code the root of its sources, below which they have the same folder."""

GENERATED = tuple(SOURCES)
"""The folders of generated code."""

_PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def is_generated(path: Path) -> bool:
    """Tell whether a path, relative to the root, is one of a generated file."""
    return any(path.is_relative_to(folder) for folder in GENERATED) and any(path.match(pattern) for pattern in _PATTERNS)


def generate(root: Path, out: Path) -> None:
    """Compile every source below `root` into `out`, which then holds the folders of generated code.

    Raises:
        RuntimeError: there is nothing to compile, or the compiler refused a file; the message is what it said.
    """
    plugin = Path(sysconfig.get_path("scripts")) / "protoc-gen-mypy_grpc"
    for folder, proto_path in SOURCES.items():
        sources = sorted((root / proto_path / folder).glob("*.proto"))
        if not sources:
            raise RuntimeError(f"{proto_path / folder} holds no .proto file")
        command = [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={root / proto_path}"),
            *(f"--plugin=protoc-gen-mypy_grpc={plugin}", f"--python_out={out}", f"--pyi_out={out}"),
            *(f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet,generate_concrete_servicer_stubs:{out}"),
            *map(str, sources),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())


def generated_files(root: Path) -> dict[Path, bytes]:
    """Return the generated files below `root`, by their path from there."""
    found = [path for folder in GENERATED for pattern in _PATTERNS for path in sorted((root / folder).glob(pattern))]
    return {path.relative_to(root): path.read_bytes() for path in found}


def main() -> None:
    """Replace the generated files of this checkout."""
    for path in generated_files(ROOT):
        (ROOT / path).unlink()
    generate(ROOT, ROOT)
    print(f"{len(generated_files(ROOT))} files in {', '.join(map(str, GENERATED))}")


if __name__ == "__main__":
    main()
