"""Commits by peers whose key schedule differs in one place: nobody else comes to the same secrets (RFC 9420, Section 8)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from dmls.mls.codec import decode, encode, encode_opaque
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CipherSuite, cipher_suite
from dmls.mls.messages.group_context import GroupContext
from dmls.mls.messages.proposal import Add, PreSharedKey
from dmls.mls.messages.psk import ExternalPSK, PreSharedKeyID, ResumptionPSK, ResumptionPSKUsage
from tests.support.forge import forge_commit, forge_external_commit
from tests.support.negative.deviant import Step, deviant_party, relabelled, wide_kdf_label
from tests.support.negative.model import Scene, messages
from tests.support.negative.stand import Stand

__all__ = ["scenes"]

SUITE = cipher_suite(1)
NOTHING = bytes(32)


def scenes(rng: random.Random) -> Iterator[Scene]:
    """Make the scenes of this area."""
    yield _without_path(rng)
    yield _with_path(rng)
    yield _external(rng)


def _in_context(*labels: str, **changes: object) -> Step:
    """Expand the named labels with another group context."""

    def expand(suite: CipherSuite, secret: bytes, label: str, context: bytes, length: int) -> Secret:
        if label in labels:
            context = encode(replace(decode(GroupContext, context), **changes))  # type: ignore[arg-type]
        return suite.expand_with_label(secret, label, context, length)

    return expand


def _swapped(suite: CipherSuite, salt: bytes, ikm: bytes) -> Secret:
    return suite.extract(ikm, salt)


def _empty_for_zero(suite: CipherSuite, salt: bytes, ikm: bytes) -> Secret:
    return suite.extract(salt, b"" if ikm == NOTHING else ikm)


def _without_path(rng: random.Random) -> Scene:
    stand = Stand(rng)
    stand.watcher.psks = {b"name": b"key"}
    psk = PreSharedKeyID(ExternalPSK(b"name"), bytes(range(32)))
    old = stand.follower.context
    scene = stand.scene("a commit without a path")
    addition = Add(stand.newcomer().key_package())

    def commit(**steps: Step) -> dict[str, object]:
        return messages(forge_commit(deviant_party(stand["a"], **steps), addition, with_path=False))

    def keyed(**steps: Step) -> dict[str, object]:
        return messages(
            forge_commit(deviant_party(stand["a"], **steps), PreSharedKey(psk), with_path=False, psks=[(psk, b"key")])
        )

    scene.accept(**commit())
    scene.accept(**keyed())
    for label, other in (("joiner", "join"), ("epoch", "epoch secret"), ("confirm", "confirmation")):
        scene.refuse("KS-01", f'label "{other}" for "{label}"', noticed="CP-10", **commit(**relabelled(**{label: other})))
    scene.refuse("KS-02", "salt and input of Extract exchanged", noticed="CP-10", **commit(extract=_swapped))
    tree_hash, confirmed = old.tree_hash, old.confirmed_transcript_hash
    for label in ("joiner", "epoch"):
        for name, step in {
            "epoch": _in_context(label, epoch=old.epoch),
            "tree hash": _in_context(label, tree_hash=tree_hash),
            "confirmed transcript hash": _in_context(label, confirmed_transcript_hash=confirmed),
        }.items():
            scene.refuse("KS-03", f'"{label}" with the {name} of before', noticed="CP-10", **commit(expand_with_label=step))
    scene.refuse(
        "KS-04", "an empty commit_secret and psk_secret instead of zeros", noticed="CP-10", **commit(extract=_empty_for_zero)
    )
    skipped = _in_context("joiner", "epoch", epoch=old.epoch + 2)
    scene.refuse("KS-05", "an epoch is left out", noticed="CP-10", **commit(expand_with_label=skipped))
    renamed = _in_context("joiner", "epoch", group_id=b"another group")
    scene.refuse("KS-05", "the group_id changes", noticed="CP-10", **commit(expand_with_label=renamed))
    interim = stand.follower.interim_transcript_hash
    signature_size = len(encode_opaque(bytes(64)))

    def without_signature(suite: CipherSuite, data: bytes) -> bytes:
        return suite.hash(data[:-signature_size] if data.startswith(interim) else data)

    def without_wire_format(suite: CipherSuite, data: bytes) -> bytes:
        return suite.hash(interim + data[len(interim) + 2 :] if data.startswith(interim) else data)

    def from_confirmed(suite: CipherSuite, data: bytes) -> bytes:
        return suite.hash(confirmed + data[len(interim) :] if data.startswith(interim) else data)

    transcripts = {
        "without the signature": without_signature,
        "without the wire format": without_wire_format,
        "from the confirmed instead of the interim transcript hash": from_confirmed,
    }
    for name, step in transcripts.items():
        scene.refuse("KS-06", f"the confirmed transcript hash {name}", noticed="CP-10", **commit(hash=step))
    scene.refuse("CRY-04", "KDFLabel with a length of four octets", noticed="CP-10", **commit(expand_with_label=wide_kdf_label))

    def psk_label(index: int, count: int) -> Step:
        def expand(suite: CipherSuite, secret: bytes, label: str, context: bytes, length: int) -> Secret:
            if label == "derived psk":
                context = context[:-4] + index.to_bytes(2, "big") + count.to_bytes(2, "big")
            return suite.expand_with_label(secret, label, context, length)

        return expand

    scene.refuse("PSK-04", "the first PSK has index 1", noticed="CP-10", **keyed(expand_with_label=psk_label(1, 1)))
    scene.refuse("PSK-04", "the count is one too few", noticed="CP-10", **keyed(expand_with_label=psk_label(0, 0)))
    resumption = ResumptionPSK(ResumptionPSKUsage.APPLICATION, old.group_id, old.epoch)
    resumed = PreSharedKeyID(resumption, bytes(range(32)))
    right = bytes(stand["a"].state.secrets.resumption_psk)
    scene.accept(**messages(forge_commit(stand["a"], PreSharedKey(resumed), with_path=False, psks=[(resumed, right)])))
    wrong = bytes(SUITE.derive_secret(right, "resumption"))
    commits = messages(forge_commit(stand["a"], PreSharedKey(resumed), with_path=False, psks=[(resumed, wrong)]))
    scene.refuse("KS-12", "another resumption PSK of the epoch", noticed="CP-10", **commits)
    return scene


def _with_path(rng: random.Random) -> Scene:
    stand = Stand(rng, "abcdefgw", renewed="acegbdf")
    scene = stand.scene("a commit with a path")

    def commit(**steps: Step) -> dict[str, object]:
        return messages(forge_commit(deviant_party(stand["g"], **steps)))

    scene.accept(**commit())
    scene.refuse(
        "KS-04", "a commit_secret of zeros in spite of the path", noticed="CP-10", **commit(extract=_zero_commit_secret())
    )
    node = relabelled(node="nodes")
    scene.refuse("UP-01", 'label "nodes" for "node"', noticed="UP-10", **commit(**node))
    scene.refuse("UP-01", 'label "next" for "path"', noticed="UP-10", **commit(**relabelled(path="next")))
    derived = 0

    def last_unchanged(suite: CipherSuite, secret: bytes, label: str) -> Secret:
        nonlocal derived
        derived += label == "path"
        return Secret(secret) if label == "path" and derived == 3 else suite.derive_secret(secret, label)

    scene.refuse("UP-15", "the commit_secret is the last path_secret", noticed="CP-10", **commit(derive_secret=last_unchanged))
    return scene


def _zero_commit_secret() -> Step:
    """The first Extract after the path is that of the joiner secret."""
    calls = 0

    def extract(suite: CipherSuite, salt: bytes, ikm: bytes) -> Secret:
        nonlocal calls
        calls += 1
        return suite.extract(salt, NOTHING if calls == 1 else ikm)

    return extract


def _external(rng: random.Random) -> Scene:
    stand = Stand(rng)
    info = stand["a"].group_info()
    scene = stand.scene("an external commit")
    joiner = stand.newcomer()
    scene.accept(**messages(forge_external_commit(joiner, stand.follower, info)))
    other = SUITE.derive_key_pair(bytes(32)).public_key
    scene.refuse(
        "KS-09",
        "external_pub is no key of the epoch's external_secret",
        noticed="CP-10",
        **messages(forge_external_commit(joiner, stand.follower, info, external_pub=other)),
    )

    def relabel(suite: CipherSuite, public_key: bytes, source: object) -> tuple[bytes, Secret]:
        schedule = suite.hpke.key_schedule_context(b"")
        kem_output, secret = suite.hpke.export_seal(public_key, schedule, b"external init secret", 32, source)  # type: ignore[arg-type]
        return kem_output, Secret(secret)

    def with_info(suite: CipherSuite, public_key: bytes, source: object) -> tuple[bytes, Secret]:
        schedule = suite.hpke.key_schedule_context(b"info")
        label = b"MLS 1.0 external init secret"
        kem_output, secret = suite.hpke.export_seal(public_key, schedule, label, 32, source)  # type: ignore[arg-type]
        return kem_output, Secret(secret)

    for name, step in {"exported with another label": relabel, "exported from a context with info": with_info}.items():
        double = deviant_party(joiner, export_external_init_seal=step)
        commit = forge_external_commit(double, stand.follower, info)
        scene.refuse("XC-09", f"the init_secret is {name}", noticed="CP-10", **messages(commit))
    return scene
