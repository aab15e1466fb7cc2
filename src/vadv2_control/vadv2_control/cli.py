"""Command line of control: `./vadv2 tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add control's commands to the `vadv2` command line."""
    app.command("tune")(tune)


def tune(
    manoeuvre: Annotated[list[str] | None, typer.Argument(help="Manoeuvres to drive; all without one.")] = None,
    vehicle: Annotated[Path | None, typer.Option(help="Vehicle file (config/vehicle/*.yaml).")] = None,
    params: Annotated[Path | None, typer.Option(help="YAML of control parameters, dotted or nested.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for report.html.")] = Path("out/tune"),
    json: Annotated[Path | None, typer.Option(help="Also write the numbers to this file.")] = None,
) -> None:
    """Drive step, sine, lane change, slalom, turn, stop and start on the vehicle model and write a report with plots.

    Gains come from `--params`; change them there, look at the report, then set them on the running node
    (`ros2 param set /control controller.lateral.cross_track_gain ...`): they are live parameters.
    """
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from vadv2_control.configuration import ControlConfig
    from vadv2_control.manoeuvres import MANOEUVRES, PLAN_LATENCY, drive_course
    from vadv2_control.tune_report import render_tune_report
    from vadv2_core.config import from_mapping
    from vadv2_core.errors import InputError
    from vadv2_core.files import read_yaml, write_bytes_atomic, write_json_atomic
    from vadv2_core.vehicle import VehicleConfig, load_vehicle

    names = manoeuvre or list(MANOEUVRES)
    for name in names:
        if name not in MANOEUVRES:
            raise InputError(f"unknown manoeuvre {name!r}", "tune", "one of " + ", ".join(MANOEUVRES))
    config = from_mapping(ControlConfig, read_yaml(params) if params else {}, str(params))
    car = load_vehicle(vehicle) if vehicle else VehicleConfig()
    results = [drive_course(MANOEUVRES[name](), config, car) for name in track(names, description="driving")]
    table = Table("manoeuvre", "lateral p95 m", "max m", "speed rms m/s", "jerk p95 m/s³", "stop error m")
    for result in results:
        row = result.summary()
        keys = ("lateral_p95_m", "lateral_max_m", "speed_rms_m_s", "jerk_p95_m_s3", "stop_error_m")
        table.add_row(result.course.name, *(f"{row[k]:.3f}" if k in row else "" for k in keys))
    Console().print(table)
    page = render_tune_report(results, config.period, PLAN_LATENCY)
    write_bytes_atomic(out / "report.html", page.encode())
    if json:
        write_json_atomic(json, {r.course.name: r.summary() for r in results})
    typer.echo(f"report: {out / 'report.html'}")
