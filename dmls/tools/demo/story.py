"""What happens, told in plain lines as it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from dmls.ids import CommitRef
from dmls.tools.demo.epochs import Epoch, EpochLog
from dmls.tools.demo.forks import deed_text, epoch_text, side_rows
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

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, is_text: bool = False) -> None:
        """Show a table."""


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
        author, name = device_text(epoch.author), epoch_text(epoch)
        if not epoch.parent:
            self.tell(server, f"{author} begins the group: {name}", "green")
            return
        self.tell(server, f"{author} commits {name}: {deed_text(epoch)}", "green")
        if log.is_fork(epoch):
            self.tell(server, f"a fork: two commits follow epoch {epoch.number - 1}", "yellow")

    def switch(self, server: str, before: Epoch, after: Epoch) -> None:
        """Tell that a homeserver's service stands on another branch than before."""
        self.tell(server, f"heals: goes over from {epoch_text(before)}, whose branch has lost, to {epoch_text(after)}", "yellow")

    def sides(self, log: EpochLog, heads: Mapping[str, CommitRef], messages: Sequence[Message]) -> None:
        """Show where each homeserver's service stands at the end of a cut, side by side."""
        title = f"{(self.now - self._start) / 1_000:6.1f}s  Still cut off: two heads, side by side"
        self._output.table(title, ("", *heads), side_rows(log, list(heads.values()), messages), is_text=True)
        self._output.line("")
