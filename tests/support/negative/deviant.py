"""Peers that do one thing differently: a cipher suite with one function replaced, in the hands of a member."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from dmls.mls.codec import encode_opaque
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.tree.ratchet_tree import RatchetTree
from tests.support.groups import Party

__all__ = ["Step", "deviant_party", "deviant_suite", "relabelled", "wide_kdf_label"]

Step: TypeAlias = Callable[..., Any]
"""A method of a cipher suite in another way; its first argument is the suite that does it right."""


def deviant_suite(suite: CipherSuite, **steps: Step) -> CipherSuite:
    """Return a suite that takes the named steps differently and all others as it should."""

    def method(step: Step) -> Callable[..., Any]:
        return lambda _self, *arguments: step(suite, *arguments)

    kind = type("DeviantSuite", (CipherSuite,), {name: method(step) for name, step in steps.items()})
    made = kind(suite.id, suite.name, suite.kem, suite.kdf, suite.aead, suite.signature)
    assert isinstance(made, CipherSuite)
    return made


def deviant_party(party: Party, **steps: Step) -> Party:
    """Return a double of a member that computes with a deviant suite from now on."""
    double = copy.copy(party)
    double.suite = deviant_suite(party.suite, **steps)
    if party.is_member:
        public = party.state.public
        tree = RatchetTree.decode(double.suite, public.tree.encode())
        double.state = replace(
            party.state,
            public=replace(public, suite=double.suite, tree=tree),
            secret_tree=replace(party.state.secret_tree, suite=double.suite),
        )
    return double


def relabelled(**labels: str) -> dict[str, Step]:
    """Steps that derive with other labels."""

    def expand(suite: CipherSuite, secret: bytes, label: str, context: bytes, length: int) -> Secret:
        return suite.expand_with_label(secret, labels.get(label, label), context, length)

    def derive(suite: CipherSuite, secret: bytes, label: str) -> Secret:
        return suite.derive_secret(secret, labels.get(label, label))

    return {"expand_with_label": expand, "derive_secret": derive}


def wide_kdf_label(suite: CipherSuite, secret: bytes, label: str, context: bytes, length: int) -> Secret:
    """ExpandWithLabel with a length of four octets."""
    info = length.to_bytes(4, "big") + encode_opaque(b"MLS 1.0 " + label.encode()) + encode_opaque(context)
    return suite.expand(secret, info, length)
