"""Proposals of those who are not in the group: external senders, and clients that ask to be added."""

from __future__ import annotations

import pytest

from dmls.mls.codec import encode
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.extensions import ExternalSender, ExternalSenders
from dmls.mls.messages.registry import ExtensionType
from tests.interop.peers.abilities import peers_that
from tests.interop.peers.conftest import Peers
from tests.interop.peers.conversation import Conversation, Member, make_member


def _ask(room: Conversation, joiner: Member) -> None:
    """Let a client ask to be added."""
    adding = room.adding(joiner)
    group_info = room.creator.ask("group_info", tree=False)["group_info"]
    key_package = adding.proposal["key_package"]
    asked = joiner.peer.call("propose_own_addition", client=joiner.client, group_info=group_info, key_package=key_package)
    room.hear(asked["message"], adding)


@pytest.mark.parametrize("by", ["us", "them"])
@pytest.mark.parametrize("name", peers_that("outside_proposals"))
def test_we_ask_to_be_added(peers: Peers, name: str, by: str) -> None:
    us, them = make_member(peers["dmls"]), make_member(peers[name])
    room = Conversation(us)
    room.commit(us, room.adding(them))
    for _ in range(2):
        _ask(room, make_member(peers["dmls"]))
        room.commit(us if by == "us" else them)
    room.commit(them)
    room.commit(us)


@pytest.mark.parametrize("creator", ["dmls", "ts-mls"])
def test_ts_mls_asks_to_be_added(peers: Peers, creator: str) -> None:
    us, them = make_member(peers[creator]), make_member(peers["core-crypto"])
    room = Conversation(us)
    room.commit(us, room.adding(them))
    joiner = make_member(peers["ts-mls"])
    _ask(room, joiner)
    room.commit(them)
    room.commit(joiner)
    _ask(room, make_member(peers["ts-mls"]))
    room.commit(us)


@pytest.mark.parametrize("by", ["us", "them"])
def test_an_external_sender_proposes_a_removal(peers: Peers, by: str) -> None:
    """core-crypto takes removals only from external senders; of the others none reads both the extension and the message."""
    outside = make_member(peers["dmls"])
    sender = ExternalSender(bytes.fromhex(outside.signature_key), BasicCredential(bytes.fromhex(outside.identity)))
    us, them, third = (make_member(peers[name]) for name in ("dmls", "core-crypto", "dmls"))
    room = Conversation(us, extensions=[(ExtensionType.EXTERNAL_SENDERS, encode(ExternalSenders((sender,))).hex())])
    room.commit(us, room.adding(them), room.adding(third))
    removing = room.removing(third)
    group_info = us.ask("group_info", tree=False)["group_info"]
    proposal = removing.proposal
    sent = outside.peer.call("propose_from_outside", client=outside.client, group_info=group_info, proposal=proposal)
    room.hear(sent["message"], removing)
    room.commit(us if by == "us" else them)
    room.commit(them)
    room.commit(us)
