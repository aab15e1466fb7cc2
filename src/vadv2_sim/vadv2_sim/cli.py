"""Command line of the simulator: ``./vadv2 sim ...`` and ``./vadv2 bench sim``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vadv2_sim.cli_expert import register as expert_commands
from vadv2_sim.cli_montage import register as renderer_commands
from vadv2_sim.cli_narrator import register as narrator_commands

JsonOption = Annotated[Path | None, typer.Option("--json", help="Also write the numbers to this file.")]


def register(app: typer.Typer) -> None:
    """Add the simulator's commands to the `vadv2` command line."""
    sim = typer.Typer(help="The city: towns, scenarios, recordings.", no_args_is_help=True)
    sim.command("list")(list_scenarios)
    sim.command("show")(show)
    sim.command("towns")(towns)
    sim.command("build-town")(build)
    sim.command("record")(record)
    sim.command("inspect")(inspect_log)
    expert_commands(sim)
    renderer_commands(sim)
    narrator_commands(sim)
    app.add_typer(sim, name="sim")
    bench = next((group.typer_instance for group in app.registered_groups if group.name == "bench"), None)
    if bench is None:
        bench = typer.Typer(help="Measure speed and memory.", no_args_is_help=True)
        app.add_typer(bench, name="bench")
    bench.command("sim")(bench_sim)


def list_scenarios() -> None:
    """List every scenario with what happens in it."""
    from rich.console import Console
    from rich.table import Table

    from vadv2_sim.scenarios import SCENARIOS

    table = Table("scenario", "what happens", "longest, s", "edge cases")
    for name, scenario in SCENARIOS.items():
        info = scenario.info
        flags = ", ".join(f.name.lower() for f in info.flags)
        table.add_row(name, info.description, f"{info.seconds:g}", flags)
    Console().print(table)


def show(name: Annotated[str, typer.Argument(help="Name of a scenario (`sim list`).")]) -> None:
    """Show a scenario: its trigger, success criterion, language truth and parameters."""
    from vadv2_sim.scenarios import scenario_type

    info = scenario_type(name).info
    lines = [
        f"{info.name}: {info.description}",
        f"trigger: {info.trigger}",
        f"success: {info.success}",
        f"ends after: {info.seconds:g} s",
        "true edge cases: " + (", ".join(f.name.lower() for f in info.flags) or "none"),
        "causes the ego may name: " + (", ".join(c.name.lower() for c in info.causes if c) or "any"),
        "parameters:" if info.parameters else "parameters: none",
    ]
    for key, p in info.parameters.items():
        lines.append(f"  {key}: {p.low:g} .. {p.high:g} {p.unit}".rstrip() + f"  {p.description}")
    typer.echo("\n".join(lines))


def towns() -> None:
    """List the committed towns."""
    from rich.console import Console
    from rich.table import Table

    from vadv2_sim.town import TOWN_NAMES, load_town

    table = Table("town", "description", "for", "vehicles", "people", "net")
    for name in TOWN_NAMES:
        town = load_town(name)
        facts = town.facts
        use = "training" if facts.split == "train" else "held out"
        table.add_row(name, facts.description, use, str(facts.vehicles), str(facts.pedestrians), town.net_hash[:12])
    Console().print(table)


def build(
    folder: Annotated[Path, typer.Argument(help="Folder with town.{nod,edg,typ,con}.xml.")],
    draw: Annotated[str, typer.Option(help="First write the sources of this committed town (town_a .. town_f).")] = "",
) -> None:
    """Build net.xml of a town from its plain-XML sources (needs netconvert: pip install eclipse-sumo)."""
    from vadv2_core.errors import InputError
    from vadv2_sim.road_map import town_map
    from vadv2_sim.town import load_town
    from vadv2_sim.town_build import build_town, draw_town
    from vadv2_sim.town_plans import TOWN_PLANS

    if draw:
        if draw not in TOWN_PLANS:
            raise InputError(f"unknown town {draw!r}", "--draw", "one of " + ", ".join(TOWN_PLANS))
        draw_town(draw, folder)
    for warning in build_town(folder):
        typer.echo(warning)
    town = load_town(folder)
    road = town_map(town).road
    typer.echo(
        f"{town.net}: {len(road.lanes)} lanes, {len(road.junctions)} junctions, {len(road.signal_heads)} signal heads, "
        f"{len(road.crossings)} crossings, {town.net.stat().st_size / 1e3:.0f} kB"
    )


