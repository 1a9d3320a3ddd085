"""What both ends of a connection set."""

from __future__ import annotations

from typing import Final

__all__ = ["UNLIMITED"]

UNLIMITED: Final = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
"""Options for Welcomes and trees of any size."""
