"""Montages: six cameras on one sheet, every scenario at its moment, every weather of one place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import CameraFrame, CameraRig
from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.taxonomy import Weather
from vadv2_sim.renderer.config import RendererConfig
from vadv2_sim.renderer.renderer import Renderer

Image = NDArray[np.uint8]
ORDER = (("front_left", "front", "front_right"), ("back_right", "back", "back_left"))
"""Where the six surround cameras stand on a sheet, as one would see them looking ahead and then round."""
CAPTION = 26
"""Height of a caption, px."""


def captioned(image: Image, words: str) -> Image:
    """An image with a line of words above it."""
    bar = np.full((CAPTION, image.shape[1], 3), 24, dtype=np.uint8)
    cv2.putText(bar, words, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (235, 235, 235), 1, cv2.LINE_AA)
    return np.vstack([bar, image])


def sheet(frame: CameraFrame) -> Image:
    """All cameras of a frame on one sheet: the surround order where the names allow, else side by side."""
    images = dict(zip(frame.rig.names, frame.images, strict=True))
    sizes = {i.shape for i in frame.images}
    if len(sizes) == 1 and set(images) == {n for row in ORDER for n in row}:
        return np.vstack([np.hstack([images[n] for n in row]) for row in ORDER])
    height = max(i.shape[0] for i in frame.images)
    padded = [np.pad(i, ((0, height - i.shape[0]), (0, 0), (0, 0))) for i in frame.images]
    return np.hstack(padded)


def grid(images: list[Image], columns: int) -> Image:
    """Images of one size in rows of ``columns``; the last row is filled with black."""
    rows = []
    for start in range(0, len(images), columns):
        row = images[start : start + columns]
        row += [np.zeros_like(images[0])] * (columns - len(row))
        rows.append(np.hstack(row))
    return np.vstack(rows)


def write_png(path: Path, image: Image) -> None:
    """Write an RGB image as PNG."""
    done, data = cv2.imencode(".png", image[..., ::-1])
    if not done:
        raise InputError("cannot be encoded", str(path), "an image")
    write_bytes_atomic(path, data.tobytes())


def scenario_moment(town: str, scenario: str, seed: int) -> tuple[RoadMap, Scene, Any, float]:
    """Drive a scenario with the expert until what it is about can be seen.

    Returns:
        Map, scene, the expert's decision and the seconds driven.
    """
    from vadv2_sim.expert import Expert
    from vadv2_sim.plan_tracker import PlanTracker
    from vadv2_sim.world import World

    world = World(town, scenario, seed)
    try:
        scene = world.reset()
        expert, tracker = Expert(world.road, world.config.vehicle), PlanTracker(world.config.vehicle)
        step, since = 0, None
        while not world.finished and world.time < 25.0:
            if step % 2 == 0:
                tracker.take(expert.plan(scene))
            if since is None and scene.events:
                since = world.time
            near = world.s > world.placement.focus - 24.0
            if world.time > 3.0 and ((since is not None and world.time > since + 1.8 and near) or world.time > 14.0):
                break
            scene = world.step(tracker.command(scene.ego))
            step += 1
        return world.road, scene, expert.last_decision, world.time
    finally:
        world.close()


def scenario_sheets(
    towns: list[str], scenarios: list[str], seed: int, rig: CameraRig, config: RendererConfig
) -> Iterator[tuple[str, Image, Image]]:
    """Each scenario in the first of the towns that has a place for it: name, sheet of all cameras, first camera."""
    renderers: dict[str, Renderer] = {}
    for number, name in enumerate(scenarios):
        for k in range(len(towns)):
            town = towns[(number + k) % len(towns)]
            try:
                road, scene, decision, seconds = scenario_moment(town, name, seed)
            except InputError as error:
                if "no place for scenario" in str(error):
                    continue
                raise
            if town not in renderers:
                renderers[town] = Renderer(road, rig, config)
            frame = renderers[town].render(scene).frame
            why = "" if decision is None else f"  {decision.longitudinal.name} because {decision.cause.name}".lower()
            words = f"{name}  {town}  {seconds:.1f} s{why}"
            yield name, captioned(sheet(frame), words), captioned(frame.images[0], words)
            break
    for renderer in renderers.values():
        renderer.close()


def scenario_course(town: str, scenario: str, seed: int, rig: CameraRig, config: RendererConfig) -> Image:
    """Start, middle and end of a drive of the expert: the first camera beside the view from above.

    Raises:
        InputError: for an unknown name, or a town without a place for the scenario.
    """
    from vadv2_sim.drive_video import BirdView
    from vadv2_sim.expert import Expert
    from vadv2_sim.plan_tracker import PlanTracker
    from vadv2_sim.world import World

    world = World(town, scenario, seed)
    moments: list[tuple[float, Scene, Any, Any]] = []
    try:
        scene = world.reset()
        expert, tracker = Expert(world.road, world.config.vehicle), PlanTracker(world.config.vehicle)
        plan, happened = None, 0
        while not world.finished:
            if len(moments) % 2 == 0:
                plan = expert.plan(scene)
                tracker.take(plan)
            moments.append((world.time, scene, plan, expert.last_decision))
            if not happened and scene.events:
                happened = len(moments)
            scene = world.step(tracker.command(scene.ego))
        middle = min(happened + 20, len(moments) - 1) if happened > 5 else len(moments) // 2
        above, renderer = BirdView(world.road, world.config.vehicle), Renderer(world.road, rig, config)
        rows = []
        for when in (min(10, len(moments) - 1), middle, len(moments) - 1):
            seconds, scene, plan, decision = moments[when]
            picture = renderer.render(scene).frame.images[0]
            view = above.draw(scene, plan)
            side = cv2.resize(view, (picture.shape[0] * view.shape[1] // view.shape[0], picture.shape[0]))
            why = f"{decision.longitudinal.name}, {decision.cause.name}".lower() if decision is not None else ""
            words = f"{scenario}  {town}  {seconds:.1f} s  {why}"
            rows.append(captioned(np.hstack([picture, side]), words))
        renderer.close()
        return np.hstack(rows)
    finally:
        world.close()


def weather_sheet(town: str, seed: int, rig: CameraRig, config: RendererConfig) -> Image:
    """One moment of plain traffic under every weather, light and strong, by all cameras."""
    road, scene, _, _ = scenario_moment(town, "free", seed)
    renderer = Renderer(road, rig, config)
    rows = []
    for weather in Weather:
        for intensity in (0.3, 1.0):
            under = replace(scene, weather=weather, weather_intensity=intensity)
            frame = renderer.render(under).frame
            rows.append(captioned(sheet(frame), f"{weather.name.lower()} {intensity}"))
    renderer.close()
    return grid(rows, 2)
