"""The one exception tree of the project.

Every error carries fields rather than prose: a stable `reason` (upper snake case, shown to callers, logs and metrics), the
name of the gRPC code it maps to (as text, so that the core never imports grpc), and, where a numbered rule was broken, its
`rule` id as listed in docs/rfc9420-ledger.md. No error ever holds a secret.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AlreadyExistsError",
    "AuthError",
    "CodecError",
    "ConflictError",
    "CryptoError",
    "DMLSError",
    "DecryptionError",
    "EpochError",
    "EvictedError",
    "ExhaustedError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidCommitError",
    "InvalidCredentialError",
    "InvalidGroupInfoError",
    "InvalidKeyPackageError",
    "InvalidLeafNodeError",
    "InvalidMessageError",
    "InvalidProposalError",
    "InvalidTreeError",
    "InvalidWelcomeError",
    "KeyConsumedError",
    "LengthError",
    "LifetimeError",
    "LimitError",
    "MacError",
    "NotAMemberError",
    "NotFoundError",
    "PendingCommitError",
    "PermissionDeniedError",
    "PuncturedError",
    "ResourceError",
    "SignatureError",
    "StaleEpochError",
    "StateError",
    "StoreBusyError",
    "TrailingDataError",
    "TruncatedError",
    "UnauthenticatedError",
    "UnknownEpochError",
    "UnknownVariantError",
    "UnsupportedError",
    "UsageError",
    "ValidationError",
]


class DMLSError(Exception):
    """Root of every error this project raises on purpose."""

    reason: ClassVar[str] = "DMLS_ERROR"
    code: ClassVar[str] = "UNKNOWN"
    hint: ClassVar[str] = ""

    def __init__(self, message: str, *, rule: str | None = None) -> None:
        super().__init__(message if rule is None else f"{message} [{rule}]")
        self.message = message
        self.rule = rule


class CodecError(DMLSError):
    """Bytes are not a valid encoding."""

    reason = "CODEC_MALFORMED"
    code = "INVALID_ARGUMENT"
    hint = "The bytes do not decode; check that nothing was cut or re-encoded on the way."


class TruncatedError(CodecError):
    """The input ends before the value does."""

    reason = "CODEC_TRUNCATED"


class TrailingDataError(CodecError):
    """Bytes remain after the value."""

    reason = "CODEC_TRAILING_DATA"


class LengthError(CodecError):
    """A length prefix is not minimal, not allowed, or not a whole number of elements."""

    reason = "CODEC_LENGTH"


class UnknownVariantError(CodecError):
    """A tag of a closed enumeration has no meaning."""

    reason = "CODEC_UNKNOWN_VARIANT"


class ValidationError(DMLSError):
    """Well formed, but breaks a numbered rule."""

    reason = "RULE_VIOLATION"
    code = "INVALID_ARGUMENT"
    hint = "The object breaks the named rule of RFC 9420 or of the DMLS profile."


class InvalidMessageError(ValidationError):
    """A framed message breaks a rule of RFC 9420, Section 6."""


class InvalidKeyPackageError(ValidationError):
    """A key package breaks a rule of RFC 9420, Section 10."""


class InvalidLeafNodeError(ValidationError):
    """A leaf node breaks a rule of RFC 9420, Section 7.3."""


class LifetimeError(InvalidLeafNodeError):
    """A leaf node's lifetime is over, not begun, or too long."""

    reason = "LIFETIME"


class InvalidCredentialError(ValidationError):
    """A credential breaks a rule of RFC 9420, Section 5.3, or of the application."""


class InvalidTreeError(ValidationError):
    """A ratchet tree breaks a rule of RFC 9420, Section 7 or 12.4.3.1."""


class InvalidProposalError(ValidationError):
    """A proposal, or a list of them, breaks a rule of RFC 9420, Section 12.1 or 12.2."""


class InvalidCommitError(ValidationError):
    """A commit breaks a rule of RFC 9420, Section 12.4."""


class InvalidWelcomeError(ValidationError):
    """A Welcome breaks a rule of RFC 9420, Section 12.4.3.1."""


