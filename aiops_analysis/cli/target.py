"""A folder that a verb writes as a whole: complete or not at all, and never over what somebody else put there."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from aiops_analysis.core.errors import RunFailed, UsageError

__all__ = ["publish_files"]

_OLDEST = 3600.0  # [s] leftovers of an interrupted write are removed after this time


def publish_files(files: Mapping[str, bytes], target: Path, now: float) -> None:
    """Write the files as the whole folder ``target``, complete or not at all; a folder that an earlier call wrote is replaced.

    Raises UsageError for a folder with anything else in it, or with a file that was edited since; RunFailed when it cannot be written.
    """
    from aiops_analysis.evidence.record import write_files
    from aiops_analysis.runner.folders import sync_tree

    target = target.absolute()
    _refuse_foreign(target)
    tag = f".{target.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}"
    built, before = target.with_name(f"{tag}.aiops-new"), target.with_name(f"{tag}.aiops-old")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target, now)
        built.mkdir()
        write_files(built, files)
        sync_tree(built)
        if target.exists():
            target.rename(before)
        try:
            built.rename(target)
        except BaseException:  # a signal too: what was there comes back
            with suppress(OSError):
                before.rename(target)
            raise
    except OSError as error:
        raise RunFailed(f"the folder {target} cannot be written ({error.strerror}); choose another with --out") from error
    finally:
        shutil.rmtree(built, ignore_errors=True)
    shutil.rmtree(before, ignore_errors=True)


def _sweep(target: Path, now: float) -> None:
    """Remove what interrupted calls left beside the folder."""
    for left in target.parent.glob(".*.aiops-*"):
        with suppress(OSError):
            if left.name.startswith(f".{target.name[:100]}.") and left.is_dir() and now - left.stat().st_mtime > _OLDEST:
                shutil.rmtree(left, ignore_errors=True)


def _refuse_foreign(target: Path) -> None:
    """Raises UsageError for a target that holds anything but an unedited earlier result."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"--out {target} is no plain folder; choose another")
    if not target.exists() or not any(target.iterdir()):
        return
    try:
        sealed = json.loads((target / "index.json").read_bytes())["files"]
        known = {str(name): str(digest) for name, digest in sealed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"--out {target} is not empty and was not written by this command; choose another folder") from error
    for path in sorted(target.rglob("*")):
        name = path.relative_to(target).as_posix()
        if path.is_dir() or name in ("index.json", "summary.md"):
            continue
        if known.get(name) != hashlib.sha256(path.read_bytes()).hexdigest():
            raise UsageError(f"--out {target} holds {name}, which was added or edited by hand; choose another folder or move it away")
