"""What must never move the head: other names, and users who are banned or alone, on random graphs."""

from __future__ import annotations

import random
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmls.errors import InvalidCommitError
from dmls.forks.graph import Device, EpochGraph, Node, Vote
from dmls.forks.tally import Tally
from dmls.ids import CommitRef, DeviceId, EventId, UserId
from tests.support.epoch_graphs import Story, arrive, compute_head, make_device, naive_room, random_room, ref_of
from tests.support.naive_head import Fact, NaiveRoom

seeds = st.integers(0, 2**64 - 1)
GAMES = 300


# Names


class Contrary(NaiveRoom):
    """The rule with all ties the other way round."""

    def tie(self, fact: Fact) -> bytes:
        return bytes(255 - octet for octet in super().tie(fact))


def test_other_names_of_users_servers_devices_and_keys_change_nothing_where_no_tie_hash_decides(rng: random.Random) -> None:
    compared = 0
    for _ in range(GAMES):
        nodes, votes, joined = random_room(rng, rng.randint(1, 12))
        plain = naive_room(nodes, votes, joined)
        head = compute_head(arrive(nodes), votes, joined)
        if Contrary(plain.facts.values(), plain.signatures, plain.joined).head() != head:
            continue
        compared += 1
        salt = rng.randbytes(8)

        def other_user(user: UserId, salt: bytes = salt) -> UserId:
            return UserId(f"@{sha256(salt + user.encode()).hexdigest()[:8]}:new-{user.partition(':')[2]}")

        def other(device: Device, salt: bytes = salt) -> Device:
            key = sha256(salt + device.signature_key).digest()
            return Device(other_user(device.user_id, salt), DeviceId(key.hex()[:6]), key)

        renamed = [
            replace(
                node,
                sender=other_user(node.sender),
                author=other(node.author),
                adds=tuple(map(other, node.adds)),
                removes=tuple(map(other, node.removes)),
                event_id=EventId(f"${rng.random()}"),
                epoch=rng.randrange(100),
            )
            for node in nodes
        ]
        cast = [replace(vote, device=other(vote.device)) for vote in votes]
        assert compute_head(arrive(renamed), cast, set(map(other_user, joined))) == head
    assert compared > GAMES / 2


# Users who are banned


def outsiders_node(rng: random.Random, graph: EpochGraph, authors: list[Device], *, is_spent: bool) -> Node:
    """Return a node by somebody who has no say: a commit anywhere, or a twin of an own one from before."""
    refs = sorted(graph)
    ref, author = CommitRef(rng.randbytes(4)), rng.choice(authors)
    own = [node for node in map(graph.node, graph.authored(author)) if not node.is_genesis]
    if own and rng.random() < 0.3:
        return replace(rng.choice(own), commit_ref=ref, is_spent=is_spent, before_departure=False)
    parent = rng.choice(refs)
    return Node(
        commit_ref=ref,
        parent_ref=parent,
        event_id=EventId("$m"),
        sender=author.user_id,
        author=author,
        epoch=graph.node(parent).epoch + 1,
        vote_seq=rng.choice((rng.randint(1, 9), 2**63 - 1)),
        content_hash=ref,
        is_external=rng.random() < 0.3,
        adds=(rng.choice(authors),),
        removes=tuple({graph.node(rng.choice(refs)).author, rng.choice(authors)}),
        logout=rng.random() < 0.5,
        resolves=tuple(refs),
        is_spent=is_spent,
    )


@pytest.mark.parametrize("is_back", [False, True])
def test_a_banned_user_moves_the_head_in_no_game(rng: random.Random, is_back: bool) -> None:
    """`is_back`: the user is in the room again, and everything new was sent under the join that the ban spent."""
    moved = 0
    for _ in range(GAMES):
        nodes, votes, joined = random_room(rng, rng.randint(1, 10))
        banned = rng.choice(sorted({node.author.user_id for node in nodes}))
        # What the user did before the ban is in everybody's past, what came later is not.
        nodes = [replace(node, before_departure=True) if node.sender == banned else node for node in nodes]
        votes = [vote for vote in votes if vote.device.user_id != banned]
        nodes = [replace(node, is_spent=True) if node.sender == banned else node for node in nodes]
        tally = Tally.build(arrive(nodes), votes, joined | {banned} if is_back else joined - {banned})
        head = tally.head()
        authors = sorted({node.author for node in nodes if node.sender == banned})
        authors += [replace(authors[0], device_id=DeviceId(f"M{number}"), signature_key=rng.randbytes(4)) for number in range(3)]
        for _ in range(8):
            node = outsiders_node(rng, tally.graph, authors, is_spent=True)
            vote = Vote(rng.choice(authors), rng.choice([*sorted(tally.graph), node.commit_ref]), rng.randint(1, 2**63 - 1), True)
            tally = tally.add(node).cast(vote)
            moved += tally.head() != head
    assert moved == 0


