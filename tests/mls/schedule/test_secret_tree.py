from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from dmls.errors import CodecError, DMLSError, ExhaustedError, InvalidMessageError, KeyConsumedError, LimitError, UsageError
from dmls.ids import LeafIndex
from dmls.mls.codec import encode_opaque
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.limits import Limits
from dmls.mls.messages.registry import ContentType
from dmls.mls.schedule.ratchet import Ratchet
from dmls.mls.schedule.secret_tree import MessageKey, SecretTree

SUITE = cipher_suite(1)
ROOT = Secret(bytes(range(32)))
APPLICATION, PROPOSAL, COMMIT = ContentType.APPLICATION, ContentType.PROPOSAL, ContentType.COMMIT
LAST = 0xFFFFFFFF


def leaf(number: int) -> LeafIndex:
    return LeafIndex(number)


def new_tree(width: int = 8, **limits: int) -> SecretTree:
    return SecretTree.create(SUITE, ROOT, width, Limits(**limits))


def node_secrets(width: int, number: int) -> list[Secret]:
    """The secrets of a leaf's direct path, root first, written down as RFC 9420, Section 9, has it."""
    secrets, low, high = [ROOT], 0, width
    while high - low > 1:
        middle = (low + high) // 2
        word, (low, high) = (b"left", (low, middle)) if number < middle else (b"right", (middle, high))
        secrets.append(SUITE.expand_with_label(secrets[-1], "tree", word, 32))
    return secrets


def ratchet_secrets(width: int, number: int, word: str, count: int) -> list[Secret]:
    secrets = [SUITE.expand_with_label(node_secrets(width, number)[-1], word, b"", 32)]
    for generation in range(count - 1):
        secrets.append(SUITE.derive_tree_secret(secrets[-1], "secret", generation, 32))
    return secrets


def expected_keys(width: int, number: int, word: str, count: int) -> list[tuple[bytes, bytes]]:
    return [
        (SUITE.derive_tree_secret(secret, "key", generation, 16), SUITE.derive_tree_secret(secret, "nonce", generation, 12))
        for generation, secret in enumerate(ratchet_secrets(width, number, word, count))
    ]


def pair(key: MessageKey) -> tuple[bytes, bytes]:
    return key.key, key.nonce


def stored_ratchet(generation: int, secret: bytes | None) -> bytes:
    """A stored tree of width 1 whose application ratchet stands at a generation."""
    ratchet = generation.to_bytes(8, "big") + (b"\x00" if secret is None else b"\x01" + encode_opaque(secret)) + b"\x00"
    return bytes.fromhex("00000001") + b"\x00" + encode_opaque(bytes.fromhex("00000001") + ratchet)


def test_sending_walks_the_generations_in_order() -> None:
    tree, found = new_tree(), []
    for generation in range(5):
        key, tree = tree.next_key(leaf(3), APPLICATION)
        assert key.generation == generation
        found.append(pair(key))
    assert found == expected_keys(8, 3, "application", 5)


def test_handshake_and_application_ratchets_are_independent() -> None:
    tree = new_tree()
    _, tree = tree.next_key(leaf(3), APPLICATION)
    _, tree = tree.next_key(leaf(3), APPLICATION)
    proposal, tree = tree.next_key(leaf(3), PROPOSAL)
    commit, tree = tree.next_key(leaf(3), COMMIT)
    application, tree = tree.next_key(leaf(3), APPLICATION)
    assert [pair(proposal), pair(commit)] == expected_keys(8, 3, "handshake", 2)
    assert pair(application) == expected_keys(8, 3, "application", 3)[2]


def test_the_order_in_which_leaves_are_opened_does_not_matter() -> None:
    one, other = new_tree(), new_tree()
    for number in range(8):
        _, one = one.next_key(leaf(number), APPLICATION)
    for number in reversed(range(8)):
        _, other = other.next_key(leaf(number), APPLICATION)
    assert one.encode() == other.encode()


@pytest.mark.keeps("ST-05")
def test_used_secrets_are_gone_from_the_new_tree_and_nothing_else_is() -> None:
    _, tree = new_tree().message_key(leaf(5), APPLICATION, 2)
    stored = tree.encode()
    first, second, third, fourth = ratchet_secrets(8, 5, "application", 4)
    keys = expected_keys(8, 5, "application", 3)
    for gone in (*node_secrets(8, 5), first, second, third, *keys[2]):
        assert gone not in stored
    siblings = [node_secrets(8, other)[depth] for other, depth in ((0, 1), (6, 2), (4, 3))]
    kept = (fourth, *keys[0], *keys[1], *siblings, *ratchet_secrets(8, 5, "handshake", 1))
    for held in kept:
        assert held in stored
    _, tree = tree.message_key(leaf(5), APPLICATION, 1)
    assert keys[1][0] not in tree.encode()
    assert keys[1][1] not in tree.encode()


