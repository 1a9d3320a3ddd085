"""The table of docs/peers.md is what the program prints."""

from __future__ import annotations

from pathlib import Path

from tests.interop.peers import matrix
from tests.interop.peers.conftest import Peers
from tests.interop.peers.installed import NAMES

_DOCUMENT = (Path(__file__).parents[3] / "docs" / "peers.md").read_text()


def test_the_documented_table_is_what_happens(peers: Peers) -> None:
    cells, refusals = matrix.fill({name: peers[name] for name in NAMES})
    assert matrix.markdown(cells) in _DOCUMENT, "\n".join(refusals)


def test_nobody_refuses_us_and_we_refuse_nobody(peers: Peers) -> None:
    for name in NAMES:
        cells, refusals = matrix.fill({"dmls": peers["dmls"], name: peers[name]})
        ours = {pair: cell for pair, cell in cells.items() if "dmls" in pair}
        assert not any("!" in cell for cell in ours.values()), refusals
