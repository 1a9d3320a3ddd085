"""`dmls demo`: starts everything, plays a recording, checks the outcome, and sums it up."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from dmls.matrix.identifiers import server_of
from dmls.tools.demo.checks import check_messages, check_recording, check_room, find_difference, try_whole_stores
from dmls.tools.demo.client_device import ClientProcess
from dmls.tools.demo.differences import DifferenceError
from dmls.tools.demo.homeserver import Homeserver, Name
from dmls.tools.demo.kills import KillPlan
from dmls.tools.demo.log import LogFolder
from dmls.tools.demo.log_reader import read_log_folder
from dmls.tools.demo.names import user_text
from dmls.tools.demo.output import open_output
from dmls.tools.demo.pictures import write_pictures
from dmls.tools.demo.replay import Replay
from dmls.tools.demo.service import ServiceProcess
from dmls.tools.demo.story import Story
from dmls.tools.demo.summary import show_summary

__all__ = ["CLIENT_USERS", "Options", "run_demo"]

CLIENT_USERS = frozenset({"carol", "dan"})
"""Whose devices keep their own keys; the others' are hosted."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to run."""

    log: Path
    kills: int = 0
    """How often services are killed."""
    keep: bool = False
    """Keep the data directories."""
    seed: int = 0
    """What the kills are chosen by."""
    patience_s: float = 60.0
    """How long the parties may take to agree after the recording's end, in seconds."""


def run_demo(options: Options, console: Console) -> None:
    """Play a recording.

    Raises:
        DifferenceError: something is not as it must be.
        DMLSError: the recording cannot be read, or a party refuses what it must not.
    """
    folder = read_log_folder(options.log)
    check_recording(folder)
    began = time.monotonic()
    steps = folder.steps()
    names = sorted({name for room in folder.rooms for name in room.servers})
    plan = KillPlan(options.seed, options.kills, len(steps), names)
    with contextlib.ExitStack() as stack:
        # A socket's path has to be short, so it is not in the data directory.
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dmls-")))
        data = stack.enter_context(_data_folder(options, console))
        output = stack.enter_context(open_output(console, len(steps)))
        story = Story(output, steps[0].ts)
        output.line(f"{folder.scenario}: {len(steps)} steps of {', '.join(names)}; carol and dan keep their own keys", "bold")
        replay = stack.enter_context(_start(folder, data, sockets, plan, story))
        for number, step in enumerate(steps):
            plan.step = number
            replay.play(step)
        replay.run_out()
        _finish(replay, options.patience_s)
        try_whole_stores(replay)
        heads = {room.room_id: check_room(replay, room) for room in folder.rooms}
        check_messages(replay, heads)
        show_summary(output, replay, heads, plan, time.monotonic() - began)


@contextlib.contextmanager
def _data_folder(options: Options, console: Console) -> Iterator[Path]:
    data = Path(tempfile.mkdtemp(prefix="dmls-demo-"))
    try:
        yield data
    finally:
        if options.keep:
            for missing in write_pictures(data):
                console.print(missing, style="red", markup=False, highlight=False, soft_wrap=True)
            console.print(f"the data directories and the epoch graphs are in {data}", highlight=False, soft_wrap=True)
        else:
            shutil.rmtree(data, ignore_errors=True)


@contextlib.contextmanager
def _start(folder: LogFolder, data: Path, sockets: Path, plan: KillPlan, story: Story) -> Iterator[Replay]:
    """Start a service beside each homeserver, and the clients, which wait until they log in. All end with the block."""
    with contextlib.ExitStack() as stack:
        homeservers: dict[str, Homeserver] = {}
        logs = {name: log for room in folder.rooms for name, log in room.servers.items()}
        for name, log in sorted(logs.items()):
            on_kill = partial(story.tell, name, style="red")
            service = ServiceProcess(name, log.server_name, data / name, sockets / name, plan, on_kill)
            stack.callback(service.stop)
            homeservers[name] = Homeserver(name, log.server_name, service)
        addresses = {homeserver.server_name: homeserver.service.address for homeserver in homeservers.values()}
        clients: dict[Name, ClientProcess] = {}
        for action in folder.devices:
            device, user = (action.user_id, action.device_id), user_text(action.user_id)
            if user in CLIENT_USERS and device not in clients:
                folder_name = f"{user}-{action.device_id}"
                clients[device] = ClientProcess(device, data / folder_name, addresses[server_of(action.user_id)])
                stack.callback(clients[device].stop)
        for homeserver in homeservers.values():
            homeserver.service.wait_until_ready()
        yield Replay(folder, homeservers, clients, story)


def _finish(replay: Replay, patience_s: float) -> None:
    """Wait until the rooms are as they must be.

    Raises:
        DifferenceError: they do not get there in time.
    """
    for server in replay.homeservers.values():
        server.service.kill_idle()
    end = time.monotonic() + patience_s
    while (problem := _problem(replay)) is not None:
        if time.monotonic() > end:
            raise DifferenceError(problem)
        replay.wait()


def _problem(replay: Replay) -> str | None:
    if not replay.mailbox.is_all_read:
        return "somebody still waits for the epoch of a message"
    return next((problem for room in replay.folder.rooms if (problem := find_difference(replay, room)) is not None), None)
