"""The renderer: one framebuffer, one viewport a camera, instanced meshes, one read-back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import CameraFrame, CameraModel, CameraRig
from vadv2_core.geometry import Array, Pose2, inverse_transform3
from vadv2_core.scene import Agent, RoadMap, Scene
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.renderer.actors import Actors, ego_agent, place_actors
from vadv2_sim.renderer.atmosphere import Atmosphere, atmosphere_of
from vadv2_sim.renderer.city import build_city
from vadv2_sim.renderer.config import RendererConfig
from vadv2_sim.renderer.context import open_context
from vadv2_sim.renderer.drawing import NEAR, Painter
from vadv2_sim.renderer.sensor import CameraFault, expose, faults_of
from vadv2_sim.renderer.truth import GroundTruth, count_pixels


@dataclass(frozen=True, slots=True)
class RenderedFrame:
    """Images of one moment and, where asked for, the truth about them."""

    frame: CameraFrame
    truth: GroundTruth | None = None


@dataclass(frozen=True, slots=True)
class Viewport:
    """A camera's place in the framebuffer, px; y counts from the bottom, as OpenGL does."""

    x: int
    y: int
    width: int
    height: int


def pack_viewports(rig: CameraRig, columns: int = 3) -> tuple[tuple[Viewport, ...], tuple[int, int]]:
    """Places of a rig's images in rows of ``columns``, and the framebuffer's (width, height)."""
    places: list[Viewport] = []
    y = width = 0
    for start in range(0, len(rig.cameras), columns):
        row = rig.cameras[start : start + columns]
        x = 0
        for camera in row:
            places.append(Viewport(x, y, camera.width, camera.height))
            x += camera.width
        width = max(width, x)
        y += max(camera.height for camera in row)
    return tuple(places), (width, y)


def clip_matrix(camera: CameraModel, far: float) -> Array:
    """The (4, 4) matrix from the optical frame to clip space, so that pixel (0, 0) is a pixel's centre."""
    k, w, h = camera.k, camera.width, camera.height
    return np.array(
        [
            [2 * k[0, 0] / w, 2 * k[0, 1] / w, 2 * (k[0, 2] + 0.5) / w - 1, 0],
            [0, -2 * k[1, 1] / h, 1 - 2 * (k[1, 2] + 0.5) / h, 0],
            [0, 0, (far + NEAR) / (far - NEAR), -2 * far * NEAR / (far - NEAR)],
            [0, 0, 1, 0],
        ]
    )