class InvalidGroupInfoError(ValidationError):
    """A GroupInfo breaks a rule of RFC 9420, Section 12.4.3."""


class UnsupportedError(ValidationError):
    """A cipher suite, version, type or feature that is not implemented here."""

    reason = "UNSUPPORTED"
    hint = "Use one of the cipher suites and types that GetServerInfo lists."


class InvalidArgumentError(ValidationError):
    """A caller's argument is out of range or malformed."""

    reason = "INVALID_ARGUMENT"
    hint = "Correct the argument; sending it again unchanged will fail again."


class CryptoError(DMLSError):
    """A cryptographic check failed. Never says which part."""

    reason = "CRYPTO"
    code = "INVALID_ARGUMENT"
    hint = "The bytes were altered, or made with other keys."


class SignatureError(CryptoError):
    """A signature does not verify."""

    reason = "SIGNATURE"


class DecryptionError(CryptoError):
    """A ciphertext does not open."""

    reason = "DECRYPTION"


class MacError(CryptoError):
    """A tag does not match."""

    reason = "MAC"


class StateError(DMLSError):
    """The right call at the wrong moment."""

    reason = "STATE"
    code = "FAILED_PRECONDITION"


class NotAMemberError(StateError):
    """The device has no leaf in the epoch."""

    reason = "NOT_A_MEMBER"
    hint = "The device is not in this room's group; it joins with the next commit or by external commit."


class EvictedError(StateError):
    """This commit removes the device that processes it."""

    reason = "EVICTED"


class PendingCommitError(StateError):
    """The group must commit, fetch or rejoin before this."""

    reason = "COMMIT_PENDING"
    hint = "The room has changes to commit first; drain the outbox, feed its events back, and retry."


class KeyConsumedError(StateError):
    """The key of this message was used before."""

    reason = "KEY_CONSUMED"


class PuncturedError(StateError):
    """The puncturable init secret was evaluated at this point before."""

    reason = "KEY_PUNCTURED"


class EpochError(DMLSError):
    """The message belongs to another epoch."""

    reason = "EPOCH"
    code = "ABORTED"


class StaleEpochError(EpochError):
    """The epoch is over and its secrets are gone."""

    reason = "EPOCH_STALE"


class UnknownEpochError(EpochError):
    """The epoch has not been seen yet; it may arrive."""

    reason = "EPOCH_UNKNOWN"


class ResourceError(DMLSError):
    """A named thing is missing, present already, or used up."""

    reason = "RESOURCE"
    code = "FAILED_PRECONDITION"


class NotFoundError(ResourceError):
    """The named user, device, room, epoch or blob is not known here."""

    reason = "NOT_FOUND"
    code = "NOT_FOUND"


class AlreadyExistsError(ResourceError):
    """The name is taken by something else."""

    reason = "ALREADY_EXISTS"
    code = "ALREADY_EXISTS"


class ConflictError(ResourceError):
    """Another change came first; read again and retry."""

    reason = "CONFLICT"
    code = "ABORTED"


class ExhaustedError(ResourceError):
    """Nothing of the kind is left."""

    reason = "EXHAUSTED"
    code = "RESOURCE_EXHAUSTED"


class LimitError(ResourceError):
    """A configured limit was passed."""

    reason = "LIMIT"
    code = "RESOURCE_EXHAUSTED"


class StoreBusyError(ResourceError):
    """The store could not take the write in time."""

    reason = "STORE_BUSY"
    code = "UNAVAILABLE"
    hint = "Retry with the same request_id."


class AuthError(DMLSError):
    """The caller is not who it must be."""

    reason = "AUTH"
    code = "UNAUTHENTICATED"


class UnauthenticatedError(AuthError):
    """No valid proof of identity."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(AuthError):
    """A known caller asks for what it may not have."""

    reason = "PERMISSION_DENIED"
    code = "PERMISSION_DENIED"


class UsageError(DMLSError, ValueError):
    """The calling code passed an argument it never may."""

    reason = "USAGE"
    code = "INTERNAL"


class InternalError(DMLSError):
    """A defect of this project; please report it."""

    reason = "BUG"
    code = "INTERNAL"
    hint = "Please report this with the request id."
