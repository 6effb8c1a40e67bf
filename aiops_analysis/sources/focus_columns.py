"""The columns of a FOCUS export by name: which are needed, which help, and what is said of one that is missing (methods.md B6).

Names are compared as FOCUS writes them, case included. What is not read is not asked for: ListCost and ContractedCost play no part.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import visible

__all__ = ["MANDATORY", "NUMBERS", "OPTIONAL", "PROVIDER", "TIMES", "columns_of"]

#: Of FOCUS 1.0 to 1.3, without which no node can be priced.
MANDATORY = (
    "BilledCost",
    "EffectiveCost",
    "BillingCurrency",
    "ChargeCategory",
    "ChargeClass",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ServiceCategory",
    "ServiceName",
    "ResourceId",
    "PricingQuantity",
    "PricingUnit",
)
#: Who provides the service: 1.3 names it the first way, 1.0 to 1.2 the second.
PROVIDER = ("ServiceProviderName", "ProviderName")
#: Read where the export has them.
OPTIONAL = ("ResourceName", "SkuId", "SkuPriceId", "PricingCategory", "CommitmentDiscountId", "CommitmentDiscountStatus", "Tags")
NUMBERS = ("BilledCost", "EffectiveCost", "PricingQuantity")
TIMES = ("ChargePeriodStart", "ChargePeriodEnd")


def columns_of(header: Sequence[str], where: str, *, tags: bool) -> dict[str, str]:
    """Our name of each column to read and its name in the file; ``Provider`` stands for either name, Tags only when asked for.

    Raises UsageError that names every missing column at once, with the nearest name that the file has, or a name used twice.
    """
    names = [name.strip() for name in header]
    counts = Counter(names)
    found = {name: name for name in (*MANDATORY, *OPTIONAL) if name in counts and (tags or name != "Tags")}
    provider = next((name for name in PROVIDER if name in counts), None)
    if provider is not None:
        found["Provider"] = provider
    missing = [name for name in MANDATORY if name not in counts] + ([] if provider else ["ProviderName or ServiceProviderName"])
    if missing:
        said = ", ".join(name + _nearest(name.split()[0], names) for name in missing)
        raise UsageError(f"{where} is not a FOCUS 1.0-1.3 export: it lacks {said}; column names are written as FOCUS writes them")
    twice = [name for name in found.values() if counts[name] > 1]
    if twice:
        raise UsageError(f"{where} has the column {', '.join(sorted(twice))} more than once; export it again")
    return found


def _nearest(name: str, names: Sequence[str]) -> str:
    """What the file has instead: the same letters in another case first, then a name that looks like it."""
    plain = {_plain(other): other for other in names if other}
    near = plain.get(_plain(name))
    if near is None:
        close = difflib.get_close_matches(_plain(name), list(plain), 1, 0.85)
        near = plain[close[0]] if close else None
    # a name that is itself a column of FOCUS is not a misspelling of another
    return "" if near is None or near in (*MANDATORY, *OPTIONAL, *PROVIDER) else f" (the file has {visible(near, 60)!r})"


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
