"""ProvideKeyPackages: what other servers gave for a ClaimWanted item of the outbox."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from devicestore import Connection, outbox
from dmls.engine.effects import ClaimWanted
from dmls.engine.inputs import KeyPackagesProvided
from dmls.errors import DMLSError, InvalidArgumentError
from dmls.forks.graph import Device
from dmls.rooms.answers import find_pending
from dmls.rooms.key_packages import check_offer
from dmls.rooms.outbox import StoredItem
from dmls.rooms.session import Session, Written
from dmls.service.core import Core, Record, no_record
from dmls.service.status import to_failure
from dmls.service.validation import check
from dmls.v1 import common_pb2, key_package_pb2, room_pb2

__all__ = ["claim_id", "provide_key_packages"]

_PROVIDED = b"provided"
_CLAIMED = key_package_pb2.DEVICE_CLAIM_OUTCOME_CLAIMED


def claim_id(core: Core, seq: int) -> str:
    """Return the name of the claim that the outbox item `seq` wants."""
    return f"{core.identity.incarnation}-{seq}"


def provide_key_packages(
    core: Core, request: room_pb2.ProvideKeyPackagesRequest, record: Record = no_record
) -> room_pb2.ProvideKeyPackagesResponse:
    """Give claimed key packages to the room that wants them, and acknowledge the item when no more are to come."""
    item = _find_claim(core, request.claim_id)

    def work(session: Session) -> room_pb2.ProvideKeyPackagesResponse:
        # Looked for again, because the room was not locked before.
        pending = None if item is None else find_pending(core.store, item.seq)
        wanted = None if pending is None else pending.action
        is_stale = pending is None or not isinstance(wanted, ClaimWanted)
        devices = wanted.devices if isinstance(wanted, ClaimWanted) else ()
        suite = wanted.cipher_suite if isinstance(wanted, ClaimWanted) else 0
        offers = [_Offer(core, user, claim) for user in request.users for claim in user.devices if claim.outcome == _CLAIMED]
        provided: dict[Device, bytes | None] = {} if request.partial else dict.fromkeys(devices)
        if pending is not None and not is_stale:
            for offer in offers:
                offer.match(devices, suite, provided)
            session.step(pending.room_id, KeyPackagesProvided(provided))
        return room_pb2.ProvideKeyPackagesResponse(results=[offer.result() for offer in offers], stale=is_stale)

    def finish(
        conn: Connection, _written: Written, answer: room_pb2.ProvideKeyPackagesResponse
    ) -> room_pb2.ProvideKeyPackagesResponse:
        if item is not None and not answer.stale and not request.partial:
            outbox.ack(conn, item.seq, _PROVIDED, now_ms=core.now_ms())
        record(conn, answer)
        return answer

    return core.keeper.transact([] if item is None else [item.room_id], work, finish)


def _find_claim(core: Core, name: str) -> StoredItem | None:
    incarnation, _, seq = name.partition("-")
    if incarnation != str(core.identity.incarnation) or not (seq.isascii() and seq.isdigit() and len(seq) <= 18):
        return None
    return find_pending(core.store, int(seq))


@dataclass
class _Offer:
    """One claimed key package of a request."""

    core: Core
    user: key_package_pb2.UserClaim
    claim: key_package_pb2.DeviceClaim
    error: DMLSError | None = None

    def match(self, devices: Iterable[Device], suite: int, provided: dict[Device, bytes | None]) -> None:
        """Put the key package into `provided` if it is one of a device that it was wanted of."""
        name = (self.user.user_id, self.claim.device_id)
        device = next((each for each in devices if (each.user_id, each.device_id) == name), None)
        try:
            check(self.user, self.core.limits)
            if device is None:
                raise InvalidArgumentError("no key package of this device was wanted")
            check_offer(self.claim.key_package, device, (suite,), self.core.now_ms(), self.core.group_limits())
        except DMLSError as error:
            self.error = error
        else:
            provided[device] = self.claim.key_package

    def result(self) -> room_pb2.ProvidedKeyPackageResult:
        """Return what became of it."""
        ref = common_pb2.DeviceRef(user_id=self.user.user_id, device_id=self.claim.device_id)
        failure = None if self.error is None else to_failure(self.error)
        return room_pb2.ProvidedKeyPackageResult(device=ref, failure=failure)
