"""Sizing policies: presets, TOML texts, and what is refused."""

from __future__ import annotations

import dataclasses
import json

import pytest

from aiops_analysis.analysis.policy import PRESETS, SizingPolicy, policy_of
from aiops_analysis.core.errors import PolicyError
from aiops_analysis.core.units import MIB


def test_presets():
    seed, krr, vpa = (policy_of(name) for name in ("seed", "krr", "vpa"))
    assert (seed.cpu_request_factor, seed.cpu_limit_factor, seed.memory_request_factor, seed.memory_limit_factor) == (2, 6, 1.5, 3)
    assert (krr.cpu_limit, krr.memory_limit, krr.memory_percentile, krr.memory_floor) == ("none", "request", 1.0, 100e6)
    assert (vpa.cpu_percentile, vpa.memory_basis, vpa.cpu_limit, vpa.memory_floor) == (0.9, "daily_peaks", "keep", 250e6)
    assert policy_of("") == seed == SizingPolicy()
    assert set(PRESETS) == {"seed", "krr", "vpa"}


def test_a_text_changes_a_preset():
    policy = policy_of(
        "policies/careful.toml", 'base = "krr"\ncpu_request_factor = 3\ncpu_limit_factor = 9\ncpu_step = "50m"\nmemory_step = "32Mi"\n'
    )
    assert policy == dataclasses.replace(
        PRESETS["krr"], name="careful", cpu_request_factor=3, cpu_limit_factor=9, cpu_step=0.05, memory_step=32 * MIB
    )
    assert policy_of("x.toml", "\ufeffname = 'ours'\n").name == "ours"
    assert policy_of("x.toml", "\n") == dataclasses.replace(SizingPolicy(), name="x")


def test_a_policy_is_frozen_and_plain():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SizingPolicy().min_days = 3
    assert json.loads(json.dumps(SizingPolicy().as_dict()))["hot_pod_ratio"] == 1.25


def test_f47_an_unknown_preset_is_refused_with_the_nearest():
    with pytest.raises(PolicyError, match=r"no policy 'sead'; did you mean seed\? \(valid: krr, seed, vpa\)"):
        policy_of("sead")
    with pytest.raises(PolicyError, match=r"base of the policy is 'kr'; did you mean krr\?"):
        policy_of("x", 'base = "kr"')
    with pytest.raises(PolicyError, match="base of the policy is 3"):
        policy_of("x", "base = 3")


def test_f47_an_unknown_key_is_refused_with_the_nearest():
    with pytest.raises(PolicyError, match=r"unknown key 'cpu_request_facto' of a policy; did you mean cpu_request_factor\?"):
        policy_of("x", "cpu_request_facto = 2.0")
    with pytest.raises(PolicyError, match="unknown key 'seed'"):
        policy_of("x", "[seed]\nmin_days = 7")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cpu_request_factor = '2'", "cpu_request_factor of a policy is '2', expected a number"),
        ("cpu_request_factor = true", "expected a number"),
        ("min_days = 7.5", "min_days of a policy is 7.5, expected a number"),
        ("cpu_limit = 6", "cpu_limit of a policy is 6, expected a text"),
        ("name = ''", "name of a policy is empty"),
        ("cpu_step = '25x'", "cpu_step of a policy: '25x' is not a Kubernetes quantity"),
        ("memory_step = '16m'", "was 16Mi meant"),
        ("hysteresis = [0.1]", "expected a number"),
        ("cpu_request_factor = ", "not valid TOML"),
    ],
)
def test_f47_an_ill_typed_value_is_refused(text, says):
    with pytest.raises(PolicyError, match=says):
        policy_of("x", text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cpu_request_factor = 0.0", "expected 0.1 to 100"),
        ("cpu_request_factor = nan", "expected a finite number"),
        ("largest_cut = 1.5", "expected 0 to 1"),
        ("cpu_step = 0", "cpu_step"),
        ("cpu_step = 0.00015", "multiple of 0.1m"),
        ("cpu_percentile = 0.93", "expected one of 0.5, 0.9, 0.95, 0.99, 1"),
        ("memory_percentile = 0.93", "expected one of"),
        ("cpu_limit = 'nine'", r"did you mean none\?"),
        ("min_days = 20", "above warn_days"),
        ("cpu_request_factor = 7.0", "above cpu_limit_factor"),
        ("min_weekdays = 8", "expected 1 to 7"),
    ],
)
def test_f47_an_impossible_value_is_refused(text, says):
    with pytest.raises(PolicyError, match=says):
        policy_of("x", text)


def test_any_percentile_of_daily_peaks_is_possible():
    assert policy_of("x", "base = 'vpa'\nmemory_percentile = 0.8").memory_percentile == 0.8
