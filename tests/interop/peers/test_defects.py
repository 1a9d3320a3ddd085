"""Where another implementation departs from RFC 9420, or refuses what it allows: others beside us see it as we do.

The drivers get round most of this; here it is not got round. A peer that mends its ways turns one of these tests red.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.interop.peers.abilities import can
from tests.interop.peers.conftest import Peers
from tests.interop.peers.conversation import Conversation, Member, make_member
from tests.interop.peers.peer import PeerError
from tests.interop.peers.quirks import gbp_can_remove, openmls_follows_return, ts_mls_can_join

_EXTENSION = 0xF0CA
_EXTERNAL_SENDERS = [5, "00"]
_REQUIREMENTS = [3, "0000020001"]


def _group(peers: Peers, *names: str, extensions: Sequence[int] = ()) -> tuple[Conversation, list[Member]]:
    """A group of members in the order of their names, of which each has committed."""
    members = [make_member(peers[name], extensions=extensions) for name in names]
    room = Conversation(members[0])
    for member in members[1:]:
        room.commit(members[0], room.adding(member))
        room.commit(member)
    return room, members


def _refused_by(message: str, witnesses: Sequence[Member], reason: str) -> None:
    """Check that everybody refuses a message, we for the reason given."""
    for witness in witnesses:
        with pytest.raises(PeerError) as refusal:
            witness.ask("process", message=message)
        if witness.peer.name == "dmls":
            assert reason in str(refusal.value)


def test_ts_mls_refuses_a_tree_with_two_leaves_to_merge(peers: Peers) -> None:
    """RFC 9420, Section 12.4.3.1: what it asks of unmerged leaves holds in this tree."""
    room, members = _group(peers, *["dmls"] * 8)
    room.commit(members[0], room.removing(members[1]), room.removing(members[6]))
    room.commit(members[0])
    room.commit(members[7])
    joiners = [make_member(peers[name]) for name in ("mls-rs", "ts-mls")]
    trees: list[str] = []
    with pytest.raises(PeerError, match=r"ts-mls: join: .*unmerged_leaves"):
        room.commit(members[0], *map(room.adding, joiners), accepts=lambda tree: not trees.append(tree))  # type: ignore[func-returns-value]
    assert not ts_mls_can_join(trees[0], 1)
    assert joiners[0].ask("state")["epoch"] == members[0].ask("state")["epoch"]
    for name in ("core-crypto", "dmls"):
        late = make_member(peers[name])
        late.peer.call("external_join", client=late.client, group_info=members[0].ask("group_info", tree=True)["group_info"])


def test_ts_mls_gives_external_pub_without_its_length(peers: Peers) -> None:
    """RFC 9420, Section 12.4.3.2: the content is an HPKEPublicKey, which has a length in front."""
    _, (ts_mls, _) = _group(peers, "ts-mls", "dmls")
    group_info = ts_mls.ask("group_info_as_it_is")["group_info"]
    for name in ("dmls", "core-crypto"):
        joiner = make_member(peers[name])
        with pytest.raises(PeerError, match=f"{name}: external_join"):
            joiner.peer.call("external_join", client=joiner.client, group_info=group_info)


@pytest.mark.parametrize("suite", [2, 5, 7])
def test_ts_mls_compresses_signature_keys(peers: Peers, suite: int) -> None:
    """RFC 9420, Section 5.1.1: public keys on the NIST curves are uncompressed points."""
    identity = b"00000000-0000-4000-8000-000000000000:0@example.org".hex()
    made = peers["ts-mls"].call("client", client="as it is", identity=identity, suite=suite, as_it_is=True)
    assert made["signature_key"][:2] in {"02", "03"}
    key_package = peers["ts-mls"].call("key_package", client="as it is")["key_package"]
    room = Conversation(make_member(peers["dmls"], suite=suite), suite=suite)
    with pytest.raises(PeerError, match=r"LN-25"):
        room.creator.ask("commit", proposals=[{"type": "add", "key_package": key_package}])


def test_ts_mls_changes_extensions_without_a_path(peers: Peers) -> None:
    """RFC 9420, Sections 12.4 and 17.4: a commit of GroupContextExtensions has a path."""
    _, (ts_mls, *witnesses) = _group(peers, "ts-mls", "dmls", "mls-rs", "core-crypto")
    change = {"type": "group_context_extensions", "extensions": [_REQUIREMENTS]}
    _refused_by(ts_mls.ask("commit", proposals=[change], handshake="public")["commit"], witnesses, "CP-05")


def test_ts_mls_seals_paths_under_the_old_extensions(peers: Peers) -> None:
    """RFC 9420, Section 12.4.1: the context of a path is the new one, but for the transcript."""
    room, (ts_mls, us, *others) = _group(peers, "ts-mls", "dmls", "mls-rs", "core-crypto")
    room.propose(us, {"type": "update"})
    change = {"type": "group_context_extensions", "extensions": [_REQUIREMENTS]}
    _refused_by(ts_mls.ask("commit", proposals=[change], handshake="public")["commit"], [us, *others], "does not open")


def test_ts_mls_does_not_clear_extensions(peers: Peers) -> None:
    """RFC 9420, Section 12.1.7: the list of the proposal is the group's new list, if empty, too."""
    room, (us, mls_rs, core_crypto) = _group(peers, "dmls", "mls-rs", "core-crypto")
    room.commit(us, {"type": "group_context_extensions", "extensions": [_REQUIREMENTS]})
    room.commit(us, {"type": "group_context_extensions", "extensions": []})
    room.commit(mls_rs)
    room.commit(core_crypto)
    room, (us, _) = _group(peers, "dmls", "ts-mls")
    room.commit(us, {"type": "group_context_extensions", "extensions": [_REQUIREMENTS]})
    with pytest.raises(PeerError, match="ts-mls: process"):
        room.commit(us, {"type": "group_context_extensions", "extensions": []})


