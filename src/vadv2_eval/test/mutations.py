"""Deliberate mistakes in the metrics: what a wrong port would do."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parents[1] / "vadv2_eval"


class Mutation(NamedTuple):
    """One mistake: what it is, in which module, which text, and what it becomes."""

    name: str
    module: str
    old: str
    new: str


def source_of(mutation: Mutation) -> str:
    return (PACKAGE / (mutation.module.replace(".", "/") + ".py")).read_text()


def mutated_source(mutation: Mutation) -> str:
    return source_of(mutation).replace(mutation.old, mutation.new, 1)


MUTATIONS = [
    Mutation(
        "jerk penalty put right (differences)",
        "pdms.lqr",
        "        penalty[row, 1 + row] = -1.0",
        "        penalty[row, 1 + row : 3 + row] = -1.0, 1.0",
    ),
    Mutation("no jerk penalty", "pdms.lqr", "SPEED_PENALTY = 1e-4", "SPEED_PENALTY = 0.0"),
    Mutation(
        "curvature rate penalty ten times too large",
        "pdms.lqr",
        "CURVATURE_RATE_PENALTY = 1e-2",
        "CURVATURE_RATE_PENALTY = 1e-1",
    ),
    Mutation(
        "Euler with the new speed",
        "pdms.lqr",
        "now[X] + dt * now[VX] * np.cos",
        "now[X] + dt * (now[VX] + dt * after[AX]) * np.cos",
    ),
    Mutation(
        "heading turned by the new steering angle",
        "pdms.lqr",
        "now[VX] * np.tan(now[STEERING]) / vehicle",
        "now[VX] * np.tan(after[STEERING]) / vehicle",
    ),
    Mutation("look-ahead one step short", "pdms.lqr", "LOOK_AHEAD = 10", "LOOK_AHEAD = 9"),
    Mutation("no stopping rule", "pdms.lqr", "STOPPING_SPEED = 0.2", "STOPPING_SPEED = -1.0"),
    Mutation("lateral error with the other sign", "pdms.lqr", "lateral = -(now[X]", "lateral = (now[X]"),
    Mutation(
        "tracking the next step's pose",
        "pdms.lqr",
        "sin_ref, cos_ref = np.sin(path[i, 2]), np.cos(path[i, 2])",
        "sin_ref, cos_ref = np.sin(path[i + 1, 2]), np.cos(path[i + 1, 2])",
    ),
    Mutation("steering lag left out", "pdms.lqr", "STEERING_LAG = 0.05", "STEERING_LAG = 0.0"),
    Mutation(
        "headings interpolated without unwrapping",
        "pdms.path",
        "np.unwrap(world[:, :, 2], axis=1)",
        "wrap_angle(world[:, :, 2])",
    ),
    Mutation("poses taken as world poses", "pdms.path", "x0 + c * p[:, :, 0] - s * p[:, :, 1]", "x0 + p[:, :, 0]"),
    Mutation("wheel base of another car", "pdms.scene", "wheel_base: float = 3.089", "wheel_base: float = 2.9"),
    Mutation(
        "box centred on the rear axle",
        "pdms.scene",
        "return 0.5 * (self.front - self.rear)",
        "return 0.0 * (self.front - self.rear)",
    ),
    Mutation(
        "tracks not bridged over gaps",
        "pdms.tracks",
        "there = (grid >= knots[0]) & (grid <= knots[-1])",
        "there = np.isin(grid // 5 * 5, knots)",
    ),
    Mutation(
        "a single sighting exists only then",
        "pdms.tracks",
        "            boxes[i] = states[0, :3]\n            continue",
        "            pass",
    ),
    Mutation(
        "stopped judged by the last speed",
        "pdms.tracks",
        "np.hypot(states[0, 3], states[0, 4])",
        "np.hypot(states[-1, 3], states[-1, 4])",
    ),
    Mutation(
        "static classes can move",
        "pdms.tracks",
        "static | (first_speed <= STOPPED_SPEED)",
        "first_speed <= STOPPED_SPEED",
    ),
    Mutation(
        "circles instead of boxes", "pdms.tracks", "    return p[touch], k[touch], t[touch]", "    return p, k, t"
    ),
    Mutation(
        "track one step late",
        "pdms.tracks",
        "boxes = table.boxes[:, ahead : ahead + steps]",
        "boxes = np.roll(table.boxes, 1, axis=1)[:, ahead : ahead + steps]",
    ),
    Mutation(
        "contacts from behind are at fault",
        "pdms.metrics",
        "behind = _bearing_cosine(batch, table, pairs) < BEHIND_COS",
        "behind = _bearing_cosine(batch, table, pairs) < -2.0",
    ),
    Mutation(
        "no front bumper test",
        "pdms.metrics",
        "            CollisionType.ACTIVE_FRONT_COLLISION,\n        ],",
        "            CollisionType.ACTIVE_LATERAL_COLLISION,\n        ],",
    ),
    Mutation(
        "lateral contacts always at fault",
        "pdms.metrics",
        "((kind == CollisionType.ACTIVE_LATERAL_COLLISION) & careless)",
        "(kind == CollisionType.ACTIVE_LATERAL_COLLISION)",
    ),
    Mutation(
        "a dropped track comes back",
        "pdms.metrics",
        "    return np.asarray(rank <= first[group])",
        "    return np.ones(len(rank), dtype=bool)",
    ),
    Mutation(
        "static contact costs everything",
        "pdms.metrics",
        "np.where(table.static[pairs.track[guilty]], 0.5, 0.0)",
        "0.0",
    ),
    Mutation("standing ego at fault", "pdms.metrics", "STOPPED_EGO_SPEED = 0.05", "STOPPED_EGO_SPEED = -1.0"),
    Mutation("time to collision looks 0.8 s ahead", "pdms.metrics", "(0, 3, 6, 9)", "(0, 3, 6, 8)"),
    Mutation(
        "time to collision without the intersection clause", "pdms.metrics", " | flags.axle_in_intersection[p, k]", ""
    ),
    Mutation("time to collision of a wider cone", "pdms.metrics", "np.deg2rad(30.0)", "np.deg2rad(60.0)"),
    Mutation(
        "v2 time to collision over the whole horizon",
        "pdms.metrics",
        "table.boxes.shape[1] - 1 - TTC_AHEADS[-1]",
        "table.boxes.shape[1] - 1",
    ),
    Mutation("progress threshold of v1.0", "pdms.metrics", "PROGRESS_THRESHOLD = 5.0", "PROGRESS_THRESHOLD = 0.1"),
    Mutation(
        "v2 progress multiplied", "pdms.metrics", "raw * product if multiplied else raw, best", "raw * product, best"
    ),
    Mutation(
        "progress may be negative",
        "pdms.metrics",
        "np.asarray(np.maximum(end - start, 0.0))",
        "np.asarray(end - start)",
    ),
    Mutation("direction window one sample short", "pdms.metrics", "DIRECTION_WINDOW = 11", "DIRECTION_WINDOW = 10"),
    Mutation(
        "direction counted inside intersections in v2",
        "pdms.metrics",
        "    if not intersections_count:",
        "    if False:",
    ),
    Mutation(
        "roadblocks are not drivable",
        "pdms.scene",
        'frozenset({"ROADBLOCK", "INTERSECTION", "CARPARK_AREA", "DRIVABLE_AREA"})',
        'frozenset({"INTERSECTION", "CARPARK_AREA", "DRIVABLE_AREA"})',
    ),
    Mutation(
        "lanes are drivable",
        "pdms.scene",
        'frozenset({"ROADBLOCK", "INTERSECTION",',
        'frozenset({"ROADBLOCK", "LANE", "LANE_CONNECTOR", "INTERSECTION",',
    ),
    Mutation("car parks are not drivable", "pdms.scene", '"CARPARK_AREA", "DRIVABLE_AREA"})', '"DRIVABLE_AREA"})'),
    Mutation("one corner off is enough for the lanes too", "pdms.areas", " & ~(all_corners != 0).any(axis=0)", ""),
    Mutation(
        "off route judged by the rear axle",
        "pdms.areas",
        "index.containing(centres.reshape(-1, 2), route",
        "index.containing(axles.reshape(-1, 2), route",
    ),
    Mutation(
        "the grid is taken for the polygons",
        "pdms.areas",
        "& wanted & ~edges\n",
        "& wanted\n        edges = edges & np.uint64(0)\n",
    ),
    Mutation(
        "v1 comfort with the v2 window",
        "pdms.comfort",
        "states[..., HEADING], (n, n))",
        "states[..., HEADING], (8, 15))",
    ),
    Mutation(
        "comfort without smoothing before the jerk",
        "pdms.comfort",
        "_filtered(_filtered(longitudinal, 8), jerk, derivative=1)",
        "_filtered(longitudinal, jerk, derivative=1)",
    ),
    Mutation(
        "yaw acceleration by a parabola",
        "pdms.comfort",
        "_filtered(heading, 5, order=3, derivative=2),",
        "_filtered(heading, 5, derivative=2),",
    ),
    Mutation("history with the sample at -0.1 s", "pdms.comfort", "HISTORY_DROPPED = 1", "HISTORY_DROPPED = 0"),
    Mutation(
        "v2 acceleration at the rear axle",
        "pdms.comfort",
        "centre_ax = ax + vehicle.centre_ahead *",
        "centre_ax = ax + 0.0 *",
    ),
    Mutation(
        "extended comfort shifted one step too few",
        "pdms.comfort",
        "shift = round(gap / SIMULATION_DT)",
        "shift = round(gap / SIMULATION_DT) - 1",
    ),
    Mutation(
        "red lights off the route count",
        "pdms.epdms",
        "polygon.layer not in LANE_LAYERS or polygon.id not in scene.map.route_lane_ids",
        "polygon.layer not in LANE_LAYERS",
    ),
    Mutation(
        "lights looked up one frame late",
        "pdms.epdms",
        "np.arange(steps) // OBSERVATION_STEPS, len",
        "np.arange(steps) // OBSERVATION_STEPS + 1, len",
    ),
    Mutation(
        "lane keeping counter reset in intersections",
        "pdms.epdms",
        "np.where(skipped, counter, np.where",
        "np.where(skipped, 0, np.where",
    ),
    Mutation("lane keeping one step early", "pdms.epdms", "LANE_STEPS = 20", "LANE_STEPS = 19"),
    Mutation(
        "tracks overlapping at the start stay in v2",
        "pdms.epdms",
        "table = table.without(_overlapping_at_start(batch, table))",
        "pass",
    ),
    Mutation(
        "human filter also lifts 0.5",
        "pdms.epdms",
        "np.where(human[name] == 0.0, 1.0",
        "np.where(human[name] < 1.0, 1.0",
    ),
    Mutation(
        "extended comfort filtered too",
        "pdms.epdms",
        "if name in human and name in SUBMETRICS_V2 else values",
        "if name in human else np.ones_like(values)",
    ),
    Mutation(
        "follow-ups weighed by distance, not its square",
        "pdms.epdms",
        "np.exp(-(np.asarray(distances, dtype=np.float64) ** 2)",
        "np.exp(-np.abs(np.asarray(distances, dtype=np.float64))",
    ),
    Mutation(
        "follow-up kernel of another width", "pdms.epdms", "FOLLOW_UP_VARIANCE = 0.1", "FOLLOW_UP_VARIANCE = 0.01"
    ),
    Mutation(
        "stages added instead of multiplied",
        "pdms.epdms",
        "stage_one * np.dot(follow_up_weights(distances), stage_two)",
        "0.5 * (stage_one + np.dot(follow_up_weights(distances), stage_two))",
    ),
    Mutation(
        "weights of comfort and progress exchanged",
        "pdms.score",
        '{"ego_progress": 5.0, "time_to_collision_within_bound": 5.0, "comfort": 2.0}',
        '{"ego_progress": 2.0, "time_to_collision_within_bound": 5.0, "comfort": 5.0}',
    ),
    Mutation(
        "UniAD read as a mirrored grid",
        "open_loop.grid",
        "columns = (-x if raster is Raster.STP3 else x) + column",
        "columns = -x + column",
    ),
    Mutation(
        "VAD's point offset put right", "open_loop.grid", "np.float32(-FIRST_CENTRE / 2.0)", "np.float32(-FIRST_CENTRE)"
    ),
    Mutation(
        "VAD rounds like UniAD",
        "open_loop.grid",
        "rows = CELLS - (y + row) if raster is Raster.VAD else y + row",
        "rows = CELLS - 1 - np.trunc(y + row) if raster is Raster.VAD else y + row",
    ),
    Mutation(
        "footprint not moved ahead", "open_loop.grid", "EGO_AHEAD = 1.85, 4.084, 0.5", "EGO_AHEAD = 1.85, 4.084, 0.0"
    ),
    Mutation(
        "footprint not clipped at the border",
        "open_loop.grid",
        "    return np.asarray(_lookup(grids, r, c).any(axis=-1))",
        "    on = (rows >= 0) & (rows < CELLS) & (columns >= 0) & (columns < CELLS)\n"
        "    return np.asarray((_lookup(grids, r, c) & on).any(axis=-1))",
    ),
    Mutation("human hits not masked", "open_loop.conventions", "pred_box & ~gt_box", "pred_box"),
    Mutation(
        "UniAD L2 without the mask",
        "open_loop.conventions",
        'out["exp_uniad_l2"] = _distance(samples, masked=True)',
        'out["exp_uniad_l2"] = _distance(samples, masked=False)',
    ),
    Mutation(
        "mean up to the second instead of at the step",
        "open_loop.conventions",
        'out[f"agg_uniad_{name}"] = at_step',
        'out[f"agg_uniad_{name}"] = _running(at_step)',
    ),
    Mutation(
        "UniAD drops partial samples",
        "open_loop.conventions",
        'at_step = _mean(cases[f"exp_uniad_{name}"])',
        'at_step = _mean(cases[f"exp_uniad_{name}"], fut_valid)',
    ),
    Mutation(
        "vehicles and people for UniAD's raster",
        "open_loop.rasterise",
        "wanted = VEHICLE_CLASSES if raster is Raster.UNIAD else",
        "wanted = VEHICLE_CLASSES | PEOPLE_CLASSES if True else",
    ),
    Mutation(
        "cones on the raster",
        "open_loop.rasterise",
        "frozenset({0, 1, 2, 3, 4, 6, 7})",
        "frozenset({0, 1, 2, 3, 4, 5, 6, 7, 9})",
    ),
    Mutation("standing ego keeps its noisy yaw", "open_loop.oriented", "STILL = 0.5", "STILL = 0.0"),
    Mutation("oriented box not moved ahead", "open_loop.oriented", "centre = p + EGO_AHEAD *", "centre = p + 0.0 *"),
]
