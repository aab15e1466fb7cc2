"""Which frames of a store are worth a step: an expert that waits at a red light sees the same for half a minute.

A quarter of its frames are like that. Taken as they come they teach that what stands goes on standing, whatever the
light shows. Few are the opposite: the expert must brake or swerve for somebody, or hits him. Taken as they come they
teach to brake late. And few show a bus, a cone or a cyclist on the way, so that perception hardly meets them.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from vadv2_core.taxonomy import AgentClass
from vadv2_core.vehicle import VehicleConfig
from vadv2_training.frame_store import FrameStore, Window
from vadv2_training.losses.collision import box_distance, footprint_circles

STANDING_SPEED = 0.3
"""m/s, below which the ego stands."""
STAYING = 1.0
"""m that a future of 3 s may cover and still be a staying one."""
KEEP_EVERY = 4
"""Of the frames or windows in which the ego stands and stays, one in so many is used."""
PLANNER_KEEPS_EVERY = 2
"""The same for a planner: with one in four it had seen more starts than stays, and started at red."""
LONGEST = 20.0
"""s of one stay that are used; who stands longer waits for what may never come, and is no example."""
PRESSING_SPEED = 1.0
"""m/s, above which the ego can run into somebody."""
PRESSING_KNOTS = 8
"""Half seconds within which it would: 4 s."""
PRESSING_TIMES = 3
"""A planner sees the frames in which it would this often."""
STARTING_TIMES = 3
"""Likewise those in which it starts: few frames at rest are starts, and a start missed is missed again 0.2 s later.
That it starts at red is the rescorer's to prevent (`vadv2_planner.rescoring`)."""
RARE_TIMES = 3
"""Perception sees the windows with something rare on the way this often."""
RARE_AHEAD, RARE_ASIDE = 25.0, 4.0
"""m before and beside the ego within which something is on the way."""
_USUAL = (AgentClass.UNKNOWN, AgentClass.CAR, AgentClass.PEDESTRIAN)
TOUCH = 0.3
"""m that two footprints must overlap to count as a hit: to pass closely is none."""
_SPEED_SCALE = 10.0
_SOON = 29


