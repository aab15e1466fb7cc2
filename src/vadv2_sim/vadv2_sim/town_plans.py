"""The six towns of this package, drawn street by street.

Four to train and validate on (town_a .. town_d), two held out (town_e, town_f). Every town has signals, stop or yield
signs, zebra crossings and streets with more than one lane, so that the scenarios can be played in each of them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vadv2_sim.town_draft import TownDraft


@dataclass(frozen=True, slots=True)
class TownPlan:
    """A town to build: how it is drawn, and the facts of its town.json.

    Attributes:
        draw: Draws the streets.
        facts: Fields of town.json beside name and seed (`vadv2_sim.town.TownFacts`).
        seed: Seeds the drawing's irregularities and the placing of parked vehicles.
    """

    draw: Callable[[int], TownDraft]
    facts: dict[str, Any]
    seed: int


def draw_grid(seed: int) -> TownDraft:
    """A grid of blocks with two arterials that cross, signals on them and stop signs at the edges."""
    rng = random.Random(seed)
    draft = TownDraft()
    columns, rows = 5, 4
    xs = [0.0, 105.0, 215.0, 330.0, 430.0]
    ys = [0.0, 100.0, 205.0, 300.0]
    for i in range(columns):
        for j in range(rows):
            corner = i in (0, columns - 1) and j in (0, rows - 1)
            edge = i in (0, columns - 1) or j in (0, rows - 1)
            kind = "priority" if corner else "priority_stop" if edge else "traffic_light"
            if (i, j) in ((2, 0), (2, 3), (0, 1), (4, 1)):
                kind = "traffic_light"
            draft.node(
                f"n{i}{j}", xs[i] + rng.uniform(-4, 4) * (not edge), ys[j] + rng.uniform(-4, 4) * (not edge), kind
            )
    for j in range(rows):
        for i in range(columns - 1):
            kind = "arterial" if j == 1 else "parking_street" if j == 3 else "street"
            a, b = f"n{i}{j}", f"n{i + 1}{j}"
            if (i, j) in ((1, 0), (2, 2)):
                draft.zebra(f"z{i}{j}", a, b, kind, 0.5)
            else:
                draft.street(a, b, kind)
    for i in range(columns):
        for j in range(rows - 1):
            kind = "arterial" if i == 2 else "street"
            a, b = f"n{i}{j}", f"n{i}{j + 1}"
            if (i, j) == (3, 1):
                draft.zebra(f"v{i}{j}", a, b, kind, 0.45)
            else:
                draft.street(a, b, kind)
    for name, node, x, y, kind in (
        ("west", "n01", -150.0, 100.0, "arterial"),
        ("east", "n41", 580.0, 100.0, "arterial"),
        ("south", "n20", 215.0, -150.0, "arterial"),
        ("north", "n23", 215.0, 450.0, "arterial"),
        ("north_east", "n43", 560.0, 330.0, "street"),
    ):
        draft.node(name, x, y)
        draft.street(name, node, kind)
    return draft


def draw_old_town(seed: int) -> TownDraft:
    """Narrow crooked streets with priority to the right round a market, a wider street along one side."""
    rng = random.Random(seed)
    draft = TownDraft()
    columns, rows = 6, 5
    for i in range(columns):
        for j in range(rows):
            x = 72.0 * i + rng.uniform(-13, 13) + 10.0 * math.sin(1.3 * j)
            y = 66.0 * j + rng.uniform(-11, 11) + 9.0 * math.sin(1.1 * i)
            kind = "traffic_light" if j == 0 and i in (1, 3, 4) else "priority_stop" if j == 0 else "right_before_left"
            draft.node(f"m{i}{j}", x, -30.0 if j == 0 else y, kind)
    missing = {("m22", "m32"), ("m42", "m43"), ("m12", "m13"), ("m33", "m34")}
    for j in range(rows):
        for i in range(columns - 1):
            a, b = f"m{i}{j}", f"m{i + 1}{j}"
            if (a, b) in missing:
                continue
            if j == 0:
                draft.street(a, b, "arterial")
            elif (i, j) in ((0, 2), (3, 1)):
                draft.zebra(f"z{i}{j}", a, b, "residential", 0.5)
            else:
                draft.street(a, b, "residential" if (i + j) % 3 else "alley", _bend(rng, draft, a, b, 5.0))
    for i in range(columns):
        for j in range(rows - 1):
            a, b = f"m{i}{j}", f"m{i}{j + 1}"
            if (a, b) in missing:
                continue
            kind = "parking_residential" if i in (1, 4) else "residential"
            draft.street(a, b, kind, _bend(rng, draft, a, b, 5.0) if j else ())
    for name, node, x, y, kind in (
        ("west", "m00", -170.0, -30.0, "arterial"),
        ("east", "m50", 520.0, -30.0, "arterial"),
        ("north", "m24", 150.0, 390.0, "residential"),
    ):
        draft.node(name, x, y)
        draft.street(name, node, kind)
    draft.node("south", 220.0, -170.0)
    draft.street("south", "m30", "street")
    return draft


def _bend(rng: random.Random, draft: TownDraft, a: str, b: str, size: float) -> list[tuple[float, float]]:
    (x0, y0, *_), (x1, y1, *_) = draft.nodes[a], draft.nodes[b]
    length = math.hypot(x1 - x0, y1 - y0)
    offset = rng.uniform(-size, size)
    points = []
    for u in (0.3, 0.5, 0.7):
        lift = offset * math.sin(math.pi * u)
        points.append((x0 + u * (x1 - x0) - lift * (y1 - y0) / length, y0 + u * (y1 - y0) + lift * (x1 - x0) / length))
    return points


def draw_arterial(seed: int) -> TownDraft:
    """A four-lane arterial with slip lanes and signals that runs into a roundabout, side streets on both sides."""
    draft = TownDraft()
    ys = {"s": -120.0, "n": 125.0}
    arms = draft.roundabout("r", 330.0, 0.0, 19.0, (0.0, 90.0, 180.0, 270.0), "circle")
    east_arm, north_arm, west_arm, south_arm = arms
    for name, x, kind in (("a0", 0.0, "traffic_light"), ("a1", 150.0, "traffic_light"), ("a2", 510.0, "traffic_light")):
        draft.node(name, x, 0.0, kind)
    draft.node("a3", 640.0, 0.0, "priority_stop")
    draft.node("west", -170.0, 0.0)
    draft.node("east", 790.0, 0.0)
    # Slip lanes leave the arterial before the signals of a0 and a2 and join the side street after them.
    draft.node("w0", -50.0, 0.0)
    draft.node("k0", 0.0, -45.0)
    draft.node("w2", 560.0, 0.0)
    draft.node("k2", 510.0, 45.0)
    draft.chain(("west", "w0", "a0"), "boulevard")
    draft.one_way("w0", "k0", "slip", ((-28.0, -9.0), (-13.0, -20.0), (-5.5, -32.0)))
    draft.zebra("za", "a0", "a1", "boulevard", 0.5)
    draft.street("a1", west_arm, "boulevard")
    draft.street(east_arm, "a2", "boulevard")
    draft.chain(("a2", "w2", "a3", "east"), "boulevard")
    draft.one_way("w2", "k2", "slip", ((538.0, 9.0), (523.0, 20.0), (515.5, 32.0)))
    for x, name in ((0.0, "0"), (150.0, "1"), (330.0, "r"), (510.0, "2"), (640.0, "3")):
        for side, y in ys.items():
            kind = (
                "priority" if name in ("0", "3") else "allway_stop" if (name, side) == ("1", "s") else "priority_stop"
            )
            draft.node(f"{side}{name}", x, y, kind)
    draft.chain(("a0", "k0", "s0"), "street")
    draft.chain(("a2", "k2", "n2"), "street")
    for a, b, kind in (
        ("a0", "n0", "street"),
        ("a1", "n1", "street"),
        ("a1", "s1", "parking_street"),
        (north_arm, "nr", "arterial"),
        (south_arm, "sr", "street"),
        ("a2", "s2", "street"),
        ("a3", "n3", "street"),
        ("a3", "s3", "street"),
        ("n0", "n1", "street"),
        ("n1", "nr", "street"),
        ("n2", "n3", "street"),
        ("s0", "s1", "residential"),
        ("s1", "sr", "residential"),
        ("sr", "s2", "parking_street"),
        ("s2", "s3", "parking_street"),
    ):
        draft.street(a, b, kind)
    draft.zebra("zn", "nr", "n2", "street", 0.5)
    draft.node("north", 330.0, 270.0)
    draft.node("south", 150.0, -260.0)
    draft.street("nr", "north", "arterial")
    draft.street("s1", "south", "street")
    draft.nodes["nr"] = (*draft.nodes["nr"][:2], "traffic_light", None)
    return draft


def draw_suburb(seed: int) -> TownDraft:
    """Curved residential loops with parking strips and driveways, a collector with signals along them."""
    rng = random.Random(seed)
    draft = TownDraft()
    for i, (x, kind) in enumerate(
        ((0.0, "priority_stop"), (130.0, "traffic_light"), (270.0, "priority_stop"), (400.0, "traffic_light"))
    ):
        draft.node(f"c{i}", x, 0.0, kind)
    draft.node("west", -150.0, 10.0)
    draft.node("east", 560.0, -15.0)
    draft.street("west", "c0", "arterial")
    draft.zebra("zc", "c0", "c1", "arterial", 0.5)
    draft.street("c1", "c2", "arterial", ((165.0, -4.0), (200.0, -6.0), (235.0, -4.0)))
    draft.street("c2", "c3", "arterial")
    draft.street("c3", "east", "arterial")
    inner = [("d0", -10, 110, "priority_stop"), ("d1", 120, 100, "right_before_left"), ("d2", 265, 115, "allway_stop"),
             ("d3", 410, 105, "priority_stop"), ("e0", 30, 225, "priority"), ("e1", 145, 215, "right_before_left"),
             ("e2", 280, 235, "right_before_left"), ("e3", 390, 220, "priority"),
             ("f0", 0, -115, "priority"), ("f1", 135, -125, "priority_stop"), ("f2", 275, -120, "priority_stop"),
             ("f3", 405, -110, "priority")]  # fmt: skip
    for name, x, y, kind in inner:
        draft.node(name, float(x), float(y), kind)
    parking, plain = "parking_residential", "residential"
    for a, b, kind in (
        ("c0", "d0", plain), ("c1", "d1", "street"), ("c2", "d2", plain), ("c3", "d3", "street"),
        ("d0", "e0", parking), ("d2", "e2", parking), ("d3", "e3", parking),
        ("c0", "f0", plain), ("c1", "f1", "street"), ("c2", "f2", plain), ("c3", "f3", plain),
        ("d2", "d3", parking), ("e0", "e1", plain), ("e2", "e3", parking), ("f0", "f1", parking), ("f2", "f3", parking),
    ):  # fmt: skip
        draft.street(a, b, kind, _bend(rng, draft, a, b, 11.0))
    draft.zebra("zd", "d1", "e1", plain, 0.5)
    for a, b, kind in (("d0", "d1", parking), ("d1", "d2", parking), ("e1", "e2", parking), ("f1", "f2", parking)):
        _with_driveways(draft, rng, a, b, kind)
    draft.node("north", 150.0, 330.0)
    draft.street("e1", "north", plain)
    draft.node("south", 275.0, -240.0)
    draft.street("f2", "south", "street")
    return draft


def _with_driveways(draft: TownDraft, rng: random.Random, a: str, b: str, kind: str) -> None:
    (x0, y0, *_), (x1, y1, *_) = draft.nodes[a], draft.nodes[b]
    length = math.hypot(x1 - x0, y1 - y0)
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    names = [a]
    for k, u in enumerate((0.35, 0.66)):
        u += rng.uniform(-0.04, 0.04)
        name = draft.node(f"{a}{b}p{k}", x0 + u * (x1 - x0), y0 + u * (y1 - y0))
        side = 1.0 if k % 2 else -1.0
        stub = draft.node(f"{a}{b}q{k}", draft.nodes[name][0] - side * 26 * uy, draft.nodes[name][1] + side * 26 * ux)
        draft.street(name, stub, "driveway")
        names.append(name)
    draft.chain([*names, b], kind)


def draw_ring(seed: int) -> TownDraft:
    """A three-lane ring road with ramps that merge into it, signals where radial streets cross, a quiet core."""
    draft = TownDraft()
    radius = 225.0

    def at(angle: float, r: float = radius) -> tuple[float, float]:
        return r * math.cos(math.radians(angle)), r * math.sin(math.radians(angle))

    radials = {"e": 0.0, "n": 90.0, "w": 180.0, "s": 270.0}
    for name, angle in radials.items():
        draft.node(f"g{name}", *at(angle), "traffic_light")
    # The outer carriageway runs counter-clockwise; each quarter has one ramp in and one ramp out.
    order = list(radials.items())
    for k, (name, angle) in enumerate(order):
        following = order[(k + 1) % 4][0]
        stops = [("x", 22.0), ("i", 44.0), ("j", 68.0)]
        nodes = [f"g{name}"]
        for tag, offset in stops:
            nodes.append(draft.node(f"{tag}{name}", *at(angle + offset)))
        nodes.append(f"g{following}")
        angles = [angle, *(angle + offset for _, offset in stops), angle + 90.0]
        for (a, b), (first, last) in zip(pairwise(nodes), pairwise(angles), strict=True):
            shape = [at(first + (last - first) * u) for u in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)]
            draft.one_way(a, b, "ring_plus" if a.startswith("i") else "ring", shape)
            draft.one_way(b, a, "ring", tuple(reversed(shape)))
        # The ramps hang on a yard outside the ring, which a street joins to the radial.
        yard = draft.node(f"y{name}", *at(angle + 33.0, radius + 75.0), "priority_stop")
        draft.one_way(f"x{name}", yard, "ramp", (at(angle + 25.0, radius + 22.0), at(angle + 29.0, radius + 50.0)))
        draft.one_way(yard, f"i{name}", "ramp", (at(angle + 36.0, radius + 52.0), at(angle + 40.0, radius + 22.0)))
        outer = draft.node(f"o{name}", *at(angle, radius + 95.0), "traffic_light" if name in "en" else "priority_stop")
        draft.street(f"g{name}", outer, "arterial")
        draft.street(
            outer, yard, "street", [at(angle + u, radius + 95.0 + 0.9 * u - 0.046 * u * u) for u in range(4, 31, 3)]
        )
        out = draft.node(f"far_{name}", *at(angle, radius + 220.0))
        draft.street(outer, out, "arterial")
    arms = draft.roundabout("c", 0.0, 0.0, 20.0, (0.0, 90.0, 180.0, 270.0), "circle")
    for k, (name, angle) in enumerate(order):
        middle = draft.node(f"m{name}", *at(angle, 120.0), "priority_stop")
        draft.street(arms[k], middle, "street")
        if name in "ns":
            draft.zebra(f"z{name}", middle, f"g{name}", "street", 0.45)
        else:
            draft.street(middle, f"g{name}", "arterial")
    for k, (name, angle) in enumerate(order):
        following = order[(k + 1) % 4][0]
        kind = "parking_street" if k % 2 else "street"
        draft.street(
            f"m{name}", f"m{following}", kind, [at(angle + u, 120.0 + 10.0 * (k % 2)) for u in range(8, 86, 7)]
        )
    return draft


def draw_works(seed: int) -> TownDraft:
    """A mixed district: boulevards with road works on their lanes, a roundabout, stop signs and narrow streets."""
    rng = random.Random(seed)
    draft = TownDraft()
    xs = [0.0, 160.0, 300.0, 455.0]
    ys = [0.0, 135.0, 290.0]
    kinds = {(0, 0): "priority", (1, 0): "traffic_light", (2, 0): "priority_stop", (3, 0): "priority",
             (0, 1): "traffic_light", (1, 1): "traffic_light", (2, 1): "", (3, 1): "traffic_light",
             (0, 2): "priority", (1, 2): "traffic_light", (2, 2): "priority_stop", (3, 2): "priority"}  # fmt: skip
    for (i, j), kind in kinds.items():
        if kind:
            draft.node(f"n{i}{j}", xs[i] + rng.uniform(-7, 7), ys[j] + rng.uniform(-7, 7), kind)
    east, north, west, south = draft.roundabout("r", xs[2], ys[1], 20.0, (0.0, 90.0, 180.0, 270.0), "circle")
    draft.zebra("zb", "n01", "n11", "boulevard", 0.5)
    draft.street("n11", west, "boulevard")
    draft.street(east, "n31", "boulevard")
    for a, b, kind in (
        ("n00", "n10", "arterial"), ("n10", "n20", "street"), ("n20", "n30", "street"),
        ("n02", "n12", "street"), ("n12", "n22", "arterial"), ("n22", "n32", "parking_street"),
        (south, "n20", "street"), (north, "n22", "arterial"),
        ("n30", "n31", "arterial"), ("n31", "n32", "arterial"),
    ):  # fmt: skip
        draft.street(a, b, kind)
    # Two small streets run through the western blocks, one with a four-way stop and one without any sign.
    for tag, y, kind in (("s", 66.0, "allway_stop"), ("m", 214.0, "right_before_left")):
        low, high = (("n00", "n01"), ("n10", "n11")) if tag == "s" else (("n01", "n02"), ("n11", "n12"))
        left = draft.node(f"{tag}0", 0.0, y, "priority_stop" if tag == "s" else "priority")
        middle = draft.node(f"{tag}1", 80.0, y + 8.0, kind)
        right = draft.node(f"{tag}2", 157.0, y, "priority_stop")
        draft.chain((low[0], left, low[1]), "street" if tag == "s" else "parking_street")
        draft.chain((high[0], right, high[1]), "arterial")
        draft.chain((left, middle, right), "residential")
        stub = draft.node(f"{tag}3", 80.0, y - 42.0 if tag == "m" else y + 45.0)
        draft.street(middle, stub, "driveway")
    for name, node, x, y, kind in (
        ("west", "n01", -150.0, 140.0, "boulevard"),
        ("east", "n31", 610.0, 130.0, "boulevard"),
        ("south", "n10", 165.0, -140.0, "arterial"),
        ("north", "n12", 150.0, 430.0, "arterial"),
    ):
        draft.node(name, x, y)
        draft.street(name, node, kind)
    return draft


def _facts(
    description: str, split: str, vehicles: int, pedestrians: int, parked: float, works: int = 0
) -> dict[str, Any]:
    return {
        "description": description,
        "split": split,
        "vehicles": vehicles,
        "pedestrians": pedestrians,
        "parked_share": parked,
        "works": works,
    }


TOWN_PLANS: dict[str, TownPlan] = {
    "town_a": TownPlan(draw_grid, _facts("a grid of blocks with signals", "train", 46, 34, 0.5), 11),
    "town_b": TownPlan(draw_old_town, _facts("an old town with priority to the right", "train", 34, 44, 0.45), 12),
    "town_c": TownPlan(draw_arterial, _facts("an arterial with slip lanes and a roundabout", "train", 44, 28, 0.5), 13),
    "town_d": TownPlan(draw_suburb, _facts("a suburb with driveways and parked cars", "train", 30, 30, 0.75), 14),
    "town_e": TownPlan(draw_ring, _facts("a multi-lane ring road with merges", "held_out", 56, 24, 0.5), 15),
    "town_f": TownPlan(draw_works, _facts("a district full of road works", "held_out", 40, 34, 0.5, 5), 16),
}
"""The committed towns by folder name."""
