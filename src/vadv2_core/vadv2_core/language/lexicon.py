"""Words for the values of the taxonomy, by grammatical form; the first of each is the usual one."""

from __future__ import annotations

from vadv2_core.language.grammar import Slot
from vadv2_core.language.statements import DISTANCES, SPEEDS, Motion, Zone
from vadv2_core.taxonomy import (
    AgentClass,
    AgentIntention,
    Cause,
    DrivingAction,
    EdgeCaseFlag,
    LateralAction,
    LongitudinalAction,
    SignalState,
    StopControl,
    Weather,
)

_NOUNS: dict[AgentClass, tuple[str, ...]] = {
    AgentClass.CAR: ("car", "passenger car"),
    AgentClass.TRUCK: ("truck", "lorry"),
    AgentClass.BUS: ("bus",),
    AgentClass.MOTORCYCLE: ("motorcycle", "motorbike"),
    AgentClass.BICYCLE: ("bicycle", "cyclist"),
    AgentClass.PEDESTRIAN: ("pedestrian", "person on foot"),
    AgentClass.EMERGENCY_VEHICLE: ("emergency vehicle",),
    AgentClass.TRAFFIC_CONE: ("traffic cone",),
    AgentClass.BARRIER: ("barrier",),
    AgentClass.CONSTRUCTION_SIGN: ("construction sign",),
    AgentClass.GENERIC_OBJECT: ("object", "unknown object"),
}


def _article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


A_CLASS = Slot({c: tuple(_article(n) for n in nouns) for c, nouns in _NOUNS.items()})
THE_CLASS = Slot({c: tuple(f"the {n}" for n in nouns) for c, nouns in _NOUNS.items()})
CLASS = Slot(_NOUNS)

ZONE = Slot(
    {
        Zone.AHEAD: ("ahead", "in front of us", "straight ahead"),
        Zone.AHEAD_LEFT: ("ahead on the left", "to the front left"),
        Zone.AHEAD_RIGHT: ("ahead on the right", "to the front right"),
        Zone.LEFT: ("on our left", "beside us on the left"),
        Zone.RIGHT: ("on our right", "beside us on the right"),
        Zone.BEHIND: ("behind us", "behind"),
        Zone.BEHIND_LEFT: ("behind on the left", "to the rear left"),
        Zone.BEHIND_RIGHT: ("behind on the right", "to the rear right"),
    }
)
MOTION = Slot(
    {
        Motion.STANDING: ("standing still", "not moving"),
        Motion.ALONG: ("going our way", "moving in our direction"),
        Motion.ONCOMING: ("coming towards us", "moving against our direction"),
        Motion.ACROSS: ("moving across", "moving sideways"),
    }
)
DISTANCE = Slot({d: (str(d),) for d in DISTANCES})
SPEED = Slot({s: (str(s),) for s in SPEEDS if s > 0})

INTENDS = Slot(
    {
        AgentIntention.KEEPS: ("keeps going", "carries on"),
        AgentIntention.YIELDS: ("gives way", "yields"),
        AgentIntention.STOPS: ("comes to a stop", "is stopping"),
        AgentIntention.CROSSES: ("crosses the road", "is crossing"),
        AgentIntention.TURNS_LEFT: ("turns left", "is turning left"),
        AgentIntention.TURNS_RIGHT: ("turns right", "is turning right"),
        AgentIntention.MERGES: ("merges", "is merging"),
        AgentIntention.PARKED: ("stays parked", "is parked"),
    }
)
INTEND = Slot(
    {
        AgentIntention.KEEPS: ("keep going", "carry on"),
        AgentIntention.YIELDS: ("give way", "yield"),
        AgentIntention.STOPS: ("stop", "come to a stop"),
        AgentIntention.CROSSES: ("cross the road", "cross"),
        AgentIntention.TURNS_LEFT: ("turn left", "make a left turn"),
        AgentIntention.TURNS_RIGHT: ("turn right", "make a right turn"),
        AgentIntention.MERGES: ("merge", "change lane"),
        AgentIntention.PARKED: ("stay parked", "remain parked"),
    }
)

