"""Right-sizing and cost reviews of Kubernetes from measured Prometheus history, with evidence.

The package itself imports nothing, so that ``aiops-analysis --help`` stays quick; ``start_run`` is loaded when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiops_analysis.notebook import start_run

__all__ = ["__version__", "start_run"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load ``start_run`` on first use (PEP 562); raises AttributeError for any other name."""
    if name == "start_run":
        from aiops_analysis.notebook import start_run

        return start_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
