"""The process of a client device: `python -m dmls.tools.demo.client_main`. It answers the line protocol until its input ends."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from dmls.client.channel import ServiceChannel
from dmls.client.device import ClientDevice
from dmls.errors import CodecError, DMLSError
from dmls.ids import RoomId
from dmls.matrix.encoding import decode_base64, encode_base64
from dmls.matrix.identifiers import parse_device_id, parse_user_id
from dmls.service.status import to_failure
from dmls.tools.demo.client_calls import CALLS, outbox_item
from dmls.tools.demo.pipe import from_json, read_line, to_json, write_line
from dmls.tools.demo.trial import try_everything

__all__ = ["main"]


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser()
    for option in ("--data", "--service", "--user", "--device"):
        parser.add_argument(option, required=True)
    options = parser.parse_args()
    user_id, device_id = parse_user_id(options.user), parse_device_id(options.device)
    with (
        ServiceChannel(options.service) as channel,
        ClientDevice(Path(options.data), user_id, device_id, channel) as device,
    ):
        while (request := read_line(sys.stdin.buffer)) is not None:
            try:
                answer = {"ok": _answer(device, request)}
            except DMLSError as error:
                answer = {"error": to_json(to_failure(error))}
            write_line(sys.stdout.buffer, answer)


def _answer(device: ClientDevice, request: dict[str, Any]) -> dict[str, Any]:
    """Do one request of the line protocol.

    Raises:
        DMLSError: it is refused.
    """
    match request.get("do"):
        case "hello":
            return {"signature_key": to_json(device.signature_key)}
        case "stock":
            return {"uploaded": device.stock()}
        case "call":
            if request["request"] not in CALLS:
                raise CodecError(f"{request['request']} is no request to a client")
            kind, call = CALLS[request["request"]]
            return {"body": to_json(call(device, from_json(request["body"], kind)))}
        case "pending":
            return {"items": [to_json(outbox_item(item)) for item in device.pending()]}
        case "lists_changed":
            device.refresh_device_lists(map(parse_user_id, request["users"]))
            return {}
        case "try":
            state = device.room(RoomId(request["room_id"]))
            opened, epochs = try_everything(state, request["content"])
            return {"opened": encode_base64(opened), "epochs": epochs}
        case "put_blob":
            device.receive_blob(RoomId(request["room_id"]), decode_base64(request["data"]))
            return {}
        case "get_blob":
            return {"data": encode_base64(device.blob(decode_base64(request["sha256"])))}
        case _:
            raise CodecError("an unknown request")


if __name__ == "__main__":
    main()