SIGNAL_STATE = Slot(
    {
        SignalState.RED: ("red",),
        SignalState.YELLOW: ("yellow", "amber"),
        SignalState.GREEN: ("green",),
        SignalState.OFF: ("off", "dark"),
        SignalState.RED_YELLOW: ("red and yellow", "red with yellow"),
    }
)
CONTROL = Slot(
    {
        StopControl.STOP_SIGN: ("a stop sign",),
        StopControl.YIELD_SIGN: ("a yield sign", "a give-way sign"),
        StopControl.PRIORITY_TO_THE_RIGHT: ("a junction with priority to the right",),
    }
)
WEATHER = Slot(
    {
        Weather.DAY: ("clear daylight", "bright daylight"),
        Weather.DUSK: ("dusk", "twilight"),
        Weather.NIGHT: ("the dark of night", "darkness"),
        Weather.RAIN: ("rain", "rainy weather"),
        Weather.FOG: ("fog", "foggy weather"),
        Weather.GLARE: ("the glare of a low sun", "glare"),
    }
)
FLAG = Slot(
    {
        EdgeCaseFlag.CONSTRUCTION_ZONE: ("a construction zone", "road works"),
        EdgeCaseFlag.EMERGENCY_VEHICLE: ("an emergency vehicle on duty", "a vehicle with blue lights"),
        EdgeCaseFlag.ACCIDENT: ("an accident",),
        EdgeCaseFlag.JAYWALKER: ("a jaywalker", "a pedestrian off the crossings"),
        EdgeCaseFlag.WRONG_WAY_VEHICLE: ("a wrong-way vehicle",),
        EdgeCaseFlag.STOPPED_BUS: ("a stopped bus",),
        EdgeCaseFlag.CUT_IN: ("a vehicle cutting in",),
        EdgeCaseFlag.HARD_BRAKE_AHEAD: ("hard braking ahead",),
        EdgeCaseFlag.LOW_VISIBILITY: ("low visibility", "poor visibility"),
        EdgeCaseFlag.CAMERA_FAULT: ("a camera fault", "a faulty camera"),
    }
)
"""As noun phrases; the flag queries of the VLM use the first of each."""

ASKED = Slot(
    {
        DrivingAction.LANE_FOLLOW: ("follow the lane", "follow the road"),
        DrivingAction.LEFT: ("turn left", "take the left turn"),
        DrivingAction.RIGHT: ("turn right", "take the right turn"),
        DrivingAction.STRAIGHT: ("go straight on", "cross the junction straight"),
        DrivingAction.CHANGE_LEFT: ("change to the left lane", "move one lane left"),
        DrivingAction.CHANGE_RIGHT: ("change to the right lane", "move one lane right"),
        DrivingAction.STOP: ("stop", "pull up"),
    }
)

LONGITUDINAL = {
    "do": Slot(
        {
            LongitudinalAction.KEEP: ("keep the speed", "hold the speed"),
            LongitudinalAction.ACCELERATE: ("speed up", "accelerate"),
            LongitudinalAction.DECELERATE: ("slow down", "brake gently"),
            LongitudinalAction.STOP: ("stop", "stand still"),
        }
    ),
    "doing": Slot(
        {
            LongitudinalAction.KEEP: ("keeping the speed", "holding the speed"),
            LongitudinalAction.ACCELERATE: ("speeding up", "accelerating"),
            LongitudinalAction.DECELERATE: ("slowing down", "braking gently"),
            LongitudinalAction.STOP: ("stopping", "standing still"),
        }
    ),
}
LATERAL = {
    "do": Slot(
        {
            LateralAction.STRAIGHT: ("stay in the lane", "keep the lane"),
            LateralAction.LEFT_TURN: ("turn left",),
            LateralAction.RIGHT_TURN: ("turn right",),
            LateralAction.LEFT_CHANGE: ("change to the left lane", "move to the left lane"),
            LateralAction.RIGHT_CHANGE: ("change to the right lane", "move to the right lane"),
        }
    ),
    "doing": Slot(
        {
            LateralAction.STRAIGHT: ("staying in the lane", "keeping the lane"),
            LateralAction.LEFT_TURN: ("turning left",),
            LateralAction.RIGHT_TURN: ("turning right",),
            LateralAction.LEFT_CHANGE: ("changing to the left lane", "moving to the left lane"),
            LateralAction.RIGHT_CHANGE: ("changing to the right lane", "moving to the right lane"),
        }
    ),
}

