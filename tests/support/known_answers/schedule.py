"""Known answers of the key schedule in mode `pprf`, for every suite, from secrets that are easy to type."""

from __future__ import annotations

from typing import Any

from dmls.forks.pprf import PPRF_RULE, child_input
from dmls.mls.crypto.secret import Secret
from dmls.mls.crypto.suites import CIPHER_SUITES, CipherSuite

__all__ = ["make"]


def make() -> list[dict[str, Any]]:
    return [_of_suite(suite) for suite in CIPHER_SUITES]


def _of_suite(suite: CipherSuite) -> dict[str, Any]:
    epoch_secret, path_secret = Secret(b"\x11" * suite.hash_size), Secret(b"\x22" * suite.hash_size)
    group_context = b"group context bytes"
    state = PPRF_RULE.open_epoch(suite, epoch_secret)
    init_secret, _ = PPRF_RULE.child_init_secret(suite, state, path_secret, group_context)
    exporter_secret = suite.derive_secret(epoch_secret, "exporter")
    exported = suite.derive_secret(exporter_secret, "DMLS epoch ID")
    known = {
        "epoch_secret": epoch_secret,
        "parent_init_secret": suite.derive_secret(epoch_secret, "parent_init"),
        "epoch_id": suite.expand_with_label(exported, "exported", suite.hash(b""), suite.hash_size),
        "last_path_secret": path_secret,
        "group_context": group_context,
        "commit_confirmation": suite.derive_secret(path_secret, "conf"),
        "input": child_input(suite, path_secret, group_context),
        "init_secret": init_secret,
    }
    return {"cipher_suite": suite.id, **{name: bytes(value).hex() for name, value in known.items()}}