@given(seed=seeds, size=st.integers(1, 12))
def test_whatever_users_who_never_were_in_the_room_add_the_head_stays(seed: int, size: int) -> None:
    rng = random.Random(seed)
    nodes, votes, joined = random_room(rng, size)
    tally = Tally.build(arrive(nodes), votes, joined)
    head = tally.head()
    authors = [make_device(f"mallory/{number}@hs{1 + number % 2}") for number in range(4)]
    for _ in range(12):
        tally = tally.add(outsiders_node(rng, tally.graph, authors, is_spent=False))
        tally = tally.cast(Vote(rng.choice(authors), rng.choice(sorted(tally.graph)), rng.randint(1, 2**63 - 1)))
        assert tally.head() == head


# A user who is alone


@pytest.mark.parametrize("attempt", range(30))
def test_one_user_moves_no_head_that_two_others_vote_for(attempt: int) -> None:
    rng = random.Random(attempt)
    story = Story("alice@hs1", "bob@hs2", "mallory@hs4").genesis("g", by="alice/1@hs1")
    story.commit("p", "g", by="alice/1@hs1", adds=["bob/1@hs2", "mallory/1@hs4"])
    story.commit("a", "p", by="alice/1@hs1").vote("bob/1@hs2", "a")
    refs = ["g", "p"]
    for number in range(20):
        device = f"mallory/{rng.randint(1, 5)}@hs4"
        parent = rng.choice(refs)
        twin = rng.random() < 0.3 and number > 0
        original = f"m{rng.randrange(number)}" if twin else ""
        if twin:
            node = story.graph.node(ref_of(original))
            story.graph = story.graph.add(replace(node, commit_ref=CommitRef(rng.randbytes(32))))
            story.commit(f"m{number}", original, by=device)
        else:
            story.commit(
                f"m{number}",
                parent,
                by=device,
                is_external=rng.random() < 0.3,
                adds=[f"mallory/{rng.randint(1, 5)}@hs4"],
                removes=rng.sample(["alice/1@hs1", "bob/1@hs2"], rng.randint(0, 2)),
                logout=rng.random() < 0.5,
                before_departure=rng.random() < 0.2,
            )
        refs.append(f"m{number}")
        story.vote(device, rng.choice(refs))
    assert story.head == "a"


@pytest.mark.parametrize("attempt", range(20))
def test_devices_by_the_dozen_with_ground_keys_and_references_move_no_head_that_two_others_vote_for(attempt: int) -> None:
    rng = random.Random(attempt)
    story = Story("alice@hs1", "bob@hs2", "mallory@hs4").genesis("g", by="alice/1@hs1")
    story.commit("p", "g", by="alice/1@hs1", adds=["bob/1@hs2", "mallory/1@hs4"])
    tally = story.commit("a", "p", by="alice/1@hs1").vote("bob/1@hs2", "a").tally
    mallory = UserId("@mallory:hs4")

    def tie(key: bytes, parent: Node) -> bytes:
        return sha256(b"DMLS 1.0 tie" + parent.commit_ref + mallory.encode() + key).digest()

    parent = story.graph.node(ref_of(rng.choice("gp")))
    for number in range(30):
        key = min((rng.randbytes(32) for _ in range(50)), key=lambda key: tie(key, parent))
        author = Device(mallory, DeviceId(f"M{number}"), key)
        ref = CommitRef(bytes(3) + rng.randbytes(29))
        node = replace(
            story.graph.node(ref_of("a")),
            commit_ref=ref,
            parent_ref=parent.commit_ref,
            sender=mallory,
            author=author,
            vote_seq=rng.randint(1, 2**63 - 1),
            content_hash=ref,
            is_external=rng.random() < 0.2,
            removes=(make_device("alice/1@hs1"), make_device("bob/1@hs2")),
            logout=rng.random() < 0.5,
        )
        tally = tally.add(node).cast(Vote(author, ref, node.vote_seq - 1))
        with pytest.raises(InvalidCommitError):
            tally.add(replace(node, commit_ref=CommitRef(rng.randbytes(32)), author=make_device("alice/1@hs1")))
        assert tally.head() == ref_of("a")
        assert tally.support(ref) == (1 if tally.vote(author) else 0)
        parent = rng.choice([parent, node])
    assert tally.supporters(ref_of("g")) == {"@alice:hs1", "@bob:hs2", mallory}
