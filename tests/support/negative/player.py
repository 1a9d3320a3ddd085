"""Plays scenes of negative vectors with nothing but what the files say."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

from dmls.errors import DMLSError, ValidationError
from dmls.mls.codec import decode
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.group.external import create_external_commit
from dmls.mls.group.follower import follow
from dmls.mls.group.keyring import KeyRing, keys_in_use
from dmls.mls.group.leaf import Client, KeyPackageBundle
from dmls.mls.group.policy import OpenPolicy, PSKLookup
from dmls.mls.group.process import open_message, process_handshake, receive_proposal
from dmls.mls.group.state import GroupState
from dmls.mls.group.validation import check_key_package
from dmls.mls.group.welcome import JoinOptions, choose_tree, join
from dmls.mls.messages.commit import Commit
from dmls.mls.messages.credential import BasicCredential, X509Credential
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage, key_package_ref
from dmls.mls.messages.message import ApplicationData, MLSMessage
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID
from dmls.mls.messages.welcome import Welcome
from dmls.mls.tree.ratchet_tree import RatchetTree
from tests.support.groups import fingerprint

__all__ = ["Player"]

Fields: TypeAlias = Mapping[str, Any]


class _Application(OpenPolicy):
    """Knows some identities, and lets none take the place of another."""

    def __init__(self, identities: Sequence[str]) -> None:
        self._known = {BasicCredential(bytes.fromhex(identity)) for identity in identities}

    def check_credential(self, credential: BasicCredential | X509Credential, signature_key: bytes) -> None:
        if credential not in self._known:
            raise ValidationError("an identity that is not known")

    def check_succession(self, old: BasicCredential | X509Credential, new: BasicCredential | X509Credential) -> None:
        if old != new:
            raise ValidationError("another identity")


@dataclass(frozen=True)
class _Member:
    """A passive client in one epoch."""

    state: GroupState
    ring: KeyRing

    def fingerprint(self) -> tuple[bytes, frozenset[bytes]]:
        return fingerprint(self.state), frozenset(self.ring.keys)


def _optional(value: str | None) -> bytes | None:
    return None if value is None else bytes.fromhex(value)


def _state_of(group: Fields) -> GroupState:
    """The state of a member of another group, after all that it received there."""
    player = Player({"kind": "receive", "cipher_suite": group["cipher_suite"], "setup": group})
    assert player._member is not None
    return player._member.state


def _unwrap(kind: type[Any], data: str) -> Any:
    body = decode(MLSMessage, bytes.fromhex(data)).body
    assert isinstance(body, kind), f"not a {kind.__name__}"
    return body


class Player:
    """One scene: who judges stands ready, and forgets every attempt."""

    def __init__(self, scene: Fields) -> None:
        self.suite: CipherSuite = cipher_suite(scene["cipher_suite"])
        self.setup: Fields = scene["setup"]
        self.policy = _Application(self.setup["identities"]) if "identities" in self.setup else OpenPolicy()
        self.now: int | None = self.setup.get("now")
        self._attempt = {
            "decode": self._decode,
            "key_package": self._key_package,
            "group_info": self._group_info,
            "join": self._join,
            "receive": self._receive,
        }[scene["kind"]]
        self._bundle = self._read_bundle() if "client" in self.setup else None
        self._predecessors = [_state_of(group) for group in self.setup.get("predecessors", ())]
        self._member = self._enter() if scene["kind"] == "receive" else None

    def _enter(self) -> _Member:
        return reduce(self._take, map(bytes.fromhex, self.setup["messages"]), self._join(self.setup))

    def accept(self, attempt: Fields) -> None:
        """Do what breaks no rule."""
        self._attempt(attempt)

    def refuse(self, attempt: Fields) -> DMLSError:
        """Do what breaks one, and return how it is refused; nothing may have changed.

        What is checked here is checked under `python -O`, too.
        """
        before = None if self._member is None else self._member.fingerprint()
        try:
            self._attempt(attempt)
        except DMLSError as error:
            if self._member is not None and self._member.fingerprint() != before:
                raise AssertionError("a refusal has left a trace") from error
            return error
        raise AssertionError("what breaks a rule was accepted")

    # Kinds

    def _decode(self, attempt: Fields) -> None:
        data = bytes.fromhex(attempt["data"])
        if self.setup["type"] == "ratchet_tree":
            RatchetTree.decode(self.suite, data)
        else:
            decode(MLSMessage, data)

    def _key_package(self, attempt: Fields) -> None:
        key_package = _unwrap(KeyPackage, attempt["key_package"])
        check_key_package(self.suite, key_package, now=self.now, is_sending=True)

    def _group_info(self, attempt: Fields) -> None:
        info = _unwrap(GroupInfo, attempt["group_info"])
        tree = choose_tree(self.suite, info, _optional(attempt["ratchet_tree"]))
        group = follow(self.suite, info, tree, policy=self.policy, now=self.now)
        source = random.Random(0).randbytes
        outsider = Client.create(self.suite, BasicCredential(b"outsider"), source)
        create_external_commit(group, info, outsider, source)

    def _join(self, attempt: Fields) -> _Member:
        welcome = _unwrap(Welcome, attempt["welcome"])
        assert self._bundle is not None
        groups = frozenset(map(bytes.fromhex, self.setup.get("groups", ())))
        options = JoinOptions(
            policy=self.policy, psks=self._psks(), now=self.now, open_groups=groups, predecessors=self._predecessors
        )
        joined = join(self.suite, welcome, self._bundle, ratchet_tree=_optional(attempt["ratchet_tree"]), options=options)
        return _Member(joined.state, KeyRing().add(joined.private_keys))

    def _receive(self, attempt: Fields) -> None:
        *known, last = map(bytes.fromhex, attempt["messages"])
        assert self._member is not None
        try:
            member = reduce(self._take, known, self._member)
        except DMLSError as error:
            raise AssertionError("a message before the last one was refused") from error
        before = member.fingerprint()
        try:
            self._take(member, last)
        finally:
            if member.fingerprint() != before:
                raise AssertionError("the state of an epoch has changed")

    # Members

    def _read_bundle(self) -> KeyPackageBundle:
        client = self.setup["client"]
        key_package = _unwrap(KeyPackage, client["key_package"])
        init, encryption = (Secret(bytes.fromhex(client[name])) for name in ("init_priv", "encryption_priv"))
        return KeyPackageBundle(key_package, key_package_ref(self.suite, key_package), init, encryption)

    def _psks(self) -> PSKLookup:
        known = {bytes.fromhex(psk["psk_id"]): bytes.fromhex(psk["psk"]) for psk in self.setup["client"]["external_psks"]}

        def find(psk_id: PreSharedKeyID) -> bytes | None:
            return known.get(psk_id.source.psk_id) if isinstance(psk_id.source, ExternalPSK) else None

        return find

    def _take(self, member: _Member, message: bytes) -> _Member:
        content, state = open_message(member.state, decode(MLSMessage, message))
        body = content.content.content
        if isinstance(body, ApplicationData):
            return _Member(state, member.ring)
        if not isinstance(body, Commit):
            return _Member(receive_proposal(state, content, policy=self.policy), member.ring)
        step = process_handshake(state, content, member.ring.keys, policy=self.policy, psks=self._psks(), now=self.now)
        ring = member.ring.add(step.private_keys)
        used = keys_in_use(step.state.public.tree, step.state.own_leaves)
        return _Member(step.state, ring.discard(set(ring.keys) - used))
