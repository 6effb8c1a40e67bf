"""Numbers for people: 250m, 1.5 GiB, 95 %, 1,234.50 USD, 24 November 2026. Nothing else in the package formats for reading."""

from __future__ import annotations

from datetime import date

import numpy as np

from aiops_analysis.core.names import visible
from aiops_analysis.core.units import GIB, human_memory

__all__ = [
    "CAUSE_WORDS",
    "UNKNOWN",
    "amount",
    "count",
    "cpu",
    "day",
    "known",
    "memory",
    "metric_name",
    "money",
    "per_month",
    "percent",
    "resource_name",
    "share",
    "short",
    "total",
]

#: Causes of a bridge in the words of a reader.
CAUSE_WORDS = {"price": "price, other machines"}
UNKNOWN = "–"  # no data is never zero
_SPACE = "\u00a0"  # a number and its unit stay on one line
_NAMES = {"cpu": "CPU", "memory": "Memory"}
_METRICS = {"cpu_usage": "CPU usage", "cpu_throttled": "CPU throttled periods", "cpu_periods": "CPU periods", "oom_kills": "OOM kills"}


def known(value: object) -> bool:
    """True for a number that is there."""
    return isinstance(value, int | float | np.number) and bool(np.isfinite(value))


def cpu(cores: float) -> str:
    """CPU [cores] as people say it: millicores below ten cores.

    >>> cpu(0.25), cpu(0.0045), cpu(0), cpu(12.5), cpu(float("nan"))
    ('250m', '4.5m', '0m', '12.5\\xa0cores', '–')
    """
    if not known(cores):
        return UNKNOWN
    milli = cores * 1000
    if abs(milli) >= 10_000:
        return f"{cores:,.1f}{_SPACE}cores"
    return f"{milli:.0f}m" if abs(milli) >= 9.95 or milli == 0 else f"{milli:.1f}m"


def memory(size: float) -> str:
    """Memory [bytes] in MiB, and in GiB from one GiB on.

    >>> memory(1.5 * 2**30), memory(float("nan")), memory(-2**30)
    ('1.5\\xa0GiB', '–', '−1\\xa0GiB')
    """
    if not known(size):
        return UNKNOWN
    return ("−" if size < 0 else "") + human_memory(abs(size)).replace(" ", _SPACE)


def amount(resource: str, value: float) -> str:
    """CPU or memory, by the resource [cores | bytes]."""
    return memory(value) if resource == "memory" else cpu(value)


def total(resource: str, value: float) -> str:
    """A sum over many containers [cores | bytes]: cores with a decimal instead of thousands of millicores.

    >>> total("cpu", 1.25), total("memory", 3 * 2**30)
    ('1.2\\xa0cores', '3\\xa0GiB')
    """
    if resource == "memory" or not known(value):
        return amount(resource, value)
    return f"{value:,.1f}{_SPACE}cores" if abs(value) >= 1 else cpu(value)


def share(value: float) -> str:
    """A share 0-1 in percent; only a whole is 100 %, only nothing is 0 %.

    >>> share(0.775), share(0.9999), share(1), share(-0.2), share(0.001)
    ('78\\xa0%', '99.9\\xa0%', '100\\xa0%', '−20\\xa0%', '0.1\\xa0%')
    """
    if not known(value):
        return UNKNOWN
    percent = abs(value) * 100
    near_whole = 99.5 <= percent < 100
    near_zero = 0 < percent < 0.5
    shown = f"{min(percent, 99.9):.1f}" if near_whole else f"{max(percent, 0.1):.1f}" if near_zero else f"{percent:.0f}"
    return f"{'−' if value < 0 else ''}{shown}{_SPACE}%"


def percent(value: float) -> str:
    """A number that is in percent already, as Kubernetes writes targets.

    >>> percent(70), percent(float("nan"))
    ('70\\xa0%', '–')
    """
    return f"{value:.0f}{_SPACE}%" if known(value) else UNKNOWN


def money(value: float, currency: str = "") -> str:
    """An amount of money with its currency.

    >>> money(1234.5, "USD"), money(-3), money(float("nan"), "USD")
    ('1,234.50\\xa0USD', '−3.00', '–')
    """
    if not known(value):
        return UNKNOWN
    shown = f"{abs(value):,.2f}"
    return ("−" if value < 0 and shown != "0.00" else "") + shown + (f"{_SPACE}{currency}" if currency else "")


def count(number: int, one: str, many: str) -> str:
    """A number with its noun.

    >>> count(1, "container", "containers"), count(1200, "container", "containers")
    ('1 container', '1,200 containers')
    """
    return f"{number:,} {one if number == 1 else many}"


def day(value: date | str) -> str:
    """A date in words; text that is not an ISO date stays as it is.

    >>> day("2026-11-04"), day("soon")
    ('4 November 2026', 'soon')
    """
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value[:10])
        except ValueError:
            return str(value)
    return f"{value.day} {value:%B %Y}"


def resource_name(resource: str) -> str:
    """CPU, Memory, or the text itself."""
    return _NAMES.get(resource, resource)


def metric_name(metric: str) -> str:
    """A metric of the history in words."""
    return _METRICS.get(metric, metric.replace("_", " ").capitalize())


def short(name: str, longest: int) -> str:
    """A name for a chart: invisible characters shown, cut with an ellipsis.

    >>> short("checkout-service", 9), short("api", 9)
    ('checkout…', 'api')
    """
    shown = visible(name[: longest + 1], longest + 1)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def per_month(resource: str, value: float) -> str:
    """The amount that a unit price multiplies: cores or GiB, as a plain number [cores | bytes]."""
    return f"{value / GIB:.3g}{_SPACE}GiB" if resource == "memory" else f"{value:.3g}{_SPACE}cores"
