"""dmls and one other implementation: everything that the other offers, from either side. After each step all members agree."""

from __future__ import annotations

import pytest

from tests.interop.peers.abilities import FOREIGN, can, peers_that
from tests.interop.peers.conftest import Peers
from tests.interop.peers.conversation import Conversation, Member, make_member

EXTENSION = 0xF0CA
"""An extension type of nobody's, which members list where they can."""


def handshake_of(*names: str) -> str:
    """Return a form of handshake messages that all of these read and send."""
    return "public" if all(can(name, "send_public", "read_public") for name in names) else "private"


class Scene:
    """A creator, and helpers to make more members of two implementations."""

    def __init__(self, peers: Peers, creator: str, other: str, **settings: object) -> None:
        self._peers = peers
        self._names = (creator, other)
        self._settings: dict[str, object] = {"handshake": handshake_of(creator, other), **settings}
        self.creator = self.make(creator)
        self.other = self.make(other)
        self.room = Conversation(self.creator)

    def make(self, name: str, **settings: object) -> Member:
        return make_member(self._peers[name], **(self._settings | settings))  # type: ignore[arg-type]

    def add(self, committer: Member, *names: str) -> list[Member]:
        """Add new members, in one commit where the committer can."""
        joiners = [self.make(name) for name in names]
        merged = not all(can(name, "join_any_tree") for name in self._names)
        if can(committer.peer.name, "several_proposals") and not merged:
            self.room.commit(committer, *(self.room.adding(joiner) for joiner in joiners))
            return joiners
        for joiner in joiners:
            self.room.commit(committer, self.room.adding(joiner))
            if merged:
                self.room.commit(joiner)
        return joiners


def both(peers: Peers, name: str, **settings: object) -> tuple[Scene, Conversation, Member, Member]:
    """A group of dmls with one member of the other implementation in it."""
    scene = Scene(peers, "dmls", name, **settings)
    scene.room.commit(scene.creator, scene.room.adding(scene.other))
    return scene, scene.room, scene.creator, scene.other


def refresh(room: Conversation) -> None:
    """Let everybody who can commit without a proposal."""
    for member in room.members:
        if can(member.peer.name, "empty_commit"):
            room.commit(member)


def talk(room: Conversation) -> None:
    """Let everybody who can say something."""
    for member in room.members:
        if can(member.peer.name, "messages"):
            room.say(member, f"says {member}".encode() * 30)


@pytest.mark.parametrize("turned", [False, True], ids=["we create", "they create"])
@pytest.mark.parametrize("name", FOREIGN)
def test_members_come_commit_talk_and_go(peers: Peers, name: str, turned: bool) -> None:
    first, second = (name, "dmls") if turned else ("dmls", name)
    scene = Scene(peers, first, second)
    room, a, b = scene.room, scene.creator, scene.other
    room.commit(a, room.adding(b))
    talk(room)
    refresh(room)
    c, d = scene.add(a, first, second)
    e, f = scene.add(b, second, first)
    refresh(room)
    talk(room)
    room.commit(a, room.removing(e))
    room.commit(b, room.removing(d))
    scene.add(c, second, first, second)
    refresh(room)
    room.commit(c, room.removing(a))
    if can(b.peer.name, "several_proposals"):
        room.commit(b, room.removing(c), room.removing(f))
    scene.add(b, first)
    refresh(room)
    talk(room)


@pytest.mark.parametrize("name", peers_that("send_public", "read_public", "read_private"))
def test_handshake_messages_of_both_forms_in_one_group(peers: Peers, name: str) -> None:
    _, room, us, them = both(peers, name)
    for form in ("private", "public", "private"):
        joiner = make_member(peers["dmls"])
        room.commit(us, room.adding(joiner), handshake=form)
        room.commit(them)
        room.propose(us, {"type": "update"}, handshake=form)
        room.commit(joiner, handshake=form)
        room.commit(us, room.removing(joiner), handshake=form)
    if can(name, "send_private"):
        room.commit(them, handshake="private")
        room.commit(them, handshake="public")