def test_operations_leave_the_tree_they_were_asked_of_as_it_was() -> None:
    fresh = new_tree()
    _, used = fresh.message_key(leaf(2), APPLICATION, 4)
    for tree in (fresh, used):
        before = tree.encode()
        tree.next_key(leaf(2), APPLICATION)
        tree.message_key(leaf(2), APPLICATION, 9)
        tree.message_key(leaf(6), COMMIT, 0)
        tree.forget(leaf(2))
        with pytest.raises(LimitError):
            tree.message_key(leaf(2), APPLICATION, LAST)
        assert tree.encode() == before
    again, _ = used.message_key(leaf(2), APPLICATION, 3)
    once_more, _ = used.message_key(leaf(2), APPLICATION, 3)
    assert pair(again) == pair(once_more) == expected_keys(8, 2, "application", 4)[3]


@pytest.mark.breaks("ST-13")
def test_a_key_is_given_once() -> None:
    tree = new_tree()
    for generation in (0, 4, 2):
        _, tree = tree.message_key(leaf(1), APPLICATION, generation)
        assert not tree.has_key(leaf(1), APPLICATION, generation)
        with pytest.raises(KeyConsumedError) as raised:
            tree.message_key(leaf(1), APPLICATION, generation)
        assert raised.value.rule == "ST-13"


def test_ones_own_message_is_not_opened_again() -> None:
    key, tree = new_tree().next_key(leaf(1), APPLICATION)
    with pytest.raises(KeyConsumedError):
        tree.message_key(leaf(1), APPLICATION, key.generation)


@pytest.mark.breaks("ST-07")
def test_keys_older_than_the_window_are_dropped() -> None:
    _, tree = new_tree(max_skipped=3).message_key(leaf(1), APPLICATION, 9)
    assert [generation for generation in range(12) if tree.has_key(leaf(1), APPLICATION, generation)] == [7, 8, 10, 11]
    _, tree = tree.message_key(leaf(1), APPLICATION, 10)
    assert [generation for generation in range(12) if tree.has_key(leaf(1), APPLICATION, generation)] == [8, 11]


@pytest.mark.breaks("ST-08")
def test_a_jump_beyond_the_limit_is_refused_and_up_to_it_taken() -> None:
    tree = new_tree(max_forward=4)
    _, tree = tree.message_key(leaf(1), APPLICATION, 4)
    _, tree = tree.message_key(leaf(1), APPLICATION, 9)
    with pytest.raises(LimitError) as raised:
        tree.message_key(leaf(1), APPLICATION, 15)
    assert raised.value.rule == "ST-08"


def test_the_last_generation_is_refused_at_once() -> None:
    tree = SecretTree.create(SUITE, ROOT, 1 << 20)
    begin = perf_counter()
    for _ in range(20):
        with pytest.raises(LimitError):
            tree.message_key(leaf(7), APPLICATION, LAST)
    assert perf_counter() - begin < 1


@pytest.mark.breaks("ST-08", "ST-09")
def test_after_the_last_generation_nothing_is_sent_or_received() -> None:
    tree = SecretTree.decode(SUITE, stored_ratchet(LAST, bytes(32)), Limits(max_messages=1 << 33))
    with pytest.raises(LimitError, match="ST-08"):
        tree.message_key(leaf(0), APPLICATION, LAST + 1)
    key, tree = tree.next_key(leaf(0), APPLICATION)
    assert key.generation == LAST
    with pytest.raises(ExhaustedError) as raised:
        tree.next_key(leaf(0), APPLICATION)
    assert raised.value.rule == "ST-09"
    with pytest.raises(KeyConsumedError):
        tree.message_key(leaf(0), APPLICATION, LAST)
    with pytest.raises(LimitError):
        tree.message_key(leaf(0), APPLICATION, LAST + 1)
    assert not tree.has_key(leaf(0), APPLICATION, LAST + 1)
    assert SecretTree.decode(SUITE, tree.encode()).encode() == tree.encode()


def test_nothing_is_derived_where_there_is_no_secret() -> None:
    empty = Ratchet(0, None, Map())
    with pytest.raises(ExhaustedError):
        empty.next(SUITE, Limits())
    with pytest.raises(ExhaustedError):
        empty.take(SUITE, 3, Limits())


