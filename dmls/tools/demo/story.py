"""What happens, told in plain lines as it happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from dmls.tools.demo.epochs import Epoch, EpochLog
from dmls.tools.demo.homeserver import Name
from dmls.tools.demo.messages import Message
from dmls.tools.demo.names import device_text, devices_text

__all__ = ["Story"]


class Output(Protocol):
    """Where lines go, and how far the replay has come."""

    def line(self, text: str, style: str = "") -> None:
        """Show a line."""

    def advance(self) -> None:
        """Show that one more step of the recording is done."""


class Story:
    """Tells the replay to people. `start_ts` is the recording's first moment, in milliseconds since 1970."""

    def __init__(self, output: Output, start_ts: int) -> None:
        """Begin with nothing told."""
        self._output = output
        self._start = start_ts
        self.now = start_ts

    def tell(self, server: str, text: str, style: str = "") -> None:
        """Tell something that happened at a homeserver."""
        self._output.line(f"{(self.now - self._start) / 1_000:6.1f}s  {server:<4} {text}", style)

    def step(self, ts: int) -> None:
        """Let the recording's time be `ts`, one step further on."""
        self.now = max(self.now, ts)
        self._output.advance()

    def read(self, server: str, message: Message, outcomes: Mapping[Name, str]) -> None:
        """Tell who could read a message at a homeserver, and who could not."""
        reads = {name for name, outcome in outcomes.items() if outcome == "OK"}
        refused = {f"{device_text(name)} ({outcome})" for name, outcome in outcomes.items() if outcome != "OK"}
        text = f"read by {devices_text(reads)}: '{message.text}'"
        self.tell(server, f"{text}; refused to {', '.join(sorted(refused))}" if refused else text, "cyan")

    def epoch(self, server: str, log: EpochLog, epoch: Epoch) -> None:
        """Tell of a new epoch."""
        author = device_text(epoch.author)
        name = f"epoch {epoch.number} ({epoch.commit_ref.hex()[:8]})"
        if not epoch.parent:
            self.tell(server, f"{author} begins the group: {name}", "green")
            return
        does = []
        if epoch.is_external:
            does.append("joins by itself")
        added = epoch.added - {epoch.author} if epoch.is_external else epoch.added
        if added:
            does.append(f"adds {devices_text(added)}")
        if epoch.removed - ({epoch.author} if epoch.is_external else set()):
            does.append(f"removes {devices_text(epoch.removed)}")
        if epoch.resolves:
            does.append(f"settles the side branch{'es' if len(epoch.resolves) > 1 else ''} {_refs(epoch)}")
        self.tell(server, f"{author} commits {name}: {'; '.join(does) or 'fresh keys'}", "green")
        if log.is_fork(epoch):
            self.tell(server, f"a fork: two commits follow epoch {epoch.number - 1}", "yellow")


def _refs(epoch: Epoch) -> str:
    return ", ".join(ref.hex()[:8] for ref in epoch.resolves)
