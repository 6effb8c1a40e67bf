"""Numbers of the demo from integers alone, so that every machine and every numpy draws the same: hashes, shapes of a day, scaling."""

from __future__ import annotations

import hashlib

import numpy as np

from aiops_analysis.sources.demo_model import Shape

__all__ = ["CPU_QUANTUM", "MEMORY_QUANTUM", "keyed", "letters", "noise", "p95_of", "scaled", "shaped", "smooth"]

CPU_QUANTUM = 2.0**-14  # [cores] float32 holds every multiple up to 1,024 cores
MEMORY_QUANTUM = 65_536  # [bytes] float32 holds every multiple up to 1 TiB

_STEPS = 288
_AMPLITUDE = 2048  # of noise and smooth
_FULL = 10_000  # of shaped
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # what Kubernetes draws names from
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def keyed(*parts: object) -> int:
    """A 64-bit number that belongs to these words."""
    text = "\x00".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def letters(length: int, *parts: object) -> str:
    """A random-looking part of a Kubernetes name that belongs to these words."""
    number, out = int.from_bytes(hashlib.blake2b("\x00".join(map(str, parts)).encode(), digest_size=16).digest(), "big"), ""
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        out += _ALPHABET[digit]
    return out


def _hashed(key: int, index: np.ndarray) -> np.ndarray:
    """splitmix64 of each index: independent of any library's random streams."""
    x = np.uint64(key) ^ (index.astype(np.uint64) * _GOLDEN)
    x = (x ^ (x >> np.uint64(30))) * _MIX[0]
    x = (x ^ (x >> np.uint64(27))) * _MIX[1]
    return x ^ (x >> np.uint64(31))


def noise(key: int, index: np.ndarray) -> np.ndarray:
    """Triangular noise between -2047 and 2047, independent at each index."""
    x = _hashed(key, index)
    low, high = x & np.uint64(_AMPLITUDE - 1), (x >> np.uint64(20)) & np.uint64(_AMPLITUDE - 1)
    return low.astype(np.int64) + high.astype(np.int64) - (_AMPLITUDE - 1)


def smooth(key: int, index: np.ndarray, period: int) -> np.ndarray:
    """Noise that changes slowly: drawn every ``period`` steps and joined by straight lines."""
    left = index // period
    rest = index - left * period
    return (noise(key, left) * (period - rest) + noise(key, left + 1) * rest) // period


def shaped(shape: Shape, step: np.ndarray) -> np.ndarray:
    """The shape at absolute steps (epoch seconds / 300), in ten-thousandths of its height."""
    hours, week = np.array(shape.hours, np.int64), np.array(shape.week, np.int64)
    day, inside = step // _STEPS, step % _STEPS
    hour, minute = inside // 12, inside % 12
    course = (hours[hour] * (12 - minute) + hours[(hour + 1) % 24] * minute) * week[(day + 3) % 7]  # the epoch began on a Thursday
    return np.maximum(course // 12, _FULL // 100)


def p95_of(values: np.ndarray) -> int:
    """The value at rank 0.95 (n - 1) of integers, the lower neighbour where the rank lies between two."""
    rank = (len(values) - 1) * 95 // 100
    return int(np.partition(values, rank)[rank])


def scaled(values: np.ndarray, reference: int, target: int, per: int = 1) -> np.ndarray:
    """Integers scaled so that ``reference`` becomes ``target / per``, rounded to nearest, at least 1."""
    divisor = max(reference, 1) * per
    return np.maximum((values * target + divisor // 2) // divisor, 1)
