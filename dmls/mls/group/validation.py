"""The rules that leaves, key packages and lists of extensions must keep (RFC 9420, Sections 7.3, 10.1, 11.1 and 13.4)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from dmls.errors import (
    CryptoError,
    InvalidGroupInfoError,
    InvalidKeyPackageError,
    InvalidLeafNodeError,
    LifetimeError,
    LimitError,
    SignatureError,
    ValidationError,
)
from dmls.ids import LeafIndex
from dmls.mls.crypto.certificates import check_chain
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.limits import DEFAULT_LIMITS, Limits
from dmls.mls.messages import key_package as key_packages
from dmls.mls.messages.credential import BasicCredential, X509Credential, credential_type
from dmls.mls.messages.custom import Place, find_extension_type
from dmls.mls.messages.extensions import (
    Extension,
    ExternalPub,
    ExternalSenders,
    RequiredCapabilities,
    check_unique_types,
    read_extension,
)
from dmls.mls.messages.grease import without_grease
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.leaf_node import Capabilities, CommitSource, LeafNode, LeafNodeSource, Lifetime, UpdateSource
from dmls.mls.messages.registry import (
    DEFAULT_EXTENSION_TYPES,
    DEFAULT_PROPOSAL_TYPES,
    GREASE_VALUES,
    ExtensionType,
    ProtocolVersion,
    SignatureLabel,
)
from dmls.mls.tree.leaves import check_key, check_leaf_signature
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = [
    "check_certificates",
    "check_group_extensions",
    "check_group_info_extensions",
    "check_group_members",
    "check_key_package",
    "check_leaf_content",
    "check_leaf_node",
    "check_lifetime",
    "check_listed",
    "check_own_extensions",
    "check_own_support",
    "check_suite_choice",
    "is_listed",
]

# Where the extensions of RFC 9420 may stand (RFC 9420, Section 17.3). Others may stand anywhere, unless they are registered.
_PLACES: dict[int, Place] = {
    ExtensionType.APPLICATION_ID: Place.LEAF_NODE,
    ExtensionType.RATCHET_TREE: Place.GROUP_INFO,
    ExtensionType.REQUIRED_CAPABILITIES: Place.GROUP_CONTEXT,
    ExtensionType.EXTERNAL_PUB: Place.GROUP_INFO,
    ExtensionType.EXTERNAL_SENDERS: Place.GROUP_CONTEXT,
}


def _check_places(extensions: Sequence[Extension], place: Place, error: type[ValidationError], rule: str) -> None:
    """Check that each extension may stand where it does, and that the data of registered ones is what it must be."""
    for extension in extensions:
        number = extension.extension_type
        custom = find_extension_type(number)
        if _PLACES.get(number, place) is not place or (custom is not None and place not in custom.places):  # KP-08, WL-22
            raise error(f"extension {number} does not belong here", rule=rule)
        if custom is not None and custom.content is not None:
            read_extension((extension,), number, custom.content)


def check_lifetime(lifetime: Lifetime, now: int | None, limits: Limits = DEFAULT_LIMITS, *, is_sending: bool = False) -> None:
    """Check a lifetime's shape and, where `now` (seconds since the epoch) is given, that it is running (LN-12 to LN-14).

    Other clocks may be off by `limits.clock_skew`, but who sends does not stretch an end that it can see.

    Raises:
        LifetimeError: it is reversed, too long, not begun or over.
    """
    if lifetime.not_after < lifetime.not_before or lifetime.not_after - lifetime.not_before > limits.max_lifetime:
        raise LifetimeError("lifetime is reversed or too long", rule="LN-14")
    if now is None:
        return
    end = lifetime.not_after if is_sending else lifetime.not_after + limits.clock_skew
    if now + limits.clock_skew < lifetime.not_before or now > end:
        raise LifetimeError("lifetime is over or has not begun", rule="LN-12" if is_sending else "LN-13")


def check_leaf_node(
    suite: CipherSuite,
    leaf_node: LeafNode,
    source: type,
    *,
    now: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    is_sending: bool = False,
) -> None:
    """Check what can be said of a leaf by itself; `source` is the class its source must have.

    `now` (seconds since the epoch) turns the lifetime check on, which RFC 9420 recommends but does not demand of receivers.

    Raises:
        InvalidLeafNodeError: a rule of RFC 9420, Section 7.3, is broken.
        InvalidCredentialError, LimitError: the certificates are not what they must be.
        LifetimeError: the lifetime is malformed, over or not begun.
    """
    _check_source(leaf_node.source, source)
    check_key(suite.check_encryption_key, leaf_node.encryption_key, InvalidLeafNodeError)
    check_key(suite.check_signature_key, leaf_node.signature_key, InvalidLeafNodeError)
    check_leaf_content(suite, leaf_node, now=now, limits=limits, is_sending=is_sending)


def check_certificates(
    suite: CipherSuite, credential: BasicCredential | X509Credential, signature_key: bytes, limits: Limits = DEFAULT_LIMITS
) -> None:
    """Check the certificates of a credential, if it has any, against the key it is for (RFC 9420, Section 5.3).

    Raises:
        InvalidCredentialError: the chain is malformed or in disorder, or certifies another key.
        LimitError: it is longer than `limits` allow.
    """
    if isinstance(credential, X509Credential):
        most, size = limits.max_certificates, limits.max_certificate_bytes
        check_chain(suite, credential.certificates, signature_key, max_certificates=most, max_bytes=size)


def _check_source(source: LeafNodeSource, wanted: type) -> None:
    if wanted is Lifetime and not isinstance(source, Lifetime):
        raise InvalidLeafNodeError("the leaf's source is not key_package", rule="LN-15")
    if wanted is UpdateSource and not isinstance(source, UpdateSource):
        raise InvalidLeafNodeError("the leaf's source is not update", rule="LN-16")
    if wanted is CommitSource and not isinstance(source, CommitSource):
        raise InvalidLeafNodeError("the leaf's source is not commit", rule="LN-17")


def check_leaf_content(
    suite: CipherSuite,
    leaf_node: LeafNode,
    *,
    now: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    is_sending: bool = False,
) -> None:
    """Check a leaf of any source, beyond its keys and its signature.

    Raises:
        InvalidLeafNodeError: a rule of RFC 9420, Section 7.3, is broken.
        InvalidCredentialError, LimitError: the certificates are not what they must be.
        LifetimeError: the lifetime is malformed, over or not begun.
    """
    if isinstance(leaf_node.source, Lifetime):
        check_lifetime(leaf_node.source, now, limits, is_sending=is_sending)
    capabilities = leaf_node.capabilities
    if ProtocolVersion.MLS10 not in capabilities.versions or suite.id not in capabilities.cipher_suites:
        raise InvalidLeafNodeError("the leaf does not list the group's version and cipher suite", rule="LN-07")
    if credential_type(leaf_node.credential) not in capabilities.credentials:
        raise InvalidLeafNodeError("the leaf does not list its own credential type", rule="LN-06")
    check_certificates(suite, leaf_node.credential, leaf_node.signature_key, limits)
    check_unique_types(leaf_node.extensions, InvalidLeafNodeError, "LN-23")
    _check_places(leaf_node.extensions, Place.LEAF_NODE, InvalidLeafNodeError, "LN-24")
    check_listed(leaf_node.extensions, capabilities)


def check_listed(leaf_extensions: Sequence[Extension], capabilities: Capabilities) -> None:
    """Check that a leaf lists its own extensions; the default types go without saying.

    Raises:
        InvalidLeafNodeError: it does not (LN-05).
    """
    if not all(is_listed(extension, capabilities) for extension in leaf_extensions):
        raise InvalidLeafNodeError("the leaf does not list its own extension", rule="LN-05")


def is_listed(extension: Extension, capabilities: Capabilities) -> bool:
    """Return whether whoever has these capabilities supports an extension."""
    return not _missing((extension.extension_type,), capabilities.extensions, DEFAULT_EXTENSION_TYPES)  # EX-02


def _missing(wanted: Iterable[int], supported: Collection[int], defaults: frozenset[int]) -> bool:
    return any(value not in defaults and value not in supported for value in wanted)  # EX-06, EX-13


def _check_support(
    group_extensions: Sequence[Extension],
    supported_extensions: frozenset[int],
    supported_proposals: frozenset[int],
    supported_credentials: frozenset[int],
) -> None:
    required = read_extension(group_extensions, ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities)
    if required is not None and (
        _missing(required.extension_types, supported_extensions, DEFAULT_EXTENSION_TYPES)
        or _missing(required.proposal_types, supported_proposals, DEFAULT_PROPOSAL_TYPES)
        or _missing(required.credential_types, supported_credentials, frozenset())
    ):
        raise InvalidLeafNodeError("a required capability is not supported", rule="LN-03")
    if _missing((item.extension_type for item in group_extensions), supported_extensions, DEFAULT_EXTENSION_TYPES):
        raise InvalidLeafNodeError("an extension of the group is not supported", rule="LN-04")  # EX-03, EX-04


def check_own_support(leaf_node: LeafNode, group_extensions: Sequence[Extension]) -> None:
    """Check that one's own leaf supports what a group requires (LN-03, LN-04); GREASE values that it lists are no support.

    Raises:
        InvalidLeafNodeError: it does not.
    """
    capabilities = without_grease(leaf_node.capabilities)
    _check_support(
        group_extensions,
        frozenset(capabilities.extensions),
        frozenset(capabilities.proposals),
        frozenset(capabilities.credentials),
    )


def check_group_members(tree: RatchetTree, group_extensions: Sequence[Extension], limits: Limits = DEFAULT_LIMITS) -> None:
    """Check that all members support what the group requires and each other's credentials (LN-03, LN-04, LN-10, LN-11).

    Costs O(1): the tree carries what all its members have in common.

    Raises:
        InvalidLeafNodeError: some member does not.
        LimitError: the tree is wider than `limits` allow (ENC-17).
    """
    if tree.width > limits.max_leaves:
        raise LimitError("the group is full", rule="ENC-17")
    _check_support(group_extensions, tree.supported_extensions, tree.supported_proposals, tree.supported_credentials)
    if not tree.credential_types <= tree.supported_credentials:
        raise InvalidLeafNodeError("a credential type in use is not supported by every member", rule="LN-10")  # LN-11, CRD-08


def check_suite_choice(suite: CipherSuite, members: Sequence[Capabilities], preferred: Sequence[int]) -> None:
    """Check that a new group has the best cipher suite that all its first members can use (RFC 9420, Section 11).

    Whoever hands out key packages could otherwise bring about a worse one, by leaving out the better.

    Args:
        suite: the one that was chosen.
        members: what the creator and those it invites can do.
        preferred: the creator's ranking, best first; what it leaves out is not better than `suite`.

    Raises:
        InvalidKeyPackageError: a better one would do, or not all can use this one (GC-03).
    """
    usable = (
        candidate
        for candidate in (*preferred, suite.id)
        if all(ProtocolVersion.MLS10 in listed.versions and candidate in listed.cipher_suites for listed in members)
    )
    if next(usable, None) != suite.id:
        raise InvalidKeyPackageError("the cipher suite is not the best that all members support", rule="GC-03")


def check_group_extensions(extensions: Sequence[Extension]) -> None:
    """Check the extensions of a group context (RFC 9420, Section 17.3; GC-05, GC-07 to GC-09).

    Raises:
        InvalidGroupInfoError: one occurs twice, or does not belong there.
        CodecError: one that RFC 9420 defines does not decode.
    """
    check_unique_types(extensions, InvalidGroupInfoError, "GC-05")
    _check_places(extensions, Place.GROUP_CONTEXT, InvalidGroupInfoError, "GC-09")
    read_extension(extensions, ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities)  # GC-07
    read_extension(extensions, ExtensionType.EXTERNAL_SENDERS, ExternalSenders)


def check_own_extensions(extensions: Sequence[Extension]) -> None:
    """Check the extensions that one is about to give a group: no GREASE value either, which a receiver would not treat apart.

    Raises:
        InvalidGroupInfoError: one occurs twice, does not belong there, or stands for nothing (EX-05).
        CodecError: one that RFC 9420 defines does not decode.
    """
    check_group_extensions(extensions)
    if any(extension.extension_type in GREASE_VALUES for extension in extensions):
        raise InvalidGroupInfoError("a GREASE value is no extension of a group", rule="EX-05")


def check_group_info_extensions(extensions: Sequence[Extension]) -> None:
    """Check the extensions of a GroupInfo beside its group context's (RFC 9420, Section 17.3; WL-22, WL-23).

    Raises:
        InvalidGroupInfoError: one occurs twice, or does not belong there.
        CodecError: external_pub does not decode.
    """
    check_unique_types(extensions, InvalidGroupInfoError, "WL-23")
    _check_places(extensions, Place.GROUP_INFO, InvalidGroupInfoError, "EX-10")
    read_extension(extensions, ExtensionType.EXTERNAL_PUB, ExternalPub)


def check_key_package(
    suite: CipherSuite,
    key_package: KeyPackage,
    *,
    now: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    is_sending: bool = False,
) -> None:
    """Check a key package for itself (RFC 9420, Section 10.1).

    Raises:
        InvalidKeyPackageError, InvalidLeafNodeError, InvalidCredentialError, LifetimeError: a rule is broken.
        SignatureError: the package or its leaf is not signed by the key it names.
    """
    if key_package.version != ProtocolVersion.MLS10:
        raise InvalidKeyPackageError("another version", rule="KP-01")  # KP-05
    if key_package.cipher_suite != suite.id:
        raise InvalidKeyPackageError("another cipher suite", rule="KP-01")
    leaf_node = key_package.leaf_node
    check_leaf_node(suite, leaf_node, Lifetime, now=now, limits=limits, is_sending=is_sending)  # KP-02
    if key_package.init_key == leaf_node.encryption_key:
        raise InvalidKeyPackageError("init_key and encryption_key are one key", rule="KP-04")
    try:
        suite.check_encryption_key(key_package.init_key)
    except CryptoError as error:
        raise InvalidKeyPackageError("init_key is no key of the cipher suite", rule="KP-06") from error
    check_unique_types(key_package.extensions, InvalidKeyPackageError, "KP-09")
    _check_places(key_package.extensions, Place.KEY_PACKAGE, InvalidKeyPackageError, "EX-10")
    check_leaf_signature(suite, leaf_node, b"", LeafIndex(0))
    try:
        suite.verify_with_label(
            leaf_node.signature_key, SignatureLabel.KEY_PACKAGE_TBS, key_packages.encode_tbs(key_package), key_package.signature
        )
    except SignatureError as error:
        raise SignatureError("the key package's signature does not verify", rule="KP-03") from error
