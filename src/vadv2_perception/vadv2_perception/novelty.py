"""How unlike the training scenes a frame is: Mahalanobis distance of pooled backbone features.

Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples", arXiv:1807.03888, with one class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from vadv2_core.errors import InputError
from vadv2_perception.model import SceneModel


@dataclass(frozen=True, slots=True)
class NoveltyStatistics:
    """What the training scenes looked like; zeros where nobody ever looked.

    Attributes:
        mean: (c,) of the features.
        precision: (c, c) inverse covariance.
        threshold: Distance above which a scene is called unlike any; 0 for never calibrated.
    """

    mean: NDArray[np.float64]
    precision: NDArray[np.float64]
    threshold: float

    def distance(self, features: ArrayLike) -> NDArray[np.float64]:
        """Distance of features (..., cameras, c) of one moment: root mean square over cameras, per dimension."""
        gap = np.asarray(features, dtype=np.float64) - self.mean
        squared = np.einsum("...i,ij,...j->...", gap, self.precision, gap).clip(min=0.0)
        return np.asarray(np.sqrt(squared.mean(-1) / self.mean.size))

    def novelty(self, features: ArrayLike) -> float:
        """Distance of one frame's valid cameras (cameras, c) as a multiple of the threshold.

        0 where never calibrated, or where no camera is valid (the camera supervision says so itself).
        """
        features = np.asarray(features)
        if self.threshold <= 0 or not len(features):
            return 0.0
        return float(self.distance(features) / self.threshold)


def calibrate(features: ArrayLike, quantile: float = 0.999, shrinkage: float = 0.1) -> NoveltyStatistics:
    """Statistics of training frames.

    Args:
        features: (frames, cameras, c), the mean over the last feature map (``pooled`` of the image half).
        quantile: Share of held-out frames (every fifth) that lie below the threshold; 1.1 times it is taken, because
            the tail of a few hundred frames is thin.
        shrinkage: How far the covariance is drawn to its diagonal; features are many, scenes are few and alike.

    Raises:
        InputError: for fewer than ten frames or features that are not finite.
    """
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 3 or len(x) < 10 or not np.isfinite(x).all():
        raise InputError(
            f"features are {x.shape}", "novelty calibration", "at least 10 finite frames (frames, cameras, c)"
        )
    held = np.arange(len(x)) % 5 == 4
    seen = x[~held].reshape(-1, x.shape[-1])
    mean = seen.mean(0)
    covariance = np.cov(seen.T)
    covariance = (1 - shrinkage) * covariance + shrinkage * np.diag(np.diag(covariance))
    floor = 1e-3 * np.trace(covariance) / len(mean) + 1e-9
    precision = np.linalg.inv(covariance + floor * np.eye(len(mean)))
    statistics = NoveltyStatistics(mean, precision, 1.0)
    return NoveltyStatistics(mean, precision, 1.1 * float(np.quantile(statistics.distance(x[held]), quantile)))


def statistics_of(model: SceneModel) -> NoveltyStatistics:
    """The statistics that a model's checkpoint carries."""
    mean, precision = (b.detach().cpu().double().numpy() for b in (model.novelty_mean, model.novelty_precision))
    return NoveltyStatistics(mean, precision, float(model.novelty_threshold.item()))


def keep_statistics(model: SceneModel, statistics: NoveltyStatistics) -> None:
    """Put statistics into a model, to be saved with it."""
    model.novelty_mean.copy_(torch.from_numpy(statistics.mean))
    model.novelty_precision.copy_(torch.from_numpy(statistics.precision))
    model.novelty_threshold.fill_(statistics.threshold)
