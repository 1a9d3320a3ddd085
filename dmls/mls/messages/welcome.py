"""Welcome messages (RFC 9420, Section 12.4.3.1)."""

from __future__ import annotations

from dmls.mls.codec import bounded, opaque, optional, struct, uint16
from dmls.mls.messages.commit import HPKECiphertext
from dmls.mls.messages.psk import PreSharedKeyID

__all__ = ["EncryptedGroupSecrets", "GroupSecrets", "PathSecret", "Welcome"]


@struct(secret=True)
class PathSecret:
    """The secret of the lowest common ancestor of the newcomer and the committer."""

    path_secret: opaque


@struct(secret=True)
class GroupSecrets:
    """What one newcomer is told."""

    joiner_secret: opaque
    path_secret: optional[PathSecret]
    psks: bounded[PreSharedKeyID]


@struct
class EncryptedGroupSecrets:
    """One newcomer's GroupSecrets, sealed to its init key."""

    new_member: opaque
    encrypted_group_secrets: HPKECiphertext


@struct
class Welcome:
    """Invites the members that a commit added."""

    cipher_suite: uint16
    secrets: bounded[EncryptedGroupSecrets]
    encrypted_group_info: opaque