@pytest.mark.breaks("CRY-17", "SQ-06")
def test_a_sender_is_stopped_at_the_limit_of_an_epoch_and_a_receiver_is_not() -> None:
    tree = new_tree(max_messages=3)
    for _ in range(3):
        _, tree = tree.next_key(leaf(0), APPLICATION)
    with pytest.raises(LimitError) as raised:
        tree.next_key(leaf(0), APPLICATION)
    assert raised.value.rule == "CRY-17"
    tree.next_key(leaf(0), COMMIT)
    tree.message_key(leaf(0), APPLICATION, 3)


@pytest.mark.breaks("ST-05")
@pytest.mark.parametrize("opened", [False, True])
def test_a_forgotten_leaf_has_no_keys_and_its_neighbours_keep_theirs(opened: bool) -> None:
    tree = new_tree()
    if opened:
        _, tree = tree.message_key(leaf(2), APPLICATION, 5)
    tree = tree.forget(leaf(2))
    assert not tree.has_key(leaf(2), APPLICATION, 7)
    with pytest.raises(KeyConsumedError):
        tree.next_key(leaf(2), APPLICATION)
    with pytest.raises(KeyConsumedError) as raised:
        tree.message_key(leaf(2), COMMIT, 0)
    assert raised.value.rule == "ST-05"
    assert tree.forget(leaf(2)) is tree
    stored = tree.encode()
    for gone in (*node_secrets(8, 2), *ratchet_secrets(8, 2, "application", 7)):
        assert bytes(gone) not in stored
    key, _ = tree.next_key(leaf(3), APPLICATION)
    assert pair(key) == expected_keys(8, 3, "application", 1)[0]


@pytest.mark.breaks("ST-02")
@pytest.mark.parametrize("number", [8, LAST, -1])
def test_a_leaf_outside_the_tree_is_refused(number: int) -> None:
    tree = new_tree()
    for operation in (
        lambda: tree.next_key(leaf(number), APPLICATION),
        lambda: tree.message_key(leaf(number), APPLICATION, 0),
        lambda: tree.forget(leaf(number)),
    ):
        with pytest.raises(InvalidMessageError) as raised:
            operation()
        assert raised.value.rule == "ST-02"
    assert not tree.has_key(leaf(number), APPLICATION, 0)


@pytest.mark.parametrize("width", [0, -1, 3, 6, 1 << 32])
def test_a_width_that_is_no_power_of_two_is_refused(width: int) -> None:
    with pytest.raises(UsageError):
        new_tree(width)


def test_an_encryption_secret_of_a_wrong_length_is_refused() -> None:
    with pytest.raises(UsageError):
        SecretTree.create(SUITE, Secret(bytes(31)), 2)


def test_the_size_grows_with_the_senders_and_not_with_the_tree() -> None:
    small, large = SecretTree.create(SUITE, ROOT, 2), SecretTree.create(SUITE, ROOT, 1 << 20)
    assert len(small.encode()) == len(large.encode()) < 64
    sizes = []
    for number in range(0, 1 << 20, 1 << 16):
        _, large = large.next_key(leaf(number), APPLICATION)
        sizes.append(len(large.encode()))
    assert max(later - earlier for earlier, later in pairwise(sizes)) < 1_024


def test_keys_and_trees_are_not_printed() -> None:
    key, tree = new_tree().next_key(leaf(0), APPLICATION)
    for printed in (repr(key), repr(tree), f"{tree}", repr(tree._ratchets), repr(tree._nodes)):
        assert key.key.hex() not in printed
        assert repr(bytes(key.key))[2:-1] not in printed
        assert "\\x" not in printed


@dataclass
class Model:
    """What a ratchet must do, told without one."""

    limits: Limits
    head: int = 0
    used: set[int] = field(default_factory=set)

    def verdict(self, generation: int) -> type[DMLSError] | None:
        if generation >= self.head:
            return LimitError if generation - self.head > self.limits.max_forward else None
        gone = generation in self.used or generation < self.head - self.limits.max_skipped
        return KeyConsumedError if gone else None

    def use(self, generation: int) -> None:
        self.used.add(generation)
        self.head = max(self.head, generation + 1)


_STEP = st.tuples(st.integers(0, 3), st.sampled_from([APPLICATION, COMMIT]), st.integers(0, 30), st.booleans())
_EXPECTED = {
    (number, kind): expected_keys(4, number, "application" if kind is APPLICATION else "handshake", 31)
    for number in range(4)
    for kind in (APPLICATION, COMMIT)
}


