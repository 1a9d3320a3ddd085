"""An attack on a message with everything that a store holds: every epoch's keys, whatever epoch the message says it is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dmls.engine.state import RoomState
from dmls.errors import CodecError, DMLSError
from dmls.ids import CommitRef
from dmls.matrix.bodies import Inline, MessageBody, parse_body
from dmls.mls.codec import decode
from dmls.mls.framing.private_message import unprotect_private
from dmls.mls.group.state import GroupState
from dmls.mls.messages.message import MLSMessage, PrivateMessage

__all__ = ["try_everything"]


def try_everything(state: RoomState | None, content: Mapping[str, Any]) -> tuple[CommitRef, int]:
    """Try every held epoch on the content of a message event; nothing is used up.

    No rule is obeyed: not the message's epoch number, not the sender's leaf, not the signature.

    Returns:
        The epoch whose keys opened the message, empty if none did, and how many epochs there were.

    Raises:
        DMLSError: the content is no message, or not here as a whole.
    """
    body = parse_body(content)
    if not isinstance(body, MessageBody) or not isinstance(body.message, Inline):
        raise CodecError("not a message in the event itself")
    message = decode(MLSMessage, body.message.data).body
    if not isinstance(message, PrivateMessage):
        raise CodecError("not a private message")
    epochs = {} if state is None else state.epochs
    opened = next((ref for ref, held in epochs.items() if _opens(held.state, message)), CommitRef(b""))
    return opened, len(epochs)


def _opens(held: GroupState, message: PrivateMessage) -> bool:
    try:
        unprotect_private(held.public.suite, message, held.secret_tree, held.secrets.sender_data_secret, lambda _leaf: True)
    except DMLSError:
        return False
    return True
