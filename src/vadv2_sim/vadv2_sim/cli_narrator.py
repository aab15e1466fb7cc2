"""``./vadv2 sim narrate``: what the narrator says of recorded drives, and how much of it is true."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the narrator's command to the ``sim`` sub-app."""
    app.command("narrate")(narrate)


def narrate(
    folder: Annotated[Path, typer.Argument(help="A recording (`./vadv2 sim record`).")],
    every: Annotated[int, typer.Option(min=1, help="Frames between narrated moments.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the words, and of the moments drawn.")] = 0,
    pictures: Annotated[Path | None, typer.Option(help="Also draw moments with their words into this folder.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many to draw.")] = 10,
    json: Annotated[Path | None, typer.Option("--json", help="Also write the numbers.")] = None,
) -> None:
    """Narrate recorded drives, read every sentence back and hold it against the Scene; draw moments to check by eye.

    Example: ./vadv2 sim narrate out/logs --pictures out/moments
    """
    from rich.console import Console
    from rich.table import Table

    from vadv2_core.files import write_json_atomic
    from vadv2_sim.narrator.survey import draw_moments, survey

    found = survey(folder, every, seed).as_mapping()
    console = Console()
    for key in ("frames", "statements", "wrong", "unread", "words_per_frame"):
        console.print(f"{key:16} {found[key]}")
    table = Table("scenario", "moments", "edge cases, share of moments")
    for name, row in found["scenarios"].items():
        shares = ", ".join(f"{flag.lower()} {n / row['frames']:.2f}" for flag, n in row["flags"].items())
        table.add_row(name, str(row["frames"]), shares)
    console.print(table)
    table = Table("cause", "decisions", "in sight")
    for name, row in found["causes"].items():
        table.add_row(name.lower(), str(row["decisions"]), f"{row['in_sight'] / row['decisions']:.2f}")
    console.print(table)
    if pictures is not None:
        drawn = draw_moments(folder, pictures, count, seed, lambda path: console.print(f"drew {path}"))
        found["drawn"] = drawn.as_mapping()
    if json is not None:
        write_json_atomic(json, found)