def test_ts_mls_reads_external_senders_as_one_sender(peers: Peers) -> None:
    """RFC 9420, Section 12.1.8.1: the extension is a vector of senders."""
    room, (us, mls_rs, core_crypto) = _group(peers, "dmls", "mls-rs", "core-crypto")
    room.commit(us, {"type": "group_context_extensions", "extensions": [_EXTERNAL_SENDERS]})
    room.commit(mls_rs)
    room.commit(core_crypto)
    room, (us, _) = _group(peers, "dmls", "ts-mls")
    with pytest.raises(PeerError, match="ts-mls: process: CodecError: Could not decode external_senders"):
        room.commit(us, {"type": "group_context_extensions", "extensions": [_EXTERNAL_SENDERS]})


def test_core_crypto_commits_an_extension_that_a_member_does_not_list(peers: Peers) -> None:
    """RFC 9420, Section 13.4: whoever is in a group lists the extensions of its context. mls-rs leaves such a proposal out."""
    change = {"type": "group_context_extensions", "extensions": [[_EXTENSION, "01"]]}
    room, (us, core_crypto) = _group(peers, "dmls", "core-crypto", extensions=[_EXTENSION])
    room.propose(us, change)
    _refused_by(core_crypto.ask("commit", proposals=[], references=True)["commit"], [us], "LN-04")
    room, (us, mls_rs) = _group(peers, "dmls", "mls-rs", extensions=[_EXTENSION])
    room.propose(us, change)
    room.commit(mls_rs)


def test_core_crypto_verifies_a_commit_with_the_key_that_it_brings(peers: Peers) -> None:
    """RFC 9420, Section 6.1: a member signs with the key of its leaf in the epoch of the message."""
    _, (us, *witnesses, core_crypto) = _group(peers, "dmls", "mls-rs", "ts-mls", "core-crypto")
    commit = us.ask("commit", proposals=[], rotate=True)["commit"]
    with pytest.raises(PeerError, match="signature is invalid"):
        core_crypto.ask("process", message=commit)
    for witness in witnesses:
        assert witness.ask("process", message=commit)["type"] == "commit"


@pytest.mark.parametrize("name", ["core-crypto", "gbp-stack"])
def test_openmls_brings_a_removed_leaf_back(peers: Peers, name: str) -> None:
    """RFC 9420, Section 7.7: once the last leaf is removed the tree is shorter, and what makes it longer again is blank."""
    handshake = "private" if name == "gbp-stack" else "public"
    names = ["dmls", name, "mls-rs" if name == "core-crypto" else "dmls", "ts-mls", "dmls", "dmls"]
    members = [make_member(peers[each], handshake=handshake) for each in names]
    room = Conversation(members[0])
    for member in members[1:]:
        room.commit(members[0], room.adding(member))
        if can(member.peer.name, "empty_commit"):
            room.commit(member)
    us, openmls, *witnesses, gone, last = members
    room.commit(us, room.removing(gone))
    assert not openmls_follows_return(room.leaves, room.leaf_of(last))
    joined = last.peer.call("external_join", client=last.client, group_info=us.ask("group_info")["group_info"], replaces=5)
    with pytest.raises(PeerError, match=r"PathLengthMismatch|length of the received update path"):
        openmls.ask("process", message=joined["commit"])
    for witness in (us, *witnesses):
        assert witness.ask("process", message=joined["commit"])["type"] == "commit"


def test_ts_mls_does_not_notice_its_removal_where_another_takes_its_leaf(peers: Peers) -> None:
    """RFC 9420, Section 12.3: removals come before additions, and an addition takes the leftmost blank leaf."""
    room, (us, ts_mls, mls_rs) = _group(peers, "dmls", "ts-mls", "mls-rs")
    exchange = [room.removing(ts_mls).proposal, room.adding(make_member(peers["dmls"])).proposal]
    commit = us.ask("commit", proposals=exchange)["commit"]
    with pytest.raises(PeerError, match="No overlap"):
        ts_mls.ask("process", message=commit, as_it_is=True)
    assert mls_rs.ask("process", message=commit)["type"] == "commit"
    assert ts_mls.ask("process", message=commit)["removed"]


def test_gbp_stack_takes_the_number_of_members_for_that_of_leaves(peers: Peers) -> None:
    members = [make_member(peers[name], handshake="private") for name in ("gbp-stack", "dmls", "dmls", "dmls")]
    room = Conversation(members[0])
    for member in members[1:]:
        room.commit(members[0], room.adding(member))
    room.commit(members[0], room.removing(members[1]))
    assert not gbp_can_remove(room.leaf_of(members[3]), len(room.members))
    with pytest.raises(PeerError, match="out of range"):
        room.commit(members[0], room.removing(members[3]))
    room.commit(members[2], room.removing(members[3]))
