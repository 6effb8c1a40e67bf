"""Student's t, Theil-Sen and Mann-Kendall against printed tables and worked examples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from aiops_analysis.analysis.statistics import mann_kendall, student_t, theil_sen


@pytest.mark.parametrize(
    ("df", "value"),
    [(1, 6.3138), (2, 2.9200), (3, 2.3534), (5, 2.0150), (6, 1.9432), (9, 1.8331), (13, 1.7709), (27, 1.7033), (29, 1.6991), (120, 1.6577)],
)
def test_t_quantiles_equal_a_printed_table(df: int, value: float) -> None:
    assert student_t(df) == pytest.approx(value, abs=5e-5)


def test_t_at_other_levels_and_limits() -> None:
    assert student_t(10, 0.975) == pytest.approx(2.2281, abs=5e-5)
    assert student_t(1, 0.75) == pytest.approx(1.0)  # tan(pi/4)
    assert student_t(100_000) == pytest.approx(1.64487, abs=1e-4)  # the normal quantile
    assert math.isnan(student_t(0))
    with pytest.raises(ValueError, match="level"):
        student_t(3, 1.0)


def test_theil_sen_is_the_median_of_the_pairs() -> None:
    # pairs of (0,1) (1,3) (2,2) (4,9), day 3 missing: slopes 2, 0.5, 2, -1, 2, 3.5 -> median 2
    assert theil_sen([1, 3, 2, math.nan, 9]) == 2.0
    assert theil_sen([0, 1, 2, 3, 400]) == pytest.approx(1.0)  # one wild day does not move it
    assert math.isnan(theil_sen([5.0, math.nan]))


@pytest.mark.parametrize(("n", "score", "one_sided"), [(5, 8, 0.042), (5, 10, 0.0083), (6, 11, 0.028), (10, 21, 0.036), (10, 23, 0.023)])
def test_kendall_tails_equal_the_published_table(n: int, score: int, one_sided: float) -> None:
    """Kendall, Rank Correlation Methods, appendix table 1: P(S >= score)."""
    order = next(list(p) for p in itertools.islice(itertools.permutations(range(n)), 200_000) if mann_kendall(p)[0] == score)
    assert mann_kendall(order)[1] == pytest.approx(2 * one_sided, abs=1.2e-3)


def test_kendall_by_hand_for_four_days() -> None:
    assert mann_kendall([1, 2, 3, 4]) == (6, pytest.approx(2 / 24))  # one of 24 orders rises all the way
    assert mann_kendall([4, math.nan, 3, 2, 1]) == (-6, pytest.approx(2 / 24))
    assert mann_kendall([1, 2])[0] == 1
    assert math.isnan(mann_kendall([1, 2])[1])


def test_kendall_with_ties_and_without_any_change() -> None:
    assert mann_kendall([3.0] * 20) == (0, 1.0)
    # 1 1 2 2 3 3 4 4: S = 24, var = (8*7*21 - 4*2*1*9)/18 = (1176 - 72)/18 = 61.33, z = 23/7.832 = 2.937, p = .0033
    score, p = mann_kendall([1, 1, 2, 2, 3, 3, 4, 4])
    assert score == 24
    assert p == pytest.approx(0.0033, abs=5e-5)


def test_the_exact_and_the_normal_form_meet() -> None:
    rng = np.random.default_rng(3)
    y = rng.normal(0, 1, 30) + 0.03 * np.arange(30)
    exact = mann_kendall(y)[1]
    normal = mann_kendall([*y, 99.0])  # 31 days: the normal form
    assert 0 < exact < 1
    assert normal[1] < exact
