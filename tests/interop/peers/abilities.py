"""What each implementation offers, and why it does not offer the rest: the one table that chooses the cases of the tests.

Each driver lists its abilities in its answer to `hello`; `test_drivers.py` holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["ABILITIES", "FOREIGN", "LACKS", "SUITES", "can", "peers_that"]

ABILITIES: Mapping[str, str] = MappingProxyType(
    {
        "send_public": "sends handshake messages as PublicMessages",
        "send_private": "sends handshake messages as PrivateMessages",
        "read_public": "takes handshake messages as PublicMessages",
        "read_private": "takes handshake messages as PrivateMessages",
        "empty_commit": "commits without a proposal, for fresh keys",
        "several_proposals": "commits several proposals of one kind at once",
        "propose": "proposes additions and removals for others to commit",
        "propose_update": "proposes a new leaf of its own",
        "references": "remembers proposals and takes commits that refer to them",
        "outside_proposals": "remembers proposals of clients that ask to be added",
        "messages": "sends and reads application data",
        "far_out_of_order": "reads messages more than one place out of order",
        "authenticated_data": "sends authenticated data",
        "tree_out_of_band": "takes and gives the ratchet tree beside the Welcome",
        "external_join": "joins by external commit",
        "group_info": "gives a GroupInfo with which others join",
        "psk": "knows external pre-shared keys",
        "resumption_psk": "knows the resumption PSK of earlier epochs",
        "chosen_extensions": "lists extension types that the application chooses",
        "group_context_extensions": "proposes and commits GroupContextExtensions",
        "reinit": "closes a group in favour of a successor",
        "branch": "branches a group off",
        "new_signature_keys": "follows a commit that brings a new signature key",
        "join_any_tree": "joins by a tree in which several leaves wait to be merged",
        "add_basic_only": "adds clients whose leaves list basic credentials only",
    }
)
"""Everything that an implementation may be asked for."""

LACKS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "dmls": {},
        "mls-rs": {
            "send_private": "the binding always sends PublicMessages",
            "propose_update": "not in the binding",
            "outside_proposals": "the binding fails on their senders",
            "authenticated_data": "not in the binding",
            "external_join": "not in the binding",
            "group_info": "not in the binding",
            "psk": "the binding has no store for them",
            "chosen_extensions": "the binding fixes the capabilities",
            "group_context_extensions": "not in the binding",
            "reinit": "not in the binding",
            "branch": "not in the binding",
        },
        "gbp-stack": {
            "send_public": "its policy is PrivateMessage only",
            "read_public": "its policy is PrivateMessage only",
            "empty_commit": "not in the binding",
            "several_proposals": "the binding adds or removes one member at a time",
            "propose": "not in the binding",
            "propose_update": "not in the binding",
            "references": "the binding reads proposals and forgets them: the commit fails with MissingProposal",
            "outside_proposals": "the binding reads proposals and forgets them",
            "messages": "not in the binding",
            "far_out_of_order": "has no messages",
            "authenticated_data": "has no messages",
            "tree_out_of_band": "the binding takes no tree beside the Welcome",
            "external_join": "not in the binding",
            "group_info": "not in the binding",
            "psk": "the binding has no store for them",
            "resumption_psk": "keeps none",
            "chosen_extensions": "the binding fixes the capabilities",
            "group_context_extensions": "not in the binding",
            "reinit": "not in the binding",
            "branch": "not in the binding",
        },
        "ts-mls": {
            "join_any_tree": "refuses trees in which two ancestors of a leaf list different unmerged leaves",
        },
        "core-crypto": {
            "send_private": "its policy is PublicMessage only",
            "read_private": "its policy is PublicMessage only",
            "propose": "the interface commits and does not propose",
            "propose_update": "the interface commits and does not propose",
            "far_out_of_order": "keeps the key of one skipped message",
            "authenticated_data": "not in the interface",
            "tree_out_of_band": "the interface takes no tree beside the Welcome",
            "psk": "not in the interface",
            "resumption_psk": "keeps that of the current epoch only",
            "chosen_extensions": "the library fixes the capabilities",
            "group_context_extensions": "not in the interface",
            "reinit": "not in the interface",
            "branch": "not in the interface",
            "new_signature_keys": "verifies such a commit with the new key, where RFC 9420, Section 6.1, wants the old one",
            "add_basic_only": "adds only who lists basic and X.509 credentials",
        },
    }
)
"""Per implementation, the abilities that it lacks, and why."""

SUITES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"mls-rs": (1,), "gbp-stack": (1,), "ts-mls": (1, 2, 3, 4, 5, 6, 7), "core-crypto": (1, 2, 3, 5, 7)}
)
"""The cipher suites of the others. The bindings of mls-rs and OpenMLS fix suite 1; core-crypto has no X448."""

FOREIGN = tuple(name for name in LACKS if name != "dmls")
"""The implementations that nobody here wrote."""


def can(name: str, *abilities: str) -> bool:
    """Tell whether an implementation has all of these abilities."""
    unknown = set(abilities) - ABILITIES.keys()
    if unknown:
        raise KeyError(f"no such ability: {unknown}")
    return not any(ability in LACKS[name] for ability in abilities)


def peers_that(*abilities: str) -> list[str]:
    """Return the foreign implementations that have all of these abilities."""
    return [name for name in FOREIGN if can(name, *abilities)]
