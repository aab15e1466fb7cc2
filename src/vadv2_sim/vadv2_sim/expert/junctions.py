"""Junctions of a map, read once: where connectors meet, what leads to them, which lines hold them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vadv2_core.geometry import Array, arc_length
from vadv2_core.scene import Lane, RoadMap, StopLine
from vadv2_core.taxonomy import LaneKind

UPSTREAM = 90.0
"""Others are looked for so far before a conflict, m."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Where two connectors meet: the stretch of one's own and of the other's, m along each; merging or crossing."""

    mine: tuple[float, float]
    other: tuple[float, float]
    merges: bool


class JunctionBook:
    """The map's junctions, read once: conflicts between connectors, what lies upstream, crossings over lanes."""

    def __init__(self, road: RoadMap) -> None:
        self._road = road
        self.stop_lines: dict[str, StopLine] = {line.lane: line for line in road.stop_lines}
        self._conflicts: dict[tuple[str, str], Conflict | None] = {}
        self._upstream: dict[str, dict[str, float]] = {}
        self._length: dict[str, float] = {}
        self._siblings: dict[str, tuple[str, ...]] = {}
        by_junction: dict[str, list[str]] = {}
        for lane in road.lanes.values():
            if lane.kind is LaneKind.CONNECTOR and lane.junction is not None:
                by_junction.setdefault(lane.junction, []).append(lane.id)
        self._by_junction = by_junction

    def length(self, lane: str) -> float:
        """Length of a lane, m."""
        if lane not in self._length:
            self._length[lane] = float(arc_length(self._road.lanes[lane].centerline)[-1])
        return self._length[lane]

    def others(self, connector: Lane) -> list[str]:
        """Connectors of the same junction that come from another lane."""
        names = self._by_junction.get(connector.junction or "", [])
        return [n for n in names if self._road.lanes[n].predecessors != connector.predecessors]

    def conflict(self, mine: str, other: str) -> Conflict | None:
        """Where two connectors come too close; None where they do not."""
        key = (mine, other)
        if key not in self._conflicts:
            self._conflicts[key] = self._meet(self._road.lanes[mine], self._road.lanes[other])
        return self._conflicts[key]

    def _meet(self, a: Lane, b: Lane) -> Conflict | None:
        if a.predecessors == b.predecessors:
            return None
        pa, sa = _dense(a.centerline)
        pb, sb = _dense(b.centerline)
        near = np.hypot(pa[:, None, 0] - pb[None, :, 0], pa[:, None, 1] - pb[None, :, 1]) < 2.4
        if not near.any():
            return None
        i, j = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
        merges = bool(set(a.successors) & set(b.successors))
        return Conflict(
            (float(sa[i[0]]), float(sa[i[-1]])),
            (float(sb[j[0]]), float(sb[j[-1]])),
            merges,
        )

    def upstream(self, connector: str) -> dict[str, float]:
        """Lanes that lead to a connector, with the distance from their end to its start, m."""
        if connector not in self._upstream:
            found: dict[str, float] = {}
            queue = [(p, 0.0) for p in self._road.lanes[connector].predecessors]
            while queue:
                name, gap = queue.pop()
                if name in found and found[name] <= gap:
                    continue
                found[name] = gap
                further = gap + self.length(name)
                if further < UPSTREAM:
                    queue += [(p, further) for p in self._road.lanes[name].predecessors]
            self._upstream[connector] = found
        return self._upstream[connector]


def _dense(line: Array, step: float = 0.5) -> tuple[Array, Array]:
    along = arc_length(line)
    s = np.append(np.arange(0.0, along[-1], step), along[-1])
    return np.stack([np.interp(s, along, line[:, k]) for k in (0, 1)], axis=1), s
