"""What a decision record says, in plain data: who decided what about which recommendation, and how long it keeps a row quiet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

__all__ = ["STATUSES", "TRANSITIONS", "Choice", "Decision", "Guard", "Problem"]

#: The statuses of a record; *implemented* is a date of an accepted one, no status (ecosystem.md section 6).
STATUSES = ("proposed", "accepted", "rejected", "deprecated", "superseded")

#: Which status may follow which.
TRANSITIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"proposed": ("accepted", "rejected"), "accepted": ("deprecated", "superseded"), "rejected": (), "deprecated": (), "superseded": ()}
)


@dataclass(frozen=True, slots=True)
class Choice:
    """One recommendation as it was when the record was made; NaN is "not set" or not known.

    Amounts are in cores or bytes, by the resource of the key.
    """

    id: str
    key: tuple[str, ...]  # schema.KEY
    change: str
    from_request: float
    from_limit: float
    to_request: float
    to_limit: float
    p95: float
    oom_kills: float

    @property
    def resource(self) -> str:
        """cpu or memory."""
        return self.key[-1]


@dataclass(frozen=True, slots=True)
class Guard:
    """Why and how long a rejected recommendation stays quiet.

    ``expires`` is the last quiet day, None without one; ``protect`` holds also when the data changes (never when it becomes a risk).
    """

    reason: str
    expires: date | None = None
    protect: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The front matter of one record; a person who has not decided yet is "", a date that is not there None."""

    id: str
    file: str
    title: str
    status: str
    cluster: str
    dated: date
    decided_by: str
    decided_on: date | None
    implemented_on: date | None
    superseded_by: str
    guard: Guard | None
    choices: tuple[Choice, ...]
    paper: float  # [currency / month] promised
    bankable: float
    currency: str
    price_source: str
    evidence_file: str
    evidence_sha256: str

    @property
    def number(self) -> int:
        """The number that the file name starts with."""
        return int(self.id)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a folder of records that is not as it should be: the file, the line (0 when there is no one line), one sentence."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"
