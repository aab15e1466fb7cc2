"""``./vadv2 shadow``: drive a recording beside its driver and keep where the two differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("shadow")(shadow_command)


def shadow_command(
    bag: Annotated[Path, typer.Argument(help="rosbag2 folder, .mcap or .db3 file of a drive.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the clips, shadow.json and report.html.")],
    lateral: Annotated[float, typer.Option(help="Sideways difference that counts, m.", min=0.1)] = 1.0,
    longitudinal: Annotated[float, typer.Option(help="Difference along the way that counts, m.", min=0.1)] = 4.0,
    horizon: Annotated[float, typer.Option(help="How far ahead they are compared, s.", min=0.5, max=8.0)] = 2.0,
    frames: Annotated[int, typer.Option(help="So many frames in a row make a disagreement.", min=1)] = 3,
    model: Annotated[str, typer.Option(help="tiny, base, minimal, or a folder below --models.")] = "tiny",
    models: Annotated[Path, typer.Option(help="Directory of model directories.")] = Path("models"),
    map: Annotated[list[str] | None, typer.Option("--map", help="NAME=/topic for topics of other names.")] = None,
    rig: Annotated[Path | None, typer.Option(help="Rig file, in place of CameraInfo and /tf_static.")] = None,
) -> None:
    """Drive a recording beside its driver, sending nothing, and cut out every place where the stack would differ.

    Each disagreement is a bag of its own (OUT/disagreement_NN), with what was done and what the stack would have done
    and why. Example: ./vadv2 shadow out/drive/input --out out/shadow
    """
    from vadv2_bringup.bag_reader import BagReader
    from vadv2_bringup.bag_topics import parse_map
    from vadv2_bringup.replay import progress_bar
    from vadv2_bringup.shadow import ShadowConfig, shadow
    from vadv2_bringup.shadow_report import render_shadow_report
    from vadv2_core.camera import load_rig
    from vadv2_core.errors import InputError
    from vadv2_core.files import write_bytes_atomic, write_json_atomic
    from vadv2_driver import Driver
    from vadv2_driver.configuration import DriverConfig

    config = ShadowConfig(horizon, lateral, longitudinal, frames)
    if out.exists() and any(out.iterdir()):
        raise InputError("is not empty", str(out), "a new folder")
    driver = Driver(DriverConfig(model=model, models=str(models)))
    with BagReader(bag, parse_map(map or ()), load_rig(rig) if rig else None) as reader:
        total = max(1, round(reader.duration * 10))
        with progress_bar("shadow", total) as advance:
            result = shadow(reader, driver, out, config, advance)
    write_json_atomic(out / "shadow.json", result)
    write_bytes_atomic(out / "report.html", render_shadow_report(result, config, bag.name).encode())
    typer.echo(
        f"{result['differing']} of {result['compared']} frames differ; {len(result['disagreements'])} disagreements"
    )
    for found in result["disagreements"]:
        worst = found["worst"]
        typer.echo(f"{found['clip']}: {worst['lateral']:+.1f} m sideways, {worst['longitudinal']:+.1f} m along")
        typer.echo(f"  stack:  {worst['ours']}")
        typer.echo(f"  driver: {worst['theirs']}")
    typer.echo(f"report        {out / 'report.html'}")
