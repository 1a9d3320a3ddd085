"""UploadKeyPackages and ClaimKeyPackages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from devicestore import Connection, devices, key_package_lists, key_packages
from devicestore import errors as store_errors
from devicestore.devices import Custody, DeviceRow
from devicestore.key_packages import Claim, Claimant, ClaimStatus, NewKeyPackage, Upload, UploadStatus
from dmls.errors import AlreadyExistsError, DMLSError, LimitError, StateError
from dmls.matrix.identifiers import parse_user_id, server_of
from dmls.mls.messages.extensions import RequiredCapabilities
from dmls.rooms.key_packages import CLAIM_MARGIN_MS, accepts, check_offer, to_row
from dmls.rooms.people import device_of_row
from dmls.service.core import Core, Record, no_record
from dmls.service.errors import InvalidItemError, UnknownResourceError
from dmls.service.handlers.key_package_status import to_status
from dmls.service.status import to_failure
from dmls.v1 import common_pb2, key_package_pb2

__all__ = [
    "check_uploads",
    "claim_key_packages",
    "find_device",
    "judge_upload",
    "required_capabilities",
    "upload_key_packages",
    "upload_result",
]

_UPLOADED = {
    UploadStatus.STORED: key_package_pb2.UPLOAD_OUTCOME_STORED,
    UploadStatus.DUPLICATE: key_package_pb2.UPLOAD_OUTCOME_DUPLICATE,
    UploadStatus.ALREADY_CLAIMED: key_package_pb2.UPLOAD_OUTCOME_ALREADY_CLAIMED,
}
_CLAIMED = {
    ClaimStatus.CLAIMED: key_package_pb2.DEVICE_CLAIM_OUTCOME_CLAIMED,
    ClaimStatus.LAST_RESORT: key_package_pb2.DEVICE_CLAIM_OUTCOME_CLAIMED,
    ClaimStatus.EXHAUSTED: key_package_pb2.DEVICE_CLAIM_OUTCOME_EXHAUSTED,
    ClaimStatus.UNSUPPORTED: key_package_pb2.DEVICE_CLAIM_OUTCOME_NO_COMMON_SUITE,
}


def upload_key_packages(
    core: Core, request: key_package_pb2.UploadKeyPackagesRequest, record: Record = no_record
) -> key_package_pb2.UploadKeyPackagesResponse:
    """Store the key packages of a client device, each checked against every rule.

    Raises:
        UnknownResourceError: the device is not registered.
        StateError: its keys are held here, so it has nothing to upload.
        InvalidItemError: one is bad, and partial success was not asked for; nothing is stored.
    """
    row = find_device(core, request.user_id, request.device_id)
    if row.custody is Custody.HOSTED:
        raise StateError("the key packages of a hosted device are made here")
    checked = check_uploads(core, row, request.key_packages)

    def work(conn: Connection) -> key_package_pb2.UploadKeyPackagesResponse:
        items = [item for item in checked if isinstance(item, NewKeyPackage)]
        limit = core.limits.max_key_packages_per_device
        uploads = iter(key_packages.upload(conn, row.user_id, row.device_id, items, limit=limit, now_ms=core.now_ms()))
        outcomes = [item if isinstance(item, DMLSError) else judge_upload(next(uploads)) for item in checked]
        if not request.allow_partial:
            for position, outcome in enumerate(outcomes):
                if isinstance(outcome, DMLSError):
                    raise InvalidItemError(f"key_packages[{position}]", outcome)
        results = [upload_result(item, outcome) for item, outcome in zip(checked, outcomes, strict=True)]
        status = to_status(conn, core, row.user_id, row.device_id)
        answer = key_package_pb2.UploadKeyPackagesResponse(results=results, status=status)
        record(conn, answer)
        return answer

    return core.store.write(work).result()


def claim_key_packages(
    core: Core, request: key_package_pb2.ClaimKeyPackagesRequest, record: Record = no_record
) -> key_package_pb2.ClaimKeyPackagesResponse:
    """Take at most one key package of each wanted device, all of them in one transaction."""
    claimant = Claimant(request.requester or core.server_name, request.request_id, request.room_id or None)

    def work(conn: Connection) -> key_package_pb2.ClaimKeyPackagesResponse:
        answer = key_package_pb2.ClaimKeyPackagesResponse(
            users=[_claim_user(conn, core, request, target, claimant) for target in request.targets]
        )
        record(conn, answer)
        return answer

    return core.store.write(work).result()


def required_capabilities(required: RequiredCapabilities) -> common_pb2.RequiredCapabilities:
    """Return required capabilities as callers see them."""
    return common_pb2.RequiredCapabilities(
        extension_types=required.extension_types,
        proposal_types=required.proposal_types,
        credential_types=required.credential_types,
    )


def find_device(core: Core, user_id: str, device_id: str) -> DeviceRow:
    """Return a registered device.

    Raises:
        UnknownResourceError: there is none of this name.
    """
    try:
        return core.store.read(lambda conn: devices.get(conn, user_id, device_id))
    except store_errors.NotFound:
        raise UnknownResourceError("device", device_id) from None


def check_uploads(core: Core, row: DeviceRow, offers: Iterable[bytes]) -> list[NewKeyPackage | DMLSError]:
    """Return what of a device's offered key packages the store can take, and of the others what is wrong."""
    device, now_ms, limits = device_of_row(row), core.now_ms(), core.group_limits()
    checked: list[NewKeyPackage | DMLSError] = []
    for data in offers:
        try:
            checked.append(to_row(check_offer(data, device, row.suites, now_ms, limits), data))
        except DMLSError as error:
            checked.append(error)
    return checked


