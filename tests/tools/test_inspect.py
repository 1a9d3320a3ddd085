"""What `dmls inspect` makes of bytes: everything that decodes is shown, everything else refused with a place and a reason."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dmls.errors import InvalidArgumentError
from dmls.ids import LeafIndex
from dmls.mls.codec import decode, decode_as, encode, encode_as, encode_opaque
from dmls.mls.crypto.suites import cipher_suite
from dmls.mls.limits import DEFAULT_LIMITS
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.credential import BasicCredential, X509Credential
from dmls.mls.messages.extensions import Extension, find_extension
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage, key_package_ref
from dmls.mls.messages.leaf_node import LeafNode, Lifetime
from dmls.mls.messages.message import MLSMessage
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.tree.ratchet_tree import RatchetTree
from dmls.tools.inspect.kinds import KINDS, NODES, Inspected, recognise
from dmls.tools.inspect.position import locate
from dmls.tools.inspect.rendering import to_json, to_lines
from dmls.tools.inspect.source import Encoding, decodings
from dmls.tools.inspect.values import printable
from scripts.proto import ROOT
from tests.robustness.mutants import Donors, mutate
from tests.robustness.scene import make_scene
from tests.robustness.wire import take_apart
from tests.support.vectors import load_vectors

SCENE = make_scene(1)
OBJECTS = {
    name: (next(kind for kind in KINDS if KINDS[kind] == hint), encode_as(hint, value))
    for name, (hint, value) in SCENE.objects().items()
    if hint in KINDS.values()
}


def look(data: bytes, **options: Any) -> Inspected:
    return recognise(decodings(data, options.pop("encoding", None)), **options)


def text_of(found: Inspected, *, is_full: bool = False) -> str:
    return "\n".join(to_lines(found.record, is_full=is_full))


def json_of(found: Inspected) -> Any:
    return json.loads(json.dumps(to_json(found.record)))


WRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda data: data,
    "hex": lambda data: data.hex().encode(),
    "hex, marked": lambda data: b"0x" + data.hex().upper().encode() + b"\n",
    "hex, in lines": lambda data: data.hex(":", 16).encode().replace(b":", b"\n  "),
    "base64": base64.b64encode,
    "base64, in lines": base64.encodebytes,
    "base64, for addresses": lambda data: base64.urlsafe_b64encode(data).rstrip(b"="),
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("name", OBJECTS)
def test_every_object_is_recognised_however_it_is_written(name: str, written: str) -> None:
    kind, data = OBJECTS[name]
    found = look(WRITTEN[written](data))
    assert kind in (found.kind, *found.also)
    assert found.encoding == written.partition(",")[0]
    assert found.size == len(data)
    assert text_of(found)
    assert json_of(found)["type"] == found.record.title
    forced = look(WRITTEN[written](data), kind=kind)
    assert (forced.kind, forced.also) == (kind, ())


def test_almost_every_object_is_taken_for_nothing_else() -> None:
    for kind, data in OBJECTS.values():
        assert look(data).kind == kind
    assert sum(1 for _, data in OBJECTS.values() if look(data).also) <= len(OBJECTS) // 20


def _messages(value: object) -> Iterator[bytes]:
    """Yield what is written in hexadecimal digits anywhere in a JSON value."""
    if isinstance(value, dict):
        for part in value.values():
            yield from _messages(part)
    elif isinstance(value, list):
        for part in value:
            yield from _messages(part)
    elif isinstance(value, str) and len(value) >= 128:
        try:
            yield bytes.fromhex(value)
        except ValueError:
            return


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "vectors").rglob("*.json")), ids=lambda path: path.name)
def test_whatever_is_in_a_vector_file_is_shown_or_refused(path: Path) -> None:
    for data in _messages(json.loads(path.read_text())):
        try:
            found = look(data)
        except InvalidArgumentError:
            continue
        assert text_of(found)


VECTORS = {
    "mls_welcome": ("message", "Welcome"),
    "mls_group_info": ("message", "GroupInfo"),
    "mls_key_package": ("message", "KeyPackage"),
    "ratchet_tree": ("ratchet-tree", "RatchetTree"),
    "private_message": ("message", "PrivateMessage"),
    "public_message_application": ("message", "PublicMessage"),
    "public_message_proposal": ("message", "PublicMessage"),
    "public_message_commit": ("message", "PublicMessage"),
    "commit": ("commit", "Commit"),
}


@pytest.mark.parametrize("field", VECTORS)
def test_the_working_groups_messages_are_shown(field: str) -> None:
    kind, title = VECTORS[field]
    for case in load_vectors("messages.json"):
        found = look(case[field].encode())
        assert found.kind == kind
        shown = json_of(found)
        assert title in (shown["type"], shown.get("body", {}).get("type"))


# What is shown


def test_a_key_package_is_shown_with_names_times_and_its_reference() -> None:
    data = SCENE.messages["key package"]
    key_package = decode(MLSMessage, data).body
    assert isinstance(key_package, KeyPackage)
    shown = json_of(look(data))["body"]
    assert shown["cipher_suite"] == {"value": 1, "name": "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519"}
    assert shown["key_package_ref"] == key_package_ref(cipher_suite(1), key_package).hex()
    assert shown["signature_check"] == shown["leaf_node"]["signature_check"] == "verifies"
    capabilities = shown["leaf_node"]["capabilities"]
    assert [entry["name"] for entry in capabilities["extensions"]] == ["private use", "last_resort", "GREASE"]
    assert [entry["name"] for entry in capabilities["credentials"]] == ["basic", "x509", "GREASE"]
    assert shown["leaf_node"]["credential"]["identity"]["text"] == "outsider"
    assert shown["leaf_node"]["source"]["not_before"] == {"seconds": 0, "utc": "1970-01-01T00:00:00Z"}
    assert shown["leaf_node"]["source"]["not_after"]["utc"] is None
    assert shown["init_key"] == key_package.init_key.hex()
    assert key_package_ref(cipher_suite(1), key_package).hex() in text_of(look(data))


def test_a_signature_that_does_not_verify_is_said_so() -> None:
    key_package = decode(MLSMessage, SCENE.messages["key package"]).body
    assert isinstance(key_package, KeyPackage)
    shown = json_of(look(encode(replace(key_package, signature=bytes(64)))))
    assert shown["signature_check"] == "does not verify"
    assert shown["leaf_node"]["signature_check"] == "verifies"
    unknown = json_of(look(encode(replace(key_package, cipher_suite=0x0A0A))))
    assert unknown["cipher_suite"]["name"] == "GREASE"
    assert "signature_check" not in unknown


def test_a_group_info_is_compared_with_its_tree() -> None:
    info = decode(MLSMessage, SCENE.messages["group info"]).body
    assert isinstance(info, GroupInfo)
    shown = json_of(look(encode(info)))
    assert (shown["tree_hash_check"], shown["signature_check"]) == ("is that of the tree", "verifies")
    other = replace(info, group_context=replace(info.group_context, tree_hash=bytes(32)))
    shown = json_of(look(encode(other)))
    assert (shown["tree_hash_check"], shown["signature_check"]) == ("is not that of the tree", "does not verify")
    contents = {entry["extension_type"]["name"]: entry for entry in (*shown["extensions"], *shown["group_context"]["extensions"])}
    assert contents["external_pub"]["content"]["type"] == "ExternalPub"
    assert contents["external_senders"]["content"]["senders"][0]["credential"]["identity"]["text"] == "server"
    assert contents["ratchet_tree"]["content"]["members"] == 5
    assert contents["private use"]["extension_data"] == b"of the application".hex()


def test_a_tree_is_drawn_with_its_blanks() -> None:
    info = decode(MLSMessage, SCENE.messages["group info"]).body
    assert isinstance(info, GroupInfo)
    found = look(find_extension(info.extensions, ExtensionType.RATCHET_TREE) or b"")
    lines = [line.strip() for line in to_lines(found.record)]
    assert lines[:4] == ["RatchetTree", "members: 5", "leaves: 8", "filled_parents: 3"]
    assert any('leaf 0: "alice", key' in line for line in lines)
    assert any(line.endswith("leaf 5: blank") for line in lines)
    assert any(line.endswith("node 13: leaves 6 to 7 are blank") for line in lines)
    assert any(line.startswith("node 7: key") and line.endswith("unmerged leaves 2") for line in lines)
    assert [node["node"] for node in json_of(found)["nodes"]] == [0, 1, 2, 3, 4, 6, 7, 8]
    assert "tree_hash" not in json_of(found)
    hashed = look(encode_as(*SCENE.parts["ratchet tree"]), suite=cipher_suite(1))
    assert json_of(hashed)["tree_hash"] == info.group_context.tree_hash.hex()


def test_a_wide_tree_is_drawn_in_few_lines() -> None:
    leaf = b"\x01\x01" + encode(SCENE.parts["leaf node"][1])
    found = look(encode_opaque(leaf + bytes(2 * DEFAULT_LIMITS.max_leaves - 3) + leaf))
    assert len(text_of(found).splitlines()) < 80


def test_a_reference_is_computed_where_the_suite_is_given() -> None:
    data = SCENE.messages["proposal, remove"]
    (shown,) = [json_of(look(data, suite=cipher_suite(1)))["body"]]
    assert len(shown["proposal_ref"]) == 64
    assert "proposal_ref" not in json_of(look(data))["body"]


def test_certificates_are_shown_or_said_to_be_none() -> None:
    leaf: LeafNode = SCENE.parts["leaf node"][1]
    shown = json_of(look(encode(replace(leaf, credential=X509Credential((b"not DER",))))))
    (certificate,) = shown["credential"]["certificates"]
    assert certificate["der"] == b"not DER".hex()
    assert certificate["problem"].startswith("does not decode")
    chain = json_of(look(SCENE.messages["key package, certified"]))["body"]["leaf_node"]["credential"]["certificates"]
    assert [entry["subject"]["text"] for entry in chain] == ["CN=outsider.example", "CN=root"]
    assert chain[0]["issuer"]["text"] == "CN=root"
    assert chain[0]["not_before"]["utc"] < chain[0]["not_after"]["utc"]


def test_extensions_that_do_not_decode_are_shown_as_they_are() -> None:
    leaf: LeafNode = SCENE.parts["leaf node"][1]
    spoilt = Extension(ExtensionType.REQUIRED_CAPABILITIES, b"\x07")
    (shown,) = json_of(look(encode(replace(leaf, extensions=(spoilt,)))))["extensions"]
    assert shown["extension_data"] == "07"
    assert shown["problem"].startswith("does not decode")


def test_long_bytes_and_lists_are_shortened_unless_all_is_wanted() -> None:
    commit = Commit((), None)
    leaf: LeafNode = SCENE.parts["leaf node"][1]
    many = replace(leaf, extensions=tuple(Extension(0xF000 + number, bytes(100)) for number in range(100)))
    found = look(encode(many))
    assert ".. and 36 more" in text_of(found)
    assert bytes(100).hex() not in text_of(found)
    assert ".. and" not in text_of(found, is_full=True)
    assert bytes(100).hex() in text_of(found, is_full=True)
    assert len(json_of(found)["extensions"]) == 100
    assert text_of(look(encode(commit), kind="commit")).splitlines() == ["Commit", "  proposals: none", "  path: none"]


@pytest.mark.parametrize(
    "identity",
    [
        b"\x1b[31mred\x1b[0m",
        "a\u202eb".encode(),
        b"line\nbreak\r\x07",
        b"\x9b1m",
        b"\xff\xfe",
        "\u2028\ufeff\x00".encode(),
        b"\\x1b",
    ],
)
def test_nothing_that_a_terminal_obeys_is_shown(identity: bytes) -> None:
    leaf: LeafNode = replace(SCENE.parts["leaf node"][1], credential=BasicCredential(identity))
    tree = RatchetTree.create(cipher_suite(1), leaf).encode()
    for found in (look(encode(leaf)), look(tree)):
        for line in to_lines(found.record):
            assert line.isprintable()
        assert identity.hex() in json.dumps(json_of(found))
        assert json.dumps(json_of(found)).isprintable()


def test_what_is_escaped_can_be_told_from_what_is_written_so() -> None:
    assert printable("a\nb") == "a\\nb"
    assert printable("a\\nb") == "a\\\\nb"
    assert printable("ünïcödé") == "ünïcödé"


@pytest.mark.parametrize("seconds", [0, 1_700_000_000, 253_402_300_799, 253_402_300_800, 2**64 - 1])
def test_every_time_is_shown(seconds: int) -> None:
    leaf: LeafNode = replace(SCENE.parts["leaf node"][1], source=Lifetime(seconds, seconds))
    assert str(seconds) in text_of(look(encode(leaf)))


# What is refused


@pytest.mark.parametrize("name", OBJECTS)
def test_a_cut_object_is_refused_with_the_place(name: str) -> None:
    kind, data = OBJECTS[name]
    for end in sorted({1, len(data) // 3, len(data) // 2, len(data) - 1}):
        with pytest.raises(InvalidArgumentError) as raised:
            look(data[:end], kind=kind, encoding=Encoding.RAW)
        assert f"not a {kind}" in raised.value.message
        assert "at byte" in raised.value.message


@pytest.mark.parametrize("field", ["cipher_suite", "leaf_node.credential.certificates", "extensions", "signature"])
def test_the_place_is_that_of_the_field(field: str) -> None:
    data = encode_as(*SCENE.parts["key package alone"])
    value: Any = decode(KeyPackage, data)
    assert locate(KeyPackage, data) == (len(data), "")
    places: dict[str, int] = {}
    for end in range(len(data)):
        offset, path = locate(KeyPackage, data[:end])
        places.setdefault(path, offset)
        assert offset <= end
    assert places[field] > 0
    assert value.signature.hex() == data[places["signature"] + 2 :].hex()


def test_bytes_after_an_object_are_refused_with_the_place() -> None:
    data = SCENE.messages["key package"]
    with pytest.raises(InvalidArgumentError) as raised:
        look(data + b"\x00", encoding=Encoding.RAW)
    assert raised.value.rule == "ENC-08"
    assert f"at byte {len(data)} of {len(data) + 1}" in raised.value.message


def test_what_is_nothing_is_refused() -> None:
    for data in (b"hello, world", b"\x00\x01\x00\x09", bytes(1000), b"zz" * 100, bytes(range(256))):
        with pytest.raises(InvalidArgumentError) as raised:
            look(data)
        assert "none of the kinds" in raised.value.message


@pytest.mark.parametrize(("data", "encoding"), [(b"xyz", Encoding.HEX), (b"abc", Encoding.HEX), (b"\xff\xff", Encoding.BASE64)])
def test_bytes_that_are_not_written_as_said_are_refused(data: bytes, encoding: Encoding) -> None:
    with pytest.raises(InvalidArgumentError, match=f"not {encoding}"):
        look(data, encoding=encoding)


def test_mutants_are_shown_or_refused() -> None:
    rng = random.Random(7)
    roots = [take_apart(hint, value) for hint, value in SCENE.objects().values() if hint in KINDS.values()]
    donors = Donors(roots)
    kinds = {id(root): next(kind for kind in KINDS if KINDS[kind] == root.hint) for root in roots}
    shown = 0
    for _ in range(1500):
        root = roots[rng.randrange(len(roots))]
        data = mutate(rng, root, tuple(root.walk()), donors)
        try:
            found = look(data, kind=kinds[id(root)], encoding=Encoding.RAW)
        except InvalidArgumentError:
            continue
        shown += 1
        assert text_of(found)
        json_of(found)
    assert shown > 300


def test_a_tree_decodes_the_same_along_its_declaration() -> None:
    hint, value = SCENE.parts["ratchet tree"]
    data = encode_as(hint, value)
    assert decode_as(NODES, data) == value
    assert RatchetTree.decode(cipher_suite(1), data).leaf(LeafIndex(0)) == value[0]
