"""What a contract of a frame is, and the check at the door: exactly its columns, in order, cast, with unique keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_analysis.core.errors import SchemaError

__all__ = ["Contract", "Metric", "blank", "check", "empty"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured series kind of the history.

    ``sparse`` metrics are event counts: only series with an event are stored, and absence means 0 where targets were up.
    """

    name: str
    unit: str
    what: str
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class Contract:
    """Columns of a frame with their pandas types, and the columns that make a row unique."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...] = ()


_NOTHING: Mapping[str, object] = {"str": "", "int64": 0, "bool": False, "float64": np.nan, "datetime64[s, UTC]": pd.NaT}


def blank(contract: Contract) -> dict[str, object]:
    """A row of the contract in which nothing is known."""
    return {name: [] if kind == "object" else _NOTHING[kind] for name, kind in contract.columns.items()}


def check(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """The frame with exactly the contract's columns, in order and cast; the argument is not changed.

    Raises SchemaError that names every missing column at once, or the column that cannot be cast, or repeated keys.
    """
    missing = [name for name in contract.columns if name not in frame.columns]
    if missing:
        raise SchemaError(f"a {contract.name} frame lacks the columns {', '.join(missing)}")
    cast = {}
    for name, kind in contract.columns.items():
        try:
            cast[name] = frame[name].astype(kind) if str(frame[name].dtype) != kind else frame[name]
        except (TypeError, ValueError) as error:
            raise SchemaError(f"column {name} of a {contract.name} frame is {frame[name].dtype}, expected {kind}") from error
    out = pd.DataFrame(cast, columns=list(contract.columns)).reset_index(drop=True)
    if contract.key and out.duplicated(list(contract.key)).any():
        row = out.loc[out.duplicated(list(contract.key)), list(contract.key)].iloc[0].to_dict()
        raise SchemaError(f"a {contract.name} frame holds {row} more than once")
    return out


def empty(contract: Contract) -> pd.DataFrame:
    """A frame of the contract without rows."""
    return pd.DataFrame({name: pd.Series(np.empty(0), dtype="float64").astype(kind) for name, kind in contract.columns.items()})
