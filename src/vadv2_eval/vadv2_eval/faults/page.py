"""The fault table as a page: what ``vadv2 faults --page`` writes between two marks of a Markdown file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vadv2_core.files import write_between_marks

BEGIN, END = "<!-- faults -->", "<!-- end -->"
_HEAD = "worst state | its cause | s not driving | deviation m | drives on | collisions"


def _row(fault: dict[str, Any], name: str) -> str:
    cause = str(fault["cause"]).replace("|", "/")
    cells = (
        name,
        fault["state"],
        cause if len(cause) <= 90 else cause[:87] + "…",
        f"{fault['seconds']:.1f}",
        f"{fault['max_deviation_m']:.2f}",
        "yes" if fault["recovered"] else "no",
        str(fault["collisions"]),
    )
    return f"| {' | '.join(cells)} |"


def _table(faults: list[dict[str, Any]], head: str, *, named: bool) -> list[str]:
    rows = [_row(f, f"`{f['name']}`: {f['what']}" if named else f"`{f['name'].replace('+', '` + `')}`") for f in faults]
    return [f"| {head} | {_HEAD} |", "|---" * 7 + "|", *rows]


def _drive(drive: dict[str, Any], faults: list[dict[str, Any]]) -> str:
    drivers = " and ".join(sorted({f"`{f['driver']}`" for f in faults})) or "nobody"
    speed = " or ".join(f"{v:.1f}" for v in sorted({f["speed"] for f in faults})) or "0"
    frames = f", a frame every {0.1 * drive['frame_steps']:g} s" if drive["pictures"] else ""
    return (
        f"- {len(faults)} drives by {drivers}{frames}: scenario `{drive['scenario']}`, town `{drive['town']}`, seed "
        f"{drive['seed']}, {drive['seconds']:g} s, struck after {drive['begin']:g} s at {speed} m/s."
    )


def tables(table: dict[str, Any]) -> str:
    """A campaign in words and two tables: single faults, and pairs.

    Args:
        table: Of `vadv2_eval.faults.campaign.summary`.
    """
    faults = table["faults"]
    singles = [f for f in faults if "+" not in f["name"]]
    pairs = [f for f in faults if "+" in f["name"]]
    lines = [
        *(
            _drive(table["drives"][name], [f for f in faults if (f["driver"] == "expert") is (name == "blind")])
            for name in ("blind", "on_pictures")
        ),
        f"- Load {table['load_1min']} at the end.",
        "",
        f"**{len(singles)} faults and {len(pairs)} pairs: {table['nonfinite_commands']} commands not finite, "
        f"{table['limit_violations']} beyond the limits, {table['collisions']} collisions that the same drive without "
        f"the fault does not have; {sum(bool(f['recovered']) for f in faults)} of {len(faults)} drive on.**",
        "",
        *_table(singles, "fault", named=True),
    ]
    if pairs:
        lines += ["", *_table(pairs, "pair", named=False)]
    refused = sorted({e for f in faults for e in f["exceptions"]})
    if refused:
        lines += ["", "What stages refused, and nodes count: " + "; ".join(f"`{e}`" for e in refused) + "."]
    return "\n".join(lines) + "\n"


def write_page(page: Path, table: dict[str, Any]) -> None:
    """Put the tables between the marks of a page.

    Raises:
        InputError: for a page without the marks.
    """
    write_between_marks(page, BEGIN, END, tables(table))
