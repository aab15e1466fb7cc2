"""Confidence intervals beside every mean and every rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

T = TypeVar("T")
RESAMPLES = 2000
LEVEL = 0.95
Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval over ``count`` independent samples."""

    mean: float
    low: float
    high: float
    count: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.count}"


def mean_interval(values: ArrayLike, seed: int = 0) -> Estimate | None:
    """Mean with a percentile bootstrap interval, or None without values; the same seed gives the same interval."""
    v = np.asarray(values, dtype=np.float64)
    v = v[np.isfinite(v)]
    if not len(v):
        return None
    if len(v) == 1 or np.ptp(v) == 0.0:
        return Estimate(float(v.mean()), float(v.mean()), float(v.mean()), len(v))
    rng = np.random.default_rng(seed)
    means = v[rng.integers(0, len(v), (RESAMPLES, len(v)))].mean(axis=1)
    low, high = np.quantile(means, [0.5 - 0.5 * LEVEL, 0.5 + 0.5 * LEVEL])
    return Estimate(float(v.mean()), float(low), float(high), len(v))


def rate_interval(hits: int, count: int) -> Estimate | None:
    """A rate with Wilson's interval, which stays within [0, 1] at 0 and at 1; None for no samples."""
    if count <= 0:
        return None
    p = hits / count
    middle = (p + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * float(np.sqrt(p * (1 - p) / count + Z**2 / (4 * count**2)))
    return Estimate(p, max(middle - half, 0.0), min(middle + half, 1.0), count)


def paired_difference(a: ArrayLike, b: ArrayLike, seed: int = 0) -> Estimate | None:
    """Mean of ``b - a`` over pairs with a bootstrap interval; pairs with a value that is not finite are dropped."""
    return mean_interval(np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64), seed)


def group_interval(
    groups: Sequence[Sequence[T]], statistic: Callable[[Sequence[T]], float | None], seed: int = 0, resamples: int = 300
) -> Estimate | None:
    """A statistic of all samples with a bootstrap interval over groups, whose samples depend on each other.

    None where the statistic is None of all of them; resamples of which it is None are left out.
    """
    whole = statistic([sample for group in groups for sample in group])
    if whole is None:
        return None
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples if len(groups) > 1 else 0):
        picked = rng.integers(0, len(groups), len(groups))
        value = statistic([sample for k in picked for sample in groups[k]])
        if value is not None:
            drawn.append(value)
    low, high = np.quantile(drawn, [0.5 - 0.5 * LEVEL, 0.5 + 0.5 * LEVEL]) if drawn else (whole, whole)
    return Estimate(whole, float(low), float(high), len(groups))
