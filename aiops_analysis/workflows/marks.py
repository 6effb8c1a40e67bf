"""What days of a window lack by how they were measured: rare scrapes, averages, texts of kubectl top (fault rows 24 to 26)."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.window import Window
from aiops_analysis.history.store import Store
from aiops_analysis.workflows.top import anecdotal

__all__ = ["graded", "mark_findings"]

_MAIN = "cpu_usage"
_MARKS = ("downsampled: ", "scraped ")


def _reduced(store: Store, window: Window) -> list[str]:
    """The days (ISO) of which the server kept averages only."""
    manifests = store.manifests(_MAIN, window.days())
    return [day.isoformat() for day, manifest in manifests.items() if manifest.source.get("resolution_s", "0") != "0"]


def graded(store: Store, window: Window, sized: pd.DataFrame) -> pd.DataFrame:
    """RECOMMENDATIONS that rest on averages, or on texts of kubectl top, are graded low and say so: peaks are not in them."""
    reasons = []
    reduced, anecdote = _reduced(store, window), anecdotal(store, window)
    if reduced:
        message = f"{len(reduced)} of the days are averages that the server keeps instead of its scrapes: peaks are flattened."
        reasons.append(Reason(Code.DOWNSAMPLED, message, {"days": reduced}))
    if anecdote is not None:
        message = "It rests on texts of kubectl top: nobody measured between them."
        reasons.append(Reason(Code.ANECDOTE, message, {"days": list(anecdote.days["day"])}))
    if not reasons:
        return sized
    said = pd.Series([[*found, *reasons] for found in sized["reasons"]], index=sized.index, dtype="object")
    return sized.assign(grade=sized["grade"].where(sized["grade"] == "refused", "low"), reasons=said)


def mark_findings(store: Store, window: Window) -> list[Mapping[str, object]]:
    """One finding for each thing that is said of days, with the days that it is said of."""
    days: dict[str, list[str]] = {}
    for day, manifest in store.manifests(_MAIN, window.days()).items():
        for text in manifest.infos:
            if text.startswith(_MARKS):
                days.setdefault(text, []).append(day.isoformat())
    found: list[Mapping[str, object]] = []
    for text, of in sorted(days.items()):
        code = "downsampled" if text.startswith("downsampled") else "scraped_too_rarely"
        named = f"{of[0]} to {of[-1]}" if len(of) > 1 else of[0]
        found.append({"code": code, "message": f"{len(of)} {'day' if len(of) == 1 else 'days'}, {named}: {text}", "data": {"days": of}})
    anecdote = anecdotal(store, window)
    return found if anecdote is None else [*found, anecdote.finding]
