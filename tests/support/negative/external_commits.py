"""External commits that break one rule (RFC 9420, Section 12.4.3.2)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from dmls.ids import LeafIndex
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.messages.commit import Commit, ProposalReference
from dmls.mls.messages.message import ExternalSenderIndex, Member, NewMemberCommit, PublicMessage
from dmls.mls.messages.proposal import Add, ExternalInit, GroupContextExtensions, PreSharedKey, ProposalBody, ReInit, Remove
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID
from dmls.mls.messages.registry import WireFormat
from dmls.mls.tree.ratchet_tree import RatchetTree
from tests.support.forge import forge_external_commit, forge_message
from tests.support.groups import body_of, fresh_update
from tests.support.negative.model import Attempt, Scene, messages
from tests.support.negative.stand import Stand

__all__ = ["scenes"]

SUITE = cipher_suite(1)


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _lists(rng)
    yield _places(rng)
    yield _senders(rng)


def _lists(rng: random.Random) -> Scene:
    stand = Stand(rng)
    stand.watcher.psks = {b"name": b"key"}
    bob, joiner, info = stand["b"], stand.newcomer(), stand["a"].group_info()
    scene = stand.scene("what an external commit carries")
    psk = PreSharedKeyID(ExternalPSK(b"name"), bytes(range(32)))

    def joined(*proposals: ProposalBody | ProposalReference, **options: Any) -> Attempt:
        return messages(forge_external_commit(joiner, stand.follower, info, *proposals, **options))

    scene.accept(**joined())
    scene.accept(**joined(Remove(bob.leaf)))
    scene.accept(**joined(PreSharedKey(psk), psks=[(psk, b"key")]))
    scene.refuse("XC-04", "no ExternalInit", **joined(inits=0))
    scene.refuse("XC-04", "two ExternalInits", **joined(inits=2))
    scene.refuse("XC-02", "no path", noticed="FRM-07", **joined(with_path=False))
    scene.refuse("XC-05", "two Removes", **joined(Remove(0), Remove(1)))
    scene.refuse("PL-04", "two Removes of one leaf", **joined(Remove(1), Remove(1)))
    scene.refuse("PR-07", "a Remove of a blank leaf", **joined(Remove(9)))
    scene.refuse("XC-06", "an Add", **joined(Add(stand.newcomer("other").key_package())))
    scene.refuse("XC-06", "a GroupContextExtensions", **joined(GroupContextExtensions(())))
    scene.refuse("XC-06", "a ReInit", **joined(ReInit(b"successor", 1, 1, ())))
    scene.refuse("PR-05", "an Update, which would be nobody's", **joined(fresh_update(bob)))
    proposal = forge_message(bob, Remove(0))
    reference = ProposalReference(stand.ref(proposal))
    referring = forge_external_commit(joiner, stand.follower, info, reference)
    scene.refuse("XC-03", "a reference", **messages(proposal, referring))
    scene.refuse("XC-03", "a reference to nothing", **joined(ProposalReference(bytes(32))))
    scene.refuse(
        "PSK-06",
        "a PSK that is not known",
        noticed="CP-04",
        **joined(
            PreSharedKey(replace(psk, source=ExternalPSK(b"other"))), psks=[(replace(psk, source=ExternalPSK(b"other")), b"key")]
        ),
    )
    short = PreSharedKey(replace(psk, psk_nonce=bytes(31)))
    scene.refuse("PSK-01", "a short psk_nonce", **joined(short))
    return scene


def _places(rng: random.Random) -> Scene:
    stand = Stand(rng, "abcdw")
    alice, bob, dan = stand["a"], stand["b"], stand["d"]
    stand.commit(alice, Remove(stand["c"].leaf), leavers=[stand["c"]])
    joiner, info = stand.newcomer(), alice.group_info()
    scene = stand.scene("where who joins comes in")

    def joined(*proposals: ProposalBody, client: Any = joiner, **options: Any) -> Attempt:
        return messages(forge_external_commit(client, stand.follower, info, *proposals, **options))

    scene.accept(**joined())
    scene.accept(**joined(Remove(bob.leaf), client=bob))
    scene.refuse("XC-17", "the leaf is signed for another place", noticed="LN-02", **joined(place=LeafIndex(5)))

    def at_the_end(placed: tuple[RatchetTree, LeafIndex]) -> tuple[RatchetTree, LeafIndex]:
        """Fill the hole, add after it, and open the hole again."""
        tree, hole = placed
        template = tree.member(hole)
        filled = tree.update(hole, replace(template, encryption_key=b"x", signature_key=b"x"))
        extended, index = filled.add(template)
        return extended.remove_all([hole]), index

    scene.refuse(
        "XC-10", "the first leaf after all others, not the leftmost blank one", noticed="LN-02", **joined(alter_place=at_the_end)
    )
    back = forge_external_commit(
        dan, stand.follower, info, Remove(dan.leaf), alter_place=lambda _: (stand.follower.tree, dan.leaf)
    )
    scene.refuse("XC-10", "its old leaf, not the leftmost blank one", noticed="LN-02", **messages(back))
    scene.refuse("XC-13", "a member joins again", noticed="LN-20", **joined(client=bob))
    scene.refuse("XC-13", "a member joins in the place of another", noticed="LN-20", **joined(Remove(dan.leaf), client=bob))
    key = stand.leaf("b").encryption_key
    scene.refuse(
        "XC-11",
        "who comes back keeps its encryption key",
        **joined(Remove(bob.leaf), client=bob, alter_leaf=partial(replace, encryption_key=key)),
    )
    taken = partial(replace, encryption_key=stand.leaf("d").encryption_key)
    scene.refuse("UP-11", "the encryption key of a member", **joined(alter_leaf=taken))
    return scene


def _senders(rng: random.Random) -> Scene:
    stand = Stand(rng)
    alice, bob, joiner = stand["a"], stand["b"], stand.newcomer()
    sent = forge_external_commit(joiner, stand.follower, alice.group_info())
    commit = body_of(sent, PublicMessage).content.content
    assert isinstance(commit, Commit)
    joiner.state = alice.state
    scene = stand.scene("who sends an external commit")
    scene.accept(**messages(sent))

    def framed(party: Any, content: Commit = commit, **options: Any) -> Attempt:
        return messages(forge_message(party, content, **options))

    scene.refuse("XC-07", "a member", noticed="PL-12", **framed(alice))
    private = framed(alice, wire_format=WireFormat.PRIVATE_MESSAGE)
    scene.refuse("XC-07", "a member, in private", noticed="PL-12", **private)
    scene.refuse("CP-18", "an external sender", noticed="FRM-06", **framed(joiner, sender=ExternalSenderIndex(0)))
    scene.refuse("XC-08", "signed by a member", noticed="FRM-09", **framed(bob, sender=NewMemberCommit()))
    elsewhere = framed(joiner, alter_context=lambda context: replace(context, tree_hash=bytes(32)), sender=NewMemberCommit())
    scene.refuse("XC-08", "signed over another group context", noticed="FRM-09", **elsewhere)
    scene.refuse("FRM-09", "who joins claims the leaf of a member", **framed(joiner, alter=partial(replace, sender=Member(0))))
    outputs = {"empty": ("CRY-06", b""), "short": ("CRY-06", bytes(31)), "of small order": ("CRY-08", bytes(32))}
    for name, (rule, kem_output) in outputs.items():
        broken = replace(commit, proposals=(ExternalInit(kem_output),))
        scene.refuse(rule, f"a kem_output that is {name}", **framed(joiner, broken, sender=NewMemberCommit()))
    return scene
