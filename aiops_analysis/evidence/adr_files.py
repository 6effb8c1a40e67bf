"""The folder of decision records: one writer at a time, numbers given once, a file created never over another one (fault rows 34, 51)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aiops_analysis.core.errors import StoreLocked, StoreNotWritable, UsageError
from aiops_analysis.history.store import sync_folder, write_file

__all__ = ["create", "locked", "replace_if"]

_TMP = ".tmp-"


@contextmanager
def locked(folder: Path, wait: float = 60.0) -> Iterator[None]:
    """Hold the one writer's lock of a folder of records; leftovers of a writer that was killed are removed.

    ``wait`` is how long to wait for another writer [s]. Raises StoreLocked and StoreNotWritable.
    """
    from filelock import FileLock, Timeout

    lock = folder / ".lock"
    try:
        (folder / "evidence").mkdir(parents=True, exist_ok=True)
        held = FileLock(lock, timeout=wait).acquire()
    except Timeout as error:
        raise StoreLocked(f"another process writes decision records in {folder}; try again when it is done") from error
    except OSError as error:
        raise _unwritable(folder, error) from error
    with held:
        for left in (*folder.glob(f"{_TMP}*"), *(folder / "evidence").glob(f"{_TMP}*")):
            with suppress(OSError):
                left.unlink()
        try:
            yield
        finally:
            with suppress(OSError):
                lock.unlink()  # who waits for it sees that its file is gone and begins again; nothing is left to be committed


def create(path: Path, data: bytes) -> None:
    """Write a new file so that it is there whole or not at all, and never in the place of another one.

    Raises UsageError when the name is taken, StoreNotWritable when the folder is read-only, full or gone.
    """
    temporary = path.with_name(f"{_TMP}{os.getpid()}-{path.name}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _link(temporary, path, data)
        sync_folder(path.parent)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already, and a decision record is never overwritten") from error
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _link(temporary: Path, path: Path, data: bytes) -> None:
    """Give the written file its name, exclusively; where the file system has no links, by an exclusive create."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def replace_if(path: Path, before: bytes, after: bytes) -> None:
    """Write ``after`` in the place of ``before``; the mode of the file stays.

    Raises UsageError when the file holds anything else by now (somebody edits it), StoreNotWritable when it cannot be written.
    """
    try:
        if path.read_bytes() != before:
            raise UsageError(f"{path} was changed by somebody else just now; nothing was written, try again")
        mode = path.stat().st_mode & 0o777
    except OSError as error:
        raise _unwritable(path, error) from error
    write_file(path, after)
    with suppress(OSError):
        path.chmod(mode)


def _unwritable(path: Path, error: OSError) -> StoreNotWritable:
    return StoreNotWritable(f"cannot write {path}: {error.strerror or error}; no record was written")
