"""One reasoning with what was true at its moment, as JSON lines keep it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from vadv2_core.errors import InputError

NOBODY = "NOBODY"
"""The truth of an intention that was stated of somebody who is not there; nothing that could be said."""


@dataclass(frozen=True, slots=True)
class ReasoningRecord:
    """One moment's reasoning beside the truth; enums by name.

    Attributes:
        time: Seconds since the start of the drive.
        drive: Which drive; stability is looked at within one.
        said: longitudinal, lateral, cause.
        true: The same of the expert; empty without one.
        driven: longitudinal, lateral of what was then driven; empty where the drive ended before.
        argued: longitudinal, lateral that the trace comes to; empty where it comes to nothing.
        flags: Probability by flag name.
        flag_truths: Truth by flag name; empty without a scene.
        statements: How many statements the trace and the description make, and how many are true.
        kinds: The same two numbers by kind of statement (``object``, ``signal``, ``ego`` ...).
        unread: Sentences that could not be parsed.
        intentions: Pairs [said, true] of the agents whose intention was stated; true is `NOBODY` where none is there.
        truncated: It was cut off.
        seconds: It took to say.
    """

    time: float
    drive: str
    said: tuple[str, str, str]
    true: tuple[str, ...] = ()
    driven: tuple[str, ...] = ()
    argued: tuple[str, ...] = ()
    flags: dict[str, float] = field(default_factory=dict)
    flag_truths: dict[str, bool] = field(default_factory=dict)
    statements: tuple[int, int] = (0, 0)
    unread: int = 0
    intentions: tuple[tuple[str, str], ...] = ()
    truncated: bool = False
    seconds: float = 0.0
    kinds: dict[str, tuple[int, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def record_from_json(value: dict[str, Any], where: str) -> ReasoningRecord:
    """The inverse of `ReasoningRecord.to_json`.

    Raises:
        InputError: for a missing or unknown key.
    """
    try:
        plain: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) and k != "intentions" else v for k, v in value.items()
        }
        plain["kinds"] = {k: (int(a), int(b)) for k, (a, b) in value.get("kinds", {}).items()}
        plain["intentions"] = tuple((str(a), str(b)) for a, b in value.get("intentions", ()))
        return ReasoningRecord(**plain)
    except (TypeError, ValueError) as error:
        raise InputError(f"not a reasoning record: {error}", where, "the keys of docs/evaluation.md") from None
