"""Command line of the fault campaign: `./vadv2 faults`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def faults(
    json: Annotated[Path, typer.Option(help="File for every fault and its outcome.")] = Path("out/faults.json"),
    short: Annotated[
        bool, typer.Option("--short", help="A share of the faults, without pictures: under two minutes.")
    ] = False,
    only: Annotated[str, typer.Option(help="Only these faults, with commas (names as in the table).")] = "",
    town: Annotated[str, typer.Option(help="Town of the drive.")] = "town_a",
    scenario: Annotated[str, typer.Option(help="Scenario of the drive.")] = "free",
    seed: Annotated[int, typer.Option(help="Seed of the drive.", min=0)] = 3,
) -> None:
    """Inject faults into a drive, one by one and in pairs, and say what each did to the vehicle.

    Every drive is compared with the same drive without the fault. Exits with 1 where a command was not finite or beyond
    the vehicle's limits, or where a fault made the ego collide.

    Example: ./vadv2 faults --short --json out/faults.json
    """
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from vadv2_core.errors import InputError
    from vadv2_core.files import write_json_atomic
    from vadv2_eval.faults.campaign import DriveSpec, chosen_faults, run, summary
    from vadv2_eval.faults.injections import FAULTS

    orders = chosen_faults(short)
    if only:
        known = {f.name: f for f in FAULTS}
        unknown = [name for name in only.split(",") if name not in known]
        if unknown:
            raise InputError(f"unknown fault {unknown[0]!r}", "faults", "one of " + ", ".join(known))
        orders = [(known[name],) for name in only.split(",")]
    outcomes = []
    for outcome in track(run(DriveSpec(town, scenario, seed), orders), total=len(orders), description="driving"):
        outcomes.append(outcome)
        write_json_atomic(json, summary(outcomes))
    table = Table("fault", "worst state", "because", "abnormal s", "deviation m", "drives on", "collisions")
    for o in outcomes:
        table.add_row(
            o.name,
            o.state,
            o.cause,
            f"{o.seconds:.1f}",
            f"{o.max_deviation_m:.2f}",
            "yes" if o.recovered else "no",
            str(o.collisions),
        )
    Console().print(table)
    total = summary(outcomes)
    typer.echo(
        f"{len(outcomes)} faults: {total['nonfinite_commands']} commands not finite, "
        f"{total['limit_violations']} beyond limits, {total['collisions']} collisions; written to {json}"
    )
    if total["nonfinite_commands"] or total["limit_violations"] or total["collisions"]:
        raise typer.Exit(1)
