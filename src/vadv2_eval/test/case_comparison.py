"""Comparing a computed case with its expectation: which leaves differ, and by how much."""

from __future__ import annotations

from typing import Any

TOLERANCES = {"progress_raw_m": 1e-3}
FLOAT_TOLERANCE = 1e-4
DISCRETE = {
    "no_at_fault_collisions", "drivable_area_compliance", "time_to_collision_within_bound", "comfort",
    "driving_direction_compliance", "traffic_light_compliance", "lane_keeping", "history_comfort",
    "two_frame_extended_comfort", "at_fault_collision_step", "ttc_step", "history_comfort_num_states",
}  # fmt: skip


def differences(got: Any, expected: Any, path: str = "") -> list[str]:
    """Every place where ``got`` is not ``expected``: exact where discrete, within the case format's tolerances else."""
    if isinstance(expected, dict):
        if not isinstance(got, dict) or set(got) != set(expected):
            return [f"{path}: keys {sorted(set(got) ^ set(expected))}"]
        return [d for key in expected for d in differences(got[key], expected[key], f"{path}.{key}")]
    if isinstance(expected, list):
        if not isinstance(got, list) or len(got) != len(expected):
            return [f"{path}: {got!r:.80} instead of {expected!r:.80}"]
        pairs = zip(got, expected, strict=True)
        return [d for i, (g, e) in enumerate(pairs) for d in differences(g, e, f"{path}[{i}]")]
    key = path.rsplit(".", 1)[-1]
    if isinstance(expected, float) and isinstance(got, (int, float)) and key not in DISCRETE:
        if abs(got - expected) <= TOLERANCES.get(key, FLOAT_TOLERANCE):
            return []
    elif got == expected:
        return []
    return [f"{path}: {got!r} instead of {expected!r}"]
