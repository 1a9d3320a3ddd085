"""A member, or somebody outside, who changes what it is about to send and then signs, tags and seals it as it should be."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from dmls.errors import CodecError, DMLSError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode, decode_as, encode, encode_opaque
from dmls.mls.framing.private_message import SenderData
from dmls.mls.framing.signing import sign_content
from dmls.mls.group.process import open_message
from dmls.mls.group.secrets import collect_psks, derive_child, regular_init
from dmls.mls.group.transition import follow_commit
from dmls.mls.messages import key_package as key_packages
from dmls.mls.messages.commit import Commit, UpdatePath
from dmls.mls.messages.extensions import find_extension
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import LeafNode
from dmls.mls.messages.message import (
    ApplicationData,
    AuthenticatedContent,
    FramedContent,
    Member,
    MLSMessage,
    NewMemberCommit,
    PrivateMessage,
    PublicMessage,
    content_type,
    encode_authentication,
    encode_message,
)
from dmls.mls.messages.proposal import Add, PreSharedKey, Update
from dmls.mls.messages.psk import PreSharedKeyID
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.messages.welcome import GroupSecrets, Welcome
from dmls.mls.schedule.psk import derive_psk_secret
from dmls.mls.schedule.transcript import confirmation_tag
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.mls.tree.treekem import open_path
from dmls.tools.inspect.kinds import NODES
from tests.robustness.mutants import Donors, mutate
from tests.robustness.scene import PRIVATE, PUBLIC, Scene, find_psk, make_scene
from tests.robustness.wire import take_apart
from tests.support.forge import forge_commit, forge_welcome, frame, sign_group_info, sign_leaf
from tests.support.groups import ANYBODY, Party

__all__ = ["ATTACKS", "Attacker", "Forged", "attacker_of", "seal_private"]

_GENERATIONS: Final = (0, 1, 5, 1000, 1024, 1025, 100_000, 0x7FFFFFFF, 0xFFFFFFFF)


@dataclass(frozen=True)
class Forged:
    """A message for the victim.

    Attributes:
        kind: how it was made.
        data: an encoded MLSMessage.
        is_signed: whether what was changed was signed, tagged and sealed anew, so that it may be accepted.
        authenticator: of the epoch that a commit makes, as its forger computes it.
    """

    kind: str
    data: bytes
    is_signed: bool = True
    authenticator: bytes | None = None


class Attacker:
    """Makes mutants in one scene.

    Attributes:
        donors: the scene's objects, to splice from.
        genuine: messages that somebody has made as they are, whole or within others.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.names = tuple(scene.messages)
        self.contents = {name: held for name in scene.messages if (held := self._opened(name)) is not None}
        opened = {f"{name}, opened": (FramedContent, held.content) for name, held in self.contents.items()}
        self._roots = {name: take_apart(hint, value) for name, (hint, value) in (scene.objects() | opened).items()}
        self._pieces = {name: tuple(root.walk()) for name, root in self._roots.items()}
        self.donors = Donors(self._roots.values())
        bodies = {KeyPackage: 5, GroupInfo: 4, Welcome: 3, PrivateMessage: 2, PublicMessage: 1}
        spliced = {bytes((0, 1, 0, code)) + body for kind, code in bodies.items() for body in self.donors.all(kind)}
        self.genuine = spliced | set(scene.messages.values())

    def _opened(self, name: str) -> AuthenticatedContent | None:
        message = decode(MLSMessage, self.scene.messages[name])
        if not isinstance(message.body, PublicMessage | PrivateMessage):
            return None
        return open_message(self.scene.victim.state, message)[0]

    def mutant(self, rng: random.Random, name: str) -> bytes:
        """Return a mutant of one of the scene's objects."""
        return mutate(rng, self._roots[name], self._pieces[name], self.donors)

    def decoded(self, rng: random.Random, name: str, hint: Any) -> Any:
        """Return a mutant of one of the scene's objects that decodes."""
        while True:
            try:
                return decode_as(hint, self.mutant(rng, name))
            except CodecError:
                continue

    def changed(self, rng: random.Random, hint: Any, value: Any) -> Any:
        """Return a mutant that decodes, of any other value."""
        root = take_apart(hint, value)
        pieces = tuple(root.walk())
        while True:
            try:
                return decode_as(hint, mutate(rng, root, pieces, self.donors))
            except CodecError:
                continue


