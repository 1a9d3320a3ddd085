"""The known answers of docs/protocol.md: the library gives them, and arithmetic that knows nothing of the library does too."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519

from dmls.errors import DMLSError
from dmls.forks.graph import EpochGraph
from dmls.forks.tally import Tally
from tests.support import plain_dmls as plain
from tests.support import plain_events
from tests.support.epoch_graphs import naive_room
from tests.support.known_answers.files import FILES, FOLDER, make_file, read_file
from tests.support.known_answers.heads import read_case
from tests.support.known_answers.structs import decoders

SUITES = list(plain.HASHES)

_CURVES: dict[int, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    2: (ec.SECP256R1(), hashes.SHA256()),
    5: (ec.SECP521R1(), hashes.SHA512()),
    7: (ec.SECP384R1(), hashes.SHA384()),
}


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_what_the_library_gives(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == make_file(name)


def test_there_is_no_file_that_nothing_makes() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.json" for name in FILES}


@pytest.mark.parametrize("name", ["pprf", "key-schedule", "references"])
def test_there_are_answers_for_every_suite(name: str) -> None:
    assert [entry["cipher_suite"] for entry in read_file(name)] == SUITES


def entry_of(name: str, suite: int) -> dict[str, Any]:
    entry: dict[str, Any] = read_file(name)[suite - 1]
    return entry


def unhex(fields: dict[str, Any]) -> dict[str, bytes]:
    return {name: bytes.fromhex(value) for name, value in fields.items() if isinstance(value, str)}


# PPRF and key schedule


@pytest.mark.parametrize("suite", SUITES)
def test_outputs_of_the_pprf_are_leaves_of_the_tree(suite: int) -> None:
    entry = entry_of("pprf", suite)
    for value, output in zip(entry["inputs"], entry["outputs"], strict=True):
        pprf = plain.PlainPPRF(plain.HASHES[suite], bytes.fromhex(entry["key"]), 64)
        assert pprf.evaluate(bytes.fromhex(value)).hex() == output


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("form", ["kept_64", "full"])
def test_every_order_of_evaluation_gives_the_same_outputs_and_holds_as_many_nodes(suite: int, form: str) -> None:
    entry = entry_of("pprf", suite)
    key = bytes.fromhex(entry["key"])
    orders = [case["order"] for case in entry["orders"]]
    for case in entry["orders"]:
        pprf = plain.PlainPPRF(plain.HASHES[suite], key, 64 if form == "kept_64" else 8 * len(key))
        for number, nodes in zip(case["order"], case[f"nodes_{form}"], strict=True):
            assert pprf.evaluate(bytes.fromhex(entry["inputs"][number])).hex() == entry["outputs"][number]
            assert len(pprf.nodes) == nodes
    assert len({case[f"nodes_{form}"][-1] for case in entry["orders"]}) == 1
    assert sorted(orders[1]) == orders[0]
    assert orders[1] != orders[0]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("form", ["kept_64", "full"])
def test_a_used_input_is_punctured_and_so_is_what_cannot_be_told_from_it(suite: int, form: str) -> None:
    entry = entry_of("pprf", suite)
    key = bytes.fromhex(entry["key"])
    found: dict[str, str | None] = {}
    for name, case in entry["after_the_first"].items():
        pprf = plain.PlainPPRF(plain.HASHES[suite], key, 64 if form == "kept_64" else 8 * len(key))
        pprf.evaluate(bytes.fromhex(entry["inputs"][0]))
        try:
            found[name] = pprf.evaluate(bytes.fromhex(case["input"])).hex()
        except plain.PuncturedError:
            found[name] = None
        assert found[name] == case[form], name
    assert found["same_input"] is None
    assert (found["same_64_bits"] is None) == (form == "kept_64")


def test_the_answers_of_the_design_are_among_them() -> None:
    entry = entry_of("pprf", 1)
    assert entry["outputs"][0] == "594fc5e4cdb517d0f3af4944fcb6df28cff156e9fb3d552f8e0ac67aa18a246d"
    assert entry["outputs"][1] == "7134dff187ed072739333913ba60d4a34890ed1ae10edaf17085da57f72be6d8"
    assert entry["orders"][0]["nodes_full"][:2] == [256, 503]
    schedule = entry_of("key-schedule", 1)
    assert schedule["parent_init_secret"] == "3efdad8df8915c02d2dd6b622ce4222cea110c8a64f479af4b4fb85d37ec7e52"
    assert schedule["commit_confirmation"] == "ecd03da87b0d25905e0bce60f3decf2a69096d483ece6a59d59f25ec58be96b3"
    assert schedule["input"] == "7b903b494fcd2c89bb3f6501df283f033ab6ec8de47dd4a7510a342d38ad4515"
    assert schedule["init_secret"] == "5c16b2bede13e92ebf0e957d61467f2dfdc8c67e488eaf6ff64ca8478e43206d"


@pytest.mark.parametrize("suite", SUITES)
def test_the_key_schedule_follows_from_epoch_secret_and_path_secret(suite: int) -> None:
    entry = unhex(entry_of("key-schedule", suite))
    hash = plain.HASHES[suite]
    child = plain.child_of(hash, entry["epoch_secret"], entry["last_path_secret"], entry["group_context"])
    assert child.parent_init_secret == entry["parent_init_secret"]
    assert child.commit_confirmation == entry["commit_confirmation"]
    assert child.input == entry["input"]
    assert child.init_secret == entry["init_secret"]
    assert plain.epoch_id(hash, entry["epoch_secret"]) == entry["epoch_id"]


# Structs


@pytest.mark.parametrize("case", read_file("structs")["good"], ids=lambda case: str(case["struct"]))
def test_a_struct_has_its_encoding(case: dict[str, Any]) -> None:
    assert plain.encode_struct(case["struct"], case["fields"]).hex() == case["encoded"]
    decoders()[case["struct"]](bytes.fromhex(case["encoded"]))


@pytest.mark.parametrize("case", read_file("structs")["refused"], ids=lambda case: f"{case['struct']}: {case['why']}")
def test_an_encoding_that_is_not_one_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(DMLSError) as caught:
        decoders()[case["struct"]](bytes.fromhex(case["encoded"]))
    assert caught.value.reason == case["reason"]


# Events


@pytest.mark.parametrize("case", read_file("events"), ids=lambda case: str(case["why"]))
def test_an_event_is_read_as_the_table_of_the_page_says(case: dict[str, Any]) -> None:
    try:
        kind, fields = plain_events.read(case["text"])
    except plain_events.RefusedError:
        assert not case["taken"]
    else:
        assert (case["taken"], case["kind"], case["fields"]) == (True, kind, sorted(fields))


# References


@pytest.mark.parametrize("suite", SUITES)
def test_nodes_are_named_by_hashes_of_what_everybody_sees(suite: int) -> None:
    entry, hash = entry_of("references", suite), plain.HASHES[suite]
    genesis, commit, twin = unhex(entry["genesis"]), unhex(entry["commit"]), unhex(entry["twin"])
    assert plain.genesis_ref(hash, genesis["group_info"]) == genesis["commit_ref"]
    parts = (commit["framed_content"], commit["signature"], commit["confirmation_tag"], commit["membership_tag"])
    assert plain.public_message(*parts) == commit["message"]
    assert plain.commit_ref(hash, *parts[:3]) == commit["commit_ref"]
    assert plain.digest(hash, commit["framed_content"]) == commit["content_hash"] == twin["content_hash"]
    assert plain.commit_ref(hash, *parts[:2], twin["confirmation_tag"]) == twin["commit_ref"]
    assert twin["commit_ref"] != commit["commit_ref"]


@pytest.mark.parametrize("suite", SUITES)
def test_a_commit_points_at_its_parent_in_what_is_signed(suite: int) -> None:
    entry = entry_of("references", suite)
    genesis = entry["genesis"]
    fields = {
        "parent": {"commit_ref": genesis["commit_ref"], "epoch_id": genesis["epoch_id"]},
        "resolves": [],
        "rejects": [],
        "vote_seq": "1",
        "logout": 0,
        "state_events": [],
    }
    aad = plain.encode_struct("DmlsCommitAAD", fields)
    assert aad.hex() == entry["commit"]["authenticated_data"]
    assert plain.vec(aad) in bytes.fromhex(entry["commit"]["framed_content"])


@pytest.mark.parametrize("suite", SUITES)
def test_a_real_commit_leads_from_epoch_secret_to_epoch_secret(suite: int) -> None:
    entry, hash = entry_of("references", suite), plain.HASHES[suite]
    genesis, commit = unhex(entry["genesis"]), unhex(entry["commit"])
    child = plain.child_of(hash, genesis["epoch_secret"], commit["last_path_secret"], commit["group_context"])
    assert (child.input, child.init_secret) == (commit["input"], commit["init_secret"])
    assert child.epoch_secret == commit["epoch_secret"]
    assert plain.confirmation_tag(hash, child.epoch_secret, commit["group_context"]) == commit["confirmation_tag"]
    assert plain.epoch_id(hash, genesis["epoch_secret"]) == genesis["epoch_id"]
    assert plain.epoch_id(hash, commit["epoch_secret"]) == commit["epoch_id"]


def check_signature(suite: int, public_key: bytes, message: bytes, signature: bytes) -> None:
    """Verify with nothing but the library that the primitives come from; raises if the signature is wrong."""
    if suite in _CURVES:
        curve, hash = _CURVES[suite]
        ec.EllipticCurvePublicKey.from_encoded_point(curve, public_key).verify(signature, message, ec.ECDSA(hash))
    elif suite in (1, 3):
        ed25519.Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    else:
        ed448.Ed448PublicKey.from_public_bytes(public_key).verify(signature, message)


@pytest.mark.parametrize("suite", SUITES)
def test_a_vote_is_signed_by_the_leaf_over_group_node_leaf_and_number(suite: int) -> None:
    entry = entry_of("references", suite)
    vote = entry["vote"]
    fields = {
        "group_id": "!room:hs1.example",
        "commit_ref": entry["commit"]["commit_ref"],
        "leaf_index": vote["leaf_index"],
        "vote_seq": vote["vote_seq"],
    }
    assert plain.encode_struct("VoteTBS", fields).hex() == vote["encoded"]
    signed = plain.sign_content(b"DMLS 1.0 Vote", bytes.fromhex(vote["encoded"]))
    check_signature(suite, bytes.fromhex(vote["signature_key"]), signed, bytes.fromhex(vote["signature"]))


# The head


def _head_cases() -> list[Any]:
    return [pytest.param(case, id=case["title"]) for case in read_file("heads")["cases"]]


@pytest.mark.parametrize("case", _head_cases())
def test_both_implementations_of_the_rule_find_the_head(case: dict[str, Any]) -> None:
    nodes, votes, joined = read_case(case)
    wanted = {item["name"]: bytes.fromhex(item["commit_ref"]) for item in case["nodes"]}
    assert naive_room(nodes, votes, joined).head() == wanted[case["head"]]
    graph = EpochGraph.build(nodes)
    tally = Tally.build(graph, votes, joined)
    assert tally.head() == wanted[case["head"]]
    found = {item.event_id[1:]: len(tally.supporters(item.commit_ref)) for item in nodes}
    assert found == case["supporters"]


def test_what_is_level_in_everything_is_put_in_order_by_the_tie_hash() -> None:
    tie = read_file("heads")["tie"]
    nodes = {item["name"]: item for item in tie["room"]["nodes"] if item["name"] in tie["order"]}

    def tie_hash(name: str) -> bytes:
        user, _, key = nodes[name]["author"]
        return plain.tie_hash(bytes.fromhex(nodes[name]["parent_ref"]), user, bytes.fromhex(key))

    assert tie["order"] == sorted(nodes, key=tie_hash)
    assert tie["order"] != sorted(nodes, key=lambda name: str(nodes[name]["commit_ref"]))


# Who commits


@pytest.mark.parametrize("number", range(3))
def test_servers_wait_by_their_rank_under_the_head(number: int) -> None:
    case = read_file("committing")["delays"][number]
    head, able = bytes.fromhex(case["head"]), case["able"]
    waits = {server: plain.commit_wait_ms(head, server, able, responsible=False, position=0) for server in able}
    assert waits == case["delay_ms"]
    in_order = [waits[server] for server in plain.server_order(head, able)]
    assert all(later - sooner > 2_000 for sooner, later in itertools.pairwise(in_order[:9]))


def test_a_responsible_server_waits_only_for_its_own_agents() -> None:
    answers = read_file("committing")
    head, able = bytes.fromhex(answers["delays"][0]["head"]), ["hs1.example", "hs2.example"]
    for case in answers["positions"]:
        position = case["position"]
        waits = plain.commit_wait_ms(head, "hs1.example", able, responsible=True, position=position)
        assert waits == case["delay_ms"], position


def test_the_pause_before_adding_a_removed_device_again_grows_fourfold_up_to_a_day() -> None:
    pauses = {case["times_removed"]: case["delay_ms"] for case in read_file("committing")["readding"]}
    assert pauses == {times: min(60_000 * 4**times, 86_400_000) if times else 0 for times in range(8)}


@pytest.mark.parametrize("number", range(4))
def test_keys_are_renewed_at_times_that_are_spread_by_hashes(number: int) -> None:
    case = read_file("committing")["renewal"][number]
    head, brought_by, key = (bytes.fromhex(case[name]) for name in ("head", "brought_by", "signature_key"))
    times = plain.renewal_times(head, brought_by, case["user_id"], key, case["members"])
    assert {name: case[name] for name in times} == times
