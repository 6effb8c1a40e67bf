"""Paths, commit and lock of one cluster's history (design.md section 2).

A day is a folder with data files and a ``manifest.json``, which is written last: it is the commit, and readers ignore a day
without it. Data files are never changed after their rename; a day that is replaced gets files of the next revision.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path

from aiops_analysis.core.errors import StoreCorrupt, StoreError, StoreLocked, StoreNotWritable, StoreTooNew
from aiops_analysis.core.names import decode_path, encode_path
from aiops_analysis.core.window import STEP

__all__ = ["SCHEMA", "DayFile", "Manifest", "Store", "clusters", "open_store", "sync_folder", "write_file"]

SCHEMA = 1
_TMP = ".tmp-"
_MOST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class DayFile:
    """One data file of a day: its name, rows, size [bytes] and sha256."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a day of one metric holds and where it came from.

    ``status`` is ``complete``, ``incomplete`` (asked again at the next pull) or ``final_with_holes``. ``targets`` are runs
    ``[count, steps]`` of the scrape targets that were up, None when the server has no ``up``.
    """

    metric: str
    day: date
    status: str = "complete"
    attempts: int = 1
    buckets: int = 1
    files: tuple[DayFile, ...] = ()
    queries: Mapping[str, str] = field(default_factory=dict)
    road: str = "query_range"
    source: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()
    targets: tuple[tuple[int, int], ...] | None = None
    holes: int = 0
    dropped: tuple[Mapping[str, object], ...] = ()
    pulled_at: str = ""
    step: int = STEP
    schema: int = SCHEMA

    @property
    def rows(self) -> int:
        """Rows of all files of the day."""
        return sum(f.rows for f in self.files)

    @property
    def open(self) -> bool:
        """True while the day should be asked for again."""
        return self.status == "incomplete" and self.attempts < _MOST_ATTEMPTS

    def to_json(self) -> bytes:
        """The manifest as it is stored."""
        plain = asdict(self) | {"day": self.day.isoformat()}
        return json.dumps(plain, ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes, where: Path) -> Manifest:
        """Read a stored manifest; raises StoreTooNew and StoreCorrupt with the path."""
        try:
            plain = json.loads(data)
            if plain["schema"] > SCHEMA:
                raise StoreTooNew(
                    f"{where} was written by a newer version (schema {plain['schema']}, this one reads {SCHEMA}); upgrade aiops-analysis"
                )
            plain["day"] = date.fromisoformat(plain["day"])
            plain["files"] = tuple(DayFile(**f) for f in plain["files"])
            for name in ("warnings", "infos", "dropped"):
                plain[name] = tuple(plain[name])
            plain["targets"] = None if plain["targets"] is None else tuple((int(a), int(b)) for a, b in plain["targets"])
            return cls(**plain)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreCorrupt(f"{where} is not a manifest of the history ({type(error).__name__})") from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all: temporary name, fsync, rename, fsync of the folder.

    Raises StoreNotWritable with the path when the disk is full, read-only or gone; the old file is then untouched.
    """
    temporary = path.with_name(f"{_TMP}{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StoreNotWritable(f"cannot write {path}: {error.strerror or error}; nothing that was there has changed") from error


def sync_folder(folder: Path) -> None:
    """Make what was renamed or written in a folder (or a file) outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clusters(root: Path) -> list[str]:
    """Names of the clusters that have a history below ``root``."""
    if not root.is_dir():
        return []
    return sorted(decode_path(p.name) for p in root.iterdir() if (p / "store.json").is_file())


def open_store(root: Path, cluster: str) -> Store:
    """The history of a cluster; raises StoreTooNew when a newer version wrote it, StoreError when ``root`` is no folder."""
    if root.exists() and not root.is_dir():
        raise StoreError(f"the history {root} is a file, expected a folder")
    store = Store(root, cluster)
    marker = store.path / "store.json"
    if marker.is_file():
        try:
            schema = json.loads(marker.read_bytes())["schema"]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreCorrupt(f"{marker} is damaged; remove it and pull again, the days below it are kept") from error
        if schema > SCHEMA:
            raise StoreTooNew(
                f"{store.path} was written by a newer version (schema {schema}, this one reads {SCHEMA}); upgrade aiops-analysis"
            )
    return store


class Store:
    """One cluster's part of the history below ``root``."""

    def __init__(self, root: Path, cluster: str) -> None:
        self.root = Path(root)
        self.cluster = cluster
        self.path = self.root / encode_path(cluster)

    def folder(self, metric: str, day: date) -> Path:
        """The folder of one day of one metric."""
        return self.path / metric / f"day={day.isoformat()}"

    @contextmanager
    def lock(self, wait: float = 60.0, owner: str = "") -> Iterator[None]:
        """Hold the one writer's lock of this cluster; it is freed by the system when the process dies.

        ``wait`` is how long to wait for another writer [s]. Raises StoreLocked that names the owner.
        """
        from filelock import FileLock, Timeout

        note = self.path / ".lock.owner"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            held = FileLock(self.path / ".lock", timeout=wait).acquire()
        except Timeout as error:
            by = note.read_text(errors="replace")[:200].strip() if note.is_file() else "unknown"
            raise StoreLocked(f"another process writes the history of {self.cluster!r} ({by}); try again when it is done") from error
        except OSError as error:
            raise StoreNotWritable(f"cannot write the history {self.path}: {error.strerror or error}") from error
        try:
            with held:
                note.write_text(owner or f"pid {os.getpid()}")
                if not (self.path / "store.json").is_file():
                    write_file(
                        self.path / "store.json", json.dumps({"cluster": self.cluster, "schema": SCHEMA, "step": STEP}).encode() + b"\n"
                    )
                yield
        finally:
            note.unlink(missing_ok=True)

    def manifest(self, metric: str, day: date) -> Manifest | None:
        """The day's manifest, None when the day is not committed; raises StoreCorrupt and StoreTooNew."""
        path = self.folder(metric, day) / "manifest.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        return Manifest.from_json(data, path)

    def days(self, metric: str) -> list[date]:
        """The committed days of a metric, in order."""
        base = self.path / metric
        if not base.is_dir():
            return []
        return sorted(date.fromisoformat(p.name[4:]) for p in base.glob("day=????-??-??") if (p / "manifest.json").is_file())

    def manifests(self, metric: str, days: Iterable[date] | None = None) -> dict[date, Manifest]:
        """Manifests of the committed days; damaged ones raise StoreCorrupt."""
        wanted = self.days(metric) if days is None else days
        return {day: m for day in wanted if (m := self.manifest(metric, day)) is not None}

    def damage(self, metric: str, day: date) -> str | None:
        """What is wrong with a day by its names and sizes alone, None when nothing is; contents are proven when they are read."""
        try:
            manifest = self.manifest(metric, day)
        except StoreCorrupt as error:
            return str(error)
        for entry in manifest.files if manifest else ():
            path = self.folder(metric, day) / entry.name
            if not path.is_file():
                return f"{path} is missing"
            if path.stat().st_size != entry.bytes:
                return f"{path} has {path.stat().st_size} bytes, its manifest says {entry.bytes}"
        return None

    def read(self, metric: str, day: date, entry: DayFile) -> bytes:
        """The bytes of a data file, proven by size and sha256; raises StoreCorrupt with the path."""
        path = self.folder(metric, day) / entry.name
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise StoreCorrupt(f"{path} is missing") from error
        if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise StoreCorrupt(f"{path} is not what its manifest says (size or sha256)")
        return data

    def commit(self, manifest: Manifest, files: Mapping[str, tuple[bytes, int]]) -> Manifest:
        """Write the day's files (name without ending -> bytes, rows), then its manifest, then drop files of an older revision."""
        folder = self.folder(manifest.metric, manifest.day)
        taken = {p.name for p in folder.glob("bucket-*.parquet")}
        entries = []
        for stem, (data, rows) in files.items():
            name = next(n for n in _revisions(stem) if n not in taken)
            write_file(folder / name, data)
            entries.append(DayFile(name, rows, len(data), hashlib.sha256(data).hexdigest()))
        done = replace(manifest, files=tuple(entries))
        write_file(folder / "manifest.json", done.to_json())
        self._drop_loose(folder, {e.name for e in entries})
        return done

    def set_aside(self, metric: str, day: date) -> Path:
        """Move a damaged day out of the readers' way, where nothing of it is lost; returns its new place."""
        folder = self.folder(metric, day)
        base = self.path / metric / "damaged"
        try:
            base.mkdir(parents=True, exist_ok=True)
            target = next(t for n in range(10_000) if not (t := base / f"{folder.name}.{n}").exists())
            folder.rename(target)
        except OSError as error:
            raise StoreNotWritable(f"cannot move the damaged day {folder} aside: {error.strerror or error}") from error
        return target

    def clean(self) -> int:
        """Remove what killed writers left: temporary files, and files without a commit; call it under the lock. Returns how many."""
        removed = 0
        for path in self.path.glob(f"**/{_TMP}*"):
            path.unlink(missing_ok=True)
            removed += 1
        for folder in self.path.glob("*/day=*"):
            manifest = folder / "manifest.json"
            if not manifest.is_file():
                removed += sum(1 for _ in folder.iterdir())
                shutil.rmtree(folder, ignore_errors=True)
                continue
            try:
                names = {f.name for f in Manifest.from_json(manifest.read_bytes(), manifest).files}
            except StoreCorrupt:
                continue  # the pull names it and moves it aside
            removed += self._drop_loose(folder, names)
        return removed

    def fingerprint(self, metrics: Iterable[str], days: Iterable[date]) -> str:
        """sha256 over the sha256 of every day file of the metrics and days: which data a report was made of."""
        digest = hashlib.sha256()
        wanted = list(days)
        for metric in sorted(metrics):
            for day, manifest in self.manifests(metric, wanted).items():
                for entry in manifest.files:
                    digest.update(f"{metric}/{day.isoformat()}/{entry.sha256}\n".encode())
        return digest.hexdigest()

    @staticmethod
    def _drop_loose(folder: Path, keep: set[str]) -> int:
        loose = [p for p in folder.glob("bucket-*.parquet") if p.name not in keep]
        for path in loose:
            path.unlink(missing_ok=True)
        return len(loose)


def _revisions(stem: str) -> Iterator[str]:
    yield f"{stem}.parquet"
    revision = 2
    while True:
        yield f"{stem}.r{revision}.parquet"
        revision += 1
