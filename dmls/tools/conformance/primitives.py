"""Checks of crypto-basics, deserialization, psk_secret and tree-math."""

from __future__ import annotations

from dmls.mls.codec import read_length
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID
from dmls.mls.schedule.psk import derive_psk_secret
from dmls.mls.tree import math
from dmls.tools.conformance.fields import CheckError, Fields, checking, expect, repeating_random

__all__ = ["check_crypto_basics", "check_deserialization", "check_psk_secret", "check_tree_math"]


def check_crypto_basics(case: Fields) -> None:
    """Check the labelled derivations, a signature and a ciphertext of one suite (RFC 9420, Sections 5.1, 5.2, 8 and 9.1)."""
    suite = case.suite()
    given = case.part("ref_hash")
    expect("ref_hash", suite.ref_hash(given.text("label"), given.octets("value")), given.octets("out"))
    given = case.part("expand_with_label")
    with checking("expand_with_label"):
        found = suite.expand_with_label(
            given.secret("secret"), given.text("label"), given.octets("context"), given.integer("length")
        )
    expect("expand_with_label", found, given.octets("out"))
    given = case.part("derive_secret")
    expect("derive_secret", suite.derive_secret(given.secret("secret"), given.text("label")), given.octets("out"))
    given = case.part("derive_tree_secret")
    with checking("derive_tree_secret"):
        found = suite.derive_tree_secret(
            given.secret("secret"), given.text("label"), given.integer("generation"), given.integer("length")
        )
    expect("derive_tree_secret", found, given.octets("out"))
    _check_signature(suite, case.part("sign_with_label"))
    _check_encryption(suite, case.part("encrypt_with_label"))


def _check_signature(suite: CipherSuite, given: Fields) -> None:
    private_key, public_key = given.secret("priv", suite.signature.private_key_size), given.octets("pub")
    label, content = given.text("label"), given.octets("content")
    with checking("sign_with_label"):
        suite.check_signature_key(public_key)
        suite.verify_with_label(public_key, label, content, given.octets("signature"))
        suite.verify_with_label(public_key, label, content, suite.sign_with_label(private_key, label, content))
        expect("sign_with_label: pub", suite.signature_public_key(private_key), public_key)


def _check_encryption(suite: CipherSuite, given: Fields) -> None:
    private_key, public_key = given.secret("priv", suite.kem.group.private_key_size), given.octets("pub")
    label, context, plaintext = given.text("label"), given.octets("context"), given.octets("plaintext")
    with checking("encrypt_with_label"):
        suite.check_encryption_key(public_key)
        expect("encrypt_with_label: pub", suite.public_key(private_key), public_key)
        sealed = given.octets("kem_output"), given.octets("ciphertext")
        expect("encrypt_with_label", suite.open_with_label(private_key, public_key, label, context, *sealed), plaintext)
        sealed = suite.seal_with_label(public_key, label, context, plaintext, repeating_random(context))
        expect("encrypt_with_label: own", suite.open_with_label(private_key, public_key, label, context, *sealed), plaintext)


def check_deserialization(case: Fields) -> None:
    """Check the length that a prefix says (RFC 9420, Section 2.1.2)."""
    header, length = case.octets("vlbytes_header"), case.integer("length")
    with checking("length"):
        # The vector's body need not be there in memory for its end to be known.
        found, pos = read_length(header, 0, len(header) + length)
    expect("length", found, length)
    expect("size of the prefix", pos, len(header))


def check_psk_secret(case: Fields) -> None:
    """Check the secret of a list of external pre-shared keys (RFC 9420, Section 8.4)."""
    psks = [
        (PreSharedKeyID(ExternalPSK(psk.octets("psk_id")), psk.octets("psk_nonce")), psk.octets("psk"))
        for psk in case.parts("psks")
    ]
    with checking("psk_secret"):
        found = derive_psk_secret(case.suite(), psks)
    expect("psk_secret", found, case.octets("psk_secret"))


def check_tree_math(case: Fields) -> None:
    """Check the relations of all nodes of a full tree (RFC 9420, Section 4.1 and Appendix C)."""
    width, count = case.integer("n_leaves"), case.integer("n_nodes")
    with checking("root"):
        root = math.root(width)
    expect("root", root, case.integer("root"))
    expect("n_nodes", 2 * width - 1, count)
    relations = {name: case.optional_integers(name) for name in ("left", "right", "parent", "sibling")}
    for name, nodes in relations.items():
        if len(nodes) != count:
            raise CheckError("shape", f"{name} has {len(nodes)} entries, not {count}")
    for node in range(count):
        inner, below = math.level(node) > 0, node != root
        expect(f"left of {node}", math.left(node) if inner else None, relations["left"][node])
        expect(f"right of {node}", math.right(node) if inner else None, relations["right"][node])
        expect(f"parent of {node}", math.parent(node, width) if below else None, relations["parent"][node])
        expect(f"sibling of {node}", math.sibling(node, width) if below else None, relations["sibling"][node])
