"""What keyframes cost while a room grows by one server after the other, each joining by an external commit, in public bytes only.

    python -m benchmarks.keyframe_traffic [SERVERS]

For each join: the commit with its GroupInfo, the keyframe that is in its event or none, and what the next newcomer has to
download: the last keyframe and the commits since.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dmls.engine.agent import make_client
from dmls.engine.committing import needs_keyframe
from dmls.engine.profile import group_extensions, rule_of
from dmls.forks.aad import EpochPointer, commit_ref, genesis_ref, make_commit_aad, make_node_ref
from dmls.ids import DeviceId, LeafIndex, RoomId, UserId
from dmls.matrix.identifiers import group_id
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.group.commit import CommitOptions
from dmls.mls.group.external import create_external_commit
from dmls.mls.group.state import create_group
from dmls.mls.group.welcome import make_group_info
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import AuthenticatedContent, encode_message

__all__ = ["Join", "ramp_up", "show"]

SUITE = cipher_suite(1)
ROOM = RoomId("!room:hs0")


@dataclass(frozen=True, slots=True)
class Join:
    """One server's join, in bytes before base64."""

    commit: int
    """The commit and its GroupInfo, which every member downloads."""
    keyframe: int
    """The tree, if the commit carries it; only newcomers download it."""
    tree: int
    """The tree's size after the join."""
    newcomer: int
    """What the next newcomer downloads: the last keyframe and the commits since."""


def _name(content: AuthenticatedContent) -> tuple[Extension, ...]:
    return (make_node_ref(commit_ref(SUITE, content)),)


def ramp_up(servers: int, seed: int = 1) -> Iterator[Join]:
    """Let one server after the other join by external commit."""
    rng = random.Random(seed).randbytes
    clients = []
    for number in range(servers):
        pair = SUITE.generate_signature_key_pair(rng)
        user = UserId(f"@somebody:server{number}.example.org")
        clients.append(make_client(SUITE, user, DeviceId("ABCDEFGHIJ"), pair.private_key, pair.public_key))
    extensions = group_extensions(ROOM)
    created = create_group(SUITE, group_id(ROOM), clients[0], Lifetime(0, 1 << 40), rng, extensions=extensions)
    group = created.state.public
    info = make_group_info(created.state, clients[0], LeafIndex(0))
    parent = genesis_ref(SUITE, encode_message(info))
    keyframe = len(group.tree.encode())
    since: list[int] = []
    volume = 0
    for number, client in enumerate(clients[1:], 1):
        options = CommitOptions(make_commit_aad(EpochPointer(parent, b""), number))
        staged = create_external_commit(group, info, client, rng, rule=rule_of(group), options=options)
        group, parent = staged.state.public, commit_ref(SUITE, staged.content)
        info = make_group_info(staged.state, client, staged.leaf_index, extensions=_name(staged.content))
        commit = len(staged.message) + len(encode_message(info))
        since.append(commit)
        volume += len(staged.message)
        carried = 0
        if needs_keyframe(len(since), volume, group.tree):
            keyframe = carried = len(group.tree.encode())
            since, volume = [], 0
        yield Join(commit, carried, len(group.tree.encode()), keyframe + sum(since))


def show(joins: Sequence[Join]) -> None:
    """Print what was measured."""
    for count in (10, 100, 300, 600, 1_000):
        if count <= len(joins) + 1:
            some = joins[: count - 1]
            carried = [join.keyframe for join in some if join.keyframe]
            print(
                f"{count:>5} servers: commits {sum(join.commit for join in some):>9,} B, {len(carried)} keyframes"
                f" {sum(carried):>8,} B, tree {some[-1].tree:>7,} B,"
                f" a newcomer downloads {some[-1].newcomer:>9,} B, at most {max(join.newcomer for join in some):>9,} B"
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a room that grows to a number of servers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", metavar="SERVERS", type=int, nargs="?", default=1_000)
    show(list(ramp_up(parser.parse_args(arguments).servers)))


if __name__ == "__main__":
    main()
