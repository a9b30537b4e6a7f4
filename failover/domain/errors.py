"""Errors of the floor. Each docstring says what the caller does."""

from __future__ import annotations


class Refused(Exception):
    """Do not start (or go on): the one line says what is wrong and what to do about it."""


class StorageError(Exception):
    """A file could not be written or read: degrade as your part defines, announce it, and try again later.

    `path` is the file, `errno` the operating system's number (0 when there is none).
    """

    def __init__(self, path: str, reason: str, errno: int = 0) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.errno = errno


class DiskFull(StorageError):
    """No space (or no quota) left: keep trading, stop recording, announce it, and try again later."""


class FileInUse(StorageError):
    """Another process writes this file and would not share it: stop, two of one service are running."""


class DataCorruption(StorageError):
    """A line that was complete cannot be read: report it; do not guess what it said."""

    def __init__(self, path: str, reason: str, offset: int) -> None:
        super().__init__(path, f"byte {offset}: {reason}")
        self.offset = offset