class Renderer:
    """Draws scenes of one map with one rig.

    Args:
        road_map: The town's roads; the city beside them is grown from its hash.
        rig: Any cameras, sizes and mountings.
        config: Options.
        vehicle: Of the ego, for its headlights and for views from outside.

    Raises:
        InputError: where EGL is missing, naming the apt packages.

    One renderer belongs to the thread that made it. The same scene, rig and options give the same bytes on one machine.
    """

    def __init__(
        self,
        road_map: RoadMap,
        rig: CameraRig,
        config: RendererConfig | None = None,
        vehicle: VehicleConfig | None = None,
    ) -> None:
        self.road_map = road_map
        self.rig = rig
        self.config = config or RendererConfig()
        self.vehicle = vehicle or VehicleConfig()
        context = open_context()
        self._city = build_city(road_map, self.config.buildings, self.config.dressing)
        self._painter = Painter(context, self._city)
        self._viewports, self._size = pack_viewports(rig)
        self._clips = [clip_matrix(c, self.config.far) for c in rig.cameras]
        samples = 4 if self.config.antialias else 0
        self._target = context.framebuffer(
            [context.renderbuffer(self._size, 4, samples=samples)],
            context.depth_renderbuffer(self._size, samples=samples),
        )
        self._resolved = context.framebuffer([context.renderbuffer(self._size, 4)]) if samples else None
        self._context = context
        self._truth_target: Any = None

    def render(
        self,
        scene: Scene,
        *,
        ground_truth: bool = False,
        rng: np.random.Generator | None = None,
        offset: Pose2 | None = None,
        faults: Mapping[str, CameraFault] | None = None,
        show_ego: bool = False,
    ) -> RenderedFrame:
        """Draw one scene.

        Args:
            scene: The moment.
            ground_truth: Also give depth, classes, instances and visibility (doubles the cost).
            rng: Source of noise, dirt and rain; by default seeded from the scene's stamp, so that a log renders alike.
            offset: Where the ego stands instead, in its base_link (recovery data: shifted and turned).
            faults: Broken cameras by name, besides those in the scene's events.
            show_ego: Draw the ego itself, for a camera outside it.
        """
        pose = scene.ego.pose if offset is None else scene.ego.pose.compose(offset)
        air = atmosphere_of(scene, self._city.low_sun)
        extra: tuple[Agent, ...] = (ego_agent(pose, self.vehicle),) if show_ego else ()
        centre = np.array([pose.x, pose.y])
        actors = place_actors(scene, self.road_map, self._city, air, (centre, self.config.far), extra)
        pixels = self._draw(pose, air, actors)
        broken = {**faults_of(scene), **(faults or {})}
        rng = rng or np.random.default_rng(scene.stamp & 0xFFFFFFFFFFFF)
        images, valid = [], []
        for camera, place in zip(self.rig.cameras, self._viewports, strict=True):
            image = np.ascontiguousarray(_cut(pixels, place))
            fault = broken.get(camera.name)
            images.append(expose(image, self.config, air.rain, fault, rng))
            valid.append(fault not in (CameraFault.BLACK, CameraFault.MISSING))
        stamps = np.full(len(images), scene.stamp, dtype=np.int64)
        frame = CameraFrame(scene.stamp, self.rig, tuple(images), stamps, np.array(valid))
        truth = self._truth(pose, actors) if ground_truth else None
        return RenderedFrame(frame, truth)

    def visibility(self, scene: Scene, offset: Pose2 | None = None) -> GroundTruth:
        """The truth alone, without drawing the pictures: half the cost of `render` with ground truth."""
        pose = scene.ego.pose if offset is None else scene.ego.pose.compose(offset)
        air = atmosphere_of(scene, self._city.low_sun)
        near = (np.array([pose.x, pose.y]), self.config.far)
        return self._truth(pose, place_actors(scene, self.road_map, self._city, air, near))

    def close(self) -> None:
        """Give back the framebuffers and meshes."""
        for held in (self._target, self._resolved, self._truth_target):
            if held is not None:
                for attachment in (*held.color_attachments, held.depth_attachment):
                    if attachment is not None:
                        attachment.release()
                held.release()
        self._painter.release()
        self._resolved = self._truth_target = None

    def _views(self, pose: Pose2) -> list[tuple[Array, Array, Array]]:
        """World to optical (4, 4), world to clip (4, 4) and eye (3,) of each camera."""
        base = pose.to_matrix3()
        found: list[tuple[Array, Array, Array]] = []
        for camera, clip in zip(self.rig.cameras, self._clips, strict=True):
            mounted = base @ camera.t_base_camera
            view = inverse_transform3(mounted)
            found.append((view, clip @ view, mounted[:3, 3]))
        return found

    def _draw(self, pose: Pose2, air: Atmosphere, actors: Actors) -> NDArray[np.uint8]:
        lamp = pose.transform((self.vehicle.length - self.vehicle.rear_overhang, 0.0))
        self._painter.light(air, (float(lamp[0]), float(lamp[1]), pose.yaw))
        self._target.use()
        self._target.viewport = (0, 0, *self._size)
        self._target.clear(0.0, 0.0, 0.0, 1.0)
        for place, (view, view_projection, eye) in zip(self._viewports, self._views(pose), strict=True):
            self._target.viewport = (place.x, place.y, place.width, place.height)
            self._painter.draw(view, view_projection, eye, actors)
        source = self._target
        if self._resolved is not None:
            self._context.copy_framebuffer(self._resolved, self._target)
            source = self._resolved
        # Four components are copied as they lie; the driver takes ten times as long to leave one out.
        data = source.read(viewport=(0, 0, *self._size), components=4, alignment=1)
        pixels = np.frombuffer(data, np.uint8).reshape(self._size[1], self._size[0], 4)
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB), dtype=np.uint8)

    def _truth(self, pose: Pose2, actors: Actors) -> GroundTruth:
        context = self._context
        if self._truth_target is None:
            self._truth_target = context.framebuffer(
                [context.texture(self._size, 2, dtype="u2"), context.texture(self._size, 1, dtype="f4")],
                context.depth_renderbuffer(self._size),
            )
        target = self._truth_target
        target.use()
        target.viewport = (0, 0, *self._size)
        target.clear(depth=1.0)
        for place, (view, view_projection, eye) in zip(self._viewports, self._views(pose), strict=True):
            target.viewport = (place.x, place.y, place.width, place.height)
            self._painter.draw_truth(view, view_projection, eye, actors)
        w, h = self._size
        what = np.frombuffer(target.color_attachments[0].read(alignment=1), np.uint16).reshape(h, w, 2)
        far = np.frombuffer(target.color_attachments[1].read(alignment=1), np.float32).reshape(h, w)
        depth, semantics, instances = [], [], []
        for place in self._viewports:
            d = _cut(far, place).copy()
            d[d <= 0.0] = np.inf
            depth.append(d)
            semantics.append(np.ascontiguousarray(_cut(what[..., 0], place).astype(np.uint8)))
            instances.append(np.ascontiguousarray(_cut(what[..., 1], place)))
        seen = count_pixels(self.rig, tuple(instances), actors, self.road_map, pose)
        return GroundTruth(tuple(depth), tuple(semantics), tuple(instances), (*actors.agents, *actors.heads), *seen)


def _cut(pixels: NDArray[Any], place: Viewport) -> NDArray[Any]:
    """A camera's part of the framebuffer, top row first."""
    return pixels[place.y : place.y + place.height, place.x : place.x + place.width][::-1]
