"""Plain-XML sources of a town: nodes, streets, crossings and lane types, written for netconvert.

A draft is only a drawing board: `vadv2_sim.town_plans` draws the six towns of this package on it and
`vadv2_sim.town_build` turns the sources into a net.xml. Metres; x east, y north.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import quoteattr

from vadv2_core.files import write_bytes_atomic

Point = tuple[float, float]


CORNER_RADIUS = 6.0
"""Curb radius at junctions with signs or signals, m; a car turns right there without leaving its lane."""


@dataclass(frozen=True, slots=True)
class StreetType:
    """The cross-section of one direction of a street.

    Attributes:
        lanes: Driving lanes.
        speed: Limit, m/s.
        priority: netconvert's priority; the higher street goes first at an unsignalled junction.
        width: Driving lane width, m.
        sidewalk: Sidewalk width, m; 0 for none.
        parking: Width of a strip for parked vehicles between driving lanes and sidewalk, m; 0 for none.
    """

    lanes: int
    speed: float
    priority: int
    width: float = 3.3
    sidewalk: float = 2.0
    parking: float = 0.0


STREET_TYPES = {
    "arterial": StreetType(2, 13.89, 9),
    "boulevard": StreetType(2, 16.67, 10, width=3.4),
    "street": StreetType(1, 13.89, 6),
    "parking_street": StreetType(1, 13.89, 6, parking=2.3),
    "residential": StreetType(1, 8.33, 4, width=3.1),
    "parking_residential": StreetType(1, 8.33, 4, width=3.1, parking=2.3),
    "alley": StreetType(1, 8.33, 3, width=2.9, sidewalk=1.6),
    "driveway": StreetType(1, 5.56, 1, width=2.8, sidewalk=0.0),
    "ring": StreetType(3, 19.44, 12, width=3.5, sidewalk=0.0),
    "ring_walk": StreetType(3, 16.67, 12, width=3.4),
    "ring_plus": StreetType(4, 19.44, 12, width=3.5, sidewalk=0.0),
    "ramp": StreetType(1, 13.89, 5, width=3.5, sidewalk=0.0),
    "slip": StreetType(1, 8.33, 2, width=3.5, sidewalk=0.0),
    "circle": StreetType(1, 8.33, 8, width=4.2, sidewalk=0.0),
    "circle_two": StreetType(2, 8.33, 8, width=3.6, sidewalk=0.0),
}
"""Street cross-sections that a draft may use, by name."""


@dataclass
class TownDraft:
    """Nodes, edges, crossings and roundabouts on their way to plain XML."""

    nodes: dict[str, tuple[float, float, str, float | None]] = field(default_factory=dict)
    edges: list[tuple[str, str, str, str, tuple[Point, ...]]] = field(default_factory=list)
    crossings: list[tuple[str, tuple[str, ...], float]] = field(default_factory=list)
    roundabouts: list[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)

    def node(self, name: str, x: float, y: float, kind: str = "priority", radius: float | None = None) -> str:
        """A junction; ``kind`` is a SUMO junction type (priority, priority_stop, allway_stop, traffic_light, ...)."""
        if radius is None and kind != "priority":
            radius = CORNER_RADIUS
        self.nodes[name] = (x, y, kind, radius)
        return name

    def one_way(self, start: str, end: str, street: str, shape: Sequence[Point] = (), name: str = "") -> str:
        """One direction of a street; ``shape`` are points between the two nodes. Returns the edge's name."""
        edge = name or f"{start}_{end}"
        self.edges.append((edge, start, end, street, tuple(shape)))
        return edge

    def street(self, start: str, end: str, street: str, shape: Sequence[Point] = ()) -> None:
        """Both directions of a street, spread to the two sides of one line."""
        self.one_way(start, end, street, shape)
        self.one_way(end, start, street, tuple(reversed(shape)))

    def chain(self, names: Sequence[str], street: str) -> None:
        """Streets between each two nodes of a list."""
        for start, end in pairwise(names):
            self.street(start, end, street)

    def zebra(self, name: str, start: str, end: str, street: str, at: float = 0.5) -> None:
        """A street with a zebra crossing on the way, where pedestrians go first."""
        (x0, y0, *_), (x1, y1, *_) = self.nodes[start], self.nodes[end]
        self.node(name, x0 + at * (x1 - x0), y0 + at * (y1 - y0))
        self.street(start, name, street)
        self.street(name, end, street)
        self.crossings.append((name, (f"{start}_{name}", f"{name}_{start}"), 4.0))

    def roundabout(
        self, name: str, x: float, y: float, radius: float, angles: Sequence[float], street: str
    ) -> list[str]:
        """A one-way circle with one node an arm; returns the nodes in order of ``angles`` (degrees, ascending)."""
        names = [
            self.node(f"{name}{i}", x + radius * math.cos(math.radians(a)), y + radius * math.sin(math.radians(a)))
            for i, a in enumerate(angles)
        ]
        ring = []
        for i, start in enumerate(names):
            end = names[(i + 1) % len(names)]
            first, last = angles[i], angles[(i + 1) % len(names)]
            sweep = (last - first) % 360.0
            steps = max(2, round(sweep / 15.0))
            shape = [
                (
                    x + radius * math.cos(math.radians(first + sweep * k / steps)),
                    y + radius * math.sin(math.radians(first + sweep * k / steps)),
                )
                for k in range(1, steps)
            ]
            ring.append(self.one_way(start, end, street, shape))
        self.roundabouts.append((tuple(names), tuple(ring)))
        return names

    def write(self, folder: Path) -> list[Path]:
        """Write town.nod.xml, town.edg.xml, town.typ.xml and town.con.xml; returns their paths."""
        nodes = [
            f"<node id={quoteattr(n)} x={quoteattr(f'{x:.2f}')} y={quoteattr(f'{y:.2f}')} type={quoteattr(kind)}"
            + (f' radius="{radius:g}"' if radius is not None else "")
            + "/>"
            for n, (x, y, kind, radius) in self.nodes.items()
        ]
        edges, types = [], []
        for name, start, end, street, shape in self.edges:
            edges += self._edge(name, start, end, street, shape)
        for nodes_of, ring in self.roundabouts:
            edges.append(f'<roundabout nodes="{" ".join(nodes_of)}" edges="{" ".join(ring)}"/>')
        for kind in sorted({street for *_, street, _ in self.edges}):
            t = STREET_TYPES[kind]
            types.append(
                f'<type id="{kind}" numLanes="{t.lanes}" speed="{t.speed}" priority="{t.priority}" width="{t.width}"/>'
            )
        crossings = [
            f'<crossing node="{node}" edges="{" ".join(of)}" priority="true" width="{width:g}"/>'
            for node, of, width in self.crossings
        ]
        # People cross the arms of a roundabout further out, never its circle.
        crossings += [f'<crossing node="{n}" discard="true"/>' for nodes_of, _ in self.roundabouts for n in nodes_of]
        parts = {
            "nod": ("nodes", nodes),
            "edg": ("edges", edges),
            "typ": ("types", types),
            "con": ("connections", crossings),
        }
        paths = []
        for suffix, (root, lines) in parts.items():
            path = folder / f"town.{suffix}.xml"
            text = f"<{root}>\n" + "".join(f"    {line}\n" for line in lines) + f"</{root}>\n"
            write_bytes_atomic(path, text.encode())
            paths.append(path)
        return paths

    def _edge(self, name: str, start: str, end: str, street: str, shape: tuple[Point, ...]) -> list[str]:
        t = STREET_TYPES[street]
        line = [self.nodes[start][:2], *shape, self.nodes[end][:2]]
        text = f' shape="{" ".join(f"{x:.2f},{y:.2f}" for x, y in line)}"' if shape else ""
        lanes: list[str] = []
        if t.sidewalk:
            lanes.append(f'allow="pedestrian" width="{t.sidewalk}" speed="1.39"')
        if t.parking:
            lanes.append(f'disallow="all" width="{t.parking}"')
        lanes += [f'disallow="pedestrian tram rail rail_urban ship" width="{t.width}"'] * t.lanes
        head = f'<edge id="{name}" from="{start}" to="{end}" type="{street}" numLanes="{len(lanes)}"{text}>'
        return [head, *(f'    <lane index="{i}" {a}/>' for i, a in enumerate(lanes)), "</edge>"]