def _stands_and_goes(store: FrameStore, shard: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(frames,) whether the ego stands, and whether it is known to move within 3 s."""
    rows = store.read(Window(shard, 0, store.count(shard)), ("ego", "future", "future_known"))
    known = rows["future_known"][:, _SOON].numpy() > 0
    moved = rows["future"][:, _SOON, :2].norm(dim=-1).numpy() > STAYING
    return rows["ego"][:, 0].numpy() * _SPEED_SCALE < STANDING_SPEED, np.asarray(known & moved)


def staying(store: FrameStore, shard: int) -> NDArray[np.bool_]:
    """(frames,) whether the ego stands and will for 3 s, or until the drive ends."""
    stands, goes = _stands_and_goes(store, shard)
    return np.asarray(stands & ~goes)


def starting(store: FrameStore, shard: int) -> NDArray[np.bool_]:
    """(frames,) whether the ego stands and will not for long: the moment that is lost by going on standing."""
    stands, goes = _stands_and_goes(store, shard)
    return np.asarray(stands & goes)


def worth_using(store: FrameStore, shard: int, every: int = KEEP_EVERY) -> NDArray[np.bool_]:
    """(frames,) False for what is to be left out of a shard; of a stay one frame in ``every`` is used."""
    still = staying(store, shard)
    stamps = store.read(Window(shard, 0, len(still)), ("stamps",))["stamps"].numpy()
    worth = np.ones(len(still), dtype=bool)
    begun = 0
    for i in range(1, len(still)):
        begun = begun if still[i] and still[i - 1] else i
        age = (int(stamps[i]) - int(stamps[begun])) * 1e-9
        worth[i] = not still[i] or ((i - begun) % every == 0 and age <= LONGEST)
    return worth


def rare(store: FrameStore, shard: int) -> NDArray[np.bool_]:
    """(frames,) whether anything but a car or a person is near on the way."""
    rows = store.read(Window(shard, 0, store.count(shard)), ("object_known", "object_class", "object_box"))
    x, y = rows["object_box"][..., 0], rows["object_box"][..., 1]
    near = (rows["object_known"] > 0) & (x > 0.0) & (x < RARE_AHEAD) & (y.abs() < RARE_ASIDE)
    usual = torch.isin(rows["object_class"], torch.tensor([int(kind) for kind in _USUAL]))
    return np.asarray((near & ~usual).any(1))


def lively_windows(store: FrameStore) -> list[Window]:
    """The store's windows, in order, without those of whose frames three quarters are left out.

    One with something rare in any frame comes `RARE_TIMES` times.
    """
    shards = range(len(store.names))
    worth, seldom = [worth_using(store, s) for s in shards], [rare(store, s) for s in shards]

    def times(w: Window) -> int:
        frames = slice(w.start, w.start + w.count)
        return int(worth[w.shard][frames].mean() > 0.25) * (RARE_TIMES if seldom[w.shard][frames].any() else 1)

    return [w for w in store.windows for _ in range(times(w))]


def _hits(circles: torch.Tensor, radius: float, rows: dict[str, torch.Tensor]) -> torch.Tensor:
    """(frames, knots) whether a footprint's circles (frames, knots, circles, 2) lie in somebody at their time."""
    knots = circles.shape[1]
    boxes, known = rows["others"][:, :knots, None].float(), rows["others_known"][:, :knots, None] > 0
    return ((box_distance(circles.unsqueeze(-2), boxes) < radius) & known).flatten(2).any(-1)


def pressing(store: FrameStore, shard: int, vehicle: VehicleConfig) -> NDArray[np.bool_]:
    """(frames,) whether going straight on at the present speed would run into somebody within 4 s."""
    rows = store.read(Window(shard, 0, store.count(shard)), ("ego", "others", "others_known"))
    speed = rows["ego"][:, 0].float() * _SPEED_SCALE
    positions = torch.zeros(len(speed), PRESSING_KNOTS, 2)
    positions[..., 0] = speed[:, None] * (0.5 * torch.arange(1, PRESSING_KNOTS + 1))
    circles, radius = footprint_circles(positions, vehicle)
    return np.asarray(_hits(circles, radius, rows).any(1) & (speed > PRESSING_SPEED))


def runs_into(store: FrameStore, shard: int, vehicle: VehicleConfig) -> NDArray[np.bool_]:
    """(frames,) whether the future that would be learned ends in somebody within 4 s.

    Rare where the expert drives; where it is asked what it would do in a place that it would never have come to, it
    may know no way out, and what it says then is no example.
    """
    names = ("future", "future_known", "others", "others_known")
    rows = store.read(Window(shard, 0, store.count(shard)), names)
    knots = slice(4, 5 * PRESSING_KNOTS, 5)
    circles, radius = footprint_circles(rows["future"][:, knots, :2].float(), vehicle)
    known = rows["future_known"][:, knots] > 0
    return np.asarray((_hits(circles, radius - TOUCH, rows) & known).any(1))


def lively_rows(
    store: FrameStore, rows: tuple[tuple[int, int, int], ...], vehicle: VehicleConfig
) -> tuple[tuple[int, int, int], ...]:
    """Likewise single frames for a planner: (shard, frame, place) of a `SeenStore`.

    A pressing one comes `PRESSING_TIMES` times, a starting one `STARTING_TIMES` times, one whose future runs into
    somebody never.
    """
    times = [
        worth_using(store, s, PLANNER_KEEPS_EVERY)
        * ~runs_into(store, s, vehicle)
        * np.where(pressing(store, s, vehicle), PRESSING_TIMES, 1)
        * np.where(starting(store, s), STARTING_TIMES, 1)
        for s in range(len(store.names))
    ]
    return tuple(row for row in rows for _ in range(times[row[0]][row[1]]))
