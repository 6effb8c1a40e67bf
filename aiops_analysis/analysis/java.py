"""What a Java heap needs of a container's memory, from its flags (methods.md A9)."""

from __future__ import annotations

import math
import re

__all__ = ["heap_need"]

_FIXED = re.compile(r"-(?:Xmx|XX:MaxHeapSize=)(\d{1,18})([kKmMgGtT]?)(?![\w.])")
_SHARE = re.compile(r"-XX:MaxRAMPercentage=(\d{1,3}(?:\.\d+)?)(?![\w.])")
_UNIT = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_NON_HEAP = 1.25  # threads, code cache and buffers beside the heap


def heap_need(flags: str, limit: float) -> float:
    """The least memory of a container with these flags [bytes]: its largest heap and a quarter more; NaN where they do not say.

    A heap given as a share of the limit is that share of today's ``limit`` [bytes]. The last flag wins, as the JVM reads them.

    >>> heap_need("-Xms256m -Xmx1g", math.nan) / 2**30, heap_need("-XX:MaxRAMPercentage=50", 2.0 * 2**30) / 2**30
    (1.25, 1.25)
    """
    fixed = _FIXED.findall(flags)
    if fixed:
        number, unit = fixed[-1]
        return int(number) * _UNIT[unit.lower()] * _NON_HEAP
    share = _SHARE.findall(flags)
    if share and math.isfinite(limit):
        # a heap that follows the limit asks for no more than the limit: raising it would raise the heap, month after month
        return min(float(share[-1]) / 100 * _NON_HEAP, 1.0) * limit
    return math.nan
