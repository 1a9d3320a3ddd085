"""The agent: who drives the engine, and the devices whose keys it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from dmls.errors import InvalidLeafNodeError, ValidationError
from dmls.forks.aad import DMLS_NODE_REF, DMLS_PARAMS, decode_identity, encode_identity
from dmls.forks.graph import Device
from dmls.forks.renewal import RenewalRules
from dmls.ids import DeviceId, LeafIndex, ServerName, UserId
from dmls.matrix.identifiers import parse_device_id, parse_user_id
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite
from dmls.mls.group.leaf import Client, default_capabilities
from dmls.mls.group.policy import OpenPolicy
from dmls.mls.messages.credential import BasicCredential, X509Credential
from dmls.mls.messages.leaf_node import Capabilities, LeafNode
from dmls.mls.messages.registry import ExtensionType
from dmls.mls.tree.ratchet_tree import RatchetTree

__all__ = ["Agent", "DevicePolicy", "OwnDevice", "device_of", "devices_of", "dmls_capabilities", "make_client"]


def dmls_capabilities(suites: tuple[int, ...]) -> Capabilities:
    """Return the capabilities of a device that follows this profile (docs/protocol.md)."""
    return default_capabilities(suites, extensions=(ExtensionType.LAST_RESORT, DMLS_PARAMS, DMLS_NODE_REF))


def make_client(
    suite: CipherSuite, user_id: UserId, device_id: DeviceId, signature_private_key: Secret, signature_key: bytes
) -> Client:
    """Return what a device puts into its leaves."""
    credential = BasicCredential(encode_identity(user_id, device_id))
    # A parsed key signs in half the time.
    return Client(credential, signature_key, suite.signing_key(signature_private_key), dmls_capabilities((suite.id,)))


@dataclass(frozen=True, slots=True, repr=False)
class OwnDevice:
    """A device whose keys the agent holds."""

    device: Device
    client: Client


@dataclass(frozen=True, slots=True)
class Agent:
    """One driver of engines: a homeserver's service, or a client with its own device."""

    server_name: ServerName
    is_service: bool
    devices: Mapping[Device, OwnDevice] = field(default_factory=dict, repr=False)
    rules: RenewalRules = field(default_factory=RenewalRules)

    def find(self, user_id: UserId, device_id: DeviceId) -> OwnDevice | None:
        """Return the own device of this name, or None."""
        for device, own in self.devices.items():
            if device.user_id == user_id and device.device_id == device_id:
                return own
        return None


def device_of(leaf: LeafNode) -> Device:
    """Return the device that a leaf claims to be; the claim is good only where its user's server vouches for it.

    Raises:
        InvalidLeafNodeError: the credential is not a DMLS identity.
    """
    if not isinstance(leaf.credential, BasicCredential):
        raise InvalidLeafNodeError("the credential is not a basic one")
    return _device_named(leaf.credential.identity, leaf.signature_key)


@lru_cache(maxsize=1 << 15)
def _device_named(identity: bytes, signature_key: bytes) -> Device:
    """Return the device of an identity; the same leaf is asked about in every epoch of every fork."""
    try:
        user_id, device_id = decode_identity(identity)
        return Device(parse_user_id(user_id), parse_device_id(device_id), signature_key)
    except ValidationError as error:
        raise InvalidLeafNodeError("the credential does not name a Matrix device") from error


def devices_of(tree: RatchetTree) -> dict[LeafIndex, Device]:
    """Return the device at each leaf of a validated tree."""
    return {index: device_of(leaf) for index, leaf in tree.members()}


class DevicePolicy(OpenPolicy):
    """Credentials are DMLS identities, and a leaf is followed only by one of the same device."""

    def check_credential(self, credential: BasicCredential | X509Credential, signature_key: bytes) -> None:
        """Raise `InvalidLeafNodeError` or `CodecError` if the credential names no Matrix device."""
        self._name(credential)

    def check_succession(self, old: BasicCredential | X509Credential, new: BasicCredential | X509Credential) -> None:
        """Raise `InvalidLeafNodeError` if `new` names another device than `old`."""
        if self._name(old) != self._name(new):
            raise InvalidLeafNodeError("a leaf cannot pass to another device")

    @staticmethod
    def _name(credential: BasicCredential | X509Credential) -> tuple[UserId, DeviceId]:
        if not isinstance(credential, BasicCredential):
            raise InvalidLeafNodeError("the credential is not a basic one")
        user_id, device_id = decode_identity(credential.identity)
        return parse_user_id(user_id), parse_device_id(device_id)
