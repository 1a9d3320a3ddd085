"""A key package that does not fit must not hold up a removal: removes are never deferred."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmls.engine.agent import devices_of
from dmls.engine.effects import ClaimWanted
from dmls.engine.inputs import KeyPackagesProvided
from dmls.forks.aad import encode_identity
from dmls.mls.group.leaf import Client, create_key_package, default_capabilities
from dmls.mls.messages.credential import BasicCredential
from dmls.mls.messages.leaf_node import Lifetime
from dmls.mls.messages.message import encode_message
from dmls.tools.demo.log_reader import read_log_folder
from tests.support.room_logs import FIGURE_1
from tests.support.world import SUITE, Party, World


class _LyingServers(World):
    """Every claimed key package is signed by its device, but lacks what the room's group requires."""

    def _claim(self, party: Party, item: ClaimWanted) -> None:
        provided = {}
        now = self.now // 1000
        for device in item.devices:
            owner = self.owner(device.user_id, device.device_id)
            assert owner is not None
            key = owner.agent.devices[device].client.signature_private_key
            credential = BasicCredential(encode_identity(device.user_id, device.device_id))
            client = Client(credential, device.signature_key, key, default_capabilities((SUITE.id,)))
            bundle = create_key_package(SUITE, client, Lifetime(now - 3600, now + 86_400), owner.random)
            provided[device] = encode_message(bundle.key_package)
        self.step(party, KeyPackagesProvided(provided))


@pytest.mark.parametrize("folder", FIGURE_1, ids=lambda folder: folder.name)
def test_removals_go_ahead_while_key_packages_do_not_fit(folder: Path, seed: int) -> None:
    world = _LyingServers(read_log_folder(folder), clients=frozenset({"@carol", "@dan"}), seed=seed)
    world.run()
    for server, log in world.room.servers.items():
        state = world.service(server).engine.state
        assert state.head is not None
        users = {device.user_id for device in devices_of(state.entries[state.head].group.tree).values()}
        assert users <= {user for user, change in log.final_members.items() if change.membership == "join"}
    assert {message.outcome for message in world.messages.values() if message.sender.startswith("@alice")} == {"ok"}
