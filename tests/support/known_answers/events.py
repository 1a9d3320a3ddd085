"""Event bodies as JSON text: which are taken, with which of their fields, and which are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dmls.errors import DMLSError
from dmls.matrix.bodies import parse_body
from dmls.matrix.encoding import encode_base64, parse_json_object

__all__ = ["make", "read_body"]

_REF = encode_base64(bytes(range(32)))
_BLOB = {"uri": "mxc://hs1.example/blob", "sha256": _REF, "size": 70_000}
_INLINE = {"inline": "AAEC"}
_VOTE = {"leaf": 3, "seq": 4097, "signature": "AAEC"}

_FULL: dict[str, dict[str, Any]] = {
    "genesis": {
        "ciphersuite": 1,
        "group_info": _INLINE,
        "keyframe": {"blob": _BLOB},
        "predecessor": {"room_id": "!old:hs1.example", "commit_ref": _REF, "epoch_id": encode_base64(bytes(48))},
        "commit_ref": _REF,
    },
    "commit": {
        "ciphersuite": 1,
        "message": _INLINE,
        "group_info": {"blob": _BLOB},
        "keyframe": {"event": "$genesis"},
        "welcome": _INLINE,
        "epoch": 7,
        "epoch_id": _REF,
        "parent_event": "$parent",
        "commit_ref": encode_base64(bytes(64)),
        "resolves": [{"commit_ref": _REF, "event": "$side"}, {"commit_ref": _REF}],
        "new_epoch_id": _REF,
    },
    "message": {"message": _INLINE, "vote": _VOTE, "epoch": 7, "epoch_id": _REF, "commit_event": "$commit"},
    "vote": {"commit_ref": _REF, **_VOTE},
    "welcome": {"room_id": "!" + "A" * 43, "welcome": _INLINE, "commit_ref": _REF, "commit_event": "$commit"},
}

_WRONG: list[Any] = [True, 1.5, -1, 1 << 53, "AAE=", "AAF", "$a b", [], {"inline": "AAEC", "more": 1}]
"""What hardly any field is."""


def make() -> list[dict[str, Any]]:
    texts = {text: why for why, text in _cases()}
    return [{"why": why, "text": text, **_verdict(text)} for text, why in texts.items()]


def read_body(text: str) -> tuple[str, list[str]]:
    """Return kind and fields that hold something.

    Raises:
        DMLSError: the body is refused.
    """
    content = parse_json_object(text.encode("utf-8", "surrogatepass"))
    body = parse_body(content)
    kind = str(content["kind"])
    # A list that is a hint and holds nothing may be there or not.
    held = [
        name
        for name in body.__slots__
        if getattr(body, name) is not None and (getattr(body, name) != () or content.get(name) == [])
    ]
    return kind, sorted(held)


def _verdict(text: str) -> dict[str, Any]:
    try:
        kind, held = read_body(text)
    except DMLSError:
        return {"taken": False}
    return {"taken": True, "kind": kind, "fields": held}


def _text(kind: str, fields: dict[str, Any]) -> str:
    return json.dumps({"algorithm": "org.dmls.v1", "kind": kind, **fields}, separators=(",", ":"))


def _cases() -> Iterator[tuple[str, str]]:
    for kind, fields in _FULL.items():
        yield f"{kind}: all fields", _text(kind, fields)
        yield f"{kind}: an unknown field", _text(kind, {**fields, "unknown": [1.5, None]})
        for name in fields:
            yield f"{kind}: without {name}", _text(kind, {key: value for key, value in fields.items() if key != name})
            yield f"{kind}: {name} is null", _text(kind, {**fields, name: None})
            for wrong in _WRONG:
                yield f"{kind}: {name} is {json.dumps(wrong)}", _text(kind, {**fields, name: wrong})
        for name, value in fields.items():
            for where, changed in _inside(value):
                yield f"{kind}: in {name}, {where}", _text(kind, {**fields, name: changed})
    yield from _whole()


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    """Change one thing within an object, within the objects of a list, or within a blob."""
    if isinstance(value, list):
        for where, changed in _inside(value[0]):
            yield f"one {where}", [changed, *value[1:]]
    elif isinstance(value, dict):
        for name in value:
            yield f"without {name}", {key: item for key, item in value.items() if key != name}
            yield f"{name} is 9", {**value, name: 9}
            yield f"{name} is []", {**value, name: []}
        yield "something unknown", {**value, "unknown": 1}
        if "blob" in value:
            for where, changed in _inside(value["blob"]):
                yield f"the blob {where}", {"blob": changed}
            yield "a blob too large", {"blob": {**_BLOB, "size": 67_108_865}}
            yield "a uri with a space", {"blob": {**_BLOB, "uri": "mxc://a b"}}


def _whole() -> Iterator[tuple[str, str]]:
    vote = _text("vote", _FULL["vote"])
    yield "another algorithm", vote.replace("org.dmls.v1", "org.dmls.v2")
    yield "another kind", vote.replace('"kind":"vote"', '"kind":"poll"')
    yield "a kind that is no text", vote.replace('"kind":"vote"', '"kind":7')
    yield "a name twice", vote[:-1] + ',"seq":4097}'
    yield "NaN", vote[:-1] + ',"more":NaN}'
    yield "an integer of 2^53 where it does not matter", vote[:-1] + ',"more":9007199254740992}'
    yield "half a surrogate pair", vote[:-1] + ',"more":"\\ud800"}'
    yield "a whole surrogate pair", vote[:-1] + ',"more":"\\ud83d\\ude00"}'
    yield "99 levels below", vote[:-1] + f',"more":{"[" * 99}{"]" * 99}}}'
    yield "100 levels below", vote[:-1] + f',"more":{"[" * 100}{"]" * 100}}}'
    yield "something after it", vote + "{}"
    yield "no object", f"[{vote}]"
