"""The frames an encoder remembers: each one's own tokens, kept as it was encoded then."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array, Pose2
from vadv2_core.stamps import Stamp, seconds_between


@dataclass(frozen=True, slots=True)
class RememberedFrame:
    """One past frame: stamp, pose of base_link in odom, tokens (cameras, m, h, w), valid (cameras,)."""

    stamp: Stamp
    pose: Pose2
    tokens: NDArray[np.float16]
    valid: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Past:
    """Past frames as arrays of the network: `vadv2_perception.model.PastFrames` for a batch of one."""

    tokens: NDArray[np.float32]
    motion: NDArray[np.float32]
    age: NDArray[np.float32]
    valid: NDArray[np.float32]


def motion_to_past(now: Pose2, then: Pose2) -> Array:
    """The (4, 4) transform from base_link now to base_link then, from their poses in odom."""
    return then.relative(now).to_matrix3()


class FrameMemory:
    """Remembers frames up to the oldest age that is asked for.

    Args:
        ages: Wanted ages, s, increasing.
        maximum_gap: A longer time between two frames, or time going back, forgets everything, s.
    """

    def __init__(self, ages: tuple[float, ...], maximum_gap: float) -> None:
        self.ages, self.maximum_gap = ages, maximum_gap
        self._frames: deque[RememberedFrame] = deque()
        self._past: Past | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def clear(self) -> None:
        """Forget every frame."""
        self._frames.clear()

    def advance(self, stamp: Stamp) -> bool:
        """Make ready for a frame of this stamp; returns whether the past had to be forgotten."""
        if not self._frames:
            return False
        gap = seconds_between(self._frames[-1].stamp, stamp)
        if gap < 0 or gap > self.maximum_gap:
            self.clear()
            return True
        if gap == 0:  # The same frame again takes its own place.
            self._frames.pop()
        return False

    def remember(self, frame: RememberedFrame) -> None:
        """Keep a frame, and let go of those that are older than any that will be asked for."""
        self._frames.append(frame)
        if not self.ages:
            self._frames.clear()
            return
        keep = self.ages[-1] * 1.25
        while seconds_between(self._frames[0].stamp, frame.stamp) > keep:
            self._frames.popleft()

    def past(self, stamp: Stamp, pose: Pose2, shape: tuple[int, ...]) -> Past:
        """For each wanted age the remembered frame nearest to it, no further off than half the way to its neighbours.

        Args:
            stamp: Of the current frame.
            pose: Of base_link in odom at the stamp.
            shape: (cameras, m, h, w) of a frame's tokens; remembered frames of another rig are not used.
        """
        count = len(self.ages)
        if self._past is None or self._past.tokens.shape[2:] != shape:
            self._past = Past(
                np.zeros((1, count, *shape), np.float32),
                np.zeros((1, count, 4, 4), np.float32),
                np.zeros((1, count), np.float32),
                np.zeros((1, count, shape[0]), np.float32),
            )
        past = self._past
        past.motion[:] = np.eye(4)
        past.valid[:] = 0
        past.age[:] = self.ages
        usable = [f for f in self._frames if f.tokens.shape == shape]
        found = np.array([seconds_between(f.stamp, stamp) for f in usable])
        for i, wanted in enumerate(self.ages):
            if not len(found):
                break
            nearest = int(np.abs(found - wanted).argmin())
            if abs(found[nearest] - wanted) > self._tolerance(i):
                continue
            frame = usable[nearest]
            past.tokens[0, i] = frame.tokens
            past.motion[0, i] = motion_to_past(pose, frame.pose)
            past.age[0, i] = found[nearest]
            past.valid[0, i] = frame.valid
        return past

    def _tolerance(self, index: int) -> float:
        edges = (0.0, *self.ages)
        gaps = [edges[index + 1] - edges[index]]
        if index + 2 < len(edges):
            gaps.append(edges[index + 2] - edges[index + 1])
        return 0.5 * min(gaps) + 1e-3
