"""The expert's table as Markdown, put between the marks of a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_sim.expert.table import DriveRow, summary

BEGIN, END = "<!-- expert table -->", "<!-- end -->"


def markdown(rows: Sequence[DriveRow]) -> str:
    """Completed of driven routes by scenario and town, the totals, and a line on every drive that failed."""
    towns = list(dict.fromkeys(sorted(r.town for r in rows)))
    names = list(dict.fromkeys(sorted(r.scenario for r in rows)))
    lines = [
        "| scenario | " + " | ".join(towns) + " | at-fault collisions | other infractions | jerk, m/s³ |",
        "|---" * (len(towns) + 4) + "|",
    ]
    for name in names:
        mine = [r for r in rows if r.scenario == name and r.reason != "no_place"]
        told = summary(mine)
        cells = []
        for town in towns:
            here = [r for r in mine if r.town == town]
            cells.append(f"{sum(r.reason == 'goal' for r in here)} of {len(here)}" if here else "–")
        other = ", ".join(f"{k} {v}" for k, v in told["infractions"].items() if k != "collision") or "0"
        hits = told["infractions"].get("collision", 0)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {hits} | {other} | {told['jerk_rms']:.2f} |")
    whole = summary(rows)
    counts = ", ".join(f"{k} {v}" for k, v in whole["infractions"].items()) or "none"
    lines += [
        "",
        f"{whole['drives']} drives ({whole['no_place']} more without a place), {whole['kilometres']} km, "
        f"{whole['hours']:.2f} h: {whole['routes_completed']:.1%} of routes completed, "
        f"{whole['at_fault_collisions']:.1%} at-fault collisions, infractions: {counts}; "
        f"jerk {whole['jerk_rms']} m/s³ rms, hardest braking (95 % below) {whole['hardest_braking_p95']} m/s².",
    ]
    bad = [r for r in rows if r.reason not in ("goal", "no_place") or r.at_fault]
    lines += ["", *(f"- {_failure(r)}" for r in bad)] if bad else []
    return "\n".join(lines) + "\n"


def _failure(row: DriveRow) -> str:
    told = "; ".join(row.events) or "nothing reported"
    return f"`{row.scenario}` in {row.town}, seed {row.seed}: {row.reason} after {row.metres:.0f} m ({told})"


def write_page(page: Path, rows: Sequence[DriveRow]) -> None:
    """Put the table between the marks of a page.

    Raises:
        InputError: for a page without the marks.
    """
    text = page.read_text() if page.is_file() else ""
    start = text.find(BEGIN)
    end = text.find(END, max(start, 0))
    if start < 0 or end < 0:
        raise InputError("no place for the table", str(page), f"a line {BEGIN} and after it a line {END}")
    write_bytes_atomic(page, (text[: start + len(BEGIN)] + "\n\n" + markdown(rows) + "\n" + text[end:]).encode())
