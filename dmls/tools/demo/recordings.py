"""Which recordings there are to play, and where they lie."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import dmls
from dmls.errors import InvalidArgumentError

__all__ = ["Scenario", "find_recording"]


class Scenario(StrEnum):
    """What happens in a recorded room; each has a folder `S<number>-<scenario>-v<room version>`."""

    FIGURE1 = "figure1"
    """Joins, a leave, a kick and a return, a new device, a ban."""
    PARTITION = "partition"
    """The link is cut, and each side adds and removes users whom the other keeps."""
    DUEL = "duel"
    """The link is cut, and two administrators each remove a user of the other's side."""
    CHURN = "churn"
    """Three cuts, one of them in one direction only, and over a hundred changes of membership."""
    UPGRADE = "upgrade"
    """The room is replaced by another of a newer room version."""
    ROLLBACK = "rollback"
    """After a cut the resolved state takes back what one side had accepted."""


def find_recording(scenario: Scenario) -> Path:
    """Return the folder of a scenario, that of the lowest room version.

    Raises:
        InvalidArgumentError: it is not there; an installed package does not have the recordings.
    """
    parent = Path(dmls.__file__).resolve().parents[1] / "examples" / "room-logs"
    found = sorted(parent.glob(f"S*-{scenario}-v*"))
    if not found:
        raise InvalidArgumentError(
            f"no recording of {scenario}: looked for {parent / f'S*-{scenario}-v*'}; the recordings are in the repository and"
            " not in the installed package, name one with --log DIR"
        )
    return found[0]
