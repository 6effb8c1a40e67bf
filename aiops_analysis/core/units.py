"""Kubernetes quantities as exact numbers: cpu in cores, memory in bytes, rounding in integers (methods.md A1, I-9)."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from aiops_analysis.core.errors import UsageError

__all__ = [
    "GIB",
    "MIB",
    "ceil_step",
    "cpu_from_tenths",
    "cpu_tenths",
    "format_cpu",
    "format_memory",
    "human_memory",
    "memory_from_tenths",
    "memory_tenths",
    "parse_cpu",
    "parse_memory",
    "parse_quantity",
]

MIB = 2**20
GIB = 2**30

_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE])|[eE]([+-]?\d{1,3}))?", re.ASCII)
_SUFFIX = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    **{name: Decimal(2 ** (10 * (i + 1))) for i, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))},
}
_LARGEST = Decimal(2**63 - 1)  # what Kubernetes itself can hold


def parse_quantity(text: str) -> Decimal:
    """The exact value of a Kubernetes quantity text.

    Raises UsageError for anything Kubernetes would not accept for a resource: signs, blanks, other suffixes, other digits.

    >>> parse_quantity("1.5Gi"), parse_quantity("94701m"), parse_quantity("1e3")
    (Decimal('1610612736.0'), Decimal('94.701'), Decimal('1E+3'))
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        shown = ascii(text if len(text) <= 40 else text[:40] + "...")
        raise UsageError(f"{shown} is not a Kubernetes quantity; expected for example 250m, 0.25, 512Mi or 1.5Gi")
    number, suffix, exponent = match.groups()
    value = Decimal(number) * _SUFFIX.get(suffix or "", Decimal(1))
    if exponent is not None:
        value = value.scaleb(int(exponent)) if value else value
    if value > _LARGEST:
        raise UsageError(f"{text!r} is larger than any Kubernetes quantity")
    return value


def parse_cpu(text: str) -> float:
    """CPU of a quantity text [cores]."""
    return float(parse_quantity(text))


def parse_memory(text: str) -> float:
    """Memory of a quantity text [bytes].

    Raises UsageError for a value under one byte, which is always a mistyped unit ("100m" is a tenth of a byte).
    """
    value = parse_quantity(text)
    if 0 < value < 1 or (text.endswith(("n", "u", "m")) and value < 1024):
        raise UsageError(f"{text!r} of memory is {value} bytes; was {text.rstrip('num')}Mi meant?")
    return float(value)


def cpu_tenths(cores: float) -> int:
    """CPU rounded to the nearest tenth of a millicore, as an integer [0.1m].

    >>> cpu_tenths(0.05)
    500
    """
    return math.floor(cores * 10_000 + 0.5)


def memory_tenths(size: float) -> int:
    """Memory rounded to the nearest tenth of a MiB, as an integer [0.1Mi].

    >>> memory_tenths(170 * 2**20)
    1700
    """
    return math.floor(size * 10 / MIB + 0.5)


def cpu_from_tenths(tenths: int) -> float:
    """CPU [cores] of an integer of tenths of a millicore."""
    return tenths / 10_000


def memory_from_tenths(tenths: int) -> float:
    """Memory [bytes] of an integer of tenths of a MiB."""
    return tenths * MIB / 10


def ceil_step(value: int, step: int) -> int:
    """The smallest multiple of ``step`` that is not below ``value``, in integers (methods.md A1).

    >>> ceil_step(3000, 250), ceil_step(901, 250)
    (3000, 1000)
    """
    return -(-value // step) * step


def format_cpu(cores: float) -> str:
    """CPU as Kubernetes millicores, rounded up, for manifests.

    >>> format_cpu(0.25), format_cpu(2), format_cpu(0.0001)
    ('250m', '2000m', '1m')
    """
    return f"{-(-cpu_tenths(cores) // 10)}m"


def format_memory(size: float) -> str:
    """Memory as whole Mi, rounded up, for manifests.

    >>> format_memory(256 * 2**20)
    '256Mi'
    """
    return f"{-(-memory_tenths(size) // 10)}Mi"


def human_memory(size: float) -> str:
    """Memory for people, in MiB below one GiB and in GiB above.

    >>> human_memory(1.5 * 2**30), human_memory(170 * 2**20)
    ('1.5 GiB', '170 MiB')
    """
    if size >= GIB:
        return f"{size / GIB:.3g} GiB" if size < 1000 * GIB else f"{size / GIB:.0f} GiB"
    return f"{size / MIB:.0f} MiB" if size >= 10 * MIB or size == 0 else f"{size / MIB:.1f} MiB"
