"""The data folder as retention sees it, and the deleting: no link is followed, nothing changed is deleted."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from monitoring.domain.retention_places import REMOVED_PREFIX, Role, Rule, folder_of, place_of
from monitoring.domain.retention_plan import Found, Listing, RetentionPlan, SessionFacts, Step
from monitoring.domain.retention_report import RetentionError

OnError = Callable[[RetentionError], None]


def list_tree(
    data_dir: Path,
    sessions: dict[str, SessionFacts | None],
    on_error: OnError,
    archive: str = "",
) -> Listing:
    """Every entry below the folders that retention looks after; what cannot be read is told."""
    files: list[Found] = []
    folders: list[str] = []
    for folder in (folder_of(rule, archive) for rule in Rule):
        if _is_reached_by_folders(data_dir, folder):
            _walk(data_dir, folder, files, folders, on_error)
        elif (data_dir / folder).is_symlink():
            files.append(_found(folder, (data_dir / folder).lstat()))
    return Listing(files=tuple(files), folders=tuple(folders), sessions=sessions, archive=archive)


def _is_reached_by_folders(data_dir: Path, folder: str) -> bool:
    """Whether each step of the way is a folder of its own and no link."""
    path = data_dir
    for part in Path(folder).parts:
        path /= part
        if path.is_symlink() or not path.is_dir():
            return False
    return True


def _walk(
    data_dir: Path, folder: str, files: list[Found], folders: list[str], on_error: OnError
) -> None:
    try:
        with os.scandir(data_dir / folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        on_error(_told(folder, error))
        return
    for entry in found:
        path = f"{folder}/{entry.name}"
        try:
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
                _walk(data_dir, path, files, folders, on_error)
            else:
                files.append(_found(path, entry.stat(follow_symlinks=False)))
        except FileNotFoundError:
            continue  # gone since the folder was read: nothing to keep or delete
        except OSError as error:
            on_error(_told(path, error))


def _found(path: str, status: os.stat_result) -> Found:
    return Found(
        path=path,
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        is_link=not stat.S_ISREG(status.st_mode),
    )


def open_for_writing(data_dir: Path, plan: RetentionPlan) -> set[str]:
    """Which files of the plan's steps a writer holds a lock on: on the file, or on the folder it makes."""
    busy = set[str]()
    for step in plan.steps:
        if step.folder and _has_writer(data_dir / step.folder):
            busy |= {found.path for found in step.files}
        busy |= {found.path for found in step.files if _has_writer(data_dir / found.path)}
    return busy


def _has_writer(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # deleting it will tell
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def carry_out(
    data_dir: Path,
    steps: Iterable[Step],
    *,
    claimed: Callable[[Step], str],
    on_error: OnError,
) -> Iterator[Step]:
    """Do the steps in their order; those done are yielded, those that fail are told and passed over.

    `claimed`: who has come to need it since the plan was made, empty for nobody.
    """
    for step in steps:
        name = step.folder or step.files[0].path
        try:
            if who := claimed(step):
                raise _Refused(f"needed by {who}")
            if step.folder:
                _remove_folder(data_dir, step)
            else:
                _remove_file(data_dir, step.files[0])
        except _Refused as refused:
            on_error(RetentionError(file=name, error=str(refused)))
        except OSError as error:
            on_error(_told(name, error))
        else:
            yield step


class _Refused(Exception):
    """It is not what was looked at any more: leave it to the next run."""


def _remove_file(data_dir: Path, found: Found) -> None:
    with _folder_of(data_dir, found.path) as folder:
        name = found.path.rpartition("/")[2]
        place = place_of(found.path)
        if place is not None and place.role is Role.RULES and _holds_more(folder, found.path):
            raise _Refused("recordings of the day are still there")
        _require_unchanged(folder, name, found)
        os.unlink(name, dir_fd=folder)


def _holds_more(folder: int, path: str) -> bool:
    """Whether anything but trading rules lies in the folder of `path`."""
    inside = path.rpartition("/")[0]
    places = (place_of(f"{inside}/{name}") for name in os.listdir(folder))
    return any(place is None or place.role is not Role.RULES for place in places)


def _require_unchanged(folder: int, name: str, found: Found) -> None:
    """Raises: _Refused when it is another file now, or a writer has it; OSError when it is gone."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(name, flags, dir_fd=folder)
    try:
        status = os.fstat(handle)
        is_same = (status.st_size, status.st_mtime_ns) == (found.size_bytes, found.modified_ns)
        if not stat.S_ISREG(status.st_mode) or not is_same:
            raise _Refused("it changed while it was looked at")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _Refused("open for writing") from None
    finally:
        os.close(handle)


def _remove_folder(data_dir: Path, step: Step) -> None:
    """First out of sight under a name that nobody lists, then gone: a crash leaves no half folder to read."""
    with _folder_of(data_dir, step.folder) as parent:
        name = step.folder.rpartition("/")[2]
        if name.startswith(REMOVED_PREFIX):
            shutil.rmtree(name, dir_fd=parent)
            return
        _require_known(parent, name, step)
        aside = f"{REMOVED_PREFIX}{name}"
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(aside, dir_fd=parent)  # left by a removal that was interrupted
        os.rename(name, aside, src_dir_fd=parent, dst_dir_fd=parent)
        shutil.rmtree(aside, dir_fd=parent)


def _require_known(parent: int, name: str, step: Step) -> None:
    """Raises: _Refused when something has come into the folder, or changed in it, since the listing."""
    handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _Refused("somebody is working in it") from None
    finally:
        os.close(handle)
    known = {found.path: found for found in step.files}
    for inside, _, files, folder in os.fwalk(name, dir_fd=parent, follow_symlinks=False):
        below = step.folder + inside[len(name) :]
        for file in files:
            path = f"{below}/{file}"
            if path not in known:
                raise _Refused(f"{path} has come since")
            _require_unchanged(folder, file, known[path])


def remove_empty_folders(data_dir: Path, folders: Iterable[str], on_error: OnError) -> list[str]:
    """Remove those of `folders` that hold nothing now; returns them."""
    removed = []
    for path in folders:
        try:
            with _folder_of(data_dir, path) as parent:
                os.rmdir(path.rpartition("/")[2], dir_fd=parent)
        except FileNotFoundError:
            continue
        except OSError as error:
            if not _is_filled(data_dir / path):
                on_error(_told(path, error))
        else:
            removed.append(path)
    return removed


def _is_filled(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except OSError:
        return False


@contextlib.contextmanager
def _folder_of(data_dir: Path, path: str) -> Iterator[int]:
    """A handle of the folder that holds `path`, reached step by step without following a link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    handle = os.open(data_dir, flags)
    try:
        for part in path.split("/")[:-1]:
            inner = os.open(part, flags | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def _told(path: str, error: OSError) -> RetentionError:
    return RetentionError(file=path, error=error.strerror or type(error).__name__)
