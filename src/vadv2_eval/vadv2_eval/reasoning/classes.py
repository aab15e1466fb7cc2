"""Precision, recall, F1 and calibration of answers from closed lists."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vadv2_core.errors import InputError

CALIBRATION_BINS = 10


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: counts, and precision, recall and F1; None where there is nothing to divide by."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float | None:
        """Share of the answers that were right."""
        said = self.true_positives + self.false_positives
        return self.true_positives / said if said else None

    @property
    def recall(self) -> float | None:
        """Share of the truths that were answered."""
        there = self.true_positives + self.false_negatives
        return self.true_positives / there if there else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of both; None where the class was neither there nor said."""
        total = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / total if total else None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"precision": self.precision, "recall": self.recall, "f1": self.f1}


def class_scores(said: Sequence[Hashable], true: Sequence[Hashable]) -> dict[Hashable, ClassScore]:
    """Every class that was said or true, by name.

    Raises:
        InputError: where the two differ in length.
    """
    if len(said) != len(true):
        raise InputError(f"{len(said)} answers for {len(true)} truths", "class scores", "as many of both")
    names = sorted({*said, *true}, key=str)
    return {
        name: ClassScore(
            sum(s == name and t == name for s, t in zip(said, true, strict=True)),
            sum(s == name and t != name for s, t in zip(said, true, strict=True)),
            sum(s != name and t == name for s, t in zip(said, true, strict=True)),
        )
        for name in names
    }


def macro_f1(scores: dict[Hashable, ClassScore]) -> float | None:
    """Mean F1 over the classes that are true somewhere; None without any."""
    values = [s.f1 for s in scores.values() if s.true_positives + s.false_negatives > 0 and s.f1 is not None]
    return float(np.mean(values)) if values else None


def accuracy(said: Sequence[Hashable], true: Sequence[Hashable]) -> float | None:
    """Share of equal pairs, which for one answer each is the micro F1; None without any."""
    return float(np.mean([s == t for s, t in zip(said, true, strict=True)])) if said else None


def flag_score(probabilities: ArrayLike, truths: ArrayLike, threshold: float = 0.5) -> ClassScore:
    """A yes-no answer given as probabilities (n,) against truths (n,)."""
    yes, true = np.asarray(probabilities, dtype=np.float64) >= threshold, np.asarray(truths, dtype=bool)
    return ClassScore(int((yes & true).sum()), int((yes & ~true).sum()), int((~yes & true).sum()))


def calibration_error(probabilities: ArrayLike, truths: ArrayLike, bins: int = CALIBRATION_BINS) -> float | None:
    """Expected calibration error: mean gap of probability and frequency over equal bins, weighted by their counts.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks"; here of the probability of yes.
    """
    p, true = np.asarray(probabilities, dtype=np.float64), np.asarray(truths, dtype=np.float64)
    if not len(p):
        return None
    which = np.clip((p * bins).astype(int), 0, bins - 1)
    gaps = [abs(p[which == b].mean() - true[which == b].mean()) * (which == b).sum() for b in np.unique(which)]
    return float(np.sum(gaps) / len(p))
