"""What the figures of a review say in a few words: the cards at its top, and where its numbers come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from aiops_analysis.core.schema import GRADES
from aiops_analysis.core.window import iso
from aiops_analysis.presentation import formats

if TYPE_CHECKING:
    from aiops_analysis.workflows.review import Review

__all__ = ["headline_cards", "method_facts", "policy_facts"]

Figures = Mapping[str, float | int | str | None]
Card = tuple[str, str, str, str]  # label, value, note, tone
_UNKNOWN = "not known"


def headline_cards(figures: Figures) -> list[Card]:
    """Label, value, note and tone of the cards; a figure that is None or absent is "not known", never 0."""
    return [_saving(figures), _bankable(figures), _realised(figures), _spare(figures), _short(figures), _data(figures)]


def _number(figures: Figures, key: str) -> float | None:
    value = figures.get(key)
    return float(value) if isinstance(value, int | float) and formats.known(value) else None


def _amount(figures: Figures, key: str) -> str:
    value = _number(figures, key)
    return _UNKNOWN if value is None else formats.money(value, str(figures.get("currency") or ""))


def _saving(figures: Figures) -> Card:
    value = _number(figures, "paper_month")
    cost = f" of {_amount(figures, 'request_cost_month')} requested" if _number(figures, "request_cost_month") is not None else ""
    source = figures.get("price_source") or _UNKNOWN
    note = f"Requests times price{cost}; prices: {source}. The bill only falls when a node goes."
    return "Paper a month", _amount(figures, "paper_month"), note, "good" if value is not None and value > 0 else ""


def _bankable(figures: Figures) -> Card:
    value, shrunk = _number(figures, "bankable_month"), _number(figures, "if_shrunk_month")
    freed, nodes = _number(figures, "nodes_freed"), _number(figures, "nodes_now")
    if value is None or freed is None or nodes is None:
        return "Bankable a month", _UNKNOWN, "Nodes, what runs on them and their prices must be known.", ""
    note = f"{freed:.0f} of {formats.count(int(nodes), 'node', 'nodes')} can go once the recommendations are applied. Prices as for paper."
    if committed := _number(figures, "committed_month"):
        note += (
            f" {formats.money(committed, str(figures.get('currency') or ''))} of freed nodes is paid for all the same, under a commitment."
        )
    if shrunk is not None and shrunk > value:
        note += f" {_amount(figures, 'if_shrunk_month')} if someone shrinks the pools: nothing is seen that does."
    return "Bankable a month", _amount(figures, "bankable_month"), note, "good" if value > 0 else ""


def _realised(figures: Figures) -> Card:
    value, accepted = _number(figures, "realised_month"), _number(figures, "decisions_accepted")
    if value is None:
        waiting = f"{formats.count(int(accepted), 'decision is', 'decisions are')} accepted, none is measured yet." if accepted else ""
        return "Realised a month", _UNKNOWN, waiting or "No decision was accepted and applied yet.", ""
    measured = int(_number(figures, "decisions_measured") or 0)
    if _number(figures, "promised_month") is None:
        return "Realised a month", _amount(figures, "realised_month"), "By node hours; what was promised is not in this currency.", ""
    promised = f"Of {_amount(figures, 'promised_month')} that {formats.count(measured, 'applied decision', 'applied decisions')} promised"
    return (
        "Realised a month",
        _amount(figures, "realised_month"),
        f"{promised}, by node hours. Prices as for paper.",
        "good" if value > 0 else "",
    )


def _spare(figures: Figures) -> Card:
    shares = {resource: _number(figures, f"{resource}_overprovision") for resource in ("cpu", "memory")}
    shown = ", ".join(
        f"{'CPU' if r == 'cpu' else 'memory'} {_UNKNOWN if value is None else formats.share(value)}" for r, value in shares.items()
    )
    return "Over-provisioned", shown, "Share of what is requested that stands above the P95 usage.", ""


def _short(figures: Figures) -> Card:
    value = _number(figures, "containers_short")
    shown = _UNKNOWN if value is None else formats.count(int(value), "container", "containers")
    return (
        "Short of resources",
        shown,
        "Used more than requested, throttled, or killed for memory: raise these first.",
        "bad" if value else "",
    )


def _data(figures: Figures) -> Card:
    stored, wanted = _number(figures, "days_stored"), _number(figures, "window_days")
    whole = _number(figures, "completeness")
    shown = _UNKNOWN if stored is None or wanted is None else f"{stored:.0f} of {wanted:.0f} days"
    graded = ", ".join(f"{_UNKNOWN if (n := _number(figures, f'grade_{g}')) is None else f'{n:,.0f}'} {g}" for g in GRADES)
    complete = f"{_UNKNOWN if whole is None else formats.share(whole)} complete"
    bad = stored is not None and wanted is not None and stored < wanted
    return "Data", shown, f"{complete[:1].upper()}{complete[1:]}. Rows by grade: {graded}.", "warn" if bad else ""


def method_facts(review: Review) -> dict[str, str]:
    """Where a review's numbers come from, by label."""
    prices = review.prices
    facts = {
        "Cluster": review.cluster,
        "Window": f"{iso(review.window.start)} to {iso(review.window.end)}, the end not included",
        **{f"Source: {key}": str(value) for key, value in review.source.items() if value},
        "Prices": prices.source,
    }
    for resource, unit in (("cpu", "core"), ("memory", "GiB")):
        facts[f"Price of a {unit} for a month"] = formats.money(prices.unit_price(resource), prices.currency)
    return facts | {"Fingerprint of the history": review.fingerprint}


def policy_facts(policy: Mapping[str, object]) -> dict[str, object]:
    """Policy values as a manifest writes them: memory in MiB, CPU in millicores, the rest as it is."""
    shown = {}
    for key, value in policy.items():
        part, _, what = key.partition("_")
        sized = part in ("cpu", "memory", "oom", "jvm") and what.endswith(("step", "floor", "add", "limit")) and isinstance(value, float)
        shown[key] = formats.amount("memory" if part in ("memory", "oom") else "cpu", float(str(value))) if sized else value
    return shown
