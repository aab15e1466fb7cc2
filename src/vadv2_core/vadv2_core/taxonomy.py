"""The closed lists the stack speaks in. Append-only: a number, once shipped, keeps its meaning for ever.

Checkpoints and scene logs record `TAXONOMY_VERSION`; appending raises it, and older files stay readable.
"""

from __future__ import annotations

from enum import IntEnum

TAXONOMY_VERSION = 1


class DrivingAction(IntEnum):
    """What the route, or a person, asks of the ego next."""

    UNKNOWN = 0
    LANE_FOLLOW = 1
    LEFT = 2
    RIGHT = 3
    STRAIGHT = 4
    CHANGE_LEFT = 5
    CHANGE_RIGHT = 6
    STOP = 7


class LongitudinalAction(IntEnum):
    """Longitudinal meta-action over the next 3 s; thresholds follow Senna (speed change of 3 m/s, stop below 2 m/s)."""

    UNKNOWN = 0
    KEEP = 1
    ACCELERATE = 2
    DECELERATE = 3
    STOP = 4


class LateralAction(IntEnum):
    """Lateral meta-action over the next seconds."""

    UNKNOWN = 0
    STRAIGHT = 1
    LEFT_TURN = 2
    RIGHT_TURN = 3
    LEFT_CHANGE = 4
    RIGHT_CHANGE = 5


class Cause(IntEnum):
    """Why the ego acts as it does; one dominant cause a moment."""

    UNKNOWN = 0
    FREE_ROAD = 1
    LEAD_VEHICLE = 2
    RED_LIGHT = 3
    YELLOW_LIGHT = 4
    GREEN_LIGHT = 5
    STOP_SIGN = 6
    YIELD = 7
    PEDESTRIAN = 8
    CYCLIST = 9
    TURN = 10
    ROUNDABOUT = 11
    MERGE = 12
    LANE_CHANGE = 13
    CUT_IN = 14
    STOPPED_VEHICLE = 15
    CONSTRUCTION = 16
    EMERGENCY_VEHICLE = 17
    ACCIDENT = 18
    WRONG_WAY_VEHICLE = 19
    SPEED_LIMIT = 20
    CURVE = 21
    COMMAND = 22
    GOAL = 23
    LOW_VISIBILITY = 24


class EdgeCaseFlag(IntEnum):
    """Rare scenes, each answered yes or no. The value is the flag's index in every probability vector."""

    CONSTRUCTION_ZONE = 0
    EMERGENCY_VEHICLE = 1
    ACCIDENT = 2
    JAYWALKER = 3
    WRONG_WAY_VEHICLE = 4
    STOPPED_BUS = 5
    CUT_IN = 6
    HARD_BRAKE_AHEAD = 7
    LOW_VISIBILITY = 8
    CAMERA_FAULT = 9


class AgentClass(IntEnum):
    """What an object is."""

    UNKNOWN = 0
    CAR = 1
    TRUCK = 2
    BUS = 3
    MOTORCYCLE = 4
    BICYCLE = 5
    PEDESTRIAN = 6
    EMERGENCY_VEHICLE = 7
    TRAFFIC_CONE = 8
    BARRIER = 9
    CONSTRUCTION_SIGN = 10
    GENERIC_OBJECT = 11


STATIC_CLASSES = frozenset(
    {AgentClass.TRAFFIC_CONE, AgentClass.BARRIER, AgentClass.CONSTRUCTION_SIGN, AgentClass.GENERIC_OBJECT}
)
"""Classes that never move by themselves."""


class AgentIntention(IntEnum):
    """What an agent is about to do over the next 3 s."""

    UNKNOWN = 0
    KEEPS = 1
    YIELDS = 2
    STOPS = 3
    CROSSES = 4
    TURNS_LEFT = 5
    TURNS_RIGHT = 6
    MERGES = 7
    PARKED = 8


class MapElementClass(IntEnum):
    """Vectorised map elements that the scene queries predict."""

    LANE = 0
    BOUNDARY = 1
    STOP_LINE = 2
    CROSSING = 3
    DRIVABLE_AREA = 4


class SignalState(IntEnum):
    """What a traffic light shows."""

    UNKNOWN = 0
    RED = 1
    YELLOW = 2
    GREEN = 3
    OFF = 4
    RED_YELLOW = 5


class LaneKind(IntEnum):
    """What a lane is for."""

    ROAD = 0
    CONNECTOR = 1
    BICYCLE = 2
    SIDEWALK = 3
    CROSSING = 4
    PARKING = 5
    DRIVEWAY = 6


class StopControl(IntEnum):
    """What holds traffic at a stop line."""

    NONE = 0
    SIGNAL = 1
    STOP_SIGN = 2
    YIELD_SIGN = 3
    PRIORITY_TO_THE_RIGHT = 4


class Weather(IntEnum):
    """How the scene is lit and what is in the air."""

    DAY = 0
    DUSK = 1
    NIGHT = 2
    RAIN = 3
    FOG = 4
    GLARE = 5
