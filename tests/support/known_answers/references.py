"""A genesis, a commit on it, a twin of the commit and a vote in every suite: their bytes, secrets and names."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from dmls.engine.agent import make_client
from dmls.engine.profile import group_extensions
from dmls.forks.aad import (
    EpochPointer,
    commit_ref,
    content_hash,
    genesis_ref,
    make_commit_aad,
    make_node_ref,
    make_vote,
    sign_vote,
)
from dmls.ids import DeviceId, GroupId, LeafIndex, RoomId, UserId
from dmls.mls.codec import encode
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite
from dmls.mls.group.commit import CommitOptions, create_commit
from dmls.mls.group.leaf import create_key_package
from dmls.mls.group.state import create_group, export_secret
from dmls.mls.group.welcome import make_group_info
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import encode_message
from dmls.mls.messages.proposal import Add
from tests.support.known_answers.recording import RecordingRule

__all__ = ["make"]

_ROOM = RoomId("!room:hs1.example")
_LIFETIME = Lifetime(1_700_000_000, 1_700_000_000 + 86_400)


def make() -> list[dict[str, Any]]:
    return [_of_suite(suite) for suite in CIPHER_SUITES]


def _of_suite(suite: CipherSuite) -> dict[str, Any]:
    rng = random.Random(f"known answers of suite {suite.id}")
    rule = RecordingRule()
    keys = [suite.generate_signature_key_pair(rng.randbytes) for _ in range(2)]
    names = ((UserId("@alice:hs1.example"), DeviceId("ALICE1")), (UserId("@bob:hs2.example"), DeviceId("BOB1")))
    alice, bob = (
        make_client(suite, user, device, pair.private_key, pair.public_key)
        for (user, device), pair in zip(names, keys, strict=True)
    )
    created = create_group(
        suite, _ROOM.encode(), alice, _LIFETIME, rng.randbytes, extensions=group_extensions(_ROOM), rule=rule
    ).state
    genesis = encode_message(make_group_info(created, alice, LeafIndex(0)))
    parent = genesis_ref(suite, genesis)
    parent_id = bytes(export_secret(created, "DMLS epoch ID", b"", suite.hash_size))
    options = CommitOptions(
        authenticated_data=make_commit_aad(EpochPointer(parent, parent_id), 1),
        force_path=True,
        welcome_with_tree=False,
        group_info_extensions=lambda content: (make_node_ref(commit_ref(suite, content)),),
    )
    add = Add(create_key_package(suite, bob, _LIFETIME, rng.randbytes).key_package)
    staged = create_commit(created, alice, LeafIndex(0), [add], rng.randbytes, options)
    content = staged.content
    tag = content.confirmation_tag
    assert tag is not None
    ref = commit_ref(suite, content)
    context = encode(staged.state.public.context)
    (derivation,) = rule.derivations[context]
    other_tag = bytes([tag[0] ^ 1]) + tag[1:]
    vote = make_vote(GroupId(_ROOM.encode()), ref, LeafIndex(0), 2)
    child_id = bytes(export_secret(staged.state, "DMLS epoch ID", b"", suite.hash_size))
    membership_tag = staged.message[-suite.hash_size :]
    return {
        "cipher_suite": suite.id,
        "genesis": {
            "group_info": genesis.hex(),
            "commit_ref": parent.hex(),
            "epoch_secret": rule.epoch_secrets[0].hex(),
            "epoch_id": parent_id.hex(),
        },
        "commit": {
            "message": staged.message.hex(),
            "framed_content": encode(content.content).hex(),
            "signature": content.signature.hex(),
            "confirmation_tag": tag.hex(),
            "membership_tag": membership_tag.hex(),
            "authenticated_data": options.authenticated_data.hex(),
            "commit_ref": ref.hex(),
            "content_hash": content_hash(suite, content.content).hex(),
            "group_context": context.hex(),
            "last_path_secret": derivation.last_path_secret.hex(),
            "input": derivation.input.hex(),
            "init_secret": derivation.init_secret.hex(),
            "epoch_secret": rule.epoch_secrets[1].hex(),
            "epoch_id": child_id.hex(),
        },
        "twin": {
            "confirmation_tag": other_tag.hex(),
            "commit_ref": commit_ref(suite, replace(content, confirmation_tag=other_tag)).hex(),
            "content_hash": content_hash(suite, content.content).hex(),
        },
        "vote": {
            "leaf_index": 0,
            "vote_seq": "2",
            "signature_private_key": bytes(keys[0].private_key).hex(),
            "signature_key": keys[0].public_key.hex(),
            "encoded": encode(vote).hex(),
            "signature": sign_vote(suite, keys[0].private_key, vote).hex(),
        },
    }
