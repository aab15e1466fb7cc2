"""Command line of the fault campaign: `./vadv2 faults`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vadv2_eval.faults.injections import Fault


def _known(name: str, known: dict[str, Fault]) -> Fault:
    from vadv2_core.errors import InputError

    if name not in known:
        raise InputError(f"unknown fault {name!r}", "faults", "one of " + ", ".join(known))
    return known[name]


def faults(
    json: Annotated[Path, typer.Option(help="File for every fault and its outcome.")] = Path("out/faults.json"),
    short: Annotated[
        bool, typer.Option("--short", help="A share of the faults, without pictures: under two minutes.")
    ] = False,
    only: Annotated[str, typer.Option(help="Only these, with commas; pairs as A+B (names as in the table).")] = "",
    model: Annotated[
        str, typer.Option(help="Folder of the model that drives on pictures (perception, planner, vlm).")
    ] = "",
    town: Annotated[str, typer.Option(help="Town of the drives; another than theirs.")] = "",
    scenario: Annotated[str, typer.Option(help="Scenario of the drives.")] = "free",
    seed: Annotated[int | None, typer.Option(help="Seed of the drives; another than theirs.", min=0)] = None,
    page: Annotated[Path | None, typer.Option(help="Write the table between the marks of this Markdown page.")] = None,
) -> None:
    """Inject faults into a drive, one by one and in pairs, and say what each did to the vehicle.

    Every drive is compared with the same drive without the fault. Exits with 1 where a command was not finite or beyond
    the vehicle's limits, or where a fault made the ego collide. What an interrupted campaign has driven is in
    `FILE.partial`, and the same command goes on from there.

    Example: ./vadv2 faults --json out/faults.json --page docs/faults.md
    """
    from dataclasses import replace

    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from vadv2_core.files import write_json_atomic
    from vadv2_eval.faults.campaign import Drives, chosen_faults, run_kept, summary
    from vadv2_eval.faults.drive import BLIND, ON_PICTURES
    from vadv2_eval.faults.injections import FAULTS
    from vadv2_eval.faults.page import write_page

    orders = chosen_faults(short)
    if only:
        known = {f.name: f for f in FAULTS}
        orders = [tuple(_known(name, known) for name in order.split("+")) for order in only.split(",")]
    other: dict[str, Any] = {name: value for name, value in (("town", town), ("seed", seed)) if value not in ("", None)}
    drives = Drives(
        replace(BLIND, scenario=scenario, **other), replace(ON_PICTURES, scenario=scenario, model=model, **other)
    )
    kept = json.with_name(json.name + ".partial")
    outcomes = list(track(run_kept(drives, orders, kept), total=len(orders), description="driving"))
    total = summary(outcomes, drives)
    write_json_atomic(json, total)
    kept.unlink(missing_ok=True)
    if page is not None:
        write_page(page, total)
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
    typer.echo(
        f"{len(outcomes)} faults: {total['nonfinite_commands']} commands not finite, "
        f"{total['limit_violations']} beyond limits, {total['collisions']} collisions; written to {json}"
    )
    if total["nonfinite_commands"] or total["limit_violations"] or total["collisions"]:
        raise typer.Exit(1)
