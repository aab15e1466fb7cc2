"""The renderer against geometry that is known: a hand-made road, boxes where they were put, lamps that differ."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from two_processes import assert_equal_digests

from vadv2_core.camera import CameraModel, CameraRig, load_rig
from vadv2_core.command import DrivingCommand
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.scene import Agent, Lane, RoadMap, Scene, SignalHead
from vadv2_core.taxonomy import AgentClass, DrivingAction, LaneKind, SignalState, Weather
from vadv2_sim.renderer import Renderer, RendererConfig, SemanticClass
from vadv2_sim.renderer.city import build_city
from vadv2_sim.renderer.sensor import CameraFault

RIG_FILE = Path(__file__).parents[3] / "config/rig/surround6.yaml"
POSE = Pose2(10.0, -1.75, 0.0)


def straight_road() -> RoadMap:
    """Two lanes of 3.5 m along x, one each way, and a signal head 40 m ahead of the front camera of `POSE`."""
    x = np.linspace(-60, 160, 12)
    east = Lane("east", LaneKind.ROAD, np.stack([x, np.full(12, -1.75)], 1), 3.5, 13.9)
    west = Lane("west", LaneKind.ROAD, np.stack([x[::-1], np.full(12, 1.75)], 1), 3.5, 13.9)
    head = SignalHead("head", "light", (POSE.x + 1.75 + 40.0, -4.2, 3.3), np.pi)
    outline = np.array([[-60.0, -3.5], [160.0, -3.5], [160.0, 3.5], [-60.0, 3.5]])
    return RoadMap("straight", "0", {"east": east, "west": west}, signal_heads=(head,), drivable=(outline,))


def scene_of(*agents: Agent, pose: Pose2 = POSE, state: SignalState = SignalState.RED, **changes) -> Scene:
    stamp = 5_000_000_000
    ego = EgoState(stamp, pose, (8.0, 0.0), (0.0, 0.0), 0.0, 0.0)
    command = DrivingCommand(stamp, "follow the lane", DrivingAction.LANE_FOLLOW)
    return replace(Scene(stamp, ego, agents, {"light": state}, command, None), **changes)


def box_at(name: str, x: float, y: float, size=(0.3, 0.3, 0.3), cls=AgentClass.GENERIC_OBJECT, yaw=0.0) -> Agent:
    world = POSE.transform((x, y))
    return Agent(name, cls, float(world[0]), float(world[1]), POSE.yaw + yaw, *size, (0.0, 0.0))


@pytest.fixture(scope="module")
def rig() -> CameraRig:
    return load_rig(RIG_FILE)


@pytest.fixture(scope="module")
def renderer(rig):
    made = Renderer(straight_road(), rig)
    yield made
    made.close()


@pytest.fixture(scope="module")
def bare(rig):
    """Without houses and trees, which may hide things."""
    made = Renderer(straight_road(), rig, RendererConfig(buildings=False))
    yield made
    made.close()


def odd_rig() -> CameraRig:
    turn = np.eye(4)
    yaw, pitch = 0.3, 0.12
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    turn[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    turn[:3, 3] = [0.4, -0.3, 2.1]
    k = np.array([[410.0, 0.0, 301.3], [0.0, 395.0, 170.8], [0.0, 0.0, 1.0]])
    small = CameraModel("small", 97, 61, np.array([[80.0, 0, 50], [0, 80.0, 28], [0, 0, 1]]), turn)
    return CameraRig((CameraModel("wide", 640, 360, k, turn), small))


def test_drawn_and_projected_agree_to_one_pixel(bare, rig):
    angles = np.radians(np.arange(5, 360, 20))
    boxes = tuple(box_at(f"b{i}", 9 * np.cos(a), 9 * np.sin(a)) for i, a in enumerate(angles))
    assert _worst_offset(bare, rig, boxes) < 1.0


def test_any_rig_agrees_to_one_pixel():
    rig = odd_rig()
    boxes = tuple(box_at(f"b{i}", 8.0, y, (0.4, 0.4, 0.4)) for i, y in enumerate((1.0, 2.5, 4.0)))
    made = Renderer(straight_road(), rig, RendererConfig(buildings=False))
    assert [i.shape for i in made.render(scene_of()).frame.images] == [(360, 640, 3), (61, 97, 3)]
    assert _worst_offset(made, rig, boxes) < 1.0
    made.close()


def _worst_offset(renderer: Renderer, rig: CameraRig, boxes: tuple[Agent, ...]) -> float:
    """Largest distance, px, between the middles of drawn silhouettes and of their projected corners."""
    truth = renderer.render(scene_of(*boxes), ground_truth=True).truth
    worst, compared = 0.0, 0
    for camera, image in zip(rig.cameras, truth.instances, strict=True):
        for number, box in enumerate(boxes):
            near = np.array([[sx, sy] for sx in (-0.5, 0.5) for sy in (-0.5, 0.5)]) * [box.length, box.width]
            corners = POSE.inverse_transform(near + np.array([box.x, box.y]))
            solid = np.concatenate([np.c_[corners, np.zeros(4)], np.c_[corners, np.full(4, box.height)]])
            pixels, depth = camera.project(solid)
            low, high = pixels.min(axis=0), pixels.max(axis=0)
            limit = np.array([camera.width, camera.height]) - 2
            if depth.min() < 0.5 or (low < 1).any() or (high > limit).any():
                continue
            rows, columns = np.nonzero(image == number + 1)
            drawn = 0.5 * np.array([columns.min() + columns.max(), rows.min() + rows.max()])
            worst = max(worst, float(np.abs(drawn - 0.5 * (low + high)).max()))
            compared += 1
    assert compared >= 3
    return worst


def test_red_and_green_differ_at_forty_metres(bare):
    red = bare.render(scene_of(state=SignalState.RED)).frame.images[0].astype(int)
    green = bare.render(scene_of(state=SignalState.GREEN)).frame.images[0].astype(int)
    changed = np.abs(red - green).max(axis=-1) > 60
    assert changed.sum() >= 8
    rows, columns = np.nonzero(changed)
    assert np.ptp(rows) < 14 and np.ptp(columns) < 8
    reddest = (red[..., 0] - red[..., 1])[changed].max()
    greenest = (green[..., 1] - green[..., 0])[changed].max()
    assert reddest > 100 and greenest > 100


def test_depth_and_classes_of_the_road_ahead(bare, rig):
    truth = bare.render(scene_of(), ground_truth=True).truth
    camera = rig["front"]
    pixel, depth = camera.project(np.array([12.0, 0.0, -0.02]))
    column, row = (round(float(v)) for v in pixel)
    assert abs(truth.depth[0][row, column] - depth) < 0.25
    assert truth.semantics[0][row, column] == SemanticClass.ROAD
    assert truth.semantics[0][2, 240] == SemanticClass.SKY and np.isinf(truth.depth[0][2, 240])


def test_who_stands_behind_a_truck_is_not_seen(bare):
    truck = box_at("truck", 12.0, 0.0, (8.0, 2.5, 3.4), AgentClass.TRUCK)
    hidden = box_at("hidden", 22.0, 0.0, (0.5, 0.5, 1.7), AgentClass.PEDESTRIAN)
    beside = box_at("beside", 12.0, 4.0, (0.5, 0.5, 1.7), AgentClass.PEDESTRIAN)
    truth = bare.visibility(scene_of(truck, hidden, beside))
    assert truth.visible_agents() == {"truck", "beside"}
    assert truth.camera_pixels["front"]["truck"] > 1000
    assert truth.visible_signals() == frozenset()
    assert bare.visibility(scene_of(hidden)).visible_signals() == {"light"}
    behind = scene_of(truck, hidden, beside, pose=Pose2(POSE.x + 60, POSE.y, np.pi))
    assert "light" not in bare.visibility(behind).visible_signals()


def test_same_scene_same_bytes_and_offset_is_a_moved_ego(renderer):
    agents = (box_at("car", 14.0, 0.0, (4.4, 1.8, 1.5), AgentClass.CAR),)
    rainy = scene_of(*agents, weather=Weather.RAIN, weather_intensity=0.7)
    first, again = renderer.render(rainy).frame, renderer.render(rainy).frame
    assert all((a == b).all() for a, b in zip(first.images, again.images, strict=True))
    shift = Pose2(0.5, 0.8, 0.15)
    moved = renderer.render(scene_of(*agents, pose=POSE.compose(shift))).frame
    shifted = renderer.render(scene_of(*agents), offset=shift).frame
    assert all((a == b).all() for a, b in zip(moved.images, shifted.images, strict=True))
    assert (moved.images[0] != renderer.render(scene_of(*agents)).frame.images[0]).mean() > 0.1


def test_brake_lamps_indicators_and_blue_lights_change_pixels(renderer):
    car = box_at("car", 15.0, 0.0, (4.4, 1.8, 1.5), AgentClass.CAR)
    plain = renderer.render(scene_of(car)).frame.images[0].astype(int)
    braking = renderer.render(scene_of(replace(car, braking=True))).frame.images[0].astype(int)
    assert ((braking - plain)[..., 0] > 60).sum() > 40
    stamps = (5_000_000_000, 5_340_000_000)
    left = [renderer.render(scene_of(replace(car, indicator=1), stamp=s)).frame.images[0] for s in stamps]
    assert (np.abs(left[0].astype(int) - left[1]).max(axis=-1) > 60).sum() > 8
    rescue = box_at("rescue", 15.0, 0.0, (5.8, 2.1, 2.6), AgentClass.EMERGENCY_VEHICLE)
    dark = renderer.render(scene_of(rescue)).frame.images[0].astype(int)
    blue = renderer.render(scene_of(replace(rescue, blue_light=True))).frame.images[0].astype(int)
    assert ((blue - dark)[..., 2] > 60).sum() > 40


def test_weathers_look_different(renderer):
    looks = [renderer.render(scene_of(weather=w, weather_intensity=0.6)).frame.images[0].mean() for w in Weather]
    assert looks[Weather.NIGHT] < 0.7 * looks[Weather.DAY]
    fog = renderer.render(scene_of(weather=Weather.FOG, weather_intensity=1.0)).frame.images[0]
    clear = renderer.render(scene_of()).frame.images[0]
    assert fog[60:110].std() < 0.7 * clear[60:110].std()


def test_camera_faults_by_argument_and_by_event(renderer, rig):
    frame = renderer.render(scene_of(), faults={"back": CameraFault.BLACK}).frame
    assert not frame.images[3].any() and list(frame.valid) == [True, True, True, False, True, True]
    event = scene_of(events=("camera_fault:front:noise",))
    noisy = renderer.render(event).frame
    assert np.abs(noisy.images[0].astype(int) - frame.images[0]).mean() > 20 and noisy.valid.all()
    with pytest.raises(InputError, match="unknown camera fault"):
        renderer.render(scene_of(events=("camera_fault:front:melted",)))


def test_options_change_the_picture(rig):
    front = CameraRig(rig.cameras[:1])
    plain = Renderer(straight_road(), front, RendererConfig(buildings=False))
    image = plain.render(scene_of()).frame.images[0].astype(int)
    for config in (
        RendererConfig(buildings=False, noise=10.0),
        RendererConfig(buildings=False, exposure=0.5),
        RendererConfig(buildings=False, blur=2.0),
        RendererConfig(buildings=False, dirt=0.2),
        RendererConfig(buildings=False, antialias=True),
    ):
        other = Renderer(straight_road(), front, config)
        assert np.abs(other.render(scene_of()).frame.images[0] - image).max() > 20
        other.close()
    plain.close()


def test_default_rig_sees_every_direction(rig):
    assert rig.names == ("front", "front_left", "front_right", "back", "back_left", "back_right")
    for bearing in np.radians(np.arange(0, 360, 1)):
        far = np.array([1e4 * np.cos(bearing), 1e4 * np.sin(bearing), 1.55])
        seen = 0
        for camera in rig.cameras:
            pixel, depth = camera.project(far)
            seen += bool(depth > 0 and -0.5 <= pixel[0] <= camera.width - 0.5)
        assert seen >= 1


def test_missing_egl_is_one_line_that_names_the_packages(monkeypatch, rig):
    import moderngl

    from vadv2_sim.renderer import context

    def broken(**_):
        raise RuntimeError("libEGL.so.1 not found\nmore")

    monkeypatch.setattr(moderngl, "create_context", broken)
    monkeypatch.setattr(context._local, "context", None, raising=False)
    with pytest.raises(InputError) as caught:
        Renderer(straight_road(), rig)
    assert "libegl1" in str(caught.value) and "\n" not in str(caught.value)


def test_shared_vertices_are_the_same_triangles() -> None:
    from vadv2_sim.renderer.city import share_vertices

    rng = np.random.default_rng(0)
    few = rng.normal(size=(40, 14)).astype(np.float32)
    rows = few[rng.integers(0, 40, 600)]
    vertices, indices = share_vertices(rows)
    assert (vertices[indices] == rows).all()
    assert len(vertices) == len(np.unique(rows, axis=0))
    assert indices[0] == 0
    assert (np.diff(np.maximum.accumulate(indices.astype(int))) <= 1).all()  # in the order they are met


def test_no_crown_hangs_in_the_air() -> None:
    from vadv2_sim.renderer.blocks import _tree
    from vadv2_sim.renderer.mesh import MeshBuilder

    for seed in range(20):
        rng = np.random.default_rng(seed)
        radius = float(rng.uniform(1.3, 2.5))
        layers = (MeshBuilder(), MeshBuilder(), MeshBuilder())
        _tree(layers, rng, 0.0, 0.0, radius, float(rng.uniform(4.5, 8.0)) + radius)
        for mesh in (layers[1].build(), layers[2].build()):
            bark = np.isclose(mesh[:, 9], 0.30) & np.isclose(mesh[:, 11], 0.16)
            assert mesh[bark, 2].max() > mesh[~bark, 2].min() + 0.1


_HASH = """
import hashlib
from vadv2_sim.expert import Expert
from vadv2_sim.plan_tracker import PlanTracker
from vadv2_sim.renderer import Renderer
from vadv2_sim.rig_files import default_rig
from vadv2_sim.traffic import TrafficConfig
from vadv2_sim.world import World, WorldConfig
world = World("town_f", "jaywalker", 4, WorldConfig(traffic=TrafficConfig(warmup=5.0), weather="rain"))
scene = world.reset()
expert, tracker, digest = Expert(world.road), PlanTracker(world.config.vehicle), hashlib.sha256()
renderer = Renderer(world.road, default_rig())
for step in range(11):
    if step % 2 == 0:
        plan = expert.plan(scene)
        digest.update(plan.points.tobytes() + repr(expert.last_decision).encode())
        tracker.take(plan)
    if step % 10 == 0:
        drawn = renderer.render(scene, ground_truth=True)
        for part in (*drawn.frame.images, *drawn.truth.depth, *drawn.truth.instances):
            digest.update(part.tobytes())
    scene = world.step(tracker.command(scene.ego))
    # A set's order is no part of the state.
    state = scene.ego, scene.agents, scene.signals, scene.route, scene.events, sorted(scene.closed_lanes)
    digest.update(repr(state).encode())
print(digest.hexdigest())
"""


def test_drive_and_pictures_have_equal_sha256_in_two_processes() -> None:
    assert_equal_digests(_HASH)


def test_another_dressing_is_another_street_of_houses_beside_the_same_roads() -> None:
    own, again, other, third = (build_city(straight_road(), dressing=d) for d in (0, 0, 7, 8))
    assert own.vertices.tobytes() == again.vertices.tobytes()
    assert own.vertices.shape != other.vertices.shape or not np.array_equal(own.vertices, other.vertices)
    assert other.vertices.shape != third.vertices.shape or not np.array_equal(other.vertices, third.vertices)
    bare = [build_city(straight_road(), False, dressing=d).vertices.tobytes() for d in (0, 7)]
    assert bare[0] == bare[1], "roads, lines, posts and signs are the map's"
