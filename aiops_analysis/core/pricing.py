"""What machines cost, in plain data: price rows with where they are from; money is in one currency a list (methods.md B1)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date

__all__ = ["HOURS_PER_MONTH", "OPENCOST", "PriceList", "PriceRow"]

#: Hours of a month of rates; what was really used is counted in its own hours.
HOURS_PER_MONTH = 730.0


@dataclass(frozen=True, slots=True)
class PriceRow:
    """What one machine costs an hour. An empty text matches everything; what is not empty must match the node.

    The most specific matching row wins: one node before a pool, a pool before a type, then zone, region, capacity type.
    """

    price_hour: float  # [currency / hour] of the whole machine; NaN where the row gives unit prices instead
    instance_type: str = ""  # compared without regard to case
    region: str = ""
    zone: str = ""
    capacity_type: str = ""  # on-demand | spot
    pool: str = ""
    node: str = ""  # a node's name
    provider_id: str = ""
    label: tuple[str, str] = ("", "")  # a node label that must have this value
    cpu: float = math.nan  # [cores] that the list says the machine has
    memory_gib: float = math.nan  # [GiB]
    committed_nodes: int = 0  # machines of this row that are paid for until ``committed_until``, used or not
    committed_until: date | None = None
    cpu_hour: float = math.nan  # [currency per core and hour] where machines are sold by core and GiB
    memory_hour: float = math.nan  # [currency per GiB and hour]


@dataclass(frozen=True, slots=True)
class PriceList:
    """Price rows and the unit prices of what no row matches; ``source`` is printed beside every figure made with them."""

    name: str
    source: str
    currency: str
    cpu_hour: float = math.nan  # [currency per core and hour]
    memory_hour: float = math.nan  # [currency per GiB and hour]
    spot_cpu_hour: float = math.nan
    spot_memory_hour: float = math.nan
    gpu_hour: float = math.nan
    rows: tuple[PriceRow, ...] = ()
    warnings: tuple[str, ...] = field(default=())  # what the list itself says that a reader must know


#: OpenCost's configs/default.json, which is based on Google Cloud's us-central1.
OPENCOST = PriceList(
    "opencost-default",
    "OpenCost default prices (Google Cloud us-central1, on demand)",
    "USD",
    0.031611,
    0.004237,
    0.006655,
    0.000892,
    0.95,
)
