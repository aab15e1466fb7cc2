"""The closed-loop result for people: a table on the terminal and an HTML page with the pictures of failures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vadv2_eval.html import heading, image, page, paragraph, table

ROWS = (
    ("driving score", "driving_score"),
    ("route completion", "route_completion"),
    ("infraction score", "infraction_score"),
    ("success rate", "success_rate"),
    ("efficiency", "efficiency"),
    ("comfort", "comfort"),
    ("PDMS-like of the driven plans", "pdms"),
    ("smallest time to collision, s", "min_ttc_s"),
    ("share of time below 1.5 s to collision", "low_ttc_share"),
    ("drives with an at-fault collision", "at_fault_collision"),
    ("red lights driven over, of those met", "signal_violation"),
    ("commands in new words obeyed", "command_obeyed"),
    ("edge-case recall", "edge_recall"),
    ("edge-case precision", "edge_precision"),
    ("intent F1", "intent_f1"),
    ("agents' intention F1", "agent_intent_f1"),
    ("trace accuracy", "trace_accuracy"),
    ("chain-of-thought accuracy", "cot_accuracy"),
    ("stated intent is driven", "agreement"),
)
SPOKEN = ROWS[-8:]
"""Rows that only a driver with a reasoner has."""


def by_driver(result: dict[str, Any]) -> dict[str, Any]:
    """Summary by driver, for one driver or several."""
    return dict(result["drivers"]) if "drivers" in result else {result["driver"]: result}


def _estimate(value: dict[str, Any] | None) -> str:
    if value is None:
        return "none"
    return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def rows_of(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of scores."""
    drivers = by_driver(result)
    silent = not any(d["reasoning"] for d in drivers.values())
    shown = [row for row in ROWS if row not in SPOKEN] if silent else ROWS
    rows = [[label, *(_estimate(d["estimates"].get(key)) for d in drivers.values())] for label, key in shown]
    if any(d["planner_hz"] for d in drivers.values()):
        rows.append(["frames a second, image to command", *(_number(d["planner_hz"]) for d in drivers.values())])
        rows.append(["the same in processor time", *(_number(d["planner_cpu_hz"]) for d in drivers.values())])
    spent = [f"{d['cpu_s'] / max(d['simulated_s'], 0.1):.2f}" for d in drivers.values()]
    rows.append(["processor seconds a simulated second", *spent])
    rows.append(["take-overs a km", *(_number(d["take_overs_per_km"]) for d in drivers.values())])
    rows.append(["drives, km", *(f"{d['drives']}, {d['kilometres']:.2f}" for d in drivers.values())])
    rows.append(["infractions", *(_listed(d["infractions"]) for d in drivers.values())])
    return ["", *drivers], rows


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def text_table(result: dict[str, Any]) -> str:
    """The scores as a markdown table."""
    header, rows = rows_of(result)
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])


def ability_table(result: dict[str, Any]) -> str:
    """Success and driving score an ability, as a markdown table."""
    lines = ["| driver | ability | success | driving score | scenarios |", "|---|---|---|---|---|"]
    for driver, summary in by_driver(result).items():
        for name, v in summary["abilities"].items():
            scores = f"{_estimate(v['success_rate'])} | {_estimate(v['driving_score'])}"
            lines.append(f"| {driver} | {name} | {scores} | {', '.join(v['scenarios'])} |")
    return "\n".join(lines)


def write_report(path: Path, result: dict[str, Any]) -> None:
    """The HTML page: scores, abilities, and every failure with its first wrong moment."""
    header, rows = rows_of(result)
    parts = [paragraph(f"Split {result['split']}, 95 % intervals."), table(header, rows)]
    for driver, summary in by_driver(result).items():
        groups = [
            [name, ", ".join(v["scenarios"]), _estimate(v["success_rate"]), _estimate(v["driving_score"])]
            for name, v in summary["abilities"].items()
        ]
        if groups:
            parts.append(table(["ability", "scenarios", "success", "driving score"], groups, f"{driver}: abilities"))
        for failure in summary["failures"]:
            wrong = failure["first_wrong"]
            what = f"{wrong['kind']} at {wrong['time']:.1f} s: {wrong['detail']}" if wrong else failure["reason"]
            parts.append(paragraph(f"{driver}, {failure['drive']}: {what}"))
            if failure["picture"] and Path(failure["picture"]).is_file():
                parts.append(image(Path(failure["picture"]), what))
        if summary["left_out"]:
            parts.append(table(["left out"], [[w] for w in summary["left_out"]]))
    parts += [heading("Conventions"), table(["", ""], [[name, text] for name, text in result["conventions"].items()])]
    page(path, "Closed loop", parts)
