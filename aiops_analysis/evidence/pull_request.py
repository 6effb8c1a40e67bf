"""``summary.md``: the text of a pull request or comment, with the evidence, short enough for a forge (ecosystem.md section 7).

Nothing of one run is in it (no run id, no clock), so that a bot that finds its marker again changes a comment only where figures changed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

from aiops_analysis.core.window import DAY, Window
from aiops_analysis.evidence.changes import Plan, Size, Workload
from aiops_analysis.evidence.headers import file_name, kubernetes_name, looking, target
from aiops_analysis.evidence.markdown import code, details, fitted, row, words
from aiops_analysis.evidence.patchset import PatchSet
from aiops_analysis.evidence.record import INDEX
from aiops_analysis.presentation.formats import amount, count, money

__all__ = ["MOST", "Heading", "pull_request"]

#: Characters; GitHub refuses bodies over 65,536.
MOST = 60_000
_TABLE, _LISTS = 30_000, 9_000  # characters of the table and of each list below it
_HEAD = ("workload", "container", "resource", "request", "limit", "P95", "grade", "on paper a month", "why")


@dataclass(frozen=True, slots=True)
class Heading:
    """What the text says beside the changes: where the figures come from."""

    cluster: str
    window: Window
    fingerprint: str
    policy: str = ""
    currency: str = ""
    summary: str = ""  # the review's own sentence
    version: str = ""
    folder: str = "patches/"  # where the files stand, seen from this text


@dataclass(frozen=True, slots=True)
class _Row:
    workload: Workload
    container: str
    size: Size

    @property
    def order(self) -> tuple[float, str, str, str, str, str]:
        paper = -abs(self.size.paper) if math.isfinite(self.size.paper) else math.inf
        one = self.workload
        return paper, one.namespace, one.kind, one.name, self.container, self.size.resource


def pull_request(plan: Plan, patches: PatchSet, about: Heading) -> str:
    """The Markdown of summary.md, at most 60,000 characters; rows by money, the largest first.

    plan : the changes. patches : their files, as published beside this text.
    """
    rows = sorted((_Row(w, c.name, s) for w in plan.workloads for c in w.changed for s in c.changed), key=lambda one: one.order)
    table, more = fitted((_line(one, about) for one in rows), _TABLE)
    parts = [
        f"<!-- aiops-analysis:{_key(about.cluster)} -->",
        f"## Right-sizing of {code(about.cluster)}",
        _sentence(rows, plan, patches, about),
    ]
    if about.summary:
        parts.append(words(about.summary, 1000))
    if table:
        parts.append("\n".join([row(_HEAD), row(["---"] * len(_HEAD)), *table]))
    if more:
        parts.append(f"{count(more, 'more row is', 'more rows are')} in the report.")
    if rows:
        parts += [_how(plan, patches, about), *_reasons(rows)]
    parts += [*_left_out(patches, about), _evidence(plan, patches, about)]
    return "\n\n".join(parts) + "\n"


def _key(cluster: str) -> str:
    return f"rightsizing-{hashlib.sha256(cluster.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _sentence(rows: list[_Row], plan: Plan, patches: PatchSet, about: Heading) -> str:
    left = f" {count(len(patches.left_out), 'change is', 'changes are')} left out of the files; why is below." if patches.left_out else ""
    if not rows:
        return f"**Nothing is to be changed by a file.**{left}"
    papers = [one.size.paper for one in rows if math.isfinite(one.size.paper)]
    saved = sum(sorted(papers))
    said = f"{count(len(plan.workloads), 'workload changes', 'workloads change')} in {count(len(rows), 'row', 'rows')}"
    if papers:
        verb = "save" if saved >= 0 else "cost"
        said += f"; together they {verb} {_plain(money(abs(saved), about.currency))} a month on paper"
        said += " (requests times price; it is money only when nodes go; the review's total also holds what is in no file)"
    return f"**{said}.**{left}"


def _line(one: _Row, about: Heading) -> str:
    size = one.size
    place = f"{one.workload.namespace}/{one.workload.name}"
    cells = [
        f"{code(place)} {one.workload.kind}",
        code(one.container),
        size.resource,
        f"{_amount(size.resource, size.request_now)} → **{_amount(size.resource, size.request)}**",
        f"{_amount(size.resource, size.limit_now)} → {_amount(size.resource, size.limit)}",
        _amount(size.resource, size.p95),
        size.grade,
        _plain(money(size.paper, about.currency)),
        " ".join(f"`{reason.code}`" for reason in size.reasons),
    ]
    return row(cells)


def _amount(resource: str, value: float) -> str:
    return _plain(amount(resource, value)) if math.isfinite(value) else "none"


def _plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def _how(plan: Plan, patches: PatchSet, about: Heading) -> str:
    """Ready commands for the first patches; each file holds its own, with its roll-back."""
    where = f"`{about.folder or './'}`"
    body = [f"Each file in {where} starts with its own commands to look, apply and roll back, to what was measured before."]
    flavour = next((name for name in ("strategic", "json-patch") if any(file.startswith(f"{name}/") for file in patches.files)), "")
    lines = (
        looking(target(one), f"--type={flavour.removesuffix('-patch')}", name)
        for one in plan.workloads
        if f"{flavour}/{(name := file_name(one.namespace, one.kind, one.name))}" in patches.files
        if kubernetes_name(one.name) and kubernetes_name(one.namespace)
    )
    kept, more = fitted(lines, _LISTS)
    if kept:
        body += ["Nothing below changes the cluster:", f"```bash\ncd {about.folder}{flavour}\n" + "\n".join(kept) + "\n```"]
    if more:
        body.append(f"{more:,} more in the files themselves.")
    return details("How to look, apply and roll back", "\n\n".join(body))


def _reasons(rows: list[_Row]) -> Iterator[str]:
    lines = (
        f"- {code(f'{one.workload.namespace}/{one.workload.name}')} {code(one.container)} {one.size.resource}: {words(reason.message)}"
        for one in rows
        for reason in one.size.reasons
    )
    kept, more = fitted(lines, _LISTS)
    if kept:
        yield details("The reasons in words", "\n".join(kept + ([f"- {more:,} more in the report"] if more else [])))


def _left_out(patches: PatchSet, about: Heading) -> Iterator[str]:
    lines = []
    for one in patches.left_out:
        place = code(f"{one.namespace}/{one.workload}") + (f" {code(one.container)}" if one.container else "")
        lines.append(f"- {place} {one.resource or words(one.kind, 40)}: {words(one.why)}")
    kept, more = fitted(lines, _LISTS)
    if kept:
        title = f"Left out of the files ({len(lines):,})"
        yield details(title, "\n".join(kept + ([f"- {more:,} more in `{about.folder}{INDEX}`"] if more else [])))


def _evidence(plan: Plan, patches: PatchSet, about: Heading) -> str:
    lines = [
        f"- window: {about.window.start.date()} to {(about.window.end - DAY).date()} (UTC days)",
        f"- history: {code(about.fingerprint)} (sha256 over the day files read)",
        f"- policy: {code(about.policy)}; aiops-analysis {about.version}",
        f"- files: `{about.folder}{INDEX}` {code(hashlib.sha256(patches.files[INDEX]).hexdigest())} (sha256)",
        f"- without a recommendation: {count(plan.unknown, 'row', 'rows')}",
        "- The same history gives the same text, byte for byte. All figures are in `evidence.json` and `recommendations.json`.",
    ]
    return details("Evidence", "\n".join(lines))