@cache
def attacker_of(suite_id: int) -> Attacker:
    """Return an attacker in the group of a cipher suite."""
    return Attacker(make_scene(suite_id))


def _change_on_the_way(attacker: Attacker, rng: random.Random) -> Forged:
    """Change a message that somebody else has sent."""
    name = rng.choice(attacker.names)
    return Forged(f"{name}, changed on the way", attacker.mutant(rng, name), is_signed=False)


def _resign_key_package(party: Party, key_package: KeyPackage) -> KeyPackage:
    unsigned = replace(key_package, leaf_node=sign_leaf(party.suite, key_package.leaf_node, party.client))
    tbs = key_packages.encode_tbs(unsigned)
    return replace(unsigned, signature=party.suite.sign_with_label(party.client.signature_private_key, "KeyPackageTBS", tbs))


def _resign_leaves(scene: Scene, content: FramedContent, signer: Party, index: LeafIndex) -> FramedContent:
    """Sign the leaves and key packages in a content again, so that what is in them is judged."""
    group_id = scene.room.follower.context.group_id
    body = content.content
    if isinstance(body, Commit) and body.path is not None:
        leaf = sign_leaf(signer.suite, body.path.leaf_node, signer.client, group_id, index)
        return replace(content, content=replace(body, path=replace(body.path, leaf_node=leaf)))
    if isinstance(body, Update):
        return replace(content, content=Update(sign_leaf(signer.suite, body.leaf_node, signer.client, group_id, index)))
    if isinstance(body, Add):
        return replace(content, content=Add(_resign_key_package(scene.outsider, body.key_package)))
    return content


def _sign_changed_content(attacker: Attacker, rng: random.Random) -> Forged:
    """Change a content, sign and tag it; where that can be computed, a commit gets the confirmation tag that fits."""
    scene, sender = attacker.scene, attacker.scene.sender
    name = rng.choice(tuple(attacker.contents))
    original = attacker.contents[name]
    changed: FramedContent = attacker.decoded(rng, f"{name}, opened", FramedContent)
    context = sender.state.public.context
    if rng.random() < 0.8:
        changed = replace(changed, group_id=context.group_id, epoch=context.epoch)
    is_external = isinstance(original.content.sender, NewMemberCommit)
    signer = sender if isinstance(original.content.sender, Member) else scene.outsider
    if rng.random() < 0.8:
        changed = _resign_leaves(scene, changed, signer, scene.joined_leaf if is_external else sender.leaf)
    # There are keys for senders that the tree has a place for.
    has_keys = isinstance(changed.sender, Member) and changed.sender.leaf_index < sender.state.public.tree.width
    wire_format = original.wire_format if has_keys else PUBLIC
    signature = sign_content(sender.suite, wire_format, changed, context, signer.client.signature_private_key)
    is_commit = isinstance(changed.content, Commit)
    tag = (original.confirmation_tag or bytes(sender.suite.hash_size)) if is_commit else None
    content = AuthenticatedContent(wire_format, changed, signature, tag)
    content, authenticator = _confirm(scene, content) if is_commit and not is_external else (content, None)
    data = frame(sender.state, sender.suite, context, content, sender.state.secrets.membership_key)
    return Forged(f"{name}, signed anew", data, authenticator=authenticator)


