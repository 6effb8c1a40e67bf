"""The body of a decision record: the guide's sections in their order, with MADR's options and confirmation (ecosystem.md section 6).

Boxes that a person ticks are left open, and what was not measured says so.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from aiops_analysis.core.names import visible
from aiops_analysis.core.units import format_cpu, format_memory
from aiops_analysis.core.yaml_text import quoted
from aiops_analysis.evidence.adr_header import NAMES, Proposal, change_of, patch_name, title_of, verb_of
from aiops_analysis.evidence.adr_words import amount, code, fenced, inline, known, money, percent, table

__all__ = ["body"]

_QUERIES = {"cpu": "cpu_usage", "memory": "memory_working_set"}
_ROLLING = ("Deployment", "StatefulSet", "DaemonSet")
_BOXES = (
    "Tested in local development",
    "Deployed to staging environment",
    "Monitored for 48 hours minimum",
    "Load tested (if applicable)",
    "Security scanned",
    "Reviewed by team",
    "Documented impact metrics",
)
_TESTS = """Functionality tests: not run yet
Performance tests:   not run yet
Load test:           not run yet
48 hours in staging: not run yet"""
_CONFIRMATION = (
    "The change is confirmed when the history shows the new request in the cluster and, over the 48 hours after it, what *Validation",
    "Performed* asks for. The review names an accepted record until it sees the change; then a person sets `implemented_on`.",
)
_NOTES = (
    "Looked at again when the request in the cluster is another one, the recommended request moves by more than a tenth and a step,",
    "the P95 rises above the request, or the container is killed for memory; and when the guard of a rejection expires.",
)
_COMPLIANCE = ("Security review completed", "Performance benchmarks passed", "Documentation updated", "Team notified of changes")


def body(proposal: Proposal, number: int, evidence: str) -> list[str]:
    """Everything below the front matter."""
    day = proposal.day.isoformat()
    return [
        f"# {number}. {title_of(proposal)}",
        "",
        "- Status: proposed",
        f"- Date: {day}",
        "",
        *_section("Status", f"Proposed {day}."),
        *_section("Context", *_context(proposal)),
        *_section("AI Analysis Summary", *_summary(proposal)),
        *_section("Validation Performed", *(f"- [ ] {box}" for box in _BOXES), "", *_how_to_validate(proposal)),
        *_section("Considered Options", *_options(proposal)),
        *_section("Decision", *_decision(proposal)),
        *_section("Implementation Details", *_implementation(proposal)),
        *_section("Consequences", *_consequences(proposal)),
        *_section("Validation Results", *_results(proposal)),
        *_section("Confirmation", *_CONFIRMATION),
        *_section("Compliance", *(f"- [ ] {box}" for box in _COMPLIANCE)),
        *_section("References", *_references(proposal, number, evidence)),
        *_section("Notes", *_NOTES),
        "---",
        "",
        f"**Author:** {inline(proposal.author, 120) or 'not named'}\\",
        f"**Date:** {day}\\",
        "**Reviewers:** none yet\\",
        f"**Last Updated:** {day}",
    ]


def _section(title: str, *lines: str) -> list[str]:
    return [f"## {title}", "", *lines, ""]


def _where(proposal: Proposal) -> str:
    place = proposal.place
    workload = f"{inline(place['workload_kind'], 60)} {code(place['workload'])}"
    return f"container {code(place['container'])} of {workload} in {code(place['namespace'])}"


def _context(proposal: Proposal) -> list[str]:
    tool = inline(proposal.tool, 80) or (
        "an adviser that is not named" if proposal.advice else "none; the measured history was asked alone"
    )
    states = [f"{_now(row)}" for row in proposal.rows]
    lines = [
        f"- **Tool Used:** {tool}",
        f"- **Analysis Date:** {proposal.day.isoformat()}",
        f"- **Current State:** {_where(proposal)}, cluster {code(proposal.basis.cluster)}: {'; '.join(states)}.",
        "- **AI Recommendation:** " + ("as quoted, word for word:" if proposal.advice else "none was given."),
    ]
    if proposal.advice:
        lines += ["", *fenced(proposal.advice, prefix="> ")]
    if proposal.subject.left_out:
        lines += ["", "Not part of this decision:", ""]
        lines += [f"- {NAMES[row['resource']]}: {_left(row)}" for row in proposal.subject.left_out]
    return lines


def _now(row: Mapping[str, Any]) -> str:
    resource, share = row["resource"], known(row.get("overprovision"))
    request, limit = amount(resource, row["current_request"]), amount(resource, row["current_limit"], "none")
    over = f", {percent(share)} over-provisioned" if share is not None and share > 0 else ""
    return f"{NAMES[resource]} request {request}, limit {limit}, P95 {amount(resource, row['p95'], 'not known')}{over}"


def _left(row: Mapping[str, Any]) -> str:
    if row["change"] in ("increase", "decrease"):
        return f"{row['change']} is recommended too; that is another decision"
    why = "; ".join(inline(reason["message"]) for reason in row["reasons"])
    return f"{inline(row['change'], 20)}" + (f" ({why})" if why else "")


def _summary(proposal: Proposal) -> list[str]:
    basis, rows = proposal.basis, proposal.rows
    lines = [f"Measured from {basis.window['start']} to {basis.window['end']} (UTC, the end not included), all pods pooled."]
    lines += ["", *table(("", *(NAMES[row["resource"]] for row in rows)), _measured(rows, basis.currency)), ""]
    for row in rows:
        lines += [f"- {NAMES[row['resource']]}, `{reason['code']}`: {inline(reason['message'])}" for reason in row["reasons"]]
    if lines[-1]:
        lines.append("")
    lines.append(f"Fingerprint of the day files: `{inline(basis.fingerprint, 80) or 'not known'}`. Queries:")
    texts = [basis.queries[name] for row in rows if (name := _QUERIES[row["resource"]]) in basis.queries]
    if not texts:
        return [*lines[:-1], lines[-1].replace(" Queries:", " No query text is stored with them.")]
    return [*lines, "", *fenced("\n".join(" ".join(text.split()) for text in texts), "promql")]


def _measured(rows: Sequence[Mapping[str, Any]], currency: str) -> list[tuple[str, ...]]:
    """The measurements, one row a statistic, one column a resource."""
    limit = "none"

    def line(title: str, *cells: str) -> tuple[str, ...]:
        return (title, *cells)

    def amounts(title: str, *names: str) -> tuple[str, ...]:
        return line(title, *(" / ".join(amount(r["resource"], r.get(name), "not known") for name in names) for r in rows))

    def pair(title: str, kind: str) -> tuple[str, ...]:
        cells = (f"{amount(r['resource'], r[f'{kind}_request'])} / {amount(r['resource'], r[f'{kind}_limit'], limit)}" for r in rows)
        return line(title, *cells)

    return [
        pair("Request / limit today", "current"),
        pair("Plain rule", "rule"),
        pair("**Recommended**", "guarded"),
        amounts("P50 / P95", "p50", "p95"),
        amounts("P99 / largest", "p99", "max"),
        amounts("Upper bound of the P95 (95 %)", "upper"),
        line("Grade", *(inline(row["grade"], 20) for row in rows)),
        line("Completeness", *(percent(row["completeness"]) for row in rows)),
        line("Samples / days", *(f"{_count(row.get('samples'))} / {_count(row['days'])}" for row in rows)),
        line("Mean running pods", *(_count(row["replicas"]) for row in rows)),
        line("Throttled periods", *(_throttled(r) if r["resource"] == "cpu" else "" for r in rows)),
        line("Kills for memory", *(_count(r["oom_kills"]) if r["resource"] == "memory" else "" for r in rows)),
        line("Saving on paper a month", *(money(row["paper"], currency) for row in rows)),
    ]


def _throttled(row: Mapping[str, Any]) -> str:
    """Without a CPU limit there are no periods to be throttled in (methods.md A7)."""
    return "not applicable" if known(row["throttle_ratio"]) is None else percent(row["throttle_ratio"])


def _count(value: Any) -> str:
    number = known(value)
    return "not known" if number is None else f"{number:,.4g}" if abs(number) < 1000 else f"{number:,.0f}"


def _injected(proposal: Proposal) -> bool:
    """True for a container that a mesh injects: no patch of the workload holds it."""
    codes = {reason["code"] if isinstance(reason, Mapping) else str(reason.code) for row in proposal.rows for reason in row["reasons"]}
    return "sidecar" in codes


def _how_to_validate(proposal: Proposal) -> list[str]:
    place = proposal.place
    kind, name, namespace = (shlex.quote(visible(place[part], 253)) for part in ("workload_kind", "workload", "namespace"))
    patch = shlex.quote(patch_name(place))
    commands = []
    if not _injected(proposal):
        commands.append(f"kubectl patch {kind.lower()} {name} -n {namespace} --patch-file {patch} --dry-run=server  # changes nothing")
    if place["workload_kind"] in _ROLLING:
        commands.append(f"kubectl rollout status {kind.lower()} {name} -n {namespace}")
    commands += [
        f"kubectl top pods -n {namespace} --containers  # for 48 hours, and under load",
        (
            f"kubectl get pods -n {namespace} -o custom-columns="
            "'POD:.metadata.name,LAST:.status.containerStatuses[*].lastState.terminated.reason'  # OOMKilled must not appear"
        ),
    ]
    return [
        "In staging first. Passed after 48 hours: throttled periods at most 5 % of all (more than 25 % fails), no kill for memory, no more",
        "restarts than before, P95 below the new request. A box that is ticked is a person's claim; results go below.",
        "",
        *fenced("\n".join(commands), "bash"),
    ]


def _options(proposal: Proposal) -> list[str]:
    currency = proposal.basis.currency
    keep = "; ".join(f"{NAMES[r['resource']]} {amount(r['resource'], r['current_request'])}" for r in proposal.rows)
    lines: list[str] = []
    if proposal.advice:
        lines.append(f"{len(lines) + 1}. The advice of {inline(proposal.tool, 80) or 'the adviser'}, as quoted above.")
    for title, kind, paper in (("The plain rule", "rule", "paper_rule"), ("The rule after its guards (**proposed**)", "guarded", "paper")):
        requests = "; ".join(f"{NAMES[r['resource']]} {amount(r['resource'], r[f'{kind}_request'])}" for r in proposal.rows)
        saved = "; ".join(money(r.get(paper), currency) for r in proposal.rows)
        lines.append(f"{len(lines) + 1}. {title}: {requests}. On paper {saved} a month.")
    lines.append(f"{len(lines) + 1}. Keep what is there: {keep}.")
    return lines


def _decision(proposal: Proposal) -> list[str]:
    changes = " and ".join(change_of(row) for row in proposal.rows)
    return [
        f"{verb_of(proposal).capitalize()} the {changes} of {_where(proposal)}.",
        "Whether that is accepted or rejected, by whom and when stands under Status. A modification is written here by who decides it.",
    ]


def _implementation(proposal: Proposal) -> list[str]:
    place = proposal.place
    if _injected(proposal):
        first = "The container is injected, so it is in no patch of the workload: these values are set through the mesh."
    else:
        first = f"The patch of the workload is `{patch_name(place)}`, of a run or of `aiops-analysis patches`"
        only = f"; it holds the whole workload, of which only {NAMES[proposal.rows[0]['resource']]} of this container is decided here"
        first += (only if len(proposal.rows) == 1 else "; of it only this container is decided here") + ". In a chart it is these values:"
    lines = [first, ""]
    block = []
    for title, kind in (("Before (this is the roll-back)", "current"), ("After", "guarded")):
        block += [f"# {title}:", f"- name: {quoted(place['container'])}", "  resources:"]
        for what in ("request", "limit"):
            values = [(row["resource"], known(row[f"{kind}_{what}"])) for row in proposal.rows]
            block.append(f"    {what}s:" + ("" if any(value is not None for _, value in values) else " {}"))
            block += [f"      {resource}: {quoted(_quantity(resource, value))}" for resource, value in values if value is not None]
    return [*lines, *fenced("\n".join(block), "yaml")]


def _quantity(resource: str, value: float) -> str:
    return format_memory(value) if resource == "memory" else format_cpu(value)


def _consequences(proposal: Proposal) -> list[str]:
    good, bad = [], []
    for row in proposal.rows:
        name, resource = NAMES[row["resource"]], row["resource"]
        p95, request = known(row["p95"]), known(row["guarded_request"])
        ratio = f"{request / p95:.1f} times the P95" if p95 and request else "not comparable to a P95"
        if row["change"] == "decrease":
            good.append(f"- {money(row['paper'], proposal.basis.currency)} a month less requested on paper for {name}.")
            bad.append(f"- Less reserve: the {name} request is {ratio}, was {amount(resource, row['current_request'])}.")
        else:
            good.append(f"- What is used is requested: the {name} request is {ratio}.")
            bad.append(f"- {name} costs {money(-(known(row['paper']) or 0), proposal.basis.currency)} a month more on paper.")
    bad.append("- Applying the patch replaces the pods; only a resize of running pods could avoid that.")
    neutral = [
        "- Paper is requests times price; the bill only falls when a node goes. Bankable saving: not computed.",
        f"- Prices: {inline(proposal.basis.price_source) or 'not known'}.",
    ]
    return ["### Positive", "", *good, "", "### Negative", "", *bad, "", "### Neutral", "", *neutral]


def _results(proposal: Proposal) -> list[str]:
    rows = []
    for row in proposal.rows:
        name, resource = NAMES[row["resource"]], row["resource"]
        for what, unset in (("request", "not set"), ("limit", "none")):
            before, after = known(row[f"current_{what}"]), known(row[f"guarded_{what}"])
            cells = (amount(resource, before, unset), amount(resource, after, unset))
            rows.append((f"{name} {what}", *cells, _difference(before, after)))
        cost, saved = known(row["request_cost"]), known(row["paper"])
        after_cost = None if cost is None or saved is None else cost - saved
        currency = proposal.basis.currency
        rows.append((f"{name} cost a month (paper)", money(cost, currency), money(after_cost, currency), _difference(cost, after_cost)))
    return [
        "### Testing Summary",
        "",
        *fenced(_TESTS),
        "",
        "### Metrics Before/After",
        "",
        "*After* is what is recommended; nothing has been measured under it yet.",
        "",
        *table(("Metric", "Before", "After", "Improvement"), rows),
    ]


def _difference(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "new" if before is None and after is not None else ""
    if not before:
        return "new" if after else "none"
    share = (after - before) / before
    return f"{abs(share) * 100:.0f} % {'more' if share > 0 else 'less'}" if abs(share) >= 0.005 else "none"


def _references(proposal: Proposal, number: int, evidence: str) -> list[str]:
    run = f"- Run {code(proposal.basis.run)}" if proposal.basis.run else "- Made from the history alone"
    return [f"- Evidence of ADR-{number:03d}: [{evidence}]({evidence})", run, "- Related ADRs: none named"]
