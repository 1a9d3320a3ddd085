"""From a caller's description of a proposal to the proposal."""

from __future__ import annotations

import os
from collections.abc import Iterable

from dmls.errors import InvalidArgumentError, NotFoundError
from dmls.ids import LeafIndex
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.group.psks import name_psk
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.extensions import Extension
from dmls.mls.messages.key_package import KeyPackage
from dmls.mls.messages.proposal import Add, GroupContextExtensions, PreSharedKey, ProposalBody, ReInit, Remove
from dmls.mls.messages.psk import ExternalPSK, ResumptionPSK, ResumptionPSKUsage
from dmls.mls.messages.registry import ProtocolVersion
from dmls.mls.tree.ratchet_tree import RatchetTree
from tests.interop.proto import mls_client_pb2 as pb
from tests.interop.wg.server.clients import open_body

__all__ = ["find_member", "make_proposal", "read_extensions"]


def read_extensions(extensions: Iterable[pb.Extension]) -> tuple[Extension, ...]:
    """Return extensions as the core knows them."""
    return tuple(Extension(extension.extension_type, extension.extension_data) for extension in extensions)


def find_member(tree: RatchetTree, identity: bytes) -> LeafIndex:
    """Return the leaf of the member with a basic credential of `identity`.

    Raises:
        NotFoundError: there is none.
    """
    for index, leaf in tree.members():
        if leaf.credential == BasicCredential(identity):
            return index
    raise NotFoundError("no member has this identity")


def make_proposal(description: pb.ProposalDescription, suite: CipherSuite, group_id: bytes, tree: RatchetTree) -> ProposalBody:
    """Make the proposal that a description asks for in a group.

    Raises:
        InvalidArgumentError: no such type.
        NotFoundError: the identity to remove is nobody's.
        CodecError: the key package does not decode.
    """
    if description.proposal_type == b"add":
        return Add(open_body(description.key_package, KeyPackage))
    if description.proposal_type == b"remove":
        return Remove(find_member(tree, description.removed_id))
    if description.proposal_type == b"externalPSK":
        return PreSharedKey(name_psk(suite, ExternalPSK(description.psk_id), os.urandom))
    if description.proposal_type == b"resumptionPSK":
        source = ResumptionPSK(ResumptionPSKUsage.APPLICATION, group_id, description.epoch_id)
        return PreSharedKey(name_psk(suite, source, os.urandom))
    if description.proposal_type == b"groupContextExtensions":
        return GroupContextExtensions(read_extensions(description.extensions))
    if description.proposal_type == b"reinit":
        extensions = read_extensions(description.extensions)
        return ReInit(description.group_id, ProtocolVersion.MLS10, description.cipher_suite, extensions)
    raise InvalidArgumentError("unknown type of proposal")
