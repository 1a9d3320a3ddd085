"""Checks of welcome and passive-client."""

from __future__ import annotations

from collections.abc import Mapping

from dmls.mls.codec import decode, encode
from dmls.mls.crypto.secret import Secret
from dmls.mls.group.keyring import KeyRing
from dmls.mls.group.leaf import KeyPackageBundle
from dmls.mls.group.policy import PSKLookup
from dmls.mls.group.process import open_message, process_handshake, receive_proposal
from dmls.mls.group.state import GroupState
from dmls.mls.group.welcome import JoinOptions, join
from dmls.mls.messages import group_info as group_infos
from dmls.mls.messages.group_info import GroupInfo
from dmls.mls.messages.key_package import KeyPackage, key_package_ref
from dmls.mls.messages.message import MLSMessage
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID
from dmls.mls.messages.welcome import GroupSecrets, Welcome
from dmls.mls.schedule.key_schedule import (
    derive_epoch_secrets,
    derive_member_secrets,
    derive_welcome_secret,
    welcome_key_nonce,
)
from dmls.mls.schedule.psk import derive_psk_secret
from dmls.tools.conformance.fields import Fields, checking, expect, read_message

__all__ = ["check_passive_client", "check_welcome"]


def check_welcome(case: Fields) -> None:
    """Open a Welcome without a tree as far as it goes (RFC 9420, Section 12.4.3.1)."""
    suite = case.suite()
    key_package = read_message(KeyPackage, case.octets("key_package"), "key_package")
    welcome = read_message(Welcome, case.octets("welcome"), "welcome")
    init_key = case.secret("init_priv", suite.kem.group.private_key_size)
    ref = key_package_ref(suite, key_package)
    sealed = [entry.encrypted_group_secrets for entry in welcome.secrets if entry.new_member == ref]
    expect("entries of the key package", len(sealed), 1)
    with checking("group secrets"):
        opened = suite.open_with_label(
            init_key,
            key_package.init_key,
            "Welcome",
            welcome.encrypted_group_info,
            sealed[0].kem_output,
            sealed[0].ciphertext,
        )
        secrets = decode(GroupSecrets, opened)
        joiner_secret = Secret(secrets.joiner_secret)
    expect("pre-shared keys", secrets.psks, ())
    psk_secret = derive_psk_secret(suite, ())
    with checking("group info"):
        welcome_secret = derive_welcome_secret(suite, joiner_secret, psk_secret)
        key, nonce = welcome_key_nonce(suite, welcome_secret)
        group_info = decode(GroupInfo, suite.aead_open(key, nonce, b"", welcome.encrypted_group_info))
        tbs = group_infos.encode_tbs(group_info)
        suite.verify_with_label(case.octets("signer_pub"), "GroupInfoTBS", tbs, group_info.signature)
    with checking("confirmation tag"):
        context = group_info.group_context
        _, epoch_secret = derive_member_secrets(suite, joiner_secret, psk_secret, encode(context))
        confirmation_key = derive_epoch_secrets(suite, epoch_secret).confirmation_key
        suite.verify_mac(confirmation_key, context.confirmed_transcript_hash, group_info.confirmation_tag)


def check_passive_client(case: Fields, now: int | None = None) -> None:
    """Join a group and follow its commits (RFC 9420, Sections 12.4.2 and 12.4.3.1).

    Args:
        case: of any passive-client file.
        now: seconds since the epoch at which the lifetimes of received leaves must be running; None for no such check.

    Raises:
        CheckError: some check fails.
    """
    suite = case.suite()
    bundle = _read_bundle(case)
    psks = _find_in({psk.octets("psk_id"): psk.octets("psk") for psk in case.parts("external_psks")})
    welcome = read_message(Welcome, case.octets("welcome"), "welcome")
    with checking("join"):
        options = JoinOptions(psks=psks, now=now)
        joined = join(suite, welcome, bundle, ratchet_tree=case.optional_octets("ratchet_tree"), options=options)
    state, ring = joined.state, KeyRing().add(joined.private_keys)
    expect("initial_epoch_authenticator", state.secrets.epoch_authenticator, case.octets("initial_epoch_authenticator"))
    for number, epoch in enumerate(case.parts("epochs")):
        with checking(f"epoch {number}"):
            state, ring = _follow(state, ring, epoch, psks, now)
        expect(f"epoch {number}: epoch_authenticator", state.secrets.epoch_authenticator, epoch.octets("epoch_authenticator"))


def _read_bundle(case: Fields) -> KeyPackageBundle:
    suite, key_package = case.suite(), read_message(KeyPackage, case.octets("key_package"), "key_package")
    size = suite.kem.group.private_key_size
    init_key, encryption_key = case.secret("init_priv", size), case.secret("encryption_priv", size)
    signature_key = case.secret("signature_priv", suite.signature.private_key_size)
    with checking("private keys"):
        expect("init_priv", suite.public_key(init_key), key_package.init_key)
        expect("encryption_priv", suite.public_key(encryption_key), key_package.leaf_node.encryption_key)
        expect("signature_priv", suite.signature_public_key(signature_key), key_package.leaf_node.signature_key)
    return KeyPackageBundle(key_package, key_package_ref(suite, key_package), init_key, encryption_key)


def _find_in(external: Mapping[bytes, bytes]) -> PSKLookup:
    def find(psk_id: PreSharedKeyID) -> bytes | None:
        return external.get(psk_id.source.psk_id) if isinstance(psk_id.source, ExternalPSK) else None

    return find


def _follow(state: GroupState, ring: KeyRing, epoch: Fields, psks: PSKLookup, now: int | None) -> tuple[GroupState, KeyRing]:
    """Receive the proposals of an epoch and process its commit."""
    for message in epoch.octet_list("proposals"):
        content, state = open_message(state, decode(MLSMessage, message))
        state = receive_proposal(state, content)
    content, state = open_message(state, decode(MLSMessage, epoch.octets("commit")))
    processed = process_handshake(state, content, ring.keys, psks=psks, now=now)
    return processed.state, ring.add(processed.private_keys)
