"""Which sections the RFCs have that the list of rules refers to."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["NUMBER", "RFC9180", "RFC9420", "exists", "unknown_sections"]

NUMBER = r"(?:\d+|[A-Z](?=\.|\b))(?:\.\d+)*"
"""The number of a section or an appendix."""

# How many sections lie below each section that has any; letters are appendices.
# fmt: off
RFC9420: Mapping[str, int] = {
    "": 18, "2": 1, "2.1": 2, "3": 4, "4": 2, "4.1": 2, "5": 3, "5.1": 3, "5.3": 3, "6": 3, "6.3": 2, "7": 9, "7.9": 2,
    "8": 7, "9": 2, "10": 1, "11": 3, "12": 4, "12.1": 8, "12.1.8": 1, "12.4": 3, "12.4.3": 3,
    "13": 5, "15": 3, "16": 12, "16.4": 3, "17": 10, "18": 2,
}
RFC9180: Mapping[str, int] = {
    "": 12, "4": 1, "5": 3, "5.1": 4, "6": 2, "7": 3, "7.1": 5, "7.2": 1, "8": 2, "9": 9, "9.1": 4, "11": 4, "12": 2,
}
# fmt: on
_RFC5869: Mapping[str, int] = {"": 7, "2": 3, "3": 4}
_APPENDICES = {"RFC 9420": "ABCD", "RFC 9180": "A", "RFC 5869": "A"}
_TABLES = {"RFC 9420": RFC9420, "RFC 9180": RFC9180, "RFC 5869": _RFC5869}


def exists(section: str, rfc: str = "RFC 9420") -> bool:
    """Tell whether an RFC has a section or an appendix of this number."""
    if section.isalpha():
        return section in _APPENDICES[rfc]
    above, _, last = section.rpartition(".")
    return 1 <= int(last) <= _TABLES[rfc].get(above, 0)


def unknown_sections(column: str) -> list[str]:
    """Return what is no section in a list such as `6.1, 12.4.2` or `RFC 9180 7.1.3`, with remarks in brackets or after `+`."""
    unknown = []
    for entry in re.sub(r"\(.*?\)|\+.*", "", column).split(","):
        words = entry.split()
        rfc = "RFC 9420"
        if words[:1] == ["RFC"]:
            rfc, words = " ".join(words[:2]), words[2:]
        unknown += [rfc] if rfc not in _TABLES else []
        unknown += [word for word in words if rfc in _TABLES and not (re.fullmatch(NUMBER, word) and exists(word, rfc))]
    return unknown
