"""The arithmetic of docs/protocol.md a second time: hashes, HMAC and byte strings, and without a line of dmls.

Everything takes and gives plain bytes; `hash` is the name of the suite's hash function for hashlib.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

HASHES = {1: "sha256", 2: "sha256", 3: "sha256", 4: "sha512", 5: "sha512", 6: "sha512", 7: "sha384"}
"""The hash function of each cipher suite."""


# Encoding


def vec(data: bytes) -> bytes:
    """A variable-size vector of bytes: its length, then the bytes."""
    size = len(data)
    if size < 1 << 6:
        return struct.pack(">B", size) + data
    if size < 1 << 14:
        return struct.pack(">H", size | 1 << 14) + data
    return struct.pack(">I", size | 2 << 30) + data


def take_vec(data: bytes) -> tuple[bytes, bytes]:
    """Split a vector from what follows it."""
    width = 1 << (data[0] >> 6)
    size = int.from_bytes(data[:width], "big") & (1 << 8 * width - 2) - 1
    return data[width : width + size], data[width + size :]


def pointer(fields: Mapping[str, Any]) -> bytes:
    return vec(bytes.fromhex(fields["commit_ref"])) + vec(bytes.fromhex(fields["epoch_id"]))


def encode_struct(name: str, fields: Mapping[str, Any]) -> bytes:
    """Encode a struct of docs/protocol.md from its fields as the vectors write them: bytes in hex, text, numbers."""
    if name == "DmlsParams":
        head = struct.pack(">BBBIH", 1, fields["key_schedule"], 1, fields["retain_seconds"], fields["retain_epochs"])
        return head + vec(fields["room_id"].encode())
    if name == "DmlsIdentity":
        return vec(fields["user_id"].encode()) + vec(fields["device_id"].encode())
    if name == "DmlsNodeRef":
        return vec(bytes.fromhex(fields["commit_ref"]))
    if name == "EpochPointer":
        return pointer(fields)
    if name == "DmlsCommitAAD":
        return b"".join(
            (
                b"\x01",
                pointer(fields["parent"]),
                vec(b"".join(map(pointer, fields["resolves"]))),
                vec(b"".join(map(pointer, fields["rejects"]))),
                struct.pack(">QB", int(fields["vote_seq"]), fields["logout"]),
                vec(b"".join(vec(event.encode()) for event in fields["state_events"])),
            )
        )
    if name == "DmlsMessageAAD":
        return b"\x01" + pointer(fields["epoch"])
    if name == "VoteTBS":
        names = vec(fields["group_id"].encode()) + vec(bytes.fromhex(fields["commit_ref"]))
        return names + struct.pack(">IQ", fields["leaf_index"], int(fields["vote_seq"]))
    raise ValueError(name)


# Derivation


def expand_with_label(hash: str, secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
    info = struct.pack(">H", length) + vec(b"MLS 1.0 " + label) + vec(context)
    assert length <= hashlib.new(hash).digest_size  # one block is all that is needed here
    return hmac.digest(secret, info + b"\x01", hash)[:length]


def derive_secret(hash: str, secret: bytes, label: bytes) -> bytes:
    return expand_with_label(hash, secret, label, b"", hashlib.new(hash).digest_size)


def digest(hash: str, data: bytes) -> bytes:
    return hashlib.new(hash, data).digest()


def ref_hash(hash: str, label: bytes, value: bytes) -> bytes:
    return digest(hash, vec(label) + vec(value))


def epoch_id(hash: str, epoch_secret: bytes) -> bytes:
    exported = derive_secret(hash, derive_secret(hash, epoch_secret, b"exporter"), b"DMLS epoch ID")
    return expand_with_label(hash, exported, b"exported", digest(hash, b""), hashlib.new(hash).digest_size)


def confirmation_tag(hash: str, epoch_secret: bytes, group_context: bytes) -> bytes:
    return hmac.digest(derive_secret(hash, epoch_secret, b"confirm"), confirmed_transcript_hash(group_context), hash)


def confirmed_transcript_hash(group_context: bytes) -> bytes:
    """Find it in an encoded GroupContext: version, suite, group id, epoch, tree hash, confirmed transcript hash, extensions."""
    _group_id, rest = take_vec(group_context[4:])
    _tree_hash, rest = take_vec(rest[8:])
    return take_vec(rest)[0]


# Key schedule of mode `pprf`


class PuncturedError(Exception):
    """The input was evaluated before, or one that cannot be told from it."""


class PlainPPRF:
    """The tree as a dictionary from the bits of the path to a node, as text, to the node's secret."""

    def __init__(self, hash: str, key: bytes, levels: int) -> None:
        self.hash = hash
        self.levels = levels
        self.nodes = {"": key}

    def evaluate(self, value: bytes) -> bytes:
        size = hashlib.new(self.hash).digest_size
        bits = "".join(f"{octet:08b}" for octet in value)
        assert len(bits) == 8 * size
        held = [depth for depth in range(self.levels + 1) if bits[:depth] in self.nodes]
        if not held:
            raise PuncturedError
        depth = held[0]
        secret = self.nodes.pop(bits[:depth])
        for above in range(depth, 8 * size):
            both = {side: expand_with_label(self.hash, secret, b"tree", name, size) for side, name in _SIDES.items()}
            other = "10"[int(bits[above])]
            if above < self.levels:
                self.nodes[bits[:above] + other] = both[other]
            secret = both[bits[above]]
        return secret


