"""The next light and its stop line, followed from frame to frame.

One frame says the distance of a line 20 m ahead to some metres, and now and then another colour. Where the line was and
how far the ego has come since is known better, so both are filtered, as a tracker would.
"""

from __future__ import annotations

from dataclasses import dataclass

from vadv2_core.geometry import Pose2
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_core.taxonomy import SignalState
from vadv2_core.tokens import SceneTokens

_HOLDS = (SignalState.RED, SignalState.YELLOW, SignalState.RED_YELLOW)
_MEMORY = 0.6
"""s; an older track, or one from the future, is none."""
_SEEN = 0.5
"""Confidence from which on a frame's stop line is one."""
_DISTANCE_GAIN, _COLOUR_GAIN = 0.3, 0.5
"""What a frame counts beside what is known. The colour's: two frames in a row must say it."""
_ANOTHER = 12.0
"""m farther than expected, beyond which it is another line than the one that was followed and reached."""
_REACHED = 3.0
"""m before a line from which on it may be followed by another one."""


@dataclass(frozen=True, slots=True)
class LightTrack:
    """The next light as of a frame.

    Attributes:
        stamp: Of the frame.
        pose: Of the ego then, in odom.
        distance: From the front bumper to its stop line, m; negative beyond it.
        held: Probability that it is there and holds.
    """

    stamp: Stamp
    pose: Pose2
    distance: float
    held: float


def followed_light(before: LightTrack | None, tokens: SceneTokens) -> LightTrack:
    """The light with a new frame.

    Args:
        before: As of an earlier frame; None for none.
        tokens: Of the frame.
    """
    ahead, pose = tokens.ahead, tokens.ego.pose
    held = min(float(sum(ahead.signal[int(state)] for state in _HOLDS)), ahead.stop_confidence)
    now = LightTrack(tokens.stamp, pose, ahead.stop_distance, held)
    if before is None or not 0.0 < seconds_between(before.stamp, tokens.stamp) <= _MEMORY:
        return now
    moved = ((pose.x - before.pose.x) ** 2 + (pose.y - before.pose.y) ** 2) ** 0.5
    expected = before.distance - moved
    held = before.held + _COLOUR_GAIN * (held - before.held)
    if ahead.stop_confidence < _SEEN:
        return LightTrack(tokens.stamp, pose, expected, held)
    off = ahead.stop_distance - expected
    # What was followed as no line at all is nothing to be filtered with.
    if before.held < _SEEN or (off > _ANOTHER and expected < _REACHED):
        return LightTrack(tokens.stamp, pose, ahead.stop_distance, held)
    return LightTrack(tokens.stamp, pose, expected + _DISTANCE_GAIN * off, held)