def _confirm(scene: Scene, content: AuthenticatedContent) -> tuple[AuthenticatedContent, bytes | None]:
    """Give a commit the tag that whoever accepts it computes: an accomplice opens its path."""
    friend = scene.accomplice
    state, suite = friend.state, friend.suite
    try:
        transition = follow_commit(state.public, content, ANYBODY)
        opened, path = None, transition.commit.path
        if path is not None:
            opened = open_path(
                transition.tree_before_path,
                transition.group.tree,
                transition.committer,
                path,
                transition.added_leaves,
                friend.ring.keys,
                state.own_leaves,
                transition.provisional_context,
            )
        init = regular_init(state, None if opened is None else opened.last_path_secret)
        psks = collect_psks(state, transition.applied.psk_ids, find_psk)
        child = derive_child(
            state, transition.group, init, None if opened is None else opened.commit_secret, psks, state.own_leaves
        ).state
    except DMLSError:
        return content, None
    tag = confirmation_tag(suite, child.secrets.confirmation_key, transition.group.context.confirmed_transcript_hash)
    return replace(content, confirmation_tag=tag), child.secrets.epoch_authenticator


def _commit_changed_proposals(attacker: Attacker, rng: random.Random) -> Forged:
    """Commit to a changed list of proposals, or with a changed path, all else as if that were right."""
    sender = attacker.scene.sender
    name = rng.choice(("commit, full", "commit, of extensions", "commit, without path"))
    commit = attacker.contents[name].content.content
    assert isinstance(commit, Commit)
    proposals = commit.proposals
    alterations: dict[str, Any] = {}
    if rng.random() < 0.6:
        made: Commit = attacker.changed(rng, Commit, replace(commit, path=None))
        proposals = made.proposals
    elif rng.random() < 0.5:
        alterations["alter_leaf"] = lambda leaf: attacker.changed(rng, LeafNode, leaf)
    else:
        alterations["alter_path"] = lambda path: attacker.changed(rng, UpdatePath, path)
    psks = [(body.psk, find_psk(body.psk) or b"") for body in proposals if isinstance(body, PreSharedKey)]
    wire_format = rng.choice((PUBLIC, PRIVATE))
    try:
        data = forge_commit(sender, *proposals, with_path=rng.random() < 0.9, psks=psks, wire_format=wire_format, **alterations)
    except DMLSError:
        # Nobody could carry this commit out, so it is sent with what its signer would like.
        return _sign_changed_content(attacker, rng)
    return Forged(f"{name}, made anew", data)


def seal_private(
    scene: Scene, message: PrivateMessage, plaintext: bytes, sender_data: bytes, *, generation: int = 5
) -> PrivateMessage:
    """Encrypt whatever it is told to, under keys of the sender that are right."""
    suite, state = scene.room.suite, scene.victim.state
    key, _ = state.secret_tree.message_key(scene.sender.leaf, message.content_type, generation)
    # Both AADs begin as the message does.
    head = encode(replace(message, authenticated_data=b"", encrypted_sender_data=b"", ciphertext=b""))[:-3]
    ciphertext = suite.aead_seal(key.key, key.nonce, head + encode_opaque(message.authenticated_data), plaintext)
    sample = ciphertext[: suite.hash_size]
    secret = state.secrets.sender_data_secret
    sealed = suite.aead_seal(
        suite.expand_with_label(secret, "key", sample, suite.key_size),
        suite.expand_with_label(secret, "nonce", sample, suite.nonce_size),
        head,
        sender_data,
    )
    return replace(message, encrypted_sender_data=sealed, ciphertext=ciphertext)


def _seal_changed_plaintext(attacker: Attacker, rng: random.Random) -> Forged:
    """Encrypt something else than a content, or name another sender or generation, under keys that are right."""
    scene = attacker.scene
    name = rng.choice([name for name, held in attacker.contents.items() if held.wire_format is PRIVATE])
    held = attacker.contents[name]
    message = decode(MLSMessage, scene.messages[name]).body
    assert isinstance(message, PrivateMessage)
    framed = held.content if rng.random() < 0.5 else attacker.decoded(rng, f"{name}, opened", FramedContent)
    if content_type(framed) is not message.content_type:
        framed = held.content
    # A FramedContent ends with its content, behind the type, which a private message has elsewhere.
    before = len(encode(replace(framed, content=ApplicationData(b"")))) - 1
    plaintext = encode(framed)[before:] + encode_authentication(held.signature, held.confirmation_tag)
    plaintext += rng.choice((b"", bytes(rng.choice((1, 100, 20_000))), rng.randbytes(3), b"\x00\x01"))
    if rng.random() < 0.3:
        plaintext = plaintext[: rng.randrange(len(plaintext))]
    leaf, generation = scene.sender.leaf, rng.choice((5, 1000))
    sender_data = encode(SenderData(leaf, generation, 0))
    if rng.random() < 0.5:
        claimed = rng.choice((leaf, leaf + 1, scene.victim.leaf, 7, 8, 0xFFFFFFFF))
        sender_data = encode(SenderData(claimed, rng.choice(_GENERATIONS), 0))[: rng.choice((12, 12, 12, 11, 0))]
    made = seal_private(scene, message, plaintext, sender_data, generation=generation)
    return Forged(f"{name}, sealed anew", encode_message(made))