_SIDES = {"0": b"left", "1": b"right"}


@dataclass(frozen=True)
class Child:
    """What a parent's epoch secret and a commit's last path secret give."""

    parent_init_secret: bytes
    commit_confirmation: bytes
    input: bytes
    init_secret: bytes
    commit_secret: bytes
    joiner_secret: bytes
    epoch_secret: bytes


def child_of(hash: str, parent_epoch_secret: bytes, last_path_secret: bytes, group_context: bytes) -> Child:
    """Follow a regular commit without pre-shared keys."""
    size = hashlib.new(hash).digest_size
    parent_init = derive_secret(hash, parent_epoch_secret, b"parent_init")
    confirmation = derive_secret(hash, last_path_secret, b"conf")
    value = expand_with_label(hash, confirmation, b"child_init", group_context, size)
    init = derive_secret(hash, PlainPPRF(hash, parent_init, 8 * size).evaluate(value), b"pprf")
    commit_secret = derive_secret(hash, last_path_secret, b"path")
    joiner = expand_with_label(hash, hmac.digest(init, commit_secret, hash), b"joiner", group_context, size)
    epoch_secret = expand_with_label(hash, hmac.digest(joiner, bytes(size), hash), b"epoch", group_context, size)
    return Child(parent_init, confirmation, value, init, commit_secret, joiner, epoch_secret)


# References


def commit_ref(hash: str, framed_content: bytes, signature: bytes, tag: bytes) -> bytes:
    """Of a PublicMessage, whose wire format is 1."""
    return ref_hash(hash, b"DMLS 1.0 Commit Reference", b"\x00\x01" + framed_content + vec(signature) + vec(tag))


def genesis_ref(hash: str, group_info_message: bytes) -> bytes:
    return ref_hash(hash, b"DMLS 1.0 Genesis Reference", group_info_message)


def public_message(framed_content: bytes, signature: bytes, tag: bytes, membership_tag: bytes | None) -> bytes:
    """A commit as MLSMessage; only a member's has a membership tag."""
    message = b"\x00\x01\x00\x01" + framed_content + vec(signature) + vec(tag)
    return message if membership_tag is None else message + vec(membership_tag)


def sign_content(label: bytes, content: bytes) -> bytes:
    """What SignWithLabel signs."""
    return vec(b"MLS 1.0 " + label) + vec(content)


# The head and who commits


def tie_hash(parent_ref: bytes, user_id: str, signature_key: bytes) -> bytes:
    return digest("sha256", b"DMLS 1.0 tie" + parent_ref + user_id.encode() + signature_key)


def server_order(head: bytes, servers: Iterable[str]) -> list[str]:
    return sorted(servers, key=lambda server: digest("sha256", head + server.encode()))


def jitter_ms(head: bytes, server: str) -> int:
    return digest("sha256", head + server.encode())[0] * 1000 // 256


def commit_wait_ms(head: bytes, server: str, able: Sequence[str], *, responsible: bool, position: int) -> int:
    if responsible and position == 0:
        return 0
    order = server_order(head, able)
    rank = 0 if responsible else order.index(server) if server in order else len(order)
    return 2_000 + min(rank + position, 8) * 3_000 + jitter_ms(head, server)


# Fresh keys


def share(label: bytes, ref: bytes, user_id: str, signature_key: bytes) -> Fraction:
    return Fraction(
        int.from_bytes(digest("sha256", b"DMLS 1.0 " + label + ref + user_id.encode() + signature_key)[:6], "big"), 1 << 48
    )


def renewal_times(head: bytes, brought_by: bytes, user_id: str, signature_key: bytes, members: int) -> dict[str, int]:
    """Return what docs/protocol.md, Section 8.8 says of a device, all times counted from 0."""

    def part(label: bytes, ref: bytes) -> Fraction:
        return share(label, ref, user_id, signature_key)

    def turn(most: int) -> int:
        return int(part(b"turn", head) * min(2_000 * members, most))

    day = 86_400_000
    old = 5 * day + int(part(b"renewal", brought_by) * 2 * day)
    return {
        "debt_after_ms": max(int(part(b"debt", b"") * (600_000 - 30_000)), turn(30_000)),
        "turn_ms": turn(3_600_000),
        "old_after_ms": old,
        "old_after_ms_of_a_day": min(old, int(day * (Fraction(1, 2) + part(b"renewal", brought_by) / 4))),
        "messages": int(1_000 * (Fraction(3, 4) + part(b"messages", brought_by) / 4)),
    }
