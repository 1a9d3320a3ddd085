"""Paths that break one rule, and those of committers that make them otherwise (RFC 9420, Sections 7.4 to 7.6 and 12.4)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from dmls.ids import LeafIndex
from dmls.mls.codec import Lazy, decode, encode, encode_opaque
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, KeyPair, Sealer, cipher_suite
from dmls.mls.messages.commit import HPKECiphertext, UpdatePath
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.leaf_node import CommitSource
from dmls.mls.messages.proposal import Add, GroupContextExtensions, PreSharedKey, ProposalBody, Remove
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID
from dmls.mls.messages.registry import ExtensionType, WireFormat
from dmls.mls.tree.treekem import StagedPath
from tests.support.forge import Alteration, forge_commit, forge_message
from tests.support.groups import fresh_update
from tests.support.negative.deviant import deviant_party
from tests.support.negative.model import Attempt, Scene, messages
from tests.support.negative.stand import Stand

__all__ = ["scenes"]

SUITE = cipher_suite(1)
_SENDERS = (Extension(ExtensionType.EXTERNAL_SENDERS, b"\x00"),)


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _shapes(rng)
    yield _missing(rng)
    yield _sealing(rng)
    yield _deviants(rng)
    yield _additions(rng)
    yield _points(rng)


def _in_node(number: int, **changes: object) -> Alteration[UpdatePath]:
    def alter(path: UpdatePath) -> UpdatePath:
        nodes = list(path.nodes)
        nodes[number] = replace(nodes[number], **changes)  # type: ignore[arg-type]
        return replace(path, nodes=tuple(nodes))

    return alter


def _sealed(number: int, alter: Callable[[list[HPKECiphertext]], list[HPKECiphertext]]) -> Alteration[UpdatePath]:
    def change(path: UpdatePath) -> UpdatePath:
        packed = Lazy.pack(HPKECiphertext, alter(list(path.nodes[number].encrypted_path_secret)))
        return _in_node(number, encrypted_path_secret=packed)(path)

    return change


def _shapes(rng: random.Random) -> Scene:
    stand = Stand(rng, "abcdefgw", renewed="acegbdf")
    alice = stand["a"]
    scene = stand.scene("what anybody can see of a path")

    def path(alter: Alteration[UpdatePath]) -> Attempt:
        return messages(forge_commit(alice, alter_path=alter))

    scene.accept(**path(lambda made: made))
    other = SUITE.derive_key_pair(bytes(32)).public_key
    breaches: dict[str, tuple[str, Alteration[UpdatePath]]] = {
        "a node too few": ("UP-03", lambda made: replace(made, nodes=made.nodes[:-1])),
        "a node too many": ("UP-03", lambda made: replace(made, nodes=(*made.nodes, made.nodes[-1]))),
        "no nodes": ("UP-03", lambda made: replace(made, nodes=())),
        "a ciphertext too few": ("UP-04", _sealed(0, lambda sealed: sealed[:-1])),
        "a ciphertext too many": ("UP-04", _sealed(2, lambda sealed: sealed * 2)),
        "no ciphertexts": ("UP-04", _sealed(1, lambda sealed: [])),
        "a ciphertext that is cut": (
            "UP-04",
            _sealed(1, lambda sealed: [replace(sealed[0], ciphertext=sealed[0].ciphertext[1:])]),
        ),
        "a key that is short": ("LN-25", _in_node(1, encryption_key=bytes(31))),
        "a key that is empty": ("LN-25", _in_node(1, encryption_key=b"")),
        "a key of small order": ("LN-25", _in_node(1, encryption_key=bytes(32))),
        "another key at the bottom": ("UP-09", _in_node(0, encryption_key=other)),
        "another key at the top": ("UP-09", _in_node(2, encryption_key=other)),
        "the key of a leaf": ("UP-11", _in_node(1, encryption_key=stand.leaf("f").encryption_key)),
        "the key that the node had": ("UP-11", _in_node(1, encryption_key=stand.parent(3).encryption_key)),
        "the key of another parent": ("UP-11", _in_node(1, encryption_key=stand.parent(13).encryption_key)),
        "one key twice": ("UP-11", lambda made: _in_node(1, encryption_key=made.nodes[0].encryption_key)(made)),
        "the key of its own leaf": ("UP-11", lambda made: _in_node(0, encryption_key=made.leaf_node.encryption_key)(made)),
    }
    for name, (rule, alter) in breaches.items():
        scene.refuse(rule, name, **path(alter))
    for name, parent_hash in {"empty": b"", "of zeros": bytes(32)}.items():
        wrong = forge_commit(alice, alter_leaf=partial(replace, source=CommitSource(parent_hash)))
        scene.refuse("UP-09", f"the leaf's parent hash is {name}", **messages(wrong))
    taken = forge_commit(alice, alter_leaf=partial(replace, encryption_key=stand.leaf("b").encryption_key))
    scene.refuse("UP-11", "the leaf has the key of another leaf", **messages(taken))
    return scene


def _missing(rng: random.Random) -> Scene:
    stand = Stand(rng)
    stand.watcher.psks = {b"name": b"key"}
    bob = stand["b"]
    psk = PreSharedKey(PreSharedKeyID(ExternalPSK(b"name"), bytes(32)))
    scene = stand.scene("where a path must be")
    lists: dict[str, tuple[ProposalBody, ...]] = {
        "a Remove": (Remove(bob.leaf),),
        "a GroupContextExtensions": (GroupContextExtensions(()),),
        "a PreSharedKey and a Remove": (psk, Remove(bob.leaf)),
        "a Remove and an Add": (Remove(bob.leaf), Add(stand.newcomer().key_package())),
    }
    update = forge_message(bob, fresh_update(bob))

    def committed(with_path: bool, *proposals: ProposalBody) -> Attempt:
        psks = [(psk.psk, b"key")] if psk in proposals else []
        return messages(forge_commit(stand["a"], *proposals, psks=psks, with_path=with_path))

    for name, proposals in lists.items():
        scene.accept(**committed(True, *proposals))
        scene.refuse("CP-05", name, **committed(False, *proposals))
    scene.accept(**committed(True))
    scene.refuse("CC-01", "an empty list", noticed="CP-05", **committed(False))
    scene.accept(**messages(*stand.refer(update)))
    scene.refuse("CP-05", "an Update, by reference", **messages(*stand.refer(update, with_path=False)))
    scene.accept(**committed(False, psk))
    scene.accept(**committed(True, psk))
    private = forge_commit(stand["a"], with_path=False, wire_format=WireFormat.PRIVATE_MESSAGE)
    scene.refuse("CP-05", "an empty list, in private", **messages(private))
    return scene


def _sealing(rng: random.Random) -> Scene:
    """What only those can tell who open it."""
    stand = Stand(rng, "abcdefgw", renewed="acegbdf")
    near, far = stand["g"], stand["a"]
    old = stand.follower.context
    scene = stand.scene("what those find who open a path")
    scene.accept(**messages(forge_commit(near)))
    scene.accept(**messages(forge_commit(far)))
    wrong = Secret(rng.randbytes(32))

    def at(*numbers: int) -> Alteration[StagedPath]:
        def alter(staged: StagedPath) -> StagedPath:
            secrets = list(staged.path_secrets)
            for number in numbers:
                secrets[number] = wrong
            return replace(staged, path_secrets=tuple(secrets))

        return alter

    scene.refuse("UP-10", "another path secret at the bottom", **messages(forge_commit(near, alter_sealed=at(0))))
    scene.refuse("UP-10", "another path secret at the top", **messages(forge_commit(far, alter_sealed=at(2))))
    scene.refuse("UP-10", "a path secret of zeros", **messages(forge_commit(far, alter_sealed=_zeroed)))

    def context(**changes: Any) -> Attempt:
        def alter(encoded: bytes) -> bytes:
            return encode(replace(decode(GroupContext, encoded), **changes))

        return messages(forge_commit(near, alter_sealing=alter))

    contexts: dict[str, dict[str, Any]] = {
        "the epoch of before": {"epoch": old.epoch},
        "the tree hash of before": {"tree_hash": old.tree_hash},
        "no confirmed transcript hash": {"confirmed_transcript_hash": b""},
        "other extensions": {"extensions": old.extensions + _SENDERS},
    }
    for name, changes in contexts.items():
        scene.refuse("UP-06", f"sealed with {name}", noticed=None, **context(**changes))
    empty = messages(forge_commit(near, alter_sealing=lambda _: b""))
    scene.refuse("UP-06", "sealed with no group context", noticed=None, **empty)

    def labelled(label: bytes) -> Attempt:
        def sealer(suite: CipherSuite, _: str, info: bytes) -> Sealer:
            schedule = suite.hpke.key_schedule_context(encode_opaque(label) + encode_opaque(info))
            return Sealer(suite.hpke, schedule)

        return messages(forge_commit(deviant_party(near, sealer=sealer)))

    scene.refuse("UP-07", "sealed under another label", noticed=None, **labelled(b"MLS 1.0 UpdatePath"))
    scene.refuse("CRY-03", "sealed under a label without prefix", noticed=None, **labelled(b"UpdatePathNode"))

    def garbled(sealed: list[HPKECiphertext]) -> list[HPKECiphertext]:
        return [replace(entry, ciphertext=bytes(len(entry.ciphertext))) for entry in sealed]

    scene.refuse("UP-12", "a ciphertext of zeros", noticed=None, **messages(forge_commit(near, alter_path=_sealed(0, garbled))))
    small = _sealed(0, lambda sealed: [replace(sealed[0], kem_output=bytes(32))])
    scene.refuse("CRY-08", "a kem_output of small order", **messages(forge_commit(near, alter_path=small)))
    return scene


def _zeroed(staged: StagedPath) -> StagedPath:
    return replace(staged, path_secrets=(*staged.path_secrets[:2], Secret(bytes(32))))


def _deviants(rng: random.Random) -> Scene:
    """Committers that see another tree."""
    stand = Stand(rng, "abcdefgw")
    alice = stand["a"]
    scene = stand.scene("how a path is made")
    scene.accept(**messages(forge_commit(alice)))
    backwards = _sealed(2, lambda sealed: sealed[::-1])
    scene.refuse("TR-02", "a resolution from right to left", noticed=None, **messages(forge_commit(alice, alter_path=backwards)))

    def hashed(alter: Callable[[bytes], bytes]) -> Attempt:
        def step(suite: CipherSuite, data: bytes) -> bytes:
            is_parent = data[:1] == b"\x20" and data[33:34] in (b"\x00", b"\x20") and len(data) in (67, 99)
            return suite.hash(alter(data) if is_parent else data)

        return messages(forge_commit(deviant_party(alice, hash=step)))

    def topped(data: bytes) -> bytes:
        return data[:33] + b"\x20" + bytes(32) + data[34:] if data[33:34] == b"\x00" else data

    scene.refuse("TR-22", "the top node has a parent hash of zeros, not an empty one", noticed="UP-09", **hashed(topped))
    scene.refuse("TR-20", "parent hashes without the node's key", noticed="UP-09", **hashed(lambda data: data[33:]))
    scene.refuse("TR-20", "parent hashes without the sibling's tree hash", noticed="UP-09", **hashed(lambda data: data[:-33]))
    return scene


def _additions(rng: random.Random) -> Scene:
    stand = Stand(rng, "abcdefgw", renewed="acegbdf")
    alice, bob = stand["a"], stand["b"]
    stand.commit(alice, Remove(bob.leaf), leavers=[bob])
    addition = Add(stand.newcomer().key_package())
    scene = stand.scene("a path beside an Add")
    scene.accept(**messages(forge_commit(alice, addition)))
    scene.accept(**messages(forge_commit(alice)))
    sealed = forge_commit(alice, addition, excluded=frozenset())
    scene.refuse("UP-04", "sealed to the leaf that the commit adds", **messages(sealed))
    shorter = forge_commit(alice, addition, alter_path=lambda made: replace(made, nodes=made.nodes[1:]))
    scene.refuse("UP-05", "without the node that only the added leaf is below", noticed="UP-03", **messages(shorter))
    longer = forge_commit(alice, alter_path=lambda made: replace(made, nodes=(made.nodes[0], *made.nodes)))
    scene.refuse("TR-03", "with a node that nobody else is below", noticed="UP-03", **messages(longer))
    tree = stand.follower.tree
    carol = stand["c"]
    renewed = forge_message(carol, fresh_update(carol))
    kept = stand.refer(renewed, alter_path=_sealed(0, lambda sealed: sealed[:1]))
    assert tree.leaf(LeafIndex(1)) is None
    scene.accept(**messages(*stand.refer(renewed)))
    scene.refuse("UP-13", "sealed to a node that an Update has blanked", noticed="UP-04", **messages(*kept))
    return scene


def _points(rng: random.Random) -> Scene:
    """Key pairs of NIST curves, derived otherwise."""
    suite = cipher_suite(2)
    stand = Stand(rng, "abcw", suite)
    scene = stand.scene("key pairs of P-256")
    carol = stand["c"]
    scene.accept(**messages(forge_commit(carol)))

    def second_candidate(suite: CipherSuite, ikm: bytes) -> KeyPair:
        return suite.derive_key_pair(suite.hash(ikm))

    def key_pair(suite: CipherSuite, ikm: bytes) -> KeyPair:
        """The input itself as the private key."""
        scalar = Secret(b"\x00" + ikm[1:])
        return KeyPair(scalar, suite.public_key(scalar))

    scene.refuse(
        "CRY-10",
        "the node secret is the private key",
        noticed="UP-10",
        **messages(forge_commit(deviant_party(carol, derive_key_pair=key_pair))),
    )
    hashed = messages(forge_commit(deviant_party(carol, derive_key_pair=second_candidate)))
    scene.refuse("CRY-10", "the node secret is hashed first", noticed="UP-10", **hashed)
    return scene