@pytest.mark.parametrize("by", ["us", "them"])
@pytest.mark.parametrize("name", peers_that("references"))
def test_our_proposals_are_committed_by_reference(peers: Peers, name: str, by: str) -> None:
    scene, room, us, them = both(peers, name)
    (third,) = scene.add(us, "dmls")
    committer = us if by == "us" else them
    joiners = [scene.make("dmls"), scene.make(name)]
    for joiner in joiners:
        room.propose(third, room.adding(joiner))
    room.commit(committer)
    room.propose(third, {"type": "update"})
    room.propose(third, room.removing(joiners[0]))
    room.commit(committer)
    room.propose(third, {"type": "update"})
    room.propose(third, room.adding(scene.make(name)))
    room.commit(committer)
    refresh(room)
    talk(room)


@pytest.mark.parametrize("name", peers_that("propose"))
def test_their_proposals_are_committed_by_reference(peers: Peers, name: str) -> None:
    scene, room, us, them = both(peers, name)
    for committer in (us, them):
        joiners = [scene.make("dmls"), scene.make(name)]
        for joiner in joiners:
            room.propose(them, room.adding(joiner))
        room.commit(committer)
        room.propose(them, room.removing(joiners[1]))
        room.commit(joiners[0])
    refresh(room)
    talk(room)


@pytest.mark.parametrize("name", peers_that("propose_update"))
@pytest.mark.parametrize("handshake", ["public", "private"])
def test_their_updates_are_committed(peers: Peers, name: str, handshake: str) -> None:
    scene, room, us, them = both(peers, name, handshake=handshake)
    (second,) = scene.add(us, name)
    room.propose(them, {"type": "update"})
    room.commit(us)
    room.propose(them, {"type": "update"})
    room.propose(us, {"type": "update"})
    room.commit(second)
    refresh(room)
    talk(room)


@pytest.mark.parametrize("name", peers_that("new_signature_keys"))
def test_we_change_our_signature_key(peers: Peers, name: str) -> None:
    scene, room, us, them = both(peers, name)
    (third,) = scene.add(us, "dmls")
    for member in (us, third, us):
        before = member.signature_key
        room.commit(member, rotate=True)
        assert member.signature_key != before
        talk(room)
        refresh(room)
    room.commit(us, room.adding(scene.make(name)), rotate=True)
    room.commit(them, room.removing(third))


@pytest.mark.parametrize("name", peers_that("messages"))
def test_messages_out_of_order_and_from_the_epoch_before(peers: Peers, name: str) -> None:
    _, room, us, them = both(peers, name)
    order = [4, 0, 5, 2, 1, 3] if can(name, "far_out_of_order") else [1, 0, 3, 2]
    for sender, receiver in ((us, them), (them, us)):
        sent = [sender.ask("encrypt", data=bytes([number]).hex())["message"] for number in range(len(order))]
        assert [receiver.ask("process", message=sent[number])["data"] for number in order] == [bytes([n]).hex() for n in order]
    late = us.ask("encrypt", data="1a7e")["message"]
    room.commit(us)
    assert them.ask("process", message=late)["data"] == "1a7e"


@pytest.mark.parametrize("size", [0, 1, 127, 128, 1000, 20_000])
@pytest.mark.parametrize("name", peers_that("messages"))
def test_messages_of_every_size_whatever_the_padding(peers: Peers, name: str, size: int) -> None:
    _, room, us, them = both(peers, name)
    room.say(us, bytes(size))
    room.say(them, b"\x01" * size)


@pytest.mark.parametrize("name", peers_that("messages"))
def test_authenticated_data_travels_with_every_kind_of_message(peers: Peers, name: str) -> None:
    scene, room, us, them = both(peers, name)
    for sender in (us, them) if can(name, "authenticated_data") else (us,):
        room.say(sender, b"data", authenticated_data="aabb")
        room.propose(sender, room.adding(scene.make("dmls")), authenticated_data="cc" * 300)
        room.commit(sender, authenticated_data="dd")


