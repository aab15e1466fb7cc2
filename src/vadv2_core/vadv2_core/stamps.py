"""Time. A stamp is an integer of nanoseconds since the epoch of its clock, so that it crosses messages exactly."""

from __future__ import annotations

Stamp = int
"""Nanoseconds; the anchor (front) camera's exposure stamps everything made from a frame."""

NANOSECONDS = 1_000_000_000


def seconds_between(earlier: Stamp, later: Stamp) -> float:
    """``later - earlier`` in seconds, exact to a nanosecond for any epoch."""
    return (later - earlier) / NANOSECONDS


def stamp_from_seconds(seconds: float) -> Stamp:
    """Seconds to a stamp, rounded to the nearest nanosecond."""
    return round(seconds * NANOSECONDS)
