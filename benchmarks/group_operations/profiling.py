"""Where the time of an operation goes: what the interpreter was at whenever a timer rang.

A tracing profiler makes each call cost more, and so finds too much where calls are many. A timer costs all alike.
"""

from __future__ import annotations

import gc
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from types import CodeType, FrameType

from benchmarks.group_operations.catalogue import Operation, Setting
from benchmarks.group_operations.groups import Groups
from benchmarks.group_operations.prices import median
from benchmarks.group_operations.report import Sheet

__all__ = ["Profile", "take_profile", "to_sheets"]

_INTERVAL = 0.0007
"""Seconds of CPU time between two looks."""
_SHOWN = 25

_LIBRARIES = {
    ("crypto", "kdf.py", "hash"): "hashes (hashlib)",
    ("crypto", "aead.py", "seal"): "AEADs (cryptography)",
    ("crypto", "aead.py", "open"): "AEADs (cryptography)",
}
"""Calls into C that have no Python around them count for who makes them."""


@dataclass(frozen=True)
class Profile:
    """What was found.

    Attributes:
        operation, size, tree: what was done, and in which group.
        microseconds: the median of all times that it was done.
        looks: how often which code was seen at work.
    """

    operation: Operation
    size: int
    tree: str
    microseconds: float
    looks: Counter[CodeType]


def take_profile(operation: Operation, groups: Groups, seconds: float) -> Profile:
    """Let dmls do an operation for so many seconds."""
    peer, contestant, stage = groups.seat_ours(groups.suite)
    contestant.do_prepare(operation.name, **operation.material(Setting(stage, groups.size, peer.call, 1, 1)))
    looks: Counter[CodeType] = Counter()
    elapsed: list[float] = []
    is_running = False

    def look(_number: int, frame: FrameType | None) -> None:
        if is_running and frame is not None:
            looks[frame.f_code] += 1

    end = time.monotonic() + seconds
    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, _INTERVAL, _INTERVAL)
    gc.disable()
    try:
        while not elapsed or time.monotonic() < end:
            run = contestant.make_run()
            is_running, start = True, time.perf_counter_ns()
            run()
            elapsed.append(time.perf_counter_ns() - start)
            is_running = False
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        gc.enable()
    return Profile(operation, groups.size, groups.tree, median(elapsed) / 1e3, looks)


def to_sheets(profile: Profile) -> Iterator[Sheet]:
    """Make a table of the parts of the program, and one of functions."""
    parts: Counter[str] = Counter()
    for code, count in profile.looks.items():
        parts[_part(code)] += count
    tree = f", {profile.tree} tree" if profile.tree else ""
    about = f"{profile.operation.title}, N = {profile.size:,}{tree}: {profile.microseconds:,.0f} microseconds"
    yield Sheet(about, ("where", "microseconds", "share"), tuple(_rows(profile, parts)))
    functions: Counter[str] = Counter()
    for code, count in profile.looks.items():
        functions[f"{'/'.join(PurePath(code.co_filename).parts[-2:])}:{code.co_name}"] += count
    yield Sheet("Functions", ("where", "microseconds", "share"), tuple(_rows(profile, functions))[:_SHOWN])


def _rows(profile: Profile, found: Counter[str]) -> Iterator[tuple[str, str, str]]:
    total = max(found.total(), 1)
    for where, count in found.most_common():
        yield where, f"{count / total * profile.microseconds:,.1f}", f"{count / total:.1%}"


def _part(code: CodeType) -> str:
    path = PurePath(code.co_filename)
    if code.co_filename.startswith("<struct"):
        return "dmls.mls.codec"
    if code.co_filename.startswith("<"):
        return "making dataclasses"
    if "nacl" in path.parts:
        return "X25519, Ed25519 (PyNaCl)"
    if path.name == "hmac.py":
        return "HMACs (hmac)"
    folder = path.parent.name
    library = _LIBRARIES.get((folder, path.name, code.co_name))
    if library is not None:
        return library
    return f"dmls.mls.{folder}" if path.parent.parent.name == "mls" else "the rest"
