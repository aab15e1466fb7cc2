"""Broken copies of sound inputs: values of another kind, missing and superfluous parts, flipped and cut bytes."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
"""Whatever JSON and YAML can say, NaN and infinities with it."""


@st.composite
def mutated(draw: st.DrawFn, sound: Any, most: int = 3) -> Any:
    """A JSON-like value of which one to ``most`` places were replaced, removed, doubled or renamed."""
    value = copy.deepcopy(sound)
    for _ in range(draw(st.integers(1, most))):
        place: Any = value
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and draw(st.integers(0, 4)):
                place = place[key]
                continue
            what = draw(st.sampled_from(("replace", "replace", "remove", "double", "rename", "number")))
            if what == "remove":
                del place[key]
            elif what == "number":
                place[key] = draw(st.sampled_from((0, -1, 1e308, float("nan"), float("inf"), 2**63)))
            elif what == "rename" and isinstance(place, dict):
                place[draw(st.text(max_size=8))] = place.pop(key)
            elif what == "double" and isinstance(place, list):
                place.insert(key, copy.deepcopy(place[key]))
            else:
                place[key] = draw(ANYTHING)
            break
    return value


@st.composite
def damaged(draw: st.DrawFn, sound: bytes) -> bytes:
    """Bytes of which some were flipped, cut off, cut out or put in."""
    data = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        what = draw(st.sampled_from(("flip", "flip", "cut", "remove", "insert")))
        if what == "flip" and data:
            data[at] = draw(st.integers(0, 255))
        elif what == "cut":
            del data[at:]
        elif what == "remove":
            del data[at : at + draw(st.integers(1, 16))]
        else:
            data[at:at] = draw(st.binary(max_size=16))
    return bytes(data)


_RANGES = {
    f"{sign}int{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}


def _single(kind: str) -> st.SearchStrategy[Any] | None:
    if kind in _RANGES:
        low, high = _RANGES[kind]
        return st.integers(low, high) | st.sampled_from((0, 1, high))
    if kind in ("float", "double"):
        return st.floats(width=32) | st.sampled_from((0.0, 1e9, float("nan"), float("inf")))
    if kind == "boolean":
        return st.booleans()
    return st.text(max_size=12) if kind == "string" else None


@st.composite
def mutated_message(draw: st.DrawFn, sound: Any) -> Any:
    """A ROS message of which one to three fields, at any depth, hold other values of their type."""
    message = copy.deepcopy(sound)
    for _ in range(draw(st.integers(1, 3))):
        place = message
        while True:
            fields = place.get_fields_and_field_types()
            name = draw(st.sampled_from(sorted(fields)))
            kind, value = fields[name], getattr(place, name)
            if kind.startswith("sequence<"):
                inner = _single(kind[len("sequence<") : -1].partition(",")[0])
                if inner is None and len(value) and draw(st.booleans()):
                    place = value[draw(st.integers(0, len(value) - 1))]
                    continue
                kept = list(value)[: draw(st.integers(0, len(value)))]
                grown = kept if inner is None else [*kept, *draw(st.lists(inner, max_size=4))]
                setattr(place, name, grown)
            elif "[" in kind:
                inner = _single(kind.partition("[")[0])
                assert inner is not None, kind
                numbers = list(value)
                numbers[draw(st.integers(0, len(numbers) - 1))] = draw(inner)
                setattr(place, name, numbers)
            elif (single := _single(kind)) is not None:
                setattr(place, name, draw(single))
            else:
                place = value
                continue
            break
    return message
