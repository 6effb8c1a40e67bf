"""Reading evidence.json back; apart from writing it, so that a reader needs no frames and no 60 MB of imports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aiops_analysis.core.errors import AiopsError

__all__ = ["SCHEMA", "read_evidence"]

#: Version of evidence.json and recommendations.json; a reader refuses any other.
SCHEMA = 1


def read_evidence(path: Path) -> dict[str, Any]:
    """The content of an evidence.json of this schema.

    Raises AiopsError for a file that is not there, not JSON, or of another schema version.
    """
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise AiopsError(f"{path} is not a readable evidence file ({error})") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else None
        raise AiopsError(f"{path} has evidence schema {found!r}; this version reads {SCHEMA}")
    return data
