"""Tests on data that nobody here wrote: ``../shared/realdata``, never copied into the project, cited in its own README.

``need("nezha_k8s")`` is the folder of one data set. Without the shared folder the test skips with the reason; when the shared folder is
there and the data set is not, it fails.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import ROOT

__all__ = ["REAL", "need"]

REAL = ROOT.parent / "shared" / "realdata"


def need(name: str) -> Path:
    """The folder (or file) of a data set."""
    if not REAL.is_dir():
        pytest.skip("the shared real data (../shared/realdata) is not beside this checkout")
    path = REAL / name
    if not path.exists():
        pytest.fail(f"{name} is missing from the shared real data", pytrace=False)
    return path
