"""Run folders: built aside, renamed once, leftovers of dead runs removed (reliability.md R7, P03)."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from aiops_analysis.core.errors import RunFailed, SettingsError
from aiops_analysis.core.names import encode_path
from aiops_analysis.history.store import sync_folder

__all__ = ["building", "clean", "failed_folder", "publish", "stamp", "sync_tree"]

_PREFIX = ".tmp-"
_MANY = 100  # files; syncing 4,000 one by one took 18 s, the disk 0.2 s
_OLDEST = 24 * 3600.0  # [s] a run of another host is taken for dead after this time


def stamp(now: datetime) -> str:
    """The name of a run's folder.

    >>> stamp(datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC))
    '20261102T030405Z'
    """
    return now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


@contextmanager
def building(reports: Path) -> Iterator[Path]:
    """A private folder inside ``reports`` that is gone at the end, whatever happens.

    Raises SettingsError when the reports folder cannot be made or written.
    """
    try:
        reports.mkdir(parents=True, exist_ok=True)
        clean(reports, time.time())
        folder = reports / f"{_PREFIX}{encode_path(socket.gethostname())[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise SettingsError(f"the reports folder {reports} cannot be written ({error.strerror}); choose another with --reports") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clean(reports: Path, now: float) -> list[str]:
    """Remove what dead runs left in ``reports``: by process on this host, by age for another; returns the names."""
    ours = encode_path(socket.gethostname())[:40]
    gone = []
    for folder in reports.glob(f"{_PREFIX}*"):
        host, _, rest = folder.name.removeprefix(_PREFIX).rpartition("-")[0].rpartition("-")
        with suppress(OSError):
            dead = host == ours and rest.isdecimal() and not _alive(int(rest))
            if folder.is_dir() and not folder.is_symlink() and (dead or now - folder.stat().st_mtime > _OLDEST):
                shutil.rmtree(folder, ignore_errors=True)
                gone.append(folder.name)
    return sorted(gone)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def publish(built: Path, reports: Path, notebook: str, cluster: str, now: datetime) -> Path:
    """Rename a finished folder to ``reports/<notebook>/<cluster>/<UTC stamp>``; a second run of the same second gets ``-2``.

    Raises RunFailed when the target lies outside ``reports`` through a link, or cannot be written.
    """
    parent = reports / encode_path(notebook) / encode_path(cluster)
    return _rename(built, reports, parent, stamp(now))


def failed_folder(built: Path, reports: Path, notebook: str, now: datetime) -> Path:
    """Rename what a failed run left to ``reports/failed/<notebook>-<UTC stamp>``."""
    return _rename(built, reports, reports / "failed", f"{encode_path(notebook)}-{stamp(now)}")


def _rename(built: Path, reports: Path, parent: Path, name: str) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if not parent.resolve().is_relative_to(reports.resolve()):
            raise RunFailed(f"{parent} leads out of {reports} through a link; nothing was written there")
        built.chmod(0o755)
        sync_tree(built)
        target = _take(built, parent, name)
        sync_folder(parent)
    except OSError as error:
        raise RunFailed(f"the run folder {parent / name} cannot be written ({error.strerror})") from error
    return target


def sync_tree(folder: Path) -> None:
    """Make a folder with all that is in it outlive a power cut; of many files the whole disk at once, which is far quicker."""
    entries = [*folder.rglob("*"), folder]
    if len(entries) > _MANY:
        os.sync()
        return
    for entry in entries:
        sync_folder(entry)


def _take(built: Path, parent: Path, name: str) -> Path:
    """Rename to the first free name: a folder with files cannot be renamed over."""
    for number in range(1, 1000):
        target = parent / (name if number == 1 else f"{name}-{number}")
        if not target.exists():
            with suppress(FileExistsError):
                try:
                    built.rename(target)
                except OSError as error:
                    if target.exists():
                        continue
                    raise error
                return target
    raise RunFailed(f"{parent} already holds 999 runs called {name}")
