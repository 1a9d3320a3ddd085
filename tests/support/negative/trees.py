"""Trees that break one rule, found by a client that is about to join (RFC 9420, Sections 7 and 12.4.3.1)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

from dmls.mls.codec import encode, encode_opaque
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.messages.leaf_node import CommitSource as Committed
from dmls.mls.messages.leaf_node import LeafNode, Lifetime, UpdateSource
from dmls.mls.tree.nodes import ParentNode
from tests.support.breaches import BREACHES, HARMLESS
from tests.support.negative.invitation import Grove, Invitation, encoded_node
from tests.support.negative.model import Attempt, Scene
from tests.support.tree_model import TreeModel

__all__ = ["scenes"]

SUITE = cipher_suite(1)


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _parent_hashes(rng)
    yield _unmerged(rng)
    yield _keys(rng)
    yield _leaves(rng)
    yield _shapes(rng)
    yield _hashes(rng)


def _full(rng: random.Random) -> Invitation:
    """Seven members and the newcomer as the eighth; no parent holds a key."""
    return Invitation(rng, "abcdefg")


def _grown(invitation: Invitation) -> Grove:
    """Everybody has committed once, but for the newcomer, which is unmerged."""
    grove = invitation.grove()
    newcomer = grove.model.leaf(7)
    grove.model.nodes[14] = None
    for leaf in range(7):
        grove.commit(leaf)
    grove.model.add(newcomer)
    return grove


def _flat_parent_hash(model: TreeModel, index: int, copath_child: int) -> bytes:
    """With the sibling as it is now, unmerged leaves included."""
    node = model.nodes[index]
    assert isinstance(node, ParentNode)
    parts = (node.encryption_key, node.parent_hash, model.tree_hash(copath_child))
    return sha256(b"".join(map(encode_opaque, parts))).digest()


def _keyless_parent_hash(model: TreeModel, index: int, copath_child: int) -> bytes:
    node = model.nodes[index]
    assert isinstance(node, ParentNode)
    parts = (node.parent_hash, model.tree_hash(copath_child, frozenset(node.unmerged_leaves)))
    return sha256(b"".join(map(encode_opaque, parts))).digest()


def _listing_parent_hash(model: TreeModel, index: int, copath_child: int) -> bytes:
    """With the unmerged leaves blank, but still listed in the nodes above them."""
    node = model.nodes[index]
    assert isinstance(node, ParentNode)
    blanked = model.copy()
    for leaf in node.unmerged_leaves:
        blanked.nodes[2 * leaf] = None
    parts = (node.encryption_key, node.parent_hash, blanked.tree_hash(copath_child))
    return sha256(b"".join(map(encode_opaque, parts))).digest()


def _parent_hashes(rng: random.Random) -> Scene:
    invitation = _full(rng)
    scene = invitation.scene("parent hashes")
    scene.accept(**_grown(invitation).planted())

    def refuse(rule: str, name: str, grove: Grove) -> None:
        scene.refuse(rule, name, noticed="TR-24", **grove.planted())

    for index in (1, 5, 7, 9, 11):
        grove = _grown(invitation)
        grove.set(index, encryption_key=grove.key())
        refuse("TR-24" if index != 5 else "TR-28", f"node {index} has another key", grove)
    for index in (1, 3, 9):
        grove = _grown(invitation)
        grove.set(index, parent_hash=bytes(32))
        refuse("TR-24", f"node {index} has another parent hash", grove)
    for index in (3, 5, 11):
        grove = _grown(invitation)
        grove.set(index, parent_hash=b"")
        refuse("TR-27", f"node {index} has an empty parent hash", grove)
    grove = invitation.grove()
    grove.commit(0, source=Committed(b""))
    refuse("TR-27", "the leaf below a path has an empty parent hash", grove)
    for source, name in ((Lifetime(0, 2**64 - 1), "key_package"), (UpdateSource(), "update")):
        grove = invitation.grove()
        grove.commit(2, source=source)
        refuse("TR-26", f"the leaf below a path is of source {name}", grove)
    grove = invitation.grove()
    grove.commit(0, parent_hash=_keyless_parent_hash)
    refuse("TR-20", "parent hashes do not cover the key", grove)
    grove = invitation.grove()
    grove.commit(0, parent_hash=lambda model, index, child: model.parent_hash(index, child ^ _sides(index)))
    refuse("TR-20", "parent hashes cover the child on the path", grove)
    good = invitation.grove()
    good.commit(0, unmerged={7: (7,)})
    scene.accept(**good.planted())
    grove = invitation.grove()
    grove.commit(0, unmerged={7: (7,)}, parent_hash=_flat_parent_hash)
    refuse("TR-21", "a parent hash covers a leaf that is unmerged", grove)
    good = invitation.grove()
    good.commit(6, unmerged={13: (7,), 11: (7,), 7: (7,)})
    good.model.nodes[11] = None
    good.commit(0, unmerged={7: (7,)})
    scene.accept(**good.planted())
    grove = invitation.grove()
    grove.commit(6, unmerged={13: (7,), 11: (7,), 7: (7,)})
    grove.model.nodes[11] = None
    grove.commit(0, unmerged={7: (7,)}, parent_hash=_listing_parent_hash)
    refuse("TR-21", "a parent hash covers lists that name an unmerged leaf, below a blank node", grove)
    grove = invitation.grove()
    grove.commit(0)
    grove.set(1, parent_hash=grove.model.parent_hash(7, 11))
    grove.put(0, source=Committed(grove.model.parent_hash(1, 2)))
    refuse("TR-23", "a parent hash skips a node that is not blank", grove)
    return scene


def _sides(index: int) -> int:
    """What the indices of a parent's children differ in."""
    span = (index ^ (index + 1)) + 1 >> 1
    return (index - span // 2) ^ (index + span // 2)


def _unmerged(rng: random.Random) -> Scene:
    invitation = _full(rng)
    scene = invitation.scene("unmerged leaves")
    good = invitation.grove()
    good.commit(0, unmerged={1: (1,), 3: (1,), 7: (1, 7)})
    scene.accept(**good.planted())
    elsewhere: dict[str, dict[int, tuple[int, ...]]] = {
        "beside it": {1: (2,)},
        "beside it, one of two": {1: (1, 2), 3: (1,), 7: (1,)},
        "outside the tree": {7: (8,)},
    }
    for name, unmerged in elsewhere.items():
        grove = invitation.grove()
        grove.commit(0, unmerged=unmerged)
        scene.refuse("TR-29", f"an unmerged leaf is {name}", **grove.planted())
    for leaf in (2**31, 2**32 - 1):
        grove = invitation.grove()
        grove.commit(0, unmerged={7: (leaf,)})
        scene.refuse("TR-34", f"leaf {leaf} is unmerged", noticed="TR-29", **grove.planted())
    grove = invitation.grove()
    grove.commit(4)
    grove.commit(0, unmerged={7: (6,)})
    scene.refuse("TR-30", "a node between does not list it", **grove.planted())
    grove = invitation.grove()
    grove.commit(4)
    grove.commit(6)
    grove.model.nodes[11] = None
    grove.commit(0, unmerged={7: (6,)})
    scene.refuse("TR-30", "a node below a blank one does not list it", **grove.planted())
    grove = invitation.grove()
    grove.commit(0, unmerged={1: (1,)})
    scene.refuse("TR-25", "a node above does not list it", noticed="TR-24", **grove.planted())
    grove = invitation.grove()
    grove.commit(0, unmerged={1: (0,), 3: (0,), 7: (0,)})
    scene.refuse("TR-25", "the leaf of the path itself is unmerged", noticed="TR-24", **grove.planted())
    grove = invitation.grove()
    newcomer, grove.model.nodes[2] = grove.model.nodes[2], None
    grove.commit(0)
    grove.model.nodes[2] = newcomer
    scene.refuse("TR-25", "a leaf that was added under a blank node is not unmerged above", noticed="TR-24", **grove.planted())
    for name, leaves in {"unsorted": (3, 2), "twice": (2, 2)}.items():
        grove = invitation.grove()
        grove.commit(0, unmerged={3: leaves, 7: leaves})
        scene.refuse("TR-05", f"unmerged leaves are {name}", **grove.planted())
    return scene


def _keys(rng: random.Random) -> Scene:
    invitation = _full(rng)
    scene = invitation.scene("keys of the tree")
    scene.accept(**_grown(invitation).planted())
    grove = invitation.grove()
    grove.commit(4)
    taken = grove.model.parent(9).encryption_key
    grove.commit(0, keys={3: taken})
    scene.refuse("TR-31", "two parents have one key", **grove.planted())
    grove = invitation.grove()
    grove.commit(0, keys={7: grove.model.leaf(5).encryption_key})
    scene.refuse("TR-31", "a parent has the key of a leaf", **grove.planted())
    grove = invitation.grove()
    grove.put(2, source=UpdateSource(), encryption_key=grove.model.leaf(3).encryption_key)
    scene.refuse("TR-32", "two leaves have one encryption key", noticed="TR-31", **grove.planted())
    grove = invitation.grove()
    grove.put(2, signer=3, source=UpdateSource(), signature_key=grove.model.leaf(3).signature_key)
    scene.refuse("TR-32", "two leaves have one signature key", **grove.planted())
    for name, key in {
        "short": bytes(31),
        "long": bytes(33),
        "of small order": bytes(32),
        "of small order, too": b"\x01" + bytes(31),
    }.items():
        grove = invitation.grove()
        grove.commit(0, keys={3: key})
        scene.refuse("LN-25", f"the key of a parent is {name}", **grove.planted())
    return scene


def _leaves(rng: random.Random) -> Scene:
    invitation = Invitation(rng, "abcd")
    scene = invitation.scene("leaves of the tree", now=10_000)
    noticed = {"LN-06": "LN-10", "CRD-03": "LN-10", "CRD-02": "LN-10"}

    def with_leaf(leaf: LeafNode) -> Grove:
        grove = invitation.grove()
        grove.model.nodes[4] = leaf
        grove.put(2)
        return grove

    third = invitation.grove().model.leaf(2)
    for alteration in HARMLESS.values():
        scene.accept(**with_leaf(alteration(third)).planted())
    for name, (rule, breach) in BREACHES.items():
        scene.refuse(rule, name, noticed=noticed.get(rule, rule), **with_leaf(breach(third)).planted())
    for name, lifetime in {"over": Lifetime(1_000, 2_000), "to come": Lifetime(20_000, 30_000)}.items():
        scene.refuse("LN-13", f"a lifetime that is {name}", **with_leaf(replace(third, source=lifetime)).planted())
    scene.refuse("LN-14", "a lifetime that is reversed", **with_leaf(replace(third, source=Lifetime(2, 1))).planted())
    grove = invitation.grove()
    grove.put(2, signer=1)
    scene.refuse("LN-02", "signed by another", **grove.planted())
    grove = invitation.grove()
    grove.put(2, place=3, source=UpdateSource())
    scene.refuse("LN-02", "signed for another place", **grove.planted())
    grove = invitation.grove()
    grove.group_id = b"another"
    grove.put(2, source=UpdateSource())
    scene.refuse("LN-02", "signed for another group", **grove.planted())
    return scene


def _shapes(rng: random.Random) -> Scene:
    """Trees that do not decode; their hashes are those of what they mean."""
    invitation = Invitation(rng, "abcd")
    scene = invitation.scene("encodings of the tree")
    grove = invitation.grove()
    grove.commit(0, unmerged={3: (2,), 7: (2, 4)})
    digest = grove.model.tree_hash()
    nodes = grove.model.nodes[:9]
    parts = [encoded_node(node) for node in nodes]

    def planted(*encoded: bytes, tail: bytes = b"") -> Attempt:
        return invitation.plant(encode_opaque(b"".join(encoded)) + tail, digest)

    scene.accept(**planted(*parts))
    scene.refuse("TR-16", "a blank node at the end", **planted(*parts, b"\x00"))
    scene.refuse("TR-16", "all blank nodes at the end", **planted(*parts, *[b"\x00"] * 6))
    scene.refuse("TR-18", "no nodes", **planted())
    top = encoded_node(ParentNode(grove.key(), b"", ()))
    scene.refuse("TR-18", "a parent at the end", **planted(*parts, top))
    swapped = [*parts[:4], parts[5], parts[4], *parts[6:]]
    scene.refuse("TR-17", "leaf and parent exchanged", **planted(*swapped))
    scene.refuse("TR-17", "a leaf in the place of a parent", **planted(*parts[:5], parts[6], *parts[6:]))
    leaf, parent = encode(grove.model.leaf(2)), encode(grove.model.parent(3))
    scene.refuse("ENC-06", "a presence octet of 2", **planted(*parts[:4], b"\x02\x01" + leaf, *parts[5:]))
    for kind in (0, 3, 255):
        scene.refuse("ENC-10", f"node type {kind}", **planted(*parts[:4], bytes((1, kind)) + leaf, *parts[5:]))
    odd = parent[: -len(encode_opaque(bytes(4)))] + encode_opaque(bytes(3))
    scene.refuse("ENC-07", "unmerged leaves of three octets", **planted(*parts[:3], b"\x01\x02" + odd, *parts[4:]))
    scene.refuse("ENC-08", "an octet after the tree", **planted(*parts, tail=b"\x00"))
    scene.refuse("ENC-04", "a tree without its last octet", **invitation.plant(encode_opaque(b"".join(parts))[:-1], digest))
    scene.refuse("ENC-04", "no octets at all", **invitation.plant(b"", digest))
    return scene


def _hashes(rng: random.Random) -> Scene:
    """Groups that agree on another hash of the same tree."""
    invitation = Invitation(rng, "abcd")
    scene = invitation.scene("tree hashes")
    grove = invitation.grove()
    grove.commit(0)
    encoded = grove.model.encode()
    scene.accept(**invitation.plant(encoded, grove.model.tree_hash()))

    class Unplaced(TreeModel):
        def tree_hash(self, index: int | None = None, without: frozenset[int] = frozenset()) -> bytes:
            index = self.root if index is None else index
            node = self.nodes[index]
            if index % 2 == 0:
                return sha256(b"\x01" + (b"\x00" if node is None else b"\x01" + encode(node))).digest()
            return super().tree_hash(index, without)

    class Untyped(TreeModel):
        def tree_hash(self, index: int | None = None, without: frozenset[int] = frozenset()) -> bytes:
            index = self.root if index is None else index
            node = self.nodes[index]
            if index % 2 == 0:
                place = (index // 2).to_bytes(4, "big")
                return sha256(place + (b"\x00" if node is None else b"\x01" + encode(node))).digest()
            return super().tree_hash(index, without)

    nodes = grove.model.nodes
    others = {
        ("TR-14", "leaves are hashed without their index"): Unplaced(nodes).tree_hash(),
        ("TR-14", "leaves are hashed without their type"): Untyped(nodes).tree_hash(),
        ("TR-15", "the hash of a tree that ends with its last leaf"): TreeModel(nodes[:7]).tree_hash(),
        ("TR-15", "the hash of a tree of twice the width"): TreeModel([*nodes, *[None] * (len(nodes) + 1)]).tree_hash(),
        ("TR-19", "zeros"): bytes(32),
        ("TR-19", "nothing"): b"",
        ("TR-19", "the hash without its last octet"): grove.model.tree_hash()[:-1],
        ("WL-11", "the hash of the tree before"): invitation.room.follower.tree.tree_hash,
    }
    for (rule, name), digest in others.items():
        scene.refuse(rule, name, noticed="WL-11", **invitation.plant(encoded, digest))
    return scene