def record(
    out: Annotated[Path, typer.Option("--out", help="Folder for the scene logs; one that was begun is gone on with.")],
    towns: Annotated[str, typer.Option(help="Towns, with commas.")] = "town_a,town_b,town_c,town_d",
    hours: Annotated[float, typer.Option(min=0.0, help="Hours of driving to record.")] = 1.0,
    scenarios: Annotated[str, typer.Option(help="Only these scenarios, with commas; a mix of all without.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Draws the drives.")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes at once.")] = 2,
    driver: Annotated[str, typer.Option(help="Who drives: expert or lane_follower.")] = "expert",
    seconds: Annotated[float, typer.Option(min=0.0, help="End every drive after so long; 0 for its own.")] = 0.0,
    json_path: JsonOption = None,
) -> None:
    """Record drives as scene logs (states, no pictures), in parallel; a killed recording goes on where it was.

    Example: ./vadv2 sim record --towns town_a,town_b --hours 1 --out out/logs
    """
    import time
    from collections import Counter

    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from vadv2_core.files import write_json_atomic
    from vadv2_sim.record import record as record_drives

    names = [t.strip() for t in towns.split(",") if t.strip()]
    chosen = [s.strip() for s in scenarios.split(",") if s.strip()]
    begin = time.monotonic()
    reasons: Counter[str] = Counter()
    events: Counter[str] = Counter()
    driven, passed = 0.0, 0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task("recording", total=hours * 3600.0)
        for outcome in record_drives(out, names, hours, chosen, seed, workers, driver, seconds):
            driven += outcome.seconds
            passed += outcome.success
            reasons[outcome.reason] += 1
            events.update(outcome.events)
            bar.update(task, completed=driven, description=f"{sum(reasons.values())} drives")
    wall = time.monotonic() - begin
    numbers = {
        "drives": sum(reasons.values()),
        "hours": driven / 3600.0,
        "passed": passed,
        "ended": dict(reasons),
        "events": dict(events),
        "wall_s": wall,
    }
    typer.echo(
        f"{out}: {numbers['drives']} drives, {driven / 3600.0:.2f} h in {wall:.0f} s; {passed} passed; "
        f"ended {dict(reasons)}; events {dict(events)}"
    )
    if json_path:
        write_json_atomic(json_path, numbers)


def inspect_log(log: Annotated[Path, typer.Argument(help="A scene log (*.scenes.zst).")]) -> None:
    """Say what is in a scene log."""
    from vadv2_core.scene_log import SceneLog

    read = SceneLog(log)
    h, first, last = read.header, read[0].scene, read[len(read) - 1].scene
    seconds = (last.stamp - first.stamp) / 1e9
    typer.echo(
        f"{log}: {h.town}, scenario {h.scenario or 'none'}, seed {h.seed}, driver {h.driver}\n"
        f"{len(read)} frames, {seconds:.1f} s, {log.stat().st_size / 1e3 / max(seconds, 0.1):.2f} kB/s"
        f"{', cut short' if read.truncated else ''}\n"
        f"ended: {read.end or 'unknown'}"
    )


def bench_sim(
    json_path: JsonOption = None,
    town: Annotated[str, typer.Option(help="Town to measure in.")] = "town_a",
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the steps.")] = False,
) -> None:
    """Measure traffic, six cameras, recording and memory; each figure in a process of its own."""
    from rich.console import Console
    from rich.table import Table

    from vadv2_core.files import write_json_atomic
    from vadv2_sim.bench import measure

    numbers = measure(town, quick)
    table = Table("figure", "value")
    for key, value in numbers.items():
        table.add_row(key, f"{value:.1f}" if isinstance(value, float) else str(value))
    Console().print(table)
    if json_path:
        write_json_atomic(json_path, numbers)
