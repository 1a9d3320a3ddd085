"""What fuzzing starts from: small real objects for each target."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from dmls.forks.aad import EpochPointer, encode_identity, make_commit_aad, make_message_aad
from dmls.forks.nodes import Device, Node, Vote
from dmls.forks.pprf import PPRF
from dmls.ids import CommitRef, DeviceId, EventId, LeafIndex, UserId
from dmls.mls.codec import encode_as
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CIPHER_SUITES
from dmls.mls.group.snapshot import encode_public, encode_state
from dmls.mls.messages.registry import ContentType
from dmls.mls.schedule.secret_tree import SecretTree
from dmls.mls.tree.ratchet_tree import RatchetTree
from tests.robustness.fuzz.corpus import choose
from tests.robustness.fuzz.targets import STRUCTS, TARGETS
from tests.robustness.mutants import Donors
from tests.robustness.scene import make_scene
from tests.robustness.wire import take_apart
from tests.support.certificates import self_signed

__all__ = ["make_seeds"]

_MOST_BYTES = 3_000
_MOST_SEEDS = 6


def _device() -> Device:
    return Device(UserId("@alice:example.org"), DeviceId("ALICE"), bytes(32))


def make_seeds() -> Mapping[str, list[bytes]]:
    """Return the seeds of each target."""
    scene = make_scene(1)
    suite, state = scene.room.suite, scene.victim.state
    objects = [take_apart(hint, value) for hint, value in scene.objects().values()]
    donors = Donors(objects)
    epoch = EpochPointer(bytes(32), b"epoch")
    secret_tree = SecretTree.create(suite, Secret(bytes(32)), 8)
    used = reduce(lambda tree, leaf: tree.next_key(LeafIndex(leaf), ContentType.APPLICATION)[1], (0, 3, 3), secret_tree)
    pprf = PPRF.create(suite, bytes(32), kept_levels=8)
    node = Node(
        commit_ref=CommitRef(bytes(32)),
        parent_ref=CommitRef(bytes(32)),
        event_id=EventId("$event"),
        sender=UserId("@alice:example.org"),
        author=_device(),
        epoch=3,
        vote_seq=1,
        content_hash=bytes(32),
    )
    tree = encode_as(*scene.parts["ratchet tree"])
    leaf = scene.parts["leaf node"][1]
    special: dict[str, list[bytes]] = {
        "authenticated-content": [encode_as(*scene.parts["authenticated content"])],
        "sender-data": [encode_as(*scene.parts["sender data"])],
        "group-secrets": [encode_as(*scene.parts["group secrets"])],
        "ratchet-tree": [tree, RatchetTree.create(suite, leaf).encode(), RatchetTree.create(suite, leaf).add(leaf)[0].encode()],
        "secret-tree": [secret_tree.encode(), used.encode()],
        "group-state": [encode_state(state), encode_state(scene.sender.state)],
        "public-group": [encode_public(state.public)],
        "pprf": [pprf.encode(), pprf.evaluate(bytes(32))[1].encode()],
        "epoch-node": [node.encode()],
        "vote": [Vote(_device(), CommitRef(bytes(32)), 7).encode()],
        "authenticated-data": [make_commit_aad(epoch, 1, resolves=(epoch,), state_events=("$event",)), make_message_aad(epoch)],
        "identity": [encode_identity(UserId("@alice:example.org"), DeviceId("ALICE"))],
        "certificate": [self_signed(suite, scene.sender.client.signature_private_key, "alice")],
        "keys-and-signatures": [
            *(suite.derive_key_pair(bytes(suite.hash_size)).public_key for suite in CIPHER_SUITES),
            bytes(64) + bytes(32),
        ],
        "inspect": [*scene.messages.values(), tree, scene.messages["key package"].hex().encode()],
    }
    found = {name: special[name] if name in special else donors.all(STRUCTS[name]) for name in TARGETS}
    return {name: choose((data for data in inputs if len(data) <= _MOST_BYTES), _MOST_SEEDS) for name, inputs in found.items()}
