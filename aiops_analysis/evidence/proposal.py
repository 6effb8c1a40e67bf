"""What a review proposes as files: ``patches/`` and ``summary.md``, alike for a run folder and for ``aiops-analysis patches``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from aiops_analysis.core.window import Window
from aiops_analysis.evidence.changes import Roles, plan, roles_of
from aiops_analysis.evidence.patchset import FORMATS, PatchSet, patch_files
from aiops_analysis.evidence.pull_request import Heading, pull_request
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store

__all__ = ["MANY", "SUMMARY", "Proposal", "proposal", "roles_in"]

#: Workloads above which a run folder gets the first format alone; the verb ``patches`` writes the others when they are wanted.
MANY = 500
SUMMARY = "summary.md"
_DAYS = 7  # a container's role is read from these last days of the window


@dataclass(frozen=True, slots=True)
class Proposal:
    """Files by their path, and what they were made of."""

    files: Mapping[str, bytes]
    patches: PatchSet
    formats: tuple[str, ...]


def proposal(
    recommendations: pd.DataFrame,
    about: Heading,
    *,
    formats: Sequence[str] = (),
    roles: Roles | None = None,
    helm: Mapping[str, str] | None = None,
) -> Proposal:
    """The files of a RECOMMENDATIONS frame, below ``about.folder``, and summary.md beside it.

    formats : all of them when none is named, or strategic alone for more than 500 workloads. roles : of containers, where known.
    Raises UsageError for an unknown format, SettingsError for a Helm value path that cannot be used.
    """
    changes = plan(recommendations, roles)
    chosen = tuple(formats) or (FORMATS if len(changes.workloads) <= MANY else FORMATS[:1])
    patches = patch_files(changes, about.cluster, formats=chosen, evidence=about.fingerprint, currency=about.currency, helm=helm)
    files = {f"{about.folder}{name}": data for name, data in patches.files.items()}
    files[SUMMARY] = pull_request(changes, patches, about).encode("utf-8", "backslashreplace")
    return Proposal(files, patches, chosen)


def roles_in(store: Store, window: Window) -> Roles:
    """Roles of the containers seen in the last days of a window; raises StoreCorrupt for a damaged day."""
    last = Window(max(window.start, window.end - timedelta(days=_DAYS)), window.end)
    return roles_of(read_frame(store, "inventory", last.days()))
