"""The committed demo history is what `make demo` writes, byte for byte, and small."""

from __future__ import annotations

from pathlib import Path

from aiops_analysis.workflows.demo import build_demo

COMMITTED = Path(__file__).parents[1] / "data" / "demo" / "history"


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and not p.name.startswith(".lock")}


def test_the_demo_is_remade_byte_for_byte(tmp_path):
    told: list[str] = []
    build_demo(tmp_path / "history", told=told.append)
    made, committed = files(tmp_path / "history"), files(COMMITTED)
    assert len(told) == 28
    assert sorted(made) == sorted(committed)
    assert [name for name in made if made[name] != committed[name]] == []


def test_the_demo_is_under_three_megabytes():
    assert sum(len(data) for data in files(COMMITTED).values()) < 3_000_000
