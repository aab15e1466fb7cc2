"""``./vadv2 bench control``: the regularity of the control loop on a busy machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to ``./vadv2 bench``."""
    bench = next((group.typer_instance for group in app.registered_groups if group.name == "bench"), None)
    if bench is None:
        bench = typer.Typer(help="Measure speed and memory.", no_args_is_help=True)
        app.add_typer(bench, name="bench")
    bench.command("control")(bench_control)


def bench_control(
    json_path: Annotated[Path | None, typer.Option("--json", help="Also write the numbers to this file.")] = None,
    seconds: Annotated[float, typer.Option(help="How long is measured.", min=1.0, max=3600.0)] = 20.0,
    busy: Annotated[int, typer.Option(help="Busy threads beside it; -1 for one a core.", min=-1, max=1024)] = -1,
    priority: Annotated[int, typer.Option(help="Control's real-time priority; 0 for none.", min=0, max=99)] = 10,
    whole: Annotated[bool, typer.Option("--whole", help="All nodes work beside it, on six cameras at 10 Hz.")] = False,
) -> None:
    """Measure how far the intervals between control's commands are from its period, one busy thread on each core.

    `loop` is by when control published (DDS source timestamps), `arrival` by when commands are received here and so
    with this program's own delays. Example: ./vadv2 bench control --json out/jitter.json
    """
    import os

    from rich.console import Console
    from rich.table import Table

    from vadv2_bringup.control_jitter import measure_jitter
    from vadv2_bringup.replay import progress_bar
    from vadv2_core.files import write_json_atomic

    with progress_bar("control", max(1, int(seconds))) as advance:
        result = measure_jitter(seconds, (os.cpu_count() or 1) if busy < 0 else busy, priority, advance, whole=whole)
    table = Table("|interval - period|", "p50 ms", "p99 ms", "max ms", *result["loop"]["histogram_ms"])
    for name in ("loop", "arrival"):
        row = result[name]
        numbers = [f"{row[key]:.2f}" for key in ("p50_ms", "p99_ms", "max_ms")]
        table.add_row(name, *numbers, *map(str, row["histogram_ms"].values()))
    Console(width=140).print(table)
    typer.echo(
        f"{result['commands']} commands of {result['commands_expected']} ({result['commands_heard']} heard here) "
        f"at {result['period_ms']:.0f} ms, {result['busy_threads']} busy threads on {result['cores']} cores, "
        f"load {result['load_1min']:.1f}, real-time priority {result['realtime_priority']}"
    )
    if whole:
        typer.echo("beside it: " + ", ".join(f"{name} {rate:g} Hz" for name, rate in result["node_rates_hz"].items()))
    for remark in result["remarks"]:
        typer.echo(remark)
    if json_path is not None:
        write_json_atomic(json_path, result)
