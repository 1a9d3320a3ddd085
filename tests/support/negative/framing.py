"""Framed messages that break one rule (RFC 9420, Section 6)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from dmls.mls.codec import encode, encode_opaque
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.message import (
    ApplicationData,
    FramedContent,
    Member,
    NewMemberCommit,
    NewMemberProposal,
    PublicMessage,
    encode_message,
)
from dmls.mls.messages.proposal import Add, ExternalInit, PreSharedKey, ProposalBody, Remove
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID
from dmls.mls.messages.registry import WireFormat
from tests.support.forge import Alteration, forge_commit, forge_external_commit, forge_message
from tests.support.groups import body_of, fresh_update
from tests.support.negative.deviant import deviant_party
from tests.support.negative.model import Scene, messages
from tests.support.negative.stand import Stand

__all__ = ["scenes"]

SUITE = cipher_suite(1)
PUBLIC, PRIVATE = WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _contents(rng)
    yield _signatures(rng)
    yield _tags(rng)
    yield _commits(rng)
    yield _newcomers(rng)


def _contents(rng: random.Random) -> Scene:
    stand = Stand(rng, "abcdw")
    alice, dan = stand["a"], stand["d"]
    stand.commit(alice, Remove(dan.leaf), leavers=[dan])
    scene = stand.scene("who sends what, and when")
    body = Remove(2)

    def framed(**changes: Any) -> dict[str, Any]:
        return messages(forge_message(alice, body, alter=lambda content: replace(content, **changes)))

    epoch = stand.follower.context.epoch
    scene.accept(**framed())
    scene.accept(**framed(authenticated_data=b"more"))
    scene.accept(**messages(forge_message(alice, ApplicationData(b"text"), wire_format=PRIVATE)))
    scene.refuse("FRM-11", "another group", **framed(group_id=b"!another:example.org"))
    scene.refuse("FRM-11", "no group", **framed(group_id=b""))
    scene.refuse("FRM-12", "the epoch before", **framed(epoch=epoch - 1))
    scene.refuse("FRM-12", "the epoch after", **framed(epoch=epoch + 1))
    scene.refuse("FRM-12", "the last epoch there is", **framed(epoch=2**64 - 1))
    for index in (3, 8, 2**31, 2**32 - 1):
        scene.refuse("FRM-04", f"the sender's leaf {index} is blank", **framed(sender=Member(index)))
    scene.refuse("FRM-09", "the sender is another member", **framed(sender=Member(1)))
    scene.refuse("FRM-13", "application data in the open", **messages(forge_message(alice, ApplicationData(b"text"))))
    for wire_format in (PUBLIC, PRIVATE):
        late = forge_commit(alice, wire_format=wire_format, alter_content=lambda content: replace(content, epoch=epoch - 1))
        name = f"a {wire_format.name.lower()} of the epoch before"
        scene.refuse("CP-01", name, noticed="FRM-12", **messages(late))
    return scene


def _signatures(rng: random.Random) -> Scene:
    stand = Stand(rng)
    alice = stand["a"]
    scene = stand.scene("signatures of contents")
    body = Remove(1)
    scene.accept(**messages(forge_message(alice, body)))
    scene.accept(**messages(forge_message(alice, body, wire_format=PRIVATE)))
    for name, spoil in {
        "of zeros": lambda signature: bytes(len(signature)),
        "cut": lambda signature: signature[:-1],
        "empty": lambda signature: b"",
        "with an octet more": lambda signature: signature + b"\x00",
    }.items():
        scene.refuse("FRM-09", f"a signature that is {name}", **messages(forge_message(alice, body, alter_signature=spoil)))
    bob = stand["b"].client.signature_private_key
    scene.refuse("FRM-09", "signed by another member", **messages(forge_message(alice, body, signature_key=bob)))
    for signed, sent in ((PUBLIC, PRIVATE), (PRIVATE, PUBLIC)):
        name = f"signed as {signed.name.lower()} and sent as {sent.name.lower()}"
        scene.refuse(
            "FRM-02", name, noticed="FRM-09", **messages(forge_message(alice, body, signed_format=signed, wire_format=sent))
        )
    context = stand.follower.context
    encoded = encode(context)

    def signing(alter: Alteration[bytes], label: bytes = b"MLS 1.0 FramedContentTBS") -> dict[str, Any]:
        def sign(suite: CipherSuite, key: bytes, _: str, content: bytes) -> bytes:
            parsed = suite.signing_key(key).parsed
            return suite.signature.sign(parsed, encode_opaque(label) + encode_opaque(alter(content)))

        return messages(forge_message(deviant_party(alice, sign_with_label=sign), body))

    def unversioned(content: bytes) -> bytes:
        return content[2:]

    others = {
        "without the group context": lambda content: content[: -len(encoded)],
        "without the version": unversioned,
        "with another group context": lambda content: content[: -len(encoded)] + encode(replace(context, tree_hash=bytes(32))),
    }
    for name, alter in others.items():
        scene.refuse("FRM-01", f"signed {name}", noticed="FRM-09", **signing(alter))
    scene.refuse(
        "CRY-03", "signed under a label without prefix", noticed="FRM-09", **signing(lambda content: content, b"FramedContentTBS")
    )
    scene.refuse(
        "EX-14", "signed under another label", noticed="FRM-09", **signing(lambda content: content, b"MLS 1.0 FramedContent")
    )
    signature = body_of(forge_message(alice, body), PublicMessage).signature
    changes: dict[str, tuple[str, Alteration[FramedContent]]] = {
        "authenticated_data": ("FRM-16", partial(replace, authenticated_data=b"x")),
        "the content": ("FRM-09", partial(replace, content=Remove(2))),
    }
    for name, (rule, change) in changes.items():
        forged = forge_message(alice, body, alter=change, alter_signature=lambda _: signature)
        scene.refuse(rule, f"{name} was changed after signing", noticed="FRM-09", **messages(forged))
    return scene


def _tags(rng: random.Random) -> Scene:
    stand = Stand(rng)
    alice = stand["a"]
    old = alice.state.secrets.membership_key
    stand.commit(alice)
    scene = stand.scene("membership tags")
    body = Remove(1)
    sent = body_of(forge_message(alice, body), PublicMessage)
    assert sent.membership_tag is not None
    tag = sent.membership_tag
    scene.accept(**messages(encode_message(sent)))
    spoilt = {
        "of zeros": bytes(32),
        "empty": b"",
        "cut": tag[:-1],
        "cut to one octet": tag[:1],
        "with an octet more": tag + b"\x00",
    }
    for name, value in spoilt.items():
        message = encode_message(replace(sent, membership_tag=value))
        rule = "PUB-03" if len(value) == 32 else "CRY-13"
        scene.refuse(rule, f"a membership tag that is {name}", noticed="PUB-03", **messages(message))
    scene.refuse(
        "PUB-04",
        "the membership key of the epoch before",
        noticed="PUB-03",
        **messages(forge_message(alice, body, membership_key=old)),
    )
    bare = encode_message(sent)[: -len(encode_opaque(tag))]
    scene.refuse("PUB-01", "a member's message without a membership tag", noticed="ENC-04", **messages(bare))
    joining = forge_external_commit(stand.newcomer(), stand.follower, alice.group_info())
    scene.refuse("PUB-01", "a joiner's commit with a membership tag", noticed="ENC-08", **messages(joining + encode_opaque(tag)))

    def tagging(message: bytes, alter: Alteration[bytes]) -> bytes:
        made = body_of(message, PublicMessage)
        context = stand.follower.context
        tbm = b"\x00\x01\x00\x01" + encode(made.content) + encode(context) + encode_opaque(made.signature)
        if made.confirmation_tag is not None:
            tbm += encode_opaque(made.confirmation_tag)
        return encode_message(replace(made, membership_tag=SUITE.mac(alice.state.secrets.membership_key, alter(tbm))))

    commit = forge_commit(alice)
    scene.accept(**messages(tagging(commit, lambda tbm: tbm)))
    size = len(encode_opaque(bytes(32)))
    for name, alter in {
        "the confirmation tag": lambda tbm: tbm[:-size],
        "signature and confirmation tag": lambda tbm: tbm[: -size - len(encode_opaque(bytes(64)))],
        "the group context": lambda tbm: tbm.replace(encode(stand.follower.context), b""),
    }.items():
        scene.refuse(
            "PUB-02", f"a membership tag that does not cover {name}", noticed="PUB-03", **messages(tagging(commit, alter))
        )
    return scene


def _commits(rng: random.Random) -> Scene:
    stand = Stand(rng)
    alice, bob = stand["a"], stand["b"]
    scene = stand.scene("confirmation tags, and who signs a commit")
    commit = forge_commit(alice)
    scene.accept(**messages(commit))
    scene.accept(**messages(forge_commit(alice, wire_format=PRIVATE)))
    for wire_format in (PUBLIC, PRIVATE):
        name = wire_format.name.lower()
        wrong = forge_commit(alice, wire_format=wire_format, alter_tag=lambda tag: bytes(32))
        scene.refuse("CP-10", f"{name}: a confirmation tag of zeros", **messages(wrong))
        other = forge_commit(alice, wire_format=wire_format, alter_tag=lambda tag: tag[:-1] + bytes((tag[-1] ^ 1,)))
        scene.refuse("FRM-10", f"{name}: a confirmation tag with one bit wrong", noticed="CP-10", **messages(other))
    for name, alter in {
        "cut": lambda tag: tag[:-1],
        "empty": lambda tag: b"",
        "longer": lambda tag: tag + b"\x00",
    }.items():
        scene.refuse("CRY-13", f"a confirmation tag that is {name}", **messages(forge_commit(alice, alter_tag=alter)))
    proposal = body_of(forge_message(alice, Remove(1)), PublicMessage)
    assert proposal.membership_tag is not None
    tagged = encode_message(proposal) + encode_opaque(proposal.membership_tag)
    scene.refuse("FRM-10", "a proposal with a confirmation tag", noticed="ENC-08", **messages(tagged))
    sent = body_of(commit, PublicMessage)
    assert sent.confirmation_tag is not None
    untagged = commit.replace(encode_opaque(sent.confirmation_tag), b"", 1)
    scene.refuse("FRM-10", "a commit without a confirmation tag", noticed="ENC-04", **messages(untagged))
    content = sent.content.content
    assert isinstance(content, Commit)
    framed = forge_message(bob, content, alter=partial(replace, sender=Member(alice.leaf)))
    scene.refuse("CP-02", "a commit that another member signed", noticed="FRM-09", **messages(framed))
    new = stand.newcomer("a")
    old, alice.client = (
        alice.client,
        replace(alice.client, signature_key=new.client.signature_key, signature_private_key=new.client.signature_private_key),
    )
    rotated = forge_commit(alice)
    alice.client = old
    scene.refuse("CC-16", "a commit signed with the key that its path brings", noticed="FRM-09", **messages(rotated))
    staged = alice.stage()
    after = staged.state.public.context

    def in_new_context(suite: CipherSuite, key: bytes, label: str, data: bytes) -> bytes:
        old_context = encode(stand.follower.context)
        return suite.sign_with_label(key, label, data.replace(old_context, encode(after)))

    scene.refuse(
        "FRM-03",
        "a commit signed in the group context of the new epoch",
        noticed="FRM-09",
        **messages(forge_commit(deviant_party(alice, sign_with_label=in_new_context))),
    )
    scene.refuse(
        "CC-04",
        "a commit tagged with the membership key of the new epoch",
        noticed="PUB-03",
        **messages(forge_message(alice, content, membership_key=staged.state.secrets.membership_key)),
    )
    scene.refuse("SQ-05", "a second commit of one epoch", noticed="FRM-12", **messages(commit, forge_commit(bob)))
    scene.refuse("CP-13", "one commit twice", noticed="FRM-12", **messages(commit, commit))
    return scene


def _newcomers(rng: random.Random) -> Scene:
    stand = Stand(rng)
    alice, bob = stand["a"], stand["b"]
    newcomer, other = stand.newcomer(), stand.newcomer("other")
    newcomer.state = alice.state
    scene = stand.scene("proposals by new members")

    def proposed(body: ProposalBody | Commit | ApplicationData, **options: Any) -> dict[str, Any]:
        return messages(forge_message(newcomer, body, sender=NewMemberProposal(), **options))

    scene.accept(**proposed(Add(newcomer.key_package())))
    scene.refuse("FRM-09", "an Add of another client", **proposed(Add(other.key_package())))
    bodies: dict[str, ProposalBody] = {
        "a Remove": Remove(bob.leaf),
        "a PreSharedKey": PreSharedKey(PreSharedKeyID(ExternalPSK(b"name"), bytes(32))),
        "an Update": fresh_update(bob),
    }
    for name, body in bodies.items():
        scene.refuse("FRM-08", name, **proposed(body))
    scene.refuse("FRM-08", "a commit", **proposed(Commit((), None)))
    joining = messages(forge_external_commit(newcomer, stand.follower, alice.group_info()))
    scene.accept(**joining)
    others: dict[str, ProposalBody] = {"a Remove": Remove(2), "an ExternalInit": ExternalInit(bytes(32))}
    for name, body in others.items():
        sent = forge_message(newcomer, body, sender=NewMemberCommit())
        scene.refuse("FRM-07", f"{name} by the sender of an external commit", **messages(sent))
    bare = forge_message(newcomer, Commit((ExternalInit(bytes(32)),), None), sender=NewMemberCommit())
    scene.refuse("FRM-07", "an external commit without a path, hence without a key", **messages(bare))
    return scene
