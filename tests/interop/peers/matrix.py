"""Who talks to whom: every implementation creates a group, and every one joins it. As a program: prints the table.

A cell lists what works, in letters, and a `!` behind what one of the two refuses; what one of them does not offer is left out.

    J   joins by Welcome
    A   messages of the application, both ways
    C   the creator commits (it adds another of its own), the joiner follows
    c   the joiner commits, the creator follows
    X   another of the joiner's comes in by external commit, through a GroupInfo of the creator
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping

from tests.interop.peers.abilities import can
from tests.interop.peers.conversation import Conversation, Member, make_member
from tests.interop.peers.installed import NAMES, missing, start
from tests.interop.peers.peer import Peer, PeerError

__all__ = ["LETTERS", "Matrix", "fill", "markdown"]

LETTERS = "JACcX"

Matrix = dict[tuple[str, str], str]
"""Cells by creator and joiner."""


class _Meeting:
    """One creator and one joiner."""

    def __init__(self, peers: Mapping[str, Peer], creator: str, joiner: str) -> None:
        self._peers = peers
        is_public = all(can(name, "send_public", "read_public") for name in (creator, joiner))
        self._handshake = "public" if is_public else "private"
        self._is_touchy = "gbp-stack" in (creator, joiner) and "mls-rs" in (creator, joiner)
        self.creator, self.joiner = self._make(creator), self._make(joiner)
        self.room = Conversation(self.creator)

    def _make(self, name: str) -> Member:
        return make_member(self._peers[name], handshake=self._handshake)

    def _add(self, committer: Member, joiner: Member) -> None:
        invitation = self.room.adding(joiner)
        if self._is_touchy:
            # OpenMLS refuses a lifetime that begins in this very second, as those of mls-rs do.
            time.sleep(1.1)
        self.room.commit(committer, invitation)

    def join(self) -> None:
        self._add(self.creator, self.joiner)

    def talk(self) -> None:
        for member in (self.creator, self.joiner):
            self.room.say(member, b"hello")

    def commit_by(self, committer: Member) -> None:
        self._add(committer, self._make(committer.peer.name))

    def join_externally(self) -> None:
        # core-crypto has a GroupInfo of the epochs that it made itself only.
        self.commit_by(self.creator)
        self.room.join_externally(self._make(self.joiner.peer.name), self.creator)


def _cell(meeting: _Meeting, refusals: list[str]) -> str:
    creator, joiner = meeting.creator.peer.name, meeting.joiner.peer.name
    attempts: dict[str, tuple[bool, Callable[[], None]]] = {
        "J": (True, meeting.join),
        "A": (can(creator, "messages") and can(joiner, "messages"), meeting.talk),
        "C": (True, lambda: meeting.commit_by(meeting.creator)),
        "c": (True, lambda: meeting.commit_by(meeting.joiner)),
        "X": (can(creator, "group_info") and can(joiner, "external_join"), meeting.join_externally),
    }
    cell = ""
    for letter, (is_offered, attempt) in attempts.items():
        if is_offered:
            cell += letter
            try:
                attempt()
            except PeerError as error:
                refusals.append(f"{creator}, {joiner}, {letter}: {error}")
                # Nothing later can work in a group that has come apart.
                return f"{cell}!"
    return cell


def fill(peers: Mapping[str, Peer]) -> tuple[Matrix, list[str]]:
    """Let all meet all; return the cells, and what was said to refuse."""
    refusals: list[str] = []
    pairs = [(creator, joiner) for creator in peers for joiner in peers]
    return {pair: _cell(_Meeting(peers, *pair), refusals) for pair in pairs}, refusals


def markdown(matrix: Matrix) -> str:
    """Return the table as it stands in docs/peers.md."""
    names = list(dict.fromkeys(creator for creator, _ in matrix))
    rows = [["creator / joiner", *names], ["---"] * (len(names) + 1)]
    rows += [[creator, *(matrix[creator, joiner] for joiner in names)] for creator in names]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Print the table of those that are installed, and why others are not in it."""
    argparse.ArgumentParser(prog="python -m tests.interop.peers.matrix", description=__doc__).parse_args()
    for reason in filter(None, map(missing, NAMES)):
        print(reason, file=sys.stderr)
    peers = {name: start(name) for name in NAMES if missing(name) is None}
    try:
        matrix, refusals = fill(peers)
    finally:
        for peer in peers.values():
            peer.close()
    print(markdown(matrix), *refusals, sep="\n")


if __name__ == "__main__":
    main()
