"""Files that only their owner may read, and the lock that lets one process own a database file."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from devicestore.errors import Insecure, Locked

__all__ = ["FileLock", "check_private", "open_private", "sync_directory"]


def check_private(status: os.stat_result, name: str) -> None:
    """Refuse a file that somebody else may read or replace; `name` says in the error which file it is.

    Raises:
        Insecure: not a regular file, another owner, or any permission for group or others.
    """
    if not stat.S_ISREG(status.st_mode):
        raise Insecure(f"the {name} is not a regular file")
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise Insecure(f"the {name} must belong to the user that runs this and be readable by nobody else (mode 0600)")


def open_private(path: Path, flags: int, name: str) -> int:
    """Open a file, made with mode 0600 where `flags` has O_CREAT, and return its descriptor once `check_private` passes.

    Raises:
        Insecure: see `check_private`; or `path` is a symbolic link.
        OSError: the file cannot be opened.
    """
    if path.is_symlink():
        raise Insecure(f"the {name} is a symbolic link")
    # A named pipe in the file's place must not make the open wait for a writer.
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        check_private(os.fstat(descriptor), name)
    except Insecure:
        os.close(descriptor)
        raise
    return descriptor


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileLock:
    """An exclusive lock on a file of its own beside the database; the kernel drops it when the process ends.

    The file is never deleted: a process that locked a deleted file would not see one that made it anew.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            Locked: somebody holds it.
            Insecure: see `open_private`.
        """
        self._descriptor: int | None = open_private(path, os.O_RDWR | os.O_CREAT, "lock file")
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_held = True
        except BlockingIOError:
            is_held = False
        if not is_held:
            self.release()
            raise Locked("the database is open in another process or store")

    def release(self) -> None:
        """Give the lock up; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
