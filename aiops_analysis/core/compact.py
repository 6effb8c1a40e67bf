"""JSON in its one smallest spelling, for facts that are kept as a text: equal facts are equal texts."""

from __future__ import annotations

import json

__all__ = ["compact"]


def compact(value: object) -> str:
    """The JSON of plain values: keys sorted, no spaces, ASCII alone, so that any name of a cluster survives as data.

    >>> compact({"zone": "b", "arch": "é"})
    '{"arch":"\\\\u00e9","zone":"b"}'
    """
    return json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"))
