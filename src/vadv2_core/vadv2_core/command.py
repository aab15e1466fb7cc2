"""What the ego is asked to do: the next action in words and as an enum, and the route ahead."""

from __future__ import annotations

from dataclasses import dataclass

from vadv2_core.geometry import Array
from vadv2_core.stamps import Stamp
from vadv2_core.taxonomy import DrivingAction


@dataclass(frozen=True, slots=True)
class DrivingCommand:
    """The next manoeuvre.

    Attributes:
        stamp: When it was said.
        text: In words, for the planner's and the VLM's tokenizers (``"turn left at the next intersection"``).
        action: The same as an enum; UNKNOWN where only the text says it.
        distance: Along the route to where it applies, m; 0 where it applies now or is unknown.
    """

    stamp: Stamp
    text: str
    action: DrivingAction
    distance: float = 0.0


@dataclass(frozen=True, slots=True)
class Route:
    """The way ahead.

    Attributes:
        stamp: When it was made.
        points: (n, 2) polyline of the lane centre to follow, odom frame, from near the ego onwards, n >= 2.
        lane_ids: The lanes it runs along, where a map names them; may be empty.
        speed_limit: m/s on the lane the ego is on; 0 where unknown.
    """

    stamp: Stamp
    points: Array
    lane_ids: tuple[str, ...] = ()
    speed_limit: float = 0.0
