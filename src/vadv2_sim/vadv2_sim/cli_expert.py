"""``./vadv2 sim expert-table``: how the expert drives, town by town and scenario by scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the expert's command to the ``sim`` sub-app."""
    app.command("expert-table")(expert_table)


def expert_table(
    towns: Annotated[str, typer.Option(help="Towns, with commas; all without.")] = "",
    scenarios: Annotated[str, typer.Option(help="Scenarios, with commas; all without.")] = "",
    drives: Annotated[int, typer.Option(min=1, help="How many seeded drives.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the first drive.")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes at once.")] = 2,
    driver: Annotated[str, typer.Option(help="Who drives: expert or lane_follower.")] = "expert",
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write rows and summary to this file, drive by drive.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write the table between the marks of this Markdown page.")] = None,
) -> None:
    """Drive seeded scenarios and print completion, collisions, infractions and comfort by town and scenario.

    Killed, the same command goes on with the drives that its --json file lacks.

    Example: ./vadv2 sim expert-table --drives 200 --json out/expert.json
    """
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from vadv2_core.files import write_json_atomic
    from vadv2_sim.expert.page import write_page
    from vadv2_sim.expert.table import as_mapping, kept_rows, plan_drives, run_table, summary
    from vadv2_sim.scenarios import SCENARIOS, make_scenario
    from vadv2_sim.town import TOWN_NAMES, load_town

    town_names = [t.strip() for t in towns.split(",") if t.strip()] or list(TOWN_NAMES)
    names = [s.strip() for s in scenarios.split(",") if s.strip()] or list(SCENARIOS)
    for town in town_names:
        load_town(town)
    for name in names:
        make_scenario(name, 0)
    jobs = plan_drives(town_names, names, drives, seed)
    kept = kept_rows(json_path, driver) if json_path is not None else []
    found = {(r.town, r.scenario, r.seed): r for r in kept}
    missing = [job for job in jobs if job not in found]
    for row in track(run_table(missing, workers, driver), "driving", total=len(missing)):
        found[row.town, row.scenario, row.seed] = row
        if json_path is not None:
            write_json_atomic(json_path, as_mapping([found[j] for j in jobs if j in found], driver))
    rows = [found[job] for job in jobs]
    console = Console()
    table = Table("town", "scenario", "drives", "completed", "at-fault collisions", "other infractions", "jerk, m/s³")
    for town in town_names:
        for name in names:
            mine = [r for r in rows if (r.town, r.scenario) == (town, name) and r.reason != "no_place"]
            if not mine:
                continue
            s = summary(mine)
            other = ", ".join(f"{k} {v}" for k, v in s["infractions"].items() if k != "collision")
            completed, hits = f"{s['routes_completed']:.0%}", f"{s['at_fault_collisions']:.0%}"
            table.add_row(town, name, str(len(mine)), completed, hits, other, f"{s['jerk_rms']:.2f}")
    console.print(table)
    for row in rows:
        if row.reason not in ("goal", "no_place") or row.at_fault:
            told = "; ".join(row.events) or "nothing reported"
            console.print(f"{row.town} {row.scenario} seed {row.seed}: {row.reason} after {row.metres:.0f} m: {told}")
    whole = summary(rows)
    console.print(
        f"{whole['drives']} drives ({whole['no_place']} without a place), {whole['kilometres']} km: "
        f"{whole['routes_completed']:.1%} of routes completed, {whole['at_fault_collisions']:.1%} at-fault collisions, "
        f"infractions {whole['infractions']}, {whole['plan_ms']} ms a plan"
    )
    if json_path is not None:
        write_json_atomic(json_path, as_mapping(rows, driver))
    if page is not None:
        write_page(page, rows)