def _seal_changed_welcome(attacker: Attacker, rng: random.Random) -> Forged:
    """Change what is in a Welcome, then sign it as the committer and seal it."""
    scene, suite = attacker.scene, attacker.scene.room.suite
    psks: list[tuple[PreSharedKeyID, bytes]] = []
    way = rng.choice(("alter_info", "alter_context", "alter_nodes", "alter_secrets", "alter_tag"))

    def change_secrets(secrets: GroupSecrets) -> GroupSecrets:
        made: GroupSecrets = attacker.changed(rng, GroupSecrets, secrets)
        psks.extend((psk, find_psk(psk) or b"") for psk in made.psks)
        return made

    alterations: dict[str, Callable[[Any], Any]] = {
        "alter_info": lambda info: attacker.changed(rng, GroupInfo, info),
        "alter_context": lambda context: attacker.changed(rng, GroupContext, context),
        "alter_nodes": lambda nodes: list(attacker.changed(rng, NODES, tuple(nodes))),
        "alter_secrets": change_secrets,
        "alter_tag": lambda tag: rng.choice((b"", tag[:-1], bytes(len(tag)), tag + b"\x00")),
    }
    message = decode(MLSMessage, scene.messages["welcome"]).body
    assert isinstance(message, Welcome)
    before = derive_psk_secret(suite, scene.psks)
    try:
        made = forge_welcome(scene.joiner, scene.sender, message, psks=psks, psk_secret=before, **{way: alterations[way]})
    except DMLSError:
        # The changed nodes are no tree.
        return Forged("welcome, changed on the way", attacker.mutant(rng, "welcome"), is_signed=False)
    return Forged(f"welcome, {way}", encode_message(made))


def _sign_changed_group_info(attacker: Attacker, rng: random.Random) -> Forged:
    """Change a GroupInfo and sign it; in half of the cases the tree hash is made to fit the tree."""
    scene, suite = attacker.scene, attacker.scene.room.suite
    info: GroupInfo = attacker.decoded(rng, "group info alone", GroupInfo)
    encoded = find_extension(info.extensions, ExtensionType.RATCHET_TREE)
    if encoded is not None and rng.random() < 0.5:
        try:
            tree = RatchetTree.decode(suite, encoded)
        except DMLSError:
            pass
        else:
            info = replace(info, group_context=replace(info.group_context, tree_hash=tree.tree_hash))
    return Forged("group info, signed anew", encode_message(sign_group_info(suite, info, scene.sender.client)))


def _sign_changed_key_package(attacker: Attacker, rng: random.Random) -> Forged:
    """Change a key package and sign it and its leaf."""
    changed: KeyPackage = attacker.decoded(rng, "key package alone", KeyPackage)
    return Forged("key package, signed anew", encode_message(_resign_key_package(attacker.scene.outsider, changed)))


ATTACKS: Final[Sequence[tuple[Callable[[Attacker, random.Random], Forged], float]]] = (
    (_change_on_the_way, 0.3),
    (_sign_changed_content, 0.3),
    (_commit_changed_proposals, 0.1),
    (_seal_changed_plaintext, 0.1),
    (_seal_changed_welcome, 0.08),
    (_sign_changed_group_info, 0.06),
    (_sign_changed_key_package, 0.06),
)
"""What an attacker does, and how often."""
