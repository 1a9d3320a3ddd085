"""A fork and its healing, as tables: where each side stands while the link is cut, and what became of every branch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from dmls.ids import CommitRef, UserId
from dmls.tools.demo.epochs import Epoch, EpochLog
from dmls.tools.demo.messages import Message
from dmls.tools.demo.names import device_text, devices_text, user_text

__all__ = ["branch_rows", "deed_text", "epoch_text", "side_rows", "users_text"]


def epoch_text(epoch: Epoch) -> str:
    """Return an epoch as people can tell it from others: `epoch 7 (4b2fa842)`."""
    return f"epoch {_short(epoch)}"


def _short(epoch: Epoch) -> str:
    return f"{epoch.number} ({epoch.commit_ref.hex()[:8]})"


def users_text(users: Iterable[UserId]) -> str:
    """Return users as people say them, in order: `alice, bob`."""
    return ", ".join(user_text(user) for user in sorted(users)) or "nobody"


def deed_text(epoch: Epoch) -> str:
    """Return what a commit does: `adds bob/ZWQU; settles the side branch 4b2fa842`."""
    does = []
    if epoch.is_external:
        does.append("joins by itself")
    added = epoch.added - {epoch.author} if epoch.is_external else epoch.added
    if added:
        does.append(f"adds {devices_text(added)}")
    if epoch.removed - ({epoch.author} if epoch.is_external else set()):
        does.append(f"removes {devices_text(epoch.removed)}")
    if epoch.resolves:
        refs = ", ".join(ref.hex()[:8] for ref in epoch.resolves)
        does.append(f"settles the side branch{'es' if len(epoch.resolves) > 1 else ''} {refs}")
    return "; ".join(does) or "fresh keys"


def side_rows(log: EpochLog, heads: Sequence[CommitRef], messages: Iterable[Message]) -> list[tuple[str, ...]]:
    """Return what two or more sides have of their own, a column for each: its head, its commits, its users and its messages.

    `heads` are where the sides stand, all known to `log`; `messages` are those of the room.
    """
    chains = [log.chain(head) for head in heads]
    common = set(chains[0]).intersection(*chains[1:])
    own = [[log.epochs[ref] for ref in chain if ref not in common] for chain in chains]
    rows = [("head", *(epoch_text(log.epochs[head]) for head in heads))]
    commits = [[f"{_short(epoch)} {deed_text(epoch)}" for epoch in epochs] for epochs in own]
    for number, row in enumerate(zip_longest(*commits, fillvalue="")):
        rows.append(("" if number else "its own commits", *row))
    rows.append(("users", *(users_text({name[0] for name in log.epochs[head].members}) for head in heads)))
    sent = list(messages)
    counts = [sum(message.commit_ref in {epoch.commit_ref for epoch in epochs} for message in sent) for epochs in own]
    return [*rows, ("messages in them", *map(str, counts))]


def branch_rows(log: EpochLog, head: CommitRef) -> list[tuple[str, ...]]:
    """Return what became of every epoch since the group first forked, in the order of the epochs.

    A row has the epoch, its author, what the commit does, and its fate; there are none if the group never forked.
    """
    chain = log.chain(head)
    first = min((epoch.number for epoch in log.epochs.values() if log.is_fork(epoch)), default=None)
    rows: list[tuple[str, ...]] = []
    for epoch in sorted(log.epochs.values(), key=lambda epoch: epoch.number):
        if first is None or epoch.number < first:
            continue
        deed = deed_text(epoch) if epoch.parent else "begins the group"
        fate = "on the one branch" if epoch.commit_ref in chain else _loss_text(_settled_by(log, chain, epoch.commit_ref))
        rows.append((_short(epoch), device_text(epoch.author), deed, fate))
    return rows


def _settled_by(log: EpochLog, chain: Sequence[CommitRef], lost: CommitRef) -> Epoch | None:
    """Return the first epoch of a chain that resolves a side head on whose branch `lost` is."""
    epochs = (log.epochs[ref] for ref in chain)
    return next((epoch for epoch in epochs if any(log.is_on_chain(lost, side) for side in epoch.resolves)), None)


def _loss_text(settled_by: Epoch | None) -> str:
    return "lost" if settled_by is None else f"lost, settled by {_short(settled_by)}"
