"""What the members of a tree have in common (RFC 9420, Sections 7.2 and 11.1).

Kept in the nodes of the tree, so that nobody has to ask each member.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from dmls.mls.messages.credential import credential_type
from dmls.mls.messages.leaf_node import LeafNode

__all__ = ["NO_MEMBERS", "Support", "combine", "leaf_support"]

_REMEMBERED = 512
_LARGEST_REMEMBERED = 64


class Support(NamedTuple):
    """Credential types that some member uses, and types that every member lists in its capabilities."""

    credential_types: frozenset[int]
    credentials: frozenset[int]
    extensions: frozenset[int]
    proposals: frozenset[int]


NO_MEMBERS = Support(frozenset(), frozenset(), frozenset(), frozenset())
"""Of a tree without members."""


def _make(used: int, credentials: tuple[int, ...], extensions: tuple[int, ...], proposals: tuple[int, ...]) -> Support:
    return Support(frozenset((used,)), frozenset(credentials), frozenset(extensions), frozenset(proposals))


# Most members list the same, so most nodes share one object.
_make_shared = functools.lru_cache(maxsize=_REMEMBERED)(_make)


def leaf_support(leaf_node: LeafNode) -> Support:
    """Return what one member uses and lists."""
    listed = leaf_node.capabilities
    size = len(listed.credentials) + len(listed.extensions) + len(listed.proposals)
    make = _make_shared if size <= _LARGEST_REMEMBERED else _make
    return make(credential_type(leaf_node.credential), listed.credentials, listed.extensions, listed.proposals)


def _combine(left: Support, right: Support) -> Support:
    return Support(
        left.credential_types | right.credential_types,
        left.credentials & right.credentials,
        left.extensions & right.extensions,
        left.proposals & right.proposals,
    )


_combine_shared = functools.lru_cache(maxsize=_REMEMBERED)(_combine)


def combine(left: Support, right: Support) -> Support:
    """Return what two sets of members have in common."""
    if left is right:
        return left
    small = sum(map(len, left)) <= _LARGEST_REMEMBERED and sum(map(len, right)) <= _LARGEST_REMEMBERED
    return _combine_shared(left, right) if small else _combine(left, right)
