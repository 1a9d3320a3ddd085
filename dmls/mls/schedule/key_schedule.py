"""The key schedule (RFC 9420, Section 8): from one epoch's init secret to the next epoch's secrets.

The secrets that are used once and then deleted (joiner, member, welcome and epoch secret) are return values only: no record
here has a field for them (ST-06).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from dmls.errors import LengthError, UsageError
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, KeyPair

__all__ = [
    "RFC9420_RULE",
    "EpochSecrets",
    "InitSecretRule",
    "InitState",
    "derive_epoch_secrets",
    "derive_joiner_secret",
    "derive_member_secrets",
    "derive_welcome_secret",
    "export",
    "external_key_pair",
    "welcome_key_nonce",
]

InitState: TypeAlias = object
"""What an epoch keeps for its children's init secrets. Immutable, and understood only by the rule that made it."""


class InitSecretRule(Protocol):
    """How the init secret of an epoch comes about."""

    def open_epoch(self, suite: CipherSuite, epoch_secret: Secret) -> InitState:
        """Return what an epoch with this epoch secret keeps for its children."""

    def child_init_secret(
        self, suite: CipherSuite, state: InitState, last_path_secret: Secret | None, group_context: bytes
    ) -> tuple[Secret, InitState]:
        """Return a child's init secret, hash_size bytes, and what the parent keeps from then on.

        Args:
            suite: the cipher suite of the group.
            state: what the parent keeps.
            last_path_secret: the last path secret of the commit's path, None without a path.
            group_context: the encoded GroupContext of the child.
        """

    def encode_state(self, state: InitState) -> bytes:
        """Return the bytes that `decode_state` reads. They are as secret as the state."""

    def decode_state(self, suite: CipherSuite, data: bytes) -> InitState:
        """Read a state back.

        Raises:
            CodecError: `data` is no state of this rule and suite.
        """


class _RFC9420Rule:
    """One init secret an epoch, the same for every child (RFC 9420, Section 8)."""

    def open_epoch(self, suite: CipherSuite, epoch_secret: Secret) -> InitState:
        return suite.derive_secret(epoch_secret, "init")  # KS-01

    def child_init_secret(
        self, suite: CipherSuite, state: InitState, last_path_secret: Secret | None, group_context: bytes
    ) -> tuple[Secret, InitState]:
        return self._secret(state), state

    def encode_state(self, state: InitState) -> bytes:
        return bytes(self._secret(state))

    def decode_state(self, suite: CipherSuite, data: bytes) -> InitState:
        if len(data) != suite.hash_size:
            raise LengthError(f"an init secret of this suite has {suite.hash_size} bytes, not {len(data)}")
        return Secret(data)

    @staticmethod
    def _secret(state: InitState) -> Secret:
        if not isinstance(state, Secret):
            raise UsageError("the state was made by another init secret rule")
        return state


RFC9420_RULE: InitSecretRule = _RFC9420Rule()
"""The rule of RFC 9420: `DeriveSecret(epoch_secret, "init")`."""


@dataclass(frozen=True, slots=True, repr=False)
class EpochSecrets:
    """The secrets of one epoch, hash_size bytes each (RFC 9420, Section 8, Table 4)."""

    sender_data_secret: Secret
    encryption_secret: Secret
    exporter_secret: Secret
    external_secret: Secret
    confirmation_key: Secret
    membership_key: Secret
    resumption_psk: Secret
    epoch_authenticator: bytes

    def without_encryption_secret(self) -> EpochSecrets:
        """Return what may be kept once the secret tree is made: the encryption secret is empty (ST-06)."""
        return EpochSecrets(
            self.sender_data_secret,
            Secret(b""),
            self.exporter_secret,
            self.external_secret,
            self.confirmation_key,
            self.membership_key,
            self.resumption_psk,
            self.epoch_authenticator,
        )


