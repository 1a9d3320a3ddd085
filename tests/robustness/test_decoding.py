"""Mutants of every kind of object decode to what encodes to the same bytes, or are refused with a typed error; nothing else."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from dmls.errors import CodecError, DMLSError, InvalidTreeError, LimitError
from dmls.mls.codec import decode_as, encode_as
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite
from dmls.mls.group.validation import check_group_extensions, check_group_info_extensions
from dmls.mls.messages.commit import Commit, UpdatePath
from dmls.mls.messages.extensions import find_extension
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.message import AuthenticatedContent, FramedContent, MLSMessage, PublicMessage
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.tools.inspect.kinds import NODES
from tests.robustness.mutants import Donors, mutate
from tests.robustness.runs import CHUNKS, chunk_seed, mutants, naming, untraced
from tests.robustness.scene import make_scene
from tests.robustness.wire import Piece, take_apart

_PER_CHUNK = 10_000
_LEAST_SHARE = 0.3


@dataclass(frozen=True)
class Subject:
    """An object to be changed."""

    name: str
    hint: Any
    suite: CipherSuite
    root: Piece
    pieces: tuple[Piece, ...]


@cache
def _subjects() -> tuple[tuple[Subject, ...], Donors]:
    found = []
    for suite in CIPHER_SUITES:
        for name, (hint, value) in make_scene(suite.id).objects().items():
            root = take_apart(hint, value)
            found.append(Subject(name, hint, suite, root, tuple(root.walk())))
    return tuple(found), Donors(subject.root for subject in found)


def _read(subject: Subject, data: bytes) -> tuple[Any, bytes]:
    """Decode as a receiver does; return the value and what it encodes to."""
    if subject.hint is NODES:
        tree = RatchetTree.decode(subject.suite, data)
        return tree, tree.encode()
    value = decode_as(subject.hint, data)
    return value, encode_as(subject.hint, value)


def _deeper(subject: Subject, value: Any) -> Iterator[Callable[[], object]]:
    """Yield what is decoded later: extensions that have a meaning, trees, and vectors that are kept encoded."""
    if isinstance(value, MLSMessage):
        value = value.body
    if isinstance(value, PublicMessage | AuthenticatedContent):
        value = value.content
    if isinstance(value, FramedContent):
        value = value.content
    if isinstance(value, Commit):
        value = value.path
    if isinstance(value, UpdatePath):
        yield from (lambda node=node: list(node.encrypted_path_secret) for node in value.nodes)
    if isinstance(value, GroupInfo):
        info = value
        tree = find_extension(info.extensions, ExtensionType.RATCHET_TREE)
        if tree is not None:
            yield lambda: RatchetTree.decode(subject.suite, tree)
        yield lambda: check_group_info_extensions(info.extensions)
        value = info.group_context
    if isinstance(value, GroupContext):
        yield lambda: check_group_extensions(value.extensions)


def _try(subject: Subject, data: bytes, counts: Counter[str]) -> None:
    counts[f"{subject.name}, all"] += 1
    try:
        value, encoded = _read(subject, data)
    except CodecError:
        return
    except (InvalidTreeError, LimitError):
        assert subject.hint is NODES
        return
    counts[f"{subject.name}, decoded"] += 1
    assert encoded == data
    for step in _deeper(subject, value):
        try:
            step()
        except DMLSError:
            counts["refused below"] += 1


@pytest.mark.parametrize("chunk", CHUNKS)
@untraced()
def test_mutants_decode_to_themselves_or_are_refused(chunk: int) -> None:
    subjects, donors = _subjects()
    seed = chunk_seed("decoding", chunk)
    counts: Counter[str] = Counter()
    for index, rng in mutants(seed, _PER_CHUNK):
        subject = subjects[rng.randrange(len(subjects))]
        data = mutate(rng, subject.root, subject.pieces, donors)
        with naming(seed, index, lambda: f"{subject.name} of suite {subject.suite.id}: {data[:4096].hex()}"):  # noqa: B023
            _try(subject, data, counts)
    messages = [subject.name for subject in subjects if subject.hint is MLSMessage]
    made = sum(counts[f"{name}, all"] for name in set(messages))
    decoded = sum(counts[f"{name}, decoded"] for name in set(messages))
    print(f"{decoded} of {made} messages decode; {counts['refused below']} are refused below")
    assert made < 100 or decoded / made >= _LEAST_SHARE


def test_what_is_changed_nowhere_is_what_it_was() -> None:
    subjects, _ = _subjects()
    for subject in subjects:
        counts: Counter[str] = Counter()
        _try(subject, subject.root.data, counts)
        assert counts[f"{subject.name}, decoded"] == 1, subject.name
        assert not counts["refused below"]


def test_a_mutant_repeats() -> None:
    subjects, donors = _subjects()
    subject = subjects[0]
    first, second = (mutate(random.Random("x/7"), subject.root, subject.pieces, donors) for _ in range(2))
    assert first == second
