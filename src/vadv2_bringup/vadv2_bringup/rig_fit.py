"""Which camera's mounting disagrees with what the cameras see: small rotations that would mend the epipolar errors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from vadv2_bringup.rig_matches import RayPairs
from vadv2_core.camera import CameraRig
from vadv2_core.geometry import Array

_RAY_NOISE = np.radians(0.1)
_PAIR_WEIGHT, _TRUSTED = 200.0, 60
"""Weight of the mean error of a pair of cameras, and how many points a moment needs for its full weight."""
_PRICE = 2.0
_CLEARLY = 60.0
"""By how much a correction must mend the cost to count."""
_MAX_OFF = np.radians(8.0)
"""Matches further off their epipolar plane are taken for false."""
_MIN_DEPTH = 1.5
_MOST_PER_PAIR = 100
_TOLD = np.radians(1.5)
WRONG_ABOVE = np.radians(1.0)
"""A mounting that needs more than this to agree is called wrong."""


@dataclass(frozen=True, slots=True)
class CameraFinding:
    """What the pictures say of one camera's mounting.

    Attributes:
        name: The camera.
        matches: Points that speak of it.
        error_before: Median epipolar error of its points, degrees, as the rig has it.
        error_after: The same after the correction.
        roll, pitch, yaw: Correction about base_link's x, y and z that would make it agree, degrees.
        wrong: It disagrees by more than `WRONG_ABOVE`.
        untold: Axes (roll, pitch, yaw) whose error of 1.5 degrees these pictures would not show.
    """

    name: str
    matches: int
    error_before: float
    error_after: float
    roll: float
    pitch: float
    yaw: float
    wrong: bool
    untold: tuple[str, ...]

    @property
    def angle(self) -> float:
        """Size of the correction, degrees."""
        return float(np.linalg.norm([self.roll, self.pitch, self.yaw]))


def epipolar_errors(pairs: RayPairs, corrections: Array) -> tuple[Array, Array]:
    """Angle of the second rays off the epipolar planes, and how far depths are impossible, both radians.

    Args:
        pairs: Rays as the rig has them.
        corrections: (cameras, 3) rotation vectors in base_link.
    """
    a = Rotation.from_rotvec(corrections[pairs.first]).apply(pairs.rays_a)
    b = Rotation.from_rotvec(corrections[pairs.second]).apply(pairs.rays_b) @ pairs.turn.T
    length = float(np.linalg.norm(pairs.baseline))
    normal = np.cross(np.broadcast_to(pairs.baseline / length, a.shape), a)
    sine = np.linalg.norm(normal, axis=1)
    unit = normal / np.maximum(sine, 1e-6)[:, None]
    off = np.arcsin(np.clip((b * unit).sum(axis=1), -1.0, 1.0))
    # The second ray leans back towards the first's direction by the parallax: none at infinity, most when near.
    parallax = np.arctan2((np.cross(b, a) * unit).sum(axis=1) * -1.0, (a * b).sum(axis=1))
    most = np.arcsin(np.clip(length * sine / _MIN_DEPTH, 0.0, 1.0))
    impossible = np.maximum(-parallax, 0.0) + np.maximum(parallax - most, 0.0)
    # Near the direction of the baseline every plane fits.
    weight = np.clip(sine / 0.1, 0.0, 1.0)
    return off * weight, impossible * weight


def _thinned(pairs: RayPairs) -> RayPairs:
    step = max(1, len(pairs.rays_a) // _MOST_PER_PAIR)
    return RayPairs(pairs.first, pairs.second, pairs.rays_a[::step], pairs.rays_b[::step], pairs.turn, pairs.baseline)


def fit_mountings(rig: CameraRig, pairs: list[RayPairs]) -> list[CameraFinding]:
    """Rotations of the cameras that make what they see agree, one finding a camera.

    Least absolute deviations over all pairs, with a small price on every degree of correction: false matches weigh
    little, one wrong camera is corrected rather than all others a bit, and what the pictures do not tell (the roll of
    all cameras together, for a car that drives straight on) stays as it is.
    """
    n = len(rig.cameras)
    # Without motion hardly anything holds a camera's yaw, so that a degree of correction has to be better founded.
    price = _PRICE if any(p.first == p.second for p in pairs) else 5.0 * _PRICE
    pairs = [t for t in map(_thinned, pairs) if len(t.rays_a) >= 8]

    together = Counter((p.first, p.second) for p in pairs)

    def residuals(flat: Array) -> Array:
        corrections = flat.reshape(n, 3)
        parts = [np.sqrt(price * _magnitude(np.linalg.norm(corrections, axis=1) / _RAY_NOISE, 0.1))]
        for p in pairs:
            off, impossible = epipolar_errors(p, corrections)
            share = _PAIR_WEIGHT / max(len(off), _TRUSTED) / together[p.first, p.second]
            parts += [np.sqrt(share * _magnitude(e / _RAY_NOISE)) for e in (off, 0.3 * impossible)]
        return np.concatenate(parts)

    fitted = least_squares(residuals, np.full(3 * n, 1e-4), max_nfev=40).x if pairs else np.zeros(3 * n)
    corrections = fitted.reshape(n, 3)

    def cost(values: Array) -> float:
        return float((residuals(values.ravel()) ** 2).sum())

    def disagreement(values: Array) -> float:
        return float((residuals(values.ravel())[n:] ** 2).sum())

    best, least = cost(corrections), disagreement(corrections)
    findings = []
    for i in range(n):
        without = corrections.copy()
        without[i] = 0.0
        untold = []
        for axis, name in enumerate(("roll", "pitch", "yaw")):
            turned = [corrections.copy() for _ in range(2)]
            for sign, other in zip((-1.0, 1.0), turned, strict=True):
                other[i, axis] += sign * _TOLD
            if min(disagreement(other) for other in turned) < least + _CLEARLY:
                untold.append(name)
        findings.append(_finding(rig, pairs, corrections, i, cost(without) > best + _CLEARLY, tuple(untold)))
    return findings


def _magnitude(x: Array, softness: float = 1.0) -> Array:
    """|x|, smooth at 0."""
    return np.asarray(np.sqrt(softness**2 + x * x) - softness)


def _finding(
    rig: CameraRig, pairs: list[RayPairs], fitted: Array, i: int, matters: bool, untold: tuple[str, ...]
) -> CameraFinding:
    mine = [p for p in pairs if i in (p.first, p.second)]
    before, after = (
        np.degrees(np.median(np.abs(np.concatenate([epipolar_errors(p, c)[0] for p in mine])))) if mine else 0.0
        for c in (np.zeros_like(fitted), fitted)
    )
    roll, pitch, yaw = (float(v) for v in np.degrees(fitted[i]))
    wrong = matters and bool(np.linalg.norm(fitted[i]) > WRONG_ABOVE)
    return CameraFinding(
        rig.names[i], sum(len(p.rays_a) for p in mine), float(before), float(after), roll, pitch, yaw, wrong, untold
    )
