"""Making leaf nodes and key packages (RFC 9420, Sections 7.2 and 10).

What is made here lists what it uses and nothing that goes without saying; what others make is judged in
`dmls.mls.group.validation`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dmls.errors import InvalidKeyPackageError, InvalidLeafNodeError
from dmls.ids import KeyPackageRef, LeafIndex
from dmls.mls.crypto.randomness import Random, draw
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, is_implemented
from dmls.mls.group.validation import check_listed, is_listed
from dmls.mls.messages import key_package as key_packages
from dmls.mls.messages import leaf_node as leaf_nodes
from dmls.mls.messages.credential import BasicCredential, X509Credential, credential_type
from dmls.mls.messages.custom import find_proposal_type
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.grease import grease_capabilities, grease_extension, without_grease
from dmls.mls.messages.key_package import KeyPackage, key_package_ref
from dmls.mls.messages.leaf_node import Capabilities, LeafNode, LeafNodeSource, Lifetime
from dmls.mls.messages.registry import (
    DEFAULT_EXTENSION_TYPES,
    DEFAULT_PROPOSAL_TYPES,
    GREASE_VALUES,
    CredentialType,
    ProtocolVersion,
    SignatureLabel,
)

__all__ = [
    "Client",
    "KeyPackageBundle",
    "add_grease",
    "create_key_package",
    "default_capabilities",
    "make_leaf_node",
    "make_unsigned_leaf_node",
]


_VERSIONS = frozenset(ProtocolVersion)
_CREDENTIALS = frozenset(CredentialType)


def default_capabilities(
    suites: Sequence[int], *, extensions: Sequence[int] = (), proposals: Sequence[int] = (), credentials: Sequence[int] = (1,)
) -> Capabilities:
    """Return capabilities that list mls10, `suites`, and what goes beyond the defaults."""
    return Capabilities((int(ProtocolVersion.MLS10),), tuple(suites), tuple(extensions), tuple(proposals), tuple(credentials))


@dataclass(frozen=True, slots=True, repr=False)
class Client:
    """What one device puts into its leaves: who it is, what it can do, and the key it signs with.

    A `signature_private_key` that comes from `CipherSuite.signing_key` signs in half the time of raw bytes; `create` and `load`
    see to that.
    """

    credential: BasicCredential | X509Credential
    signature_key: bytes
    signature_private_key: Secret
    capabilities: Capabilities
    leaf_extensions: tuple[Extension, ...] = ()

    @classmethod
    def create(
        cls,
        suite: CipherSuite,
        credential: BasicCredential | X509Credential,
        random: Random,
        *,
        capabilities: Capabilities | None = None,
    ) -> Client:
        """Make a client with a fresh signature key."""
        pair = suite.generate_signature_key_pair(random)
        return cls.load(suite, credential, pair.private_key, capabilities=capabilities)

    @classmethod
    def load(
        cls,
        suite: CipherSuite,
        credential: BasicCredential | X509Credential,
        signature_private_key: bytes,
        *,
        capabilities: Capabilities | None = None,
        leaf_extensions: Sequence[Extension] = (),
    ) -> Client:
        """Make a client around a signature key that exists already.

        Raises:
            CryptoError: it is no private key of the cipher suite.
        """
        key = suite.signing_key(signature_private_key)
        listed = capabilities or default_capabilities((suite.id,), credentials=(credential_type(credential),))
        return cls(credential, suite.signature_public_key(key), key, listed, tuple(leaf_extensions))


@dataclass(frozen=True, slots=True, repr=False)
class KeyPackageBundle:
    """A key package with the private keys behind it."""

    key_package: KeyPackage
    ref: KeyPackageRef
    init_private_key: Secret
    encryption_private_key: Secret


def make_unsigned_leaf_node(client: Client, encryption_key: bytes, source: LeafNodeSource) -> LeafNode:
    """Return a client's leaf node with an empty signature.

    Raises:
        InvalidLeafNodeError: the client lists what every client supports (LN-08) or what it cannot do (KP-10), or leaves out an
            extension of its own leaf (LN-05).
    """
    if any(find_proposal_type(number) is None for number in _promised_proposals(client.capabilities)):
        raise InvalidLeafNodeError("the capabilities list a proposal type that nobody registered", rule="KP-10")
    check_listed(client.leaf_extensions, client.capabilities)
    return LeafNode(
        encryption_key, client.signature_key, client.credential, client.capabilities, source, client.leaf_extensions, b""
    )


@functools.lru_cache(maxsize=256)
def _promised_proposals(listed: Capabilities) -> tuple[int, ...]:
    """Check that a client lists what it can do, and return its types of proposal, which may be registered or not any more."""
    if not DEFAULT_EXTENSION_TYPES.isdisjoint(listed.extensions) or not DEFAULT_PROPOSAL_TYPES.isdisjoint(listed.proposals):
        raise InvalidLeafNodeError("the capabilities list a default type", rule="LN-08")
    promised = without_grease(listed)
    if not (_VERSIONS.issuperset(promised.versions) and all(map(is_implemented, promised.cipher_suites))):
        raise InvalidLeafNodeError("the capabilities list a version or cipher suite that is not implemented", rule="KP-10")
    if not _CREDENTIALS.issuperset(promised.credentials):
        raise InvalidLeafNodeError("the capabilities list a credential type that is not implemented", rule="KP-10")
    return promised.proposals


def make_leaf_node(
    suite: CipherSuite,
    client: Client,
    encryption_key: bytes,
    source: LeafNodeSource,
    *,
    group_id: bytes = b"",
    leaf_index: LeafIndex = LeafIndex(0),
) -> LeafNode:
    """Make and sign a leaf node; group and place count for sources update and commit (RFC 9420, Section 7.2; LN-26).

    Raises:
        InvalidLeafNodeError: the client's capabilities do not fit (LN-05, LN-08).
    """
    unsigned = make_unsigned_leaf_node(client, encryption_key, source)
    content = leaf_nodes.encode_tbs(unsigned, group_id, leaf_index)  # LN-26
    return replace(unsigned, signature=suite.sign_with_label(client.signature_private_key, SignatureLabel.LEAF_NODE_TBS, content))


def add_grease(client: Client, random: Random) -> Client:
    """Return a client whose leaves hold GREASE from now on: in their capabilities, and as an extension that these list (EX-08).

    A client that does so already stays as it is.
    """
    capabilities = client.capabilities
    if without_grease(capabilities) != capabilities:
        return client
    greased = grease_capabilities(capabilities, random)
    (value,) = set(greased.extensions) - set(capabilities.extensions)
    return replace(client, capabilities=greased, leaf_extensions=(*client.leaf_extensions, grease_extension(random, value)))


def create_key_package(
    suite: CipherSuite,
    client: Client,
    lifetime: Lifetime,
    random: Random,
    *,
    extensions: Sequence[Extension] = (),
    with_grease: bool = False,
) -> KeyPackageBundle:
    """Make a key package with fresh init and encryption keys (RFC 9420, Section 10).

    `with_grease` puts GREASE into the key package and its leaf, for which the client need not hold any itself.

    Raises:
        InvalidKeyPackageError: the client does not list one of `extensions` (KP-07).
        InvalidLeafNodeError: the client's capabilities do not fit (LN-05, LN-08).
    """
    if not all(is_listed(extension, client.capabilities) for extension in extensions):
        raise InvalidKeyPackageError("the capabilities do not list an extension of the key package", rule="KP-07")
    if with_grease:  # KP-13
        client = add_grease(client, random)
        free = GREASE_VALUES.intersection(client.capabilities.extensions) - {item.extension_type for item in extensions}
        extensions = (*extensions, *(grease_extension(random, value) for value in sorted(free)[:1]))
    init = suite.derive_key_pair(draw(random, suite.hash_size))
    leaf = suite.derive_key_pair(draw(random, suite.hash_size))
    leaf_node = make_leaf_node(suite, client, leaf.public_key, lifetime)
    unsigned = KeyPackage(int(ProtocolVersion.MLS10), suite.id, init.public_key, leaf_node, tuple(extensions), b"")
    signature = suite.sign_with_label(
        client.signature_private_key, SignatureLabel.KEY_PACKAGE_TBS, key_packages.encode_tbs(unsigned)
    )
    signed = replace(unsigned, signature=signature)
    return KeyPackageBundle(signed, key_package_ref(suite, signed), init.private_key, leaf.private_key)
