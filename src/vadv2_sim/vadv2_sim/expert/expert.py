"""The expert: samples lateral and longitudinal motions, scores them against the truth, and says its reasons."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vadv2_core.decision import Decision
from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, Pose2
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.stamps import NANOSECONDS
from vadv2_core.taxonomy import AgentClass, AgentIntention
from vadv2_core.trajectory import PLAN_POINTS, Trajectory
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.expert import speed as pace
from vadv2_sim.expert.config import ExpertConfig
from vadv2_sim.expert.decide import decide
from vadv2_sim.expert.gates import EgoMotion, Gate, GateKeeper, GateMemory, arrival_gate
from vadv2_sim.expert.lateral import Block, Candidate, LateralPlanner, Way, waits_long
from vadv2_sim.expert.motion import MotionModel, Movers
from vadv2_sim.expert.people import people_gates
from vadv2_sim.expert.route_path import RoutePath

CREPT = 9.0
"""Patience begins anew once the ego is so far from where it stopped, m."""


@dataclass(slots=True)
class Memory:
    """What the expert remembers from plan to plan.

    Attributes:
        gates: Stops made, lights passed, who waits since when.
        way: The kind of way driven last.
        stopped: Since when the ego stands, s; None while it moves. Creeping a few metres on is still standing.
        stood_at: Where it stopped, world; None while it moves.
        clock: Time of the last plan, s.
    """

    gates: GateMemory = field(default_factory=GateMemory)
    way: Way = Way.KEEP
    stopped: float | None = None
    stood_at: tuple[float, float] | None = None
    clock: float = -1.0


class Expert:
    """A privileged driver: reads the Scene, plans 8 s.

    Args:
        road: The town's map.
        vehicle: The ego.
        config: Manner.

    Attributes:
        last_decision: What the newest plan does and why.
    """

    def __init__(
        self,
        road: RoadMap,
        vehicle: VehicleConfig | None = None,
        config: ExpertConfig | None = None,
    ) -> None:
        self._road = road
        self._vehicle = vehicle or VehicleConfig()
        self._config = config or ExpertConfig()
        self._motion = MotionModel(road)
        self._keeper = GateKeeper(road, self._config.line_gap)
        self._lateral = LateralPlanner(road, self._vehicle, self._config)
        self._front = self._vehicle.length - self._vehicle.rear_overhang
        self._memory = Memory()
        self.last_decision: Decision | None = None

    def reset(self) -> None:
        """Forget the drive."""
        self._memory = Memory()
        self.last_decision = None

    def plan(self, scene: Scene) -> Trajectory:
        """Eight seconds from a scene on: 80 points at 10 Hz in base_link.

        Raises:
            InputError: for a scene without a route.
        """
        if scene.route is None:
            raise InputError("no route", "expert", "a scene with a route")
        now = scene.stamp / NANOSECONDS
        if not 0.0 <= now - self._memory.clock < 3.0:
            self._memory = Memory()
        self._memory.clock = now
        ego = scene.ego
        path = RoutePath(scene.route, self._road)
        s, d = path.project(np.array([[ego.pose.x, ego.pose.y]]), limit=30.0)
        here, offset = float(s[0]), float(d[0])
        speed = max(ego.speed, 0.0)
        self._remember(scene, speed, now)
        standing = {k: now - since for k, since in self._memory.gates.still.items()}
        still = now - self._memory.stopped if self._memory.stopped is not None else 0.0

        movers = self._motion.near(scene, path, here)
        rescue = self._rescue_behind(movers, here)
        blocks = self._lateral.blocks(movers, standing, here, still)
        ways = self._lateral.candidates(scene, path, here, offset, blocks, rescue[0] if rescue else None)
        offsets = np.stack([self._eased(path, here, offset, ego.pose.yaw, speed, c.offset) for c in ways])

        motion = EgoMotion(here + self._front, here - self._vehicle.rear_overhang, speed)
        passable = frozenset(k for k, a in enumerate(movers.agents) if _in_blocks(movers, k, blocks))
        queue = self._queue(movers, here, passable)
        gates = self._keeper.closed(scene, path, motion, self._memory.gates, now, queue)
        zebras = self._keeper.crossings_on(path, here + 70.0)
        waiting = frozenset(a.id for a in movers.agents if waits_long(a, standing.get(a.id, 0.0)))
        gates += people_gates(scene, path, movers, zebras, motion, self._vehicle, still, waiting)
        gates += arrival_gate(scene, motion.front, self._config.deceleration)
        limits = self._limits(scene, path, here, ways, offsets, rescue)
        obstacles, flags = self._obstacles(path, movers, offsets, ways, gates, motion, passable, still)
        start = (here, speed, float(np.clip(ego.acceleration[0], -7.0, 2.5)))
        profiles = pace.drive(start, self._front, path.along, limits, obstacles, self._config)
        best, crash = self._choose(path, movers, offsets, ways, profiles, flags, motion)
        chosen = _pick(profiles, best)
        foe = None
        if crash < 3.0:
            touched = self._overlaps(movers, profiles, flags)[best]
            foe = int(np.where(touched.any(axis=1), touched.argmax(axis=1), touched.shape[1]).argmin())
            floors = np.array([0.0, -1.5, -3.0, -5.0, -7.0])
            again = pace.drive(
                start, self._front, path.along, np.repeat(limits[best : best + 1], 5, axis=0),
                _only(obstacles, best, 5), self._config, floors,
            )  # fmt: skip
            times = self._crashes(
                path,
                movers,
                np.repeat(offsets[best : best + 1], 5, axis=0),
                again,
                np.repeat(flags[best][None], 5, 0),
            )
            # The gentlest braking among those that put a collision off longest.
            chosen = _pick(again, int(np.flatnonzero(times >= times.max() - 0.3)[0]))
        self._memory.way = ways[best].way
        trajectory = self._trajectory(scene, path, chosen, offsets[best])
        self.last_decision = decide(
            scene,
            path,
            ways[best],
            chosen,
            movers,
            gates,
            limits[best],
            self._front,
            self._config,
            foe,
        )
        return trajectory

    def recover(self, scene: Scene, offset: Pose2) -> Trajectory:
        """The plan from where the ego would stand if it were shifted and turned by ``offset`` (in base_link).

        What the expert remembers of the drive stays as it was.
        """
        memory, decision = self._memory, self.last_decision
        self._memory = copy.deepcopy(memory)
        try:
            return self.plan(replace(scene, ego=replace(scene.ego, pose=scene.ego.pose.compose(offset))))
        finally:
            self._memory, self.last_decision = memory, decision

    def _remember(self, scene: Scene, speed: float, now: float) -> None:
        still = self._memory.gates.still
        standing = {a.id for a in scene.agents if np.hypot(*a.velocity) < 0.3}
        for name in standing:
            still.setdefault(name, now)
        for name in [n for n in still if n not in standing]:
            del still[name]
        memory, pose = self._memory, scene.ego.pose
        if memory.stood_at is not None and np.hypot(pose.x - memory.stood_at[0], pose.y - memory.stood_at[1]) > CREPT:
            memory.stopped = memory.stood_at = None
        if speed < 0.3 and memory.stopped is None:
            memory.stopped, memory.stood_at = now, (pose.x, pose.y)

    def _rescue_behind(self, movers: Movers, here: float) -> tuple[str, float] | None:
        """A vehicle with blue light that comes up from behind, and how far behind it is, m."""
        for k, agent in enumerate(movers.agents):
            behind = here - 1.0 - movers.high[k, 0]
            if agent.blue_light and -4.0 < behind < 75.0 and movers.speed[k] > 1.0 and abs(movers.turn[k]) < 0.8:
                return agent.id, float(behind)
        return None

    def _eased(
        self,
        path: RoutePath,
        here: float,
        offset: float,
        yaw: float,
        speed: float,
        target: Array,
    ) -> Array:
        """A candidate's offsets, joined to where the ego is and heads by a quintic."""
        now = float(np.interp(here, path.along, target))
        slope_to = (float(np.interp(here + 1.0, path.along, target)) - now) / 1.0
        turn = (yaw - float(path.heading(here)) + np.pi) % (2 * np.pi) - np.pi
        e0 = offset - now
        slope = float(np.clip(np.tan(np.clip(turn, -1.0, 1.0)) - slope_to, -0.8, 0.8))
        length = float(np.clip(2.2 * speed + 2.0 * abs(e0), 7.0, 30.0))
        u = np.clip((path.along - here) / length, 0.0, 1.0)
        # Value e0, slope and no curvature at u = 0; all zero at u = 1.
        blend = e0 * (1 - u**3 * (10 - 15 * u + 6 * u * u))
        blend += slope * length * (u - 6 * u**3 + 8 * u**4 - 3 * u**5)
        return np.asarray(target + np.where(path.along >= here, blend, e0))

    def _limits(
        self,
        scene: Scene,
        path: RoutePath,
        here: float,
        ways: list[Candidate],
        offsets: Array,
        rescue: tuple[str, float] | None,
    ) -> Array:
        limit = np.full(len(path.along), 13.9)
        for span in path.spans:
            inside = (path.along >= span.start) & (path.along <= span.end)
            limit[inside] = span.lane.speed_limit
        if scene.route is not None and scene.route.speed_limit > 0.0:
            limit[path.along <= here + 1.0] = scene.route.speed_limit
        rows = []
        for way, offset in zip(ways, offsets, strict=True):
            bent = path.curvature + np.gradient(np.gradient(offset, path.along), path.along) * 0.8
            allowed = limit.copy()
            if way.way in (Way.LEFT, Way.RIGHT):
                beside = np.abs(way.offset) > 0.3
                allowed[beside] = np.minimum(allowed[beside], 7.0)
            if way.way is Way.ROOM:
                allowed[:] = np.minimum(allowed, 2.5 if rescue is not None and rescue[1] < 30.0 else 6.0)
            rows.append(pace.speed_limits(path.along, bent, allowed, self._config))
        return np.stack(rows)

    def _queue(self, movers: Movers, here: float, passable: frozenset[int]) -> float:
        """Where the first thing begins that stands on the way."""
        half = self._vehicle.width / 2
        ahead = [
            float(movers.low[k, 0])
            for k in range(len(movers.agents))
            if k not in passable
            and movers.low[k, 0] > here + self._front - 0.5
            and abs(movers.speed[k]) < 1.0
            and movers.right[k, 0] < half
            and movers.left[k, 0] > -half
        ]
        return min(ahead, default=np.inf)

    def _obstacles(
        self,
        path: RoutePath,
        movers: Movers,
        offsets: Array,
        ways: list[Candidate],
        gates: list[Gate],
        ego: EgoMotion,
        passable: frozenset[int],
        still: float,
    ) -> tuple[pace.Obstacles, NDArray[np.bool_]]:
        agents = movers.agents
        person = np.array([a.cls is AgentClass.PEDESTRIAN for a in agents], dtype=bool)
        across = (np.abs(np.sin(movers.turn)) > 0.6) & ~movers.static
        stands = np.array([float(np.hypot(*a.velocity)) < 0.15 for a in agents], dtype=bool)
        room = np.where(
            person,
            np.where(stands, 0.1, 0.7),
            np.where(movers.static, 0.3, float(np.interp(still, (7.0, 14.0), (0.28, 0.02)))),
        )
        flags = pace.holds(movers, offsets, path.along, self._vehicle.width / 2, room)
        # People are met at gates; what is behind the front must look after itself.
        behind = movers.high[:, 0] < ego.front - 0.5
        met = person & np.array([k not in passable for k in range(len(agents))], dtype=bool)
        ahead = flags & ~(met | behind)[None, :, None]
        passed = self._passed_before(movers, flags, ego, across)
        ahead &= ~(across[None] & passed)[:, :, None]
        merging = np.array([a.intention is AgentIntention.MERGES for a in agents], dtype=bool)
        ahead = pace.soon(ahead, np.where(across | merging, 2.0, 1.0))
        low, speed = (
            pace.over_time(movers.low),
            np.repeat(movers.speed[:, None], pace.STEPS, axis=1),
        )
        if len(agents):
            speed = np.gradient(low, pace.DT, axis=1)
        gap = np.full(len(agents), self._config.gap)
        gap[list(passable)] = 7.5
        headway = np.where(movers.static | across, 0.5, self._config.headway)
        ends = [c.end for c in ways]
        rows = [g.s for g in gates] + [e for e in ends if np.isfinite(e)]
        active = np.zeros((len(ways), len(rows), pace.STEPS), dtype=bool)
        active[:, : len(gates)] = True
        for k, c in enumerate(i for i, e in enumerate(ends) if np.isfinite(e)):
            active[c, len(gates) + k] = True
        fixed = np.repeat(np.array(rows, dtype=np.float64).reshape(-1, 1), pace.STEPS, axis=1)
        both = pace.Obstacles(
            np.concatenate([low, fixed]),
            np.concatenate([speed, np.zeros_like(fixed)]),
            np.concatenate([ahead, active], axis=1),
            np.concatenate([gap, np.full(len(rows), 0.6)]),
            np.concatenate([headway, np.full(len(rows), 0.45)]),
        )
        return both, flags

    def _passed_before(
        self,
        movers: Movers,
        flags: NDArray[np.bool_],
        ego: EgoMotion,
        across: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Crossers (candidates, n) that come only after the ego has gone by."""
        first = np.where(flags.any(axis=2), flags.argmax(axis=2) * pace.DT, np.inf)
        length = ego.front - ego.rear
        gone = np.array(
            [
                ego.time_to(
                    float(movers.high[k].max()) + length + 1.0 - ego.front,
                    max(ego.speed, 4.0),
                )
                for k in range(len(movers.agents))
            ]
        )
        return (first > gone + 0.8) & across[None]

    def _overlaps(self, movers: Movers, profiles: pace.Profiles, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether each candidate overlaps each predicted box ahead at each step."""
        low, high = pace.over_time(movers.low), pace.over_time(movers.high)
        s = profiles.s[:, None, :-1]
        overlap = (s + self._front + 0.2 > low[None]) & (s - self._vehicle.rear_overhang - 0.2 < high[None]) & flags
        # Who follows is responsible for not running into the ego's tail.
        start = profiles.s[0, 0]
        follows = (movers.high[:, 0] < start - self._vehicle.rear_overhang) & (np.abs(movers.turn) < 0.7)
        return np.asarray(overlap & ~follows[None, :, None])

    def _crashes(
        self,
        path: RoutePath,
        movers: Movers,
        offsets: Array,
        profiles: pace.Profiles,
        flags: NDArray[np.bool_],
    ) -> Array:
        """Seconds (candidates,) to the first overlap with a predicted box ahead; inf for none."""
        if not len(movers.agents):
            return np.full(len(offsets), np.inf)
        hit = np.asarray(self._overlaps(movers, profiles, flags).any(axis=1))
        return np.where(hit.any(axis=1), hit.argmax(axis=1) * pace.DT, np.inf)

    def _choose(
        self,
        path: RoutePath,
        movers: Movers,
        offsets: Array,
        ways: list[Candidate],
        profiles: pace.Profiles,
        flags: NDArray[np.bool_],
        ego: EgoMotion,
    ) -> tuple[int, float]:
        """The best candidate and the seconds to its first predicted collision."""
        crashes = self._crashes(path, movers, offsets, profiles, flags)
        progress = profiles.s[:, -1] - profiles.s[:, 0]
        hardest = profiles.a.min(axis=1)
        cost = -progress + 4.0 * np.maximum(-hardest - 2.5, 0.0)
        cost += np.array([c.cost for c in ways])
        cost += np.where(crashes < 6.0, 40.0 - 5.0 * np.minimum(crashes, 6.0), 0.0)
        cost += 60.0 * self._cuts_off(movers, offsets, path, ego)
        cost -= np.array([4.0 if c.way is self._memory.way else 0.0 for c in ways])
        best = int(cost.argmin())
        return best, float(crashes[best])

    def _cuts_off(self, movers: Movers, offsets: Array, path: RoutePath, ego: EgoMotion) -> NDArray[np.bool_]:
        """Candidates (n,) that move over in front of someone who would have to brake hard."""
        out = np.zeros(len(offsets), dtype=bool)
        now = float(np.interp(ego.rear + self._vehicle.rear_overhang, path.along, offsets[0]))
        half = self._vehicle.width / 2 + 0.25
        for k, agent in enumerate(movers.agents):
            if movers.static[k] or agent.cls is AgentClass.PEDESTRIAN or abs(movers.turn[k]) > 0.7:
                continue
            behind = ego.front - 1.0 - movers.high[k, 0]
            if behind < 0.0 or behind > 45.0 or movers.high[k, 0] > ego.front:
                continue
            if movers.right[k, 0] < now + half and movers.left[k, 0] > now - half:
                continue
            closing = max(float(movers.speed[k]) - ego.speed, 0.0)
            room = ego.rear - float(movers.high[k, 0])
            if room > 2.0 + 0.4 * float(movers.speed[k]) and closing**2 / (2 * max(room - 2.0, 0.1)) < 2.0:
                continue
            s = np.linspace(ego.front, ego.front + max(2.0 * ego.speed, 5.0), 6)
            for c, offset in enumerate(offsets):
                at = np.interp(s, path.along, offset)
                out[c] |= bool(((movers.right[k, 0] < at + half) & (movers.left[k, 0] > at - half)).any())
        return out

    def _trajectory(self, scene: Scene, path: RoutePath, profile: pace.Profiles, offset: Array) -> Trajectory:
        t = 0.1 * np.arange(1, PLAN_POINTS + 1)
        clock = pace.DT * np.arange(pace.STEPS + 1)
        s = np.interp(t, clock, profile.s[0])
        v, a = np.interp(t, clock, profile.v[0]), np.interp(t, clock, profile.a[0])
        d = np.interp(s, path.along, offset)
        world = path.place(s, d)
        slope = np.interp(s, path.along, np.gradient(offset, path.along))
        bend = np.interp(s, path.along, path.curvature)
        yaw = path.heading(s) + np.arctan2(slope, np.maximum(1.0 - bend * d, 0.2))
        local = scene.ego.pose.inverse_transform(world)
        turn = (yaw - scene.ego.pose.yaw + np.pi) % (2 * np.pi) - np.pi
        rows = np.column_stack([t, local, turn, v, a])
        return Trajectory(scene.stamp, scene.ego.pose, rows, 1.0)


def _pick(profiles: pace.Profiles, k: int) -> pace.Profiles:
    one = slice(k, k + 1)
    return pace.Profiles(
        profiles.s[one],
        profiles.v[one],
        profiles.a[one],
        profiles.held[one],
        profiles.demand[one],
    )


def _only(obstacles: pace.Obstacles, k: int, times: int) -> pace.Obstacles:
    return replace(obstacles, active=np.repeat(obstacles.active[k : k + 1], times, axis=0))


def _in_blocks(movers: Movers, k: int, blocks: list[Block]) -> bool:
    return any(
        b.low - 0.1 <= movers.low[k, 0]
        and movers.high[k, 0] <= b.high + 0.1
        and movers.left[k, 0] <= b.left + 0.1
        and movers.right[k, 0] >= b.right - 0.1
        for b in blocks
    )