def derive_joiner_secret(suite: CipherSuite, init_secret: Secret, commit_secret: Secret, group_context: bytes) -> Secret:
    """Return the joiner secret of a new epoch (KS-02, KS-03).

    Args:
        suite: the cipher suite of the group.
        init_secret: what the parent epoch gives, or an external commit's KEM.
        commit_secret: of the commit's path; hash_size zero bytes without a path (KS-04).
        group_context: the encoded GroupContext of the new epoch.
    """
    return suite.expand_with_label(
        suite.extract(init_secret, commit_secret),  # KS-02
        "joiner",
        group_context,  # KS-03
        suite.hash_size,
    )


def _member_secret(suite: CipherSuite, joiner_secret: Secret, psk_secret: Secret) -> Secret:
    return suite.extract(joiner_secret, psk_secret)  # KS-02


def derive_welcome_secret(suite: CipherSuite, joiner_secret: Secret, psk_secret: Secret) -> Secret:
    """Return the welcome secret: all a joiner can derive before it has read the GroupInfo."""
    return suite.derive_secret(_member_secret(suite, joiner_secret, psk_secret), "welcome")


def derive_member_secrets(
    suite: CipherSuite, joiner_secret: Secret, psk_secret: Secret, group_context: bytes
) -> tuple[Secret, Secret]:
    """Return the welcome secret and the epoch secret of a new epoch (KS-01 to KS-03).

    Args:
        suite: the cipher suite of the group.
        joiner_secret: derived, or read from a Welcome.
        psk_secret: of the commit's pre-shared keys; hash_size zero bytes without any (KS-04).
        group_context: the encoded GroupContext of the new epoch.
    """
    member_secret = _member_secret(suite, joiner_secret, psk_secret)
    welcome_secret = suite.derive_secret(member_secret, "welcome")
    return welcome_secret, suite.expand_with_label(member_secret, "epoch", group_context, suite.hash_size)  # KS-03


def welcome_key_nonce(suite: CipherSuite, welcome_secret: Secret) -> tuple[Secret, Secret]:
    """Return key and nonce of a Welcome's encrypted GroupInfo, key_size and nonce_size bytes (RFC 9420, Section 12.4.3.1)."""
    key = suite.expand_with_label(welcome_secret, "key", b"", suite.key_size)
    return key, suite.expand_with_label(welcome_secret, "nonce", b"", suite.nonce_size)


def derive_epoch_secrets(suite: CipherSuite, epoch_secret: Secret) -> EpochSecrets:
    """Return the secrets of an epoch (KS-01, KS-12). The init secret is not among them: see `InitSecretRule`."""
    return EpochSecrets(
        sender_data_secret=suite.derive_secret(epoch_secret, "sender data"),
        encryption_secret=suite.derive_secret(epoch_secret, "encryption"),
        exporter_secret=suite.derive_secret(epoch_secret, "exporter"),
        external_secret=suite.derive_secret(epoch_secret, "external"),
        confirmation_key=suite.derive_secret(epoch_secret, "confirm"),
        membership_key=suite.derive_secret(epoch_secret, "membership"),
        resumption_psk=suite.derive_secret(epoch_secret, "resumption"),  # KS-12
        epoch_authenticator=bytes(suite.derive_secret(epoch_secret, "authentication")),
    )


def external_key_pair(suite: CipherSuite, external_secret: Secret) -> KeyPair:
    """Return the key pair that external commits encapsulate to (KS-09)."""
    return suite.derive_key_pair(external_secret)  # KS-09


def export(suite: CipherSuite, exporter_secret: Secret, label: str | bytes, context: bytes, length: int) -> Secret:
    """Return `length` bytes of the exporter (RFC 9420, Section 8.5; KS-10).

    Raises:
        InvalidArgumentError: `length` is negative or over 255 * hash_size (KS-11).
    """
    secret = suite.derive_secret(exporter_secret, label)
    return suite.expand_with_label(secret, "exported", suite.hash(context), length)  # KS-10
