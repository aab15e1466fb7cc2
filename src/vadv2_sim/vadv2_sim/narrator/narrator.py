"""The narrator: from the Scene and the expert's decision to statements, and from statements to varied sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vadv2_core.command import DrivingCommand
from vadv2_core.decision import Decision
from vadv2_core.language import lexicon
from vadv2_core.language.commands import Split, command_text
from vadv2_core.language.sentences import say
from vadv2_core.language.statements import (
    ActionStatement,
    ClearStatement,
    ClosureStatement,
    CommandStatement,
    CrossingStatement,
    DecisionStatement,
    EgoStatement,
    FlagStatement,
    IntentionStatement,
    Motion,
    ObjectStatement,
    SignalStatement,
    Statement,
    StopControlStatement,
    WeatherStatement,
    spoken_distance,
    spoken_speed,
)
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.stamps import Stamp
from vadv2_core.taxonomy import (
    STATIC_CLASSES,
    AgentClass,
    AgentIntention,
    Cause,
    DrivingAction,
    EdgeCaseFlag,
    SignalState,
)
from vadv2_sim.narrator.edge_cases import edge_cases
from vadv2_sim.narrator.facts import SceneFacts, SeenAgent, Visibility

_LIGHTS = {
    Cause.RED_LIGHT: (SignalState.RED, SignalState.RED_YELLOW),
    Cause.YELLOW_LIGHT: (SignalState.YELLOW,),
    Cause.GREEN_LIGHT: (SignalState.GREEN,),
}
_AGENT_CAUSES: dict[Cause, tuple[AgentClass, ...]] = {
    Cause.LEAD_VEHICLE: (),
    Cause.STOPPED_VEHICLE: (),
    Cause.CUT_IN: (),
    Cause.PEDESTRIAN: (AgentClass.PEDESTRIAN,),
    Cause.CYCLIST: (AgentClass.BICYCLE,),
    Cause.EMERGENCY_VEHICLE: (AgentClass.EMERGENCY_VEHICLE,),
    Cause.ACCIDENT: (),
    Cause.WRONG_WAY_VEHICLE: (),
}
"""Causes that are someone; the classes it must be of, none for any vehicle."""
_ORDERS = (Cause.TURN, Cause.ROUNDABOUT, Cause.LANE_CHANGE, Cause.MERGE, Cause.COMMAND, Cause.GOAL)
_VEHICLES = (
    AgentClass.CAR,
    AgentClass.TRUCK,
    AgentClass.BUS,
    AgentClass.MOTORCYCLE,
    AgentClass.BICYCLE,
    AgentClass.EMERGENCY_VEHICLE,
)
_RULES = (Cause.STOP_SIGN, Cause.YIELD, Cause.ROUNDABOUT, Cause.MERGE)


@dataclass(frozen=True, slots=True)
class Narration:
    """What there is to say of a moment, as facts and as sentences.

    Attributes:
        stamp: Of the Scene.
        scene: Statements of the scene description, in order.
        intent: The decision as a statement; None where it has no words.
        trace: Statements of the trace, in order; the last is the action.
        flags: Truth of every `EdgeCaseFlag`, by its value.
        grounded: The decision's cause is among what the cameras see; where it is not, the model cannot know it.
        scene_text, intent_text, trace_text: The same as sentences.
    """

    stamp: Stamp
    scene: tuple[Statement, ...]
    intent: DecisionStatement | None
    trace: tuple[Statement, ...]
    flags: tuple[bool, ...]
    grounded: bool
    scene_text: str
    intent_text: str
    trace_text: str


class Narrator:
    """Says what is the case and why the expert acts as it does.

    Args:
        road_map: The map of the drive.
        objects: Most agents in a scene description.
    """

    def __init__(self, road_map: RoadMap, objects: int = 3) -> None:
        self._map, self._objects = road_map, objects

    def narrate(
        self,
        scene: Scene,
        decision: Decision | None,
        visibility: Visibility | None = None,
        generator: np.random.Generator | None = None,
        camera_fault: bool = False,
    ) -> Narration:
        """Describe a moment; everything said is true of the Scene and of what the cameras see.

        Args:
            scene: The moment.
            decision: The expert's; None for a moment without one (no intent, no action).
            visibility: From the renderer; None for everything in sight.
            generator: Varies the words; without one the usual are said.
            camera_fault: Whether a camera fails at this moment.
        """
        facts = SceneFacts(scene, self._map, visibility)
        flags = edge_cases(facts, camera_fault)
        subject = self._subject(facts, decision)
        evidence = [] if decision is None else self._evidence(facts, decision, subject)
        description = self._describe(facts, subject)
        intent = self._intent(decision)
        trace = self._trace(facts, decision, evidence, flags)
        return Narration(
            stamp=scene.stamp,
            scene=tuple(description),
            intent=intent,
            trace=tuple(trace),
            flags=flags,
            grounded=decision is not None and (bool(evidence) or decision.cause in (Cause.CURVE, Cause.SPEED_LIMIT)),
            scene_text=_text(description, generator),
            intent_text=_text([intent] if intent else [], generator),
            trace_text=_text(trace, generator),
        )

    def command(
        self, command: DrivingCommand, generator: np.random.Generator | None = None, split: Split = "train"
    ) -> DrivingCommand:
        """The same command in other words; one in words only (UNKNOWN) is left as it is."""
        if command.action is DrivingAction.UNKNOWN:
            return command
        return replace(command, text=command_text(command.action, command.distance, generator, split))

    def _describe(self, facts: SceneFacts, subject: SeenAgent | None) -> list[Statement]:
        said: list[Statement] = [WeatherStatement(facts.scene.weather)]
        if facts.signal is not None:
            said.append(SignalStatement(facts.signal[0], spoken_distance(facts.signal[1])))
        elif facts.stop_control is not None and facts.stop_control[1] < 40.0:
            said.append(StopControlStatement(facts.stop_control[0], spoken_distance(facts.stop_control[1])))
        if facts.closure is not None:
            said.append(ClosureStatement(spoken_distance(facts.closure)))
        told = self._told(facts, subject)
        things = dict.fromkeys(_object(s) for s in told)
        said += list(things)
        quiet = (AgentIntention.UNKNOWN, AgentIntention.KEEPS, AgentIntention.PARKED)
        said += [_intention(s) for s in told if s.agent.intention not in quiet][:1]
        if not things:
            said.append(ClearStatement(spoken_distance(_floor_clear(facts.clear))))
        return said

    def _told(self, facts: SceneFacts, subject: SeenAgent | None) -> list[SeenAgent]:
        """Who is worth a sentence, the most important first; of cones and the like one stands for all."""

        def weight(seen: SeenAgent) -> float:
            agent = seen.agent
            behind = 15.0 if seen.x < -2.0 else 0.0
            dull = 12.0 if agent.intention is AgentIntention.PARKED and agent.cause is not Cause.ACCIDENT else 0.0
            near = -20.0 if seen.in_the_way(40.0) else 0.0
            crossing = -10.0 if agent.intention is AgentIntention.CROSSES and seen.x > 0.0 else 0.0
            rare = -15.0 if agent.blue_light or agent.cause is Cause.ACCIDENT else 0.0
            chosen = -1000.0 if seen is subject else 0.0
            return seen.distance + behind + dull + near + crossing + rare + chosen

        told: list[SeenAgent] = []
        for seen in sorted(facts.agents, key=weight):
            still = seen.agent.cls in STATIC_CLASSES
            repeated = any(t.agent.cls is seen.agent.cls for t in told) if still else False
            # Who has come by and drives off behind is no concern of ours, and does not "come towards us" any more.
            passed = seen.motion is Motion.ONCOMING and seen.x < 2.0 and seen is not subject
            if seen.agent.cls and not repeated and not passed and len(told) < self._objects:
                told.append(seen)
        return told

    def _subject(self, facts: SceneFacts, decision: Decision | None) -> SeenAgent | None:
        if decision is None or decision.subject_agent_id is None:
            return None
        return next((s for s in facts.agents if s.agent.id == decision.subject_agent_id), None)

    def _intent(self, decision: Decision | None) -> DecisionStatement | None:
        if decision is None or not all((decision.longitudinal, decision.lateral, decision.cause)):
            return None
        return DecisionStatement(decision.longitudinal, decision.lateral, decision.cause)

    def _evidence(self, facts: SceneFacts, decision: Decision, subject: SeenAgent | None) -> list[Statement]:
        """What the cameras show of the cause; empty where they show nothing of it."""
        cause = decision.cause
        if cause in _LIGHTS:
            light = facts.signal
            return (
                [SignalStatement(light[0], spoken_distance(light[1]))] if light and light[0] in _LIGHTS[cause] else []
            )
        said: list[Statement] = []
        if cause in _RULES and facts.stop_control is not None and facts.stop_control[1] < 60.0:
            said.append(StopControlStatement(facts.stop_control[0], spoken_distance(facts.stop_control[1])))
        if cause is Cause.PEDESTRIAN and facts.crossings and facts.crossings[0] < 40.0:
            said.append(CrossingStatement(spoken_distance(facts.crossings[0])))
        seen = subject or self._likely(facts, cause)
        if seen is not None and seen.agent.cls:
            said.append(_object(seen))
            if seen.agent.intention not in (AgentIntention.UNKNOWN, AgentIntention.KEEPS):
                said.append(_intention(seen))
        elif cause in _AGENT_CAUSES:
            return []
        if cause is Cause.CONSTRUCTION and facts.closure is not None:
            said.append(ClosureStatement(spoken_distance(facts.closure)))
        if cause in _ORDERS and facts.scene.command.action in lexicon.ASKED.phrases:
            said.append(CommandStatement(facts.scene.command.action))
        if cause is Cause.FREE_ROAD and facts.clear >= 5.0:
            said.append(ClearStatement(spoken_distance(_floor_clear(facts.clear))))
        if cause is Cause.LOW_VISIBILITY:
            said.append(WeatherStatement(facts.scene.weather))
        return said

    def _likely(self, facts: SceneFacts, cause: Cause) -> SeenAgent | None:
        """Who the cause is where the expert named nobody."""
        if cause is Cause.CONSTRUCTION:
            works = (AgentClass.TRAFFIC_CONE, AgentClass.BARRIER, AgentClass.CONSTRUCTION_SIGN)
            return next((s for s in facts.agents if s.agent.cls in works and s.x > 0.0), None)
        if cause in (Cause.PEDESTRIAN, Cause.CYCLIST, Cause.EMERGENCY_VEHICLE):
            return next((s for s in facts.agents if s.agent.cls in _AGENT_CAUSES[cause] and s.x > -5.0), None)
        if cause is Cause.YIELD:
            others = (s for s in facts.agents if s.agent.cls in _VEHICLES and s.x > -2.0 and s.distance < 45.0)
            return next((s for s in others if s.motion in (Motion.ONCOMING, Motion.ACROSS)), None)
        if cause in (Cause.LEAD_VEHICLE, Cause.STOPPED_VEHICLE):
            return next((s for s in facts.agents if s.in_the_way(50.0)), None)
        return None

    def _trace(
        self, facts: SceneFacts, decision: Decision | None, evidence: list[Statement], flags: tuple[bool, ...]
    ) -> list[Statement]:
        scene = facts.scene
        said: list[Statement] = [EgoStatement(spoken_speed(max(scene.ego.speed, 0.0)))]
        asked = scene.command.action
        if asked in lexicon.ASKED.phrases and asked is not DrivingAction.LANE_FOLLOW:
            said.append(CommandStatement(asked))
        said += [FlagStatement(flag, True) for flag in EdgeCaseFlag if flags[flag]][:2]
        said += [s for s in evidence if s not in said]
        if decision is not None and decision.longitudinal and decision.lateral:
            said.append(ActionStatement(decision.longitudinal, decision.lateral))
        return said


def _floor_clear(distance: float) -> float:
    return max(0.85 * distance, 1.0)


def _object(seen: SeenAgent) -> ObjectStatement:
    return ObjectStatement(seen.agent.cls, seen.zone, spoken_distance(seen.distance), seen.motion)


def _intention(seen: SeenAgent) -> IntentionStatement:
    return IntentionStatement(seen.agent.cls, seen.zone, seen.agent.intention)


def _text(statements: Sequence[Statement], generator: np.random.Generator | None) -> str:
    return " ".join(say(s, generator) for s in statements)
