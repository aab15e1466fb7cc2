"""The parts of PDMS against slow and plain second ways of computing the same, and the edges of the rules."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from vadv2_core.errors import InputError
from vadv2_core.geometry import box_corners
from vadv2_eval.pdms import epdms
from vadv2_eval.pdms.areas import AreaIndex
from vadv2_eval.pdms.benchmark import dense_scene
from vadv2_eval.pdms.comfort import comfort_signals_v1, comfort_signals_v2
from vadv2_eval.pdms.epdms import lane_drift_step
from vadv2_eval.pdms.lqr import HEADING, curvature_profile, speed_profile
from vadv2_eval.pdms.metrics import ego_progress, time_to_collision
from vadv2_eval.pdms.path import reference_paths
from vadv2_eval.pdms.scene import PACIFICA, EgoStart, MapPolygon, PdmsScene, PoseSequence, ScoringMap, Track
from vadv2_eval.pdms.scene_case import parse_case
from vadv2_eval.pdms.score import drive, score_batch, score_proposals
from vadv2_eval.pdms.tracks import Overlaps, boxes_touch, track_table


def test_profiles_are_the_least_squares_solution():
    """Against the dense normal equations of the specification, with its penalty rows written out."""
    rng = np.random.default_rng(3)
    poses = np.cumsum(rng.uniform(0.0, 1.2, (5, 40, 1)) * [1.0, 0.1, 0.02], axis=1)
    poses[4] = 0.0
    paths = reference_paths(poses, 0.1, (3.0, -2.0, 3.1), 40)
    speeds = speed_profile(paths)
    curvatures = curvature_profile(paths, speeds)
    dt, m = 0.1, 40
    chain = np.tril(np.full((m, m), dt))
    chain[:, 0] = 1.0
    penalty = np.zeros((38, m))
    penalty[np.arange(38), np.arange(38) + 1] = -1.0
    penalty[-1, -1] = 1.0
    for path, v, k in zip(paths, speeds, curvatures, strict=True):
        heading = path[:-1, 2]
        a = dt * np.concatenate([np.cos(heading)[:, None] * chain, np.sin(heading)[:, None] * chain])
        b = np.concatenate(np.diff(path[:, :2], axis=0).T)
        z = np.linalg.pinv(a.T @ a + 1e-4 * penalty.T @ penalty) @ a.T @ b
        assert np.allclose(chain @ z, v, atol=1e-9)
        turned = (np.diff(path[:, 2]) + np.pi) % (2 * np.pi) - np.pi
        a = (dt * v)[:, None] * chain
        ridge = np.diag([1e-10] + [1e-2] * (m - 1))
        z = np.linalg.pinv(a.T @ a + ridge) @ a.T @ turned
        assert np.allclose(chain @ z, k, atol=1e-6)


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(*[st.floats(-4, 4)] * 2, st.floats(-4, 4)),
    st.tuples(*[st.floats(0.1, 3)] * 4),
    st.floats(-4, 4),
)
def test_separating_axes_agree_with_polygons(other, sizes, heading):
    a, b = np.array([[0.3, -0.2, heading]]), np.array([other])
    (al, aw, bl, bw) = (np.array([s]) for s in sizes)
    one = shapely.Polygon(box_corners(a[:, 0], a[:, 1], a[:, 2], 2 * al, 2 * aw)[0])
    two = shapely.Polygon(box_corners(b[:, 0], b[:, 1], b[:, 2], 2 * bl, 2 * bw)[0])
    gap = one.distance(two)
    overlap = one.intersection(two).area
    if gap > 1e-9 or overlap > 1e-9:
        assert bool(boxes_touch(a, (al, aw), b, (bl, bw))[0]) == (gap == 0.0)


def test_the_grid_knows_what_the_polygons_hold(raw_cases):
    """Including points on outlines, which are outside, and outlines that are not convex."""
    rng = np.random.default_rng(0)
    for raw in raw_cases[:10]:
        case = parse_case(raw, "test")
        ego = case.scene.ego.rear_axle[:2]
        points = ego + rng.uniform(-40, 40, (3000, 2))
        points[:50] = case.scene.map.polygons[0].exterior[0]
        index = AreaIndex(case.scene.map, points.min(axis=0), points.max(axis=0), len(points))
        bits = index.containing(points, index.mask([True] * len(index.polygons)))
        assert len(index.polygons) <= 64
        for i, polygon in enumerate(index.polygons):
            expected = shapely.contains_xy(shapely.Polygon(polygon.exterior), points)
            assert np.array_equal((bits[0] >> np.uint64(i)) & np.uint64(1) == 1, expected), polygon.id


def test_more_polygons_than_a_word_has_bits():
    squares = [MapPolygon(str(i), "LANE", np.array([[i, 0], [i + 1, 0], [i + 1, 1], [i, 1.0]])) for i in range(150)]
    points = np.column_stack([np.arange(150) + 0.5, np.full(150, 0.5)])
    index = AreaIndex(ScoringMap(tuple(squares), points, frozenset()), points.min(axis=0), points.max(axis=0), 150)
    bits = index.containing(points, index.mask([True] * 150))
    assert bits.shape[0] == 3
    assert np.bitwise_count(bits).sum(axis=0).tolist() == [1] * 150


def _track(token, kind, rows):
    return Track(token, kind, 4.0, 2.0, np.array([[np.nan] * 5 if r is None else r for r in rows], dtype=float))


def test_tracks_between_observations_gaps_and_single_sightings():
    rows = [None, [0, 0, 3.1, 1, 0], None, [4, 2, -3.1, 1, 0], None, None, None, None, None, None, None]
    table = track_table(
        [_track("gap", "vehicle", rows), _track("once", "vehicle", [*[None] * 6, [9, 9, 1, 0, 0], *[None] * 4])], 11
    )
    gap, once = table.boxes
    assert np.isnan(gap[:5, 0]).all() and np.isnan(gap[16:, 0]).all()
    assert gap[10, :2].tolist() == [2.0, 1.0]
    assert abs(abs(gap[10, 2]) - np.pi) < 1e-9
    assert once.tolist() == [[9.0, 9.0, 1.0]] * 51
    assert table.stopped.tolist() == [False, True]


def test_a_track_that_stops_later_is_not_a_stopped_track():
    moving = [[0, 0, 0, 3, 0], *[[1.5, 0, 0, 0, 0]] * 10]
    table = track_table([_track("t", "vehicle", moving), _track("c", "traffic_cone", [[5, 5, 0, 9, 9]] * 11)], 11)
    assert table.stopped.tolist() == [False, True]


@pytest.mark.parametrize(
    ("raw", "product", "reference", "multiplied", "expected"),
    [
        (10.0, 1.0, 20.0, True, 0.5),
        (30.0, 1.0, 20.0, True, 1.0),
        (10.0, 0.5, 20.0, True, 0.25),
        (10.0, 0.5, 20.0, False, 0.5),
        (3.0, 1.0, 4.9, True, 1.0),
        (3.0, 0.0, 4.9, True, 0.0),
        (3.0, 0.0, 4.9, False, 1.0),
    ],
)
def test_progress(raw, product, reference, multiplied, expected):
    got = ego_progress(
        np.array([raw]), np.array([product]), np.array([reference]), np.array([1.0]), multiplied=multiplied
    )
    assert got[0] == pytest.approx(expected)


def test_a_short_plan_is_held_and_a_long_one_cut():
    path = reference_paths(np.array([[[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]]]), 0.5, (0, 0, 0), 40)
    assert path[0, 5, 0] == 1.0 and path[0, 10, 0] == 2.0 and path[0, 40, 0] == 2.0


def test_any_horizon_and_rate_can_be_scored():
    scene, reference = dense_scene(tracks=0)
    poses = np.column_stack([np.arange(1, 17) * 4.5, np.zeros(16), np.zeros(16)])[None]
    eight_seconds = score_proposals(scene, poses, 0.5, reference, steps=80)
    assert eight_seconds.batch.rollout.states.shape == (2, 81, 11)
    for steps in (1, 2, 5, 15):
        short = score_proposals(scene, poses, 0.5, reference, steps=steps)
        assert np.isfinite(short.score).all()


def test_plans_that_cannot_be_simulated_are_refused():
    scene, reference = dense_scene(tracks=0)
    with pytest.raises(InputError, match="at least one pose"):
        drive(scene, [(np.zeros((1, 0, 3)), 0.5)])
    bad = reference.poses[None].copy()
    bad[0, 7, 1] = np.nan
    with pytest.raises(InputError, match="pose 7 is not finite"):
        drive(scene, [(bad, 0.1)])
    with pytest.raises(InputError, match="seconds above 0"):
        drive(scene, [(reference.poses[None], 0.0)])
    with pytest.raises(InputError, match="at least one step"):
        drive(scene, [(reference.poses[None], 0.1)], steps=0)


def test_standing_still_scores_by_the_rules():
    """v0 = 0 and a plan of zeros: nothing moves, no division by zero, EP 1 while the reference is under 5 m."""
    scene, _ = dense_scene(tracks=0)
    start = EgoStart(scene.ego.rear_axle, np.zeros(2), np.zeros(2))
    still = PoseSequence(0.5, np.zeros((8, 3)))
    result = score_proposals(PdmsScene(start, scene.map, ()), still.poses[None], 0.5, still)
    assert np.allclose(result.batch.rollout.states[1, :, :2], scene.ego.rear_axle[:2])
    assert result.progress[1] == 1.0
    assert result.score[1] == 1.0


def _straight(speeds, start_speed=5.0, polygons=(), tracks=(), accelerations=0.0):
    """One proposal straight along +x at given mean speeds a step, in a wide road unless given polygons."""
    road = MapPolygon("road", "ROADBLOCK", np.array([[-50, -20], [90, -20], [90, 20], [-50, 20.0]]))
    scene = PdmsScene(
        EgoStart(np.zeros(3), np.array([start_speed, 0.0]), np.array([accelerations, 0.0])),
        ScoringMap(polygons or (road,), np.array([[-50.0, 0.0], [200.0, 0.0]]), frozenset()),
        tuple(tracks),
    )
    x = np.cumsum(np.broadcast_to(speeds, 40)) * 0.1
    return scene, drive(scene, [(np.column_stack([x, np.zeros(40), np.zeros(40)])[None], 0.1)])


def _fixed(token, x, y, kind="traffic_cone"):
    return Track(token, kind, 0.4, 0.4, np.tile([x, y, 0.0, 0.0, 0.0], (11, 1)))


def test_a_standing_ego_is_never_at_fault():
    scene, batch = _straight(0.0, start_speed=0.0, tracks=[_fixed("in_it", 2.0, 0.0)])
    scores = score_batch(scene, batch)
    assert scores.contacts.value[0] == 1.0 and set(scores.contacts.kind.tolist()) == {0}
    assert score_batch(scene, _straight(1.0, start_speed=1.0)[1]).contacts.value[0] == 0.5


def test_v2_looks_for_collisions_until_step_31_and_v1_until_40():
    scene, batch = _straight(5.0, tracks=[_fixed("ahead", 60.0, 0.0)])
    for table, last in ((track_table(scene.tracks, 9), 31), (track_table(scene.tracks, 11), 40)):
        for step in (31, 32, 40):
            pair = Overlaps(*(np.array([v]) for v in (0, step, 0, 0)))
            found = time_to_collision(batch, table, pair)
            assert found.value[0] == (0.0 if step <= last else 1.0), (last, step)


def test_a_lane_alone_is_not_drivable():
    lane = MapPolygon("lane", "LANE", np.array([[-50, -20], [90, -20], [90, 20], [-50, 20.0]]))
    _, on_lane = _straight(5.0, polygons=(lane,))
    assert on_lane.flags.non_drivable.all()
    _, on_road = _straight(5.0)
    assert not on_road.flags.non_drivable.any()


def test_yaw_acceleration_is_exact_for_a_cubic_and_so_are_the_edges():
    t = np.arange(41) * 0.1
    states = np.zeros((1, 41, 11))
    states[0, :, HEADING] = 0.05 * t**3
    for signals in (comfort_signals_v1(states), comfort_signals_v2(states, PACIFICA)):
        assert np.allclose(signals[0, 4], 0.3 * t, atol=1e-6)
        assert np.allclose(signals[0, 5, 2:-2], 0.15 * t[2:-2] ** 2 + 0.05 * 0.034, atol=1e-6)


def test_lane_keeping_skips_intersections_without_forgetting():
    """15 steps off the line, some in an intersection, 10 more off the line: 25 counted in a row."""
    line = ScoringMap(
        (
            MapPolygon("road", "ROADBLOCK", np.array([[-50, -20], [90, -20], [90, 20], [-50, 20.0]])),
            MapPolygon("cross", "INTERSECTION", np.array([[9.0, -20], [14.0, -20], [14.0, 20], [9.0, 20.0]])),
        ),
        np.array([[-50.0, 2.0], [200.0, 2.0]]),
        frozenset(),
    )
    scene, batch = _straight(5.0, polygons=line.polygons)
    there = batch.flags.centre_in_intersection[0]
    assert there[0] == there[-1] == 0 and there.sum() in range(8, 12)
    before = int(there.argmax())
    assert before < 20
    drift = lane_drift_step(PdmsScene(scene.ego, line, ()), batch)
    assert drift[0] == before + there.sum() + (20 - before) - 1
    on_line = ScoringMap(line.polygons, np.array([[-50.0, 0.4], [200.0, 0.4]]), frozenset())
    assert lane_drift_step(PdmsScene(scene.ego, on_line, ()), batch)[0] == -1


def test_follow_ups_weigh_by_how_near_they_start_to_where_stage_one_ended():
    weights = epdms.follow_up_weights(np.array([0.0, 0.5, 0.5]))
    kernel = np.exp(-0.25 / 0.2)
    assert weights == pytest.approx(np.array([1.0, kernel, kernel]) / (1.0 + 2.0 * kernel))
    assert epdms.follow_up_weights(np.array([40.0, 60.0])) == pytest.approx([0.5, 0.5]), "none is near: all alike"
    assert epdms.follow_up_weights(np.array([])).shape == (0,)


def test_two_stages_multiply_and_groups_are_averaged():
    near, far = np.array([0.0, 10.0]), np.array([0.8, 0.1])
    assert epdms.two_stage_score(0.5, far, near) == pytest.approx(0.5 * 0.8)
    assert epdms.two_stage_score(0.5, far, np.array([30.0, 30.0])) == pytest.approx(0.5 * 0.45)
    assert epdms.two_stage_score(0.0, far, near) == 0.0
    assert epdms.two_stage_total([(0.4, 0.6), (1.0, 0.0), (0.3, 0.3)]) == pytest.approx((0.5 + 0.5 + 0.3) / 3)
    with pytest.raises(InputError, match="no group"):
        epdms.two_stage_total([])