CAUSE = {
    "clause": Slot(
        {
            Cause.FREE_ROAD: ("the road is free", "nothing is in the way"),
            Cause.LEAD_VEHICLE: ("a vehicle drives in front of us", "the vehicle in front sets the pace"),
            Cause.RED_LIGHT: ("the light is red", "the traffic light shows red"),
            Cause.YELLOW_LIGHT: ("the light is yellow", "the traffic light shows yellow"),
            Cause.GREEN_LIGHT: ("the light is green", "the traffic light shows green"),
            Cause.STOP_SIGN: ("there is a stop sign", "a stop sign holds us"),
            Cause.YIELD: ("others have the right of way", "we must give way"),
            Cause.PEDESTRIAN: ("a pedestrian is in the way", "a pedestrian goes first"),
            Cause.CYCLIST: ("a cyclist is in the way", "a cyclist is close"),
            Cause.TURN: ("a turn is coming", "we take a turn"),
            Cause.ROUNDABOUT: ("a roundabout is coming", "we drive in a roundabout"),
            Cause.MERGE: ("traffic merges", "lanes merge"),
            Cause.LANE_CHANGE: ("we need another lane", "we change lanes"),
            Cause.CUT_IN: ("a vehicle cuts in", "a vehicle moves into our lane"),
            Cause.STOPPED_VEHICLE: ("a stopped vehicle is in the way", "a standing vehicle blocks the lane"),
            Cause.CONSTRUCTION: ("road works are ahead", "road works close the lane"),
            Cause.EMERGENCY_VEHICLE: ("an emergency vehicle comes", "an emergency vehicle needs the road"),
            Cause.ACCIDENT: ("an accident is ahead", "an accident blocks the road"),
            Cause.WRONG_WAY_VEHICLE: ("a vehicle comes the wrong way", "a wrong-way vehicle comes"),
            Cause.SPEED_LIMIT: ("the speed limit says so", "the speed limit is reached"),
            Cause.CURVE: ("the road bends", "a curve is coming"),
            Cause.COMMAND: ("we were told to", "the command asks for it"),
            Cause.GOAL: ("the goal is near", "we arrive"),
            Cause.LOW_VISIBILITY: ("visibility is low", "we cannot see far"),
        }
    ),
    "noun": Slot(
        {
            Cause.FREE_ROAD: ("the free road",),
            Cause.LEAD_VEHICLE: ("the vehicle in front", "the lead vehicle"),
            Cause.RED_LIGHT: ("the red light",),
            Cause.YELLOW_LIGHT: ("the yellow light",),
            Cause.GREEN_LIGHT: ("the green light",),
            Cause.STOP_SIGN: ("the stop sign",),
            Cause.YIELD: ("the right of way of others", "crossing traffic"),
            Cause.PEDESTRIAN: ("the pedestrian",),
            Cause.CYCLIST: ("the cyclist",),
            Cause.TURN: ("the turn",),
            Cause.ROUNDABOUT: ("the roundabout",),
            Cause.MERGE: ("merging traffic", "the merge"),
            Cause.LANE_CHANGE: ("the lane change",),
            Cause.CUT_IN: ("the vehicle cutting in",),
            Cause.STOPPED_VEHICLE: ("the stopped vehicle",),
            Cause.CONSTRUCTION: ("the road works",),
            Cause.EMERGENCY_VEHICLE: ("the emergency vehicle",),
            Cause.ACCIDENT: ("the accident",),
            Cause.WRONG_WAY_VEHICLE: ("the wrong-way vehicle",),
            Cause.SPEED_LIMIT: ("the speed limit",),
            Cause.CURVE: ("the curve", "the bend"),
            Cause.COMMAND: ("the command",),
            Cause.GOAL: ("the goal",),
            Cause.LOW_VISIBILITY: ("the low visibility",),
        }
    ),
}

LONGITUDINAL_WORD = {a: a.name.lower().replace("_", " ") for a in LongitudinalAction if a}
LATERAL_WORD = {a: a.name.lower().replace("_", " ") for a in LateralAction if a}
CAUSE_WORD = {c: c.name.lower().replace("_", " ") for c in Cause if c}
"""The closed lists as the VLM decodes them."""
