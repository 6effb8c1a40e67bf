"""Charts that answer one question each: static SVG, byte for byte the same from the same frame, with the answer as alt text."""

from __future__ import annotations

from aiops_analysis.presentation.charts.days import completeness, week_profile
from aiops_analysis.presentation.charts.drawing import Picture
from aiops_analysis.presentation.charts.money import bridge, node_pools, three_numbers
from aiops_analysis.presentation.charts.sizing import before_after, overprovision_by_namespace, under_provisioned

__all__ = [
    "Picture",
    "before_after",
    "bridge",
    "completeness",
    "node_pools",
    "overprovision_by_namespace",
    "three_numbers",
    "under_provisioned",
    "week_profile",
]
