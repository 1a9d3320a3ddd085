"""Generate `dmls/v1` from `proto/`: messages, stubs and their types.

The generated files are committed, so that neither users nor the service need a protocol buffer compiler. The compiler's
version is pinned in `pyproject.toml`, because the generated code names it.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

__all__ = ["GENERATED", "ROOT", "generate", "generated_files"]

ROOT = Path(__file__).resolve().parents[1]
GENERATED = Path("dmls") / "v1"
_PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def generate(root: Path, out: Path) -> None:
    """Compile every file of `root/proto` into `out`, which then holds `dmls/v1/*`.

    Raises:
        RuntimeError: the compiler refused a file; the message is what it said.
    """
    sources = sorted((root / "proto" / GENERATED).glob("*.proto"))
    if not sources:
        raise RuntimeError("proto/dmls/v1 holds no .proto file")
    plugin = Path(sysconfig.get_path("scripts")) / "protoc-gen-mypy_grpc"
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={root / 'proto'}"),
        *(f"--plugin=protoc-gen-mypy_grpc={plugin}", f"--python_out={out}", f"--pyi_out={out}"),
        *(f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet,generate_concrete_servicer_stubs:{out}"),
        *map(str, sources),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())


def generated_files(folder: Path) -> dict[str, bytes]:
    """Return the generated files that lie in `folder`, by name."""
    return {path.name: path.read_bytes() for pattern in _PATTERNS for path in sorted(folder.glob(pattern))}


def main() -> None:
    """Replace the generated files of this checkout."""
    for name in generated_files(ROOT / GENERATED):
        (ROOT / GENERATED / name).unlink()
    generate(ROOT, ROOT)
    print(f"{len(generated_files(ROOT / GENERATED))} files in {GENERATED}")


if __name__ == "__main__":
    main()
