"""The puncturable init secret of key schedule `pprf` (docs/protocol.md, Section 3).

A binary tree of depth 8 * hash_size whose leaves are the outputs of a pseudo-random function. An evaluation forgets every secret
between the root and its leaf and keeps the siblings along the way: the same input can never be evaluated again, all others can.
Nodes are numbered as in a binary heap: the root is 1, the children of n are 2n and 2n + 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from immutables import Map

from dmls.errors import CodecError, InvalidCommitError, PuncturedError, UsageError
from dmls.forks.aad import KeySchedule
from dmls.mls.codec import decode, encode, opaque, struct, uint16, vector
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.schedule.key_schedule import RFC9420_RULE, InitSecretRule, InitState

__all__ = ["KEPT_LEVELS", "PPRF", "PPRF_RULE", "child_input", "init_secret_rule"]

KEPT_LEVELS: Final = 64
"""Levels below the root along which siblings are kept. Two inputs part below them with probability 2^-64."""

_ROOT: Final = 1
_SIDES: Final = (b"left", b"right")


@struct(secret=True)
class _PPRFRecord:
    """The frontier from left to right: together its nodes cover every input once.

    The secret is empty for a node of the lowest kept level whose inputs are used up.
    """

    kept_levels: uint16
    depths: vector[uint16]
    secrets: vector[opaque]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class PPRF:
    """A puncturable pseudo-random function. Immutable: an evaluation returns what is left.

    `kept_levels` is the number of levels along which siblings are kept. All of them, 8 * hash_size, is the full form, which gives
    the same outputs and is four times as large.
    """

    suite: CipherSuite
    kept_levels: int
    _nodes: Map[int, Secret]

    @classmethod
    def create(cls, suite: CipherSuite, key: bytes, kept_levels: int = KEPT_LEVELS) -> PPRF:
        """Make the function of a key of hash_size bytes.

        Raises:
            UsageError: the key has another length, or `kept_levels` is not between 1 and 8 * hash_size.
        """
        if len(key) != suite.hash_size or not 0 < kept_levels <= 8 * suite.hash_size:
            raise UsageError("key or number of kept levels does not fit the suite")
        return cls(suite, kept_levels, Map({_ROOT: Secret(key)}))

    @property
    def node_count(self) -> int:
        """Number of secrets held."""
        return len(self._nodes)

    def evaluate(self, input: bytes) -> tuple[Secret, PPRF]:
        """Return the output for an input of hash_size bytes, itself hash_size bytes, and the function without that input.

        Raises:
            PuncturedError: the input, or one that shares its first `kept_levels` bits, was evaluated before.
            UsageError: the input has another length.
        """
        suite = self.suite
        size = suite.hash_size
        if len(input) != size:
            raise UsageError(f"an input of this suite has {size} bytes")
        bits = int.from_bytes(input, "big") | 1 << 8 * size
        depth = next((depth for depth in range(self.kept_levels + 1) if bits >> 8 * size - depth in self._nodes), None)
        if depth is None:
            raise PuncturedError("this init secret was derived before")
        node = bits >> 8 * size - depth
        nodes = self._nodes.mutate()
        del nodes[node]
        down = [suite.kdf.expander("tree", side, size) for side in _SIDES]
        below: bytes = self._nodes[node]
        for height in range(8 * size - depth - 1, -1, -1):
            node = bits >> height
            if height >= 8 * size - self.kept_levels:
                nodes[node ^ 1] = Secret(down[node & 1 ^ 1](below))
            below = down[node & 1](below)
        return Secret(below), PPRF(suite, self.kept_levels, nodes.finish())

    def encode(self) -> bytes:
        """Encode for a sealed store."""
        levels = self.kept_levels
        depths: list[int] = []
        secrets: list[bytes] = []
        # Places are the nodes of the lowest kept level; each node stands for the first one below it.
        next_place, end = 1 << levels, 2 << levels
        places = sorted((node << levels + 1 - node.bit_length(), node) for node in self._nodes)
        for place, node in (*places, (end, end)):
            # Those below no node are used up.
            depths += [levels] * (place - next_place)
            secrets += [b""] * (place - next_place)
            if node != end:
                depth = node.bit_length() - 1
                depths.append(depth)
                secrets.append(self._nodes[node])
                next_place = place + (1 << levels - depth)
        return encode(_PPRFRecord(levels, tuple(depths), tuple(secrets)))

    @classmethod
    def decode(cls, suite: CipherSuite, data: bytes) -> PPRF:
        """Decode what `encode` made for the same suite.

        Raises:
            CodecError: `data` is no such encoding.
        """
        record = decode(_PPRFRecord, data)
        levels = record.kept_levels
        if not 0 < levels <= 8 * suite.hash_size or len(record.depths) != len(record.secrets):
            raise CodecError("the number of kept levels does not fit the suite, or that of depths that of secrets")
        nodes: dict[int, Secret] = {}
        covered = 0
        for depth, secret in zip(record.depths, record.secrets, strict=True):
            if depth > levels or covered % (1 << levels - depth):
                raise CodecError("a node does not begin where the one before it ends")
            if secret:
                if len(secret) != suite.hash_size:
                    raise CodecError("a node's secret does not fit the suite")
                nodes[covered >> levels - depth | 1 << depth] = Secret(secret)
            elif depth != levels:
                raise CodecError("only a node of the lowest kept level is used up by itself")
            covered += 1 << levels - depth
            if covered > 1 << levels:
                break
        if covered != 1 << levels:
            raise CodecError("the nodes do not cover every input once")
        return cls(suite, levels, Map(nodes))


def child_input(suite: CipherSuite, last_path_secret: Secret, group_context: bytes) -> Secret:
    """Return the input that belongs to a commit, hash_size bytes.

    Args:
        suite: the cipher suite of the group.
        last_path_secret: `path_secret[n]` of the commit's path (RFC 9420, Section 7.4).
        group_context: the encoded GroupContext of the epoch that the commit begins.
    """
    commit_confirmation = suite.derive_secret(last_path_secret, "conf")
    return suite.expand_with_label(commit_confirmation, "child_init", group_context, suite.hash_size)


class _PPRFRule:
    """One init secret a child, each derivable once."""

    def open_epoch(self, suite: CipherSuite, epoch_secret: Secret) -> InitState:
        return PPRF.create(suite, suite.derive_secret(epoch_secret, "parent_init"))

    def child_init_secret(
        self, suite: CipherSuite, state: InitState, last_path_secret: Secret | None, group_context: bytes
    ) -> tuple[Secret, InitState]:
        """Derive as `InitSecretRule` says.

        Raises:
            InvalidCommitError: the commit has no path.
            PuncturedError: this child was derived before.
        """
        if last_path_secret is None:
            raise InvalidCommitError("every commit of a DMLS group has a path")
        output, left = self._pprf(state).evaluate(child_input(suite, last_path_secret, group_context))
        return suite.derive_secret(output, "pprf"), left

    def encode_state(self, state: InitState) -> bytes:
        return self._pprf(state).encode()

    def decode_state(self, suite: CipherSuite, data: bytes) -> InitState:
        return PPRF.decode(suite, data)

    @staticmethod
    def _pprf(state: InitState) -> PPRF:
        if not isinstance(state, PPRF):
            raise UsageError("the state was made by another init secret rule")
        return state


PPRF_RULE: InitSecretRule = _PPRFRule()
"""The rule of key schedule `pprf`."""


def init_secret_rule(key_schedule: KeySchedule) -> InitSecretRule:
    """Return the rule of a group's key schedule."""
    return PPRF_RULE if key_schedule is KeySchedule.PPRF else RFC9420_RULE