@given(steps=st.lists(_STEP, max_size=40), max_forward=st.integers(0, 12), max_skipped=st.integers(0, 8))
def test_any_order_of_messages_gives_each_key_once_within_the_limits(
    steps: list[tuple[int, ContentType, int, bool]], max_forward: int, max_skipped: int
) -> None:
    limits = Limits(max_forward=max_forward, max_skipped=max_skipped)
    tree = SecretTree.create(SUITE, ROOT, 4, limits)
    models = {place: Model(limits) for place in _EXPECTED}
    for number, kind, generation, stored in steps:
        if stored:
            tree = SecretTree.decode(SUITE, tree.encode(), limits)
        model, before = models[number, kind], tree.encode()
        refusal = model.verdict(generation)
        assert tree.has_key(leaf(number), kind, generation) == (refusal is not KeyConsumedError)
        if refusal is not None:
            with pytest.raises(refusal):
                tree.message_key(leaf(number), kind, generation)
            assert tree.encode() == before
            continue
        key, after = tree.message_key(leaf(number), kind, generation)
        assert key.generation == generation
        assert pair(key) == _EXPECTED[number, kind][generation]
        assert tree.encode() == before
        model.use(generation)
        tree = after


@given(order=st.permutations(range(20)))
def test_twenty_messages_arrive_in_any_order(order: list[int]) -> None:
    tree, found = new_tree(4), {}
    for generation in order:
        key, tree = tree.message_key(leaf(1), APPLICATION, generation)
        found[generation] = pair(key)
    assert [found[generation] for generation in range(20)] == _EXPECTED[1, APPLICATION][:20]


def test_a_smaller_window_applies_to_a_stored_tree() -> None:
    _, tree = new_tree().message_key(leaf(1), APPLICATION, 9)
    narrow = SecretTree.decode(SUITE, tree.encode(), Limits(max_skipped=2))
    assert [generation for generation in range(10) if narrow.has_key(leaf(1), APPLICATION, generation)] == [8]


@pytest.mark.keeps("ST-11")
def test_restoring_does_not_move_the_send_position() -> None:
    first, tree = new_tree().next_key(leaf(0), APPLICATION)
    second, _ = SecretTree.decode(SUITE, tree.encode()).next_key(leaf(0), APPLICATION)
    assert (first.generation, second.generation) == (0, 1)
    assert pair(first) != pair(second)


_KEY = bytes(28)


def _tree_record(width: int, nodes: bytes = b"", ratchets: bytes = b"") -> bytes:
    return width.to_bytes(4, "big") + encode_opaque(nodes) + encode_opaque(ratchets)


def _node(number: int, size: int = 32) -> bytes:
    return number.to_bytes(4, "big") + encode_opaque(bytes(size))


def _ratchet(slot: int, generation: int, *skipped: tuple[int, bytes]) -> bytes:
    keys = b"".join(number.to_bytes(4, "big") + encode_opaque(key) for number, key in skipped)
    position = slot.to_bytes(4, "big") + generation.to_bytes(8, "big")
    return position + b"\x01" + encode_opaque(bytes(32)) + encode_opaque(keys)


@pytest.mark.breaks("ST-11")
@pytest.mark.parametrize(
    "data",
    [
        _tree_record(0),
        _tree_record(6),
        _tree_record(2, _node(0)),
        _tree_record(2, _node(4)),
        _tree_record(2, _node(1, 31)),
        _tree_record(2, _node(3) + _node(2)),
        _tree_record(2, _node(2) + _node(2)),
        _tree_record(2, b"", _ratchet(4, 0)),
        _tree_record(2, b"", _ratchet(1, 0) + _ratchet(1, 0)),
        _tree_record(2, b"", _ratchet(1, 0) + _ratchet(0, 0)),
        _tree_record(2, b"", _ratchet(1, 5, (5, _KEY))),
        _tree_record(2, b"", _ratchet(1, 5, (3, _KEY), (3, _KEY))),
        _tree_record(2, b"", _ratchet(1, 5, (3, _KEY[1:]))),
        _tree_record(2, b"", _ratchet(1, 1 << 32)),
        _tree_record(2, b"", _ratchet(1, 1 << 33)),
        _tree_record(2) + b"\x00",
        stored_ratchet(0, None),
        stored_ratchet(0, bytes(31)),
    ],
)
def test_a_stored_tree_that_makes_no_sense_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        SecretTree.decode(SUITE, data)


def test_the_records_that_the_refused_ones_vary_are_accepted() -> None:
    for data in (_tree_record(2, _node(2) + _node(3)), _tree_record(2, b"", _ratchet(0, 0) + _ratchet(1, 5, (3, _KEY)))):
        assert SecretTree.decode(SUITE, data).encode() == data


@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_are_a_codec_error_or_a_tree(data: bytes) -> None:
    try:
        tree = SecretTree.decode(SUITE, data)
    except CodecError:
        return
    assert tree.encode() == data


def test_a_stored_tree_belongs_to_its_suite() -> None:
    with pytest.raises(CodecError):
        SecretTree.decode(cipher_suite(7), new_tree().encode())
