"""docs/reference.md is what the code says: every notebook parameter, command, reason code, policy key, metric and column."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from aiops_analysis.core.reasons import Code

ROOT = Path(__file__).parents[1]


def test_the_reference_is_what_the_code_says():
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "reference.py"), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_reason_code_has_a_meaning_there():
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert [code for code in Code if f"| `{code}` |  |" in text or f"`{code}`" not in text] == []