@pytest.mark.parametrize("turned", [False, True], ids=["we send it", "they send it"])
@pytest.mark.parametrize("name", peers_that("tree_out_of_band"))
def test_a_tree_beside_the_welcome(peers: Peers, name: str, turned: bool) -> None:
    first, second = (name, "dmls") if turned else ("dmls", name)
    scene = Scene(peers, first, second, sends_tree=False)
    scene.add(scene.creator, second, first)
    scene.add(scene.room.members[1], second)
    refresh(scene.room)


@pytest.mark.parametrize("name", FOREIGN)
def test_we_join_and_come_back_by_external_commit(peers: Peers, name: str) -> None:
    scene, room, us, _ = both(peers, name)
    (third,) = scene.add(us, name)
    joiner = scene.make("dmls")
    room.join_externally(joiner, us)
    room.join_externally(joiner, us, replaces=joiner)
    room.commit(us, room.removing(third))
    room.join_externally(scene.make("dmls"), joiner, with_tree=False)
    refresh(room)
    talk(room)


@pytest.mark.parametrize("name", peers_that("group_info"))
def test_we_join_by_a_group_info_of_theirs(peers: Peers, name: str) -> None:
    scene, room, _, them = both(peers, name)
    room.commit(them)
    joiner = scene.make("dmls")
    room.join_externally(joiner, them)
    refresh(room)
    room.commit(them)
    room.join_externally(joiner, them, replaces=joiner)
    refresh(room)


@pytest.mark.parametrize("name", peers_that("external_join"))
def test_they_join_and_come_back_by_external_commit(peers: Peers, name: str) -> None:
    scene, room, us, them = both(peers, name)
    joiner = scene.make(name)
    room.join_externally(joiner, us)
    room.join_externally(joiner, us, replaces=joiner)
    if can(name, "tree_out_of_band"):
        room.join_externally(scene.make(name), us, with_tree=False)
    room.commit(them)
    room.join_externally(scene.make(name), them)
    refresh(room)
    talk(room)


@pytest.mark.parametrize("name", peers_that("psk"))
def test_external_pre_shared_keys(peers: Peers, name: str) -> None:
    scene, room, us, them = both(peers, name)
    joiner = scene.make(name)
    for member in (us, them, joiner):
        for psk_id in ("01", "02" * 40):
            member.peer.call("psk", client=member.client, psk_id=psk_id, psk="5e" * 32)
    room.commit(us, {"type": "psk", "psk_id": "01"})
    room.commit(them, {"type": "psk", "psk_id": "02" * 40}, {"type": "psk", "psk_id": "01"})
    room.commit(us, room.adding(joiner), {"type": "psk", "psk_id": "01"}, {"type": "psk", "psk_id": "02" * 40})
    room.propose(them, {"type": "psk", "psk_id": "01"})
    room.propose(us, {"type": "psk", "psk_id": "01"})
    room.commit(joiner)
    refresh(room)


@pytest.mark.parametrize("name", peers_that("empty_commit"))
def test_resumption_pre_shared_keys(peers: Peers, name: str) -> None:
    _, room, us, them = both(peers, name)
    refresh(room)
    refresh(room)
    epoch = us.ask("state")["epoch"]
    for back in (0, 1, 2) if can(name, "resumption_psk") else (0,):
        room.commit(us, {"type": "resumption_psk", "epoch": epoch - back})
        epoch += 1
    if can(name, "psk"):
        room.commit(them, {"type": "resumption_psk", "epoch": epoch - 1})


@pytest.mark.parametrize("name", FOREIGN)
def test_we_change_the_extensions_of_the_group(peers: Peers, name: str) -> None:
    extensions = (EXTENSION,) if can(name, "chosen_extensions") else ()
    scene, room, us, them = both(peers, name, extensions=extensions)
    required = [3, "00" + "00" + "020001"]
    room.commit(us, {"type": "group_context_extensions", "extensions": [required]})
    scene.add(us, name)
    refresh(room)
    if extensions:
        room.commit(us, {"type": "group_context_extensions", "extensions": [required, [EXTENSION, "0102"]]})
        room.commit(them)
        scene.add(them, name)
    refresh(room)