def judge_upload(upload: Upload) -> Upload | DMLSError:
    """Return why the store did not take a key package, if it did not."""
    if upload.status is UploadStatus.CONFLICT:
        return AlreadyExistsError("another key package has this reference")
    if upload.status is UploadStatus.LIMIT:
        return LimitError("the device has as many key packages of this suite as it may")
    return upload


def upload_result(item: NewKeyPackage | DMLSError, outcome: Upload | DMLSError) -> key_package_pb2.UploadResult:
    """Return what became of an offered key package, as callers see it."""
    ref = item.ref if isinstance(item, NewKeyPackage) else b""
    if isinstance(outcome, DMLSError):
        rejected = key_package_pb2.UPLOAD_OUTCOME_REJECTED
        return key_package_pb2.UploadResult(outcome=rejected, ref=ref, failure=to_failure(outcome))
    return key_package_pb2.UploadResult(outcome=_UPLOADED[outcome.status], ref=ref)


def _claim_user(
    conn: Connection,
    core: Core,
    request: key_package_pb2.ClaimKeyPackagesRequest,
    target: key_package_pb2.ClaimTarget,
    claimant: Claimant,
) -> key_package_pb2.UserClaim:
    rows = devices.list_devices(conn, target.user_id)
    is_own = server_of(parse_user_id(target.user_id)) == core.server_name
    if not is_own or not (rows or devices.device_list_version(conn, target.user_id)):
        unknown = key_package_pb2.USER_CLAIM_OUTCOME_UNKNOWN
        return key_package_pb2.UserClaim(user_id=target.user_id, outcome=unknown)
    present = {row.device_id for row in rows}
    named = set(target.device_ids) or present
    skipped = {ref.device_id for ref in request.skip_devices if ref.user_id == target.user_id} & named & present
    claims = key_packages.claim(
        conn,
        target.user_id,
        tuple(request.cipher_suites),
        claimant,
        now_ms=core.now_ms(),
        margin_ms=CLAIM_MARGIN_MS,
        low_water_mark=core.limits.key_package_low_water_mark,
        skip_devices=(present - named) | skipped,
        accepts=accepts(_required(request)) if request.HasField("required_capabilities") else None,
    )
    entries = {claim.device_id: _device_claim(conn, core, request.cipher_suites, claim) for claim in claims}
    for device_id in skipped:
        entries[device_id] = _no_claim(device_id, key_package_pb2.DEVICE_CLAIM_OUTCOME_SKIPPED)
    for device_id in named - present:
        entries[device_id] = _no_claim(device_id, key_package_pb2.DEVICE_CLAIM_OUTCOME_UNKNOWN)
    ok = key_package_pb2.USER_CLAIM_OUTCOME_OK
    return key_package_pb2.UserClaim(user_id=target.user_id, outcome=ok, devices=[entries[name] for name in sorted(entries)])


def _required(request: key_package_pb2.ClaimKeyPackagesRequest) -> RequiredCapabilities:
    wanted = request.required_capabilities
    return RequiredCapabilities(tuple(wanted.extension_types), tuple(wanted.proposal_types), tuple(wanted.credential_types))


def _no_claim(device_id: str, outcome: key_package_pb2.DeviceClaimOutcome) -> key_package_pb2.DeviceClaim:
    return key_package_pb2.DeviceClaim(device_id=device_id, outcome=outcome)


def _device_claim(conn: Connection, core: Core, suites: Sequence[int], claim: Claim) -> key_package_pb2.DeviceClaim:
    if claim.status is ClaimStatus.EXHAUSTED and _has_any(conn, core, suites, claim):
        return _no_claim(claim.device_id, key_package_pb2.DEVICE_CLAIM_OUTCOME_LACKS_CAPABILITIES)
    return key_package_pb2.DeviceClaim(
        device_id=claim.device_id,
        outcome=_CLAIMED[claim.status],
        ref=claim.ref,
        key_package=claim.data,
        cipher_suite=claim.suite,
        last_resort=claim.status is ClaimStatus.LAST_RESORT,
    )


def _has_any(conn: Connection, core: Core, suites: Sequence[int], claim: Claim) -> bool:
    """Tell whether the device has a key package of these suites, so that only its capabilities can have been in the way."""
    found = key_package_lists.available(conn, claim.user_id, claim.device_id, now_ms=core.now_ms(), margin_ms=CLAIM_MARGIN_MS)
    return any(suite in suites for suite, _ in found)
