"""``./vadv2 regress record`` and ``check``: golden logs of bags, driven in step and compared stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vadv2_eval.cli import command_group


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    regress = command_group(app, "regress", "Hold a change against golden logs, stage by stage.")
    regress.command("record")(regress_record)
    regress.command("check")(regress_check)


def _drive_bag(bag_path: Path, model: str, planner: str, limit: int) -> tuple[Any, Any]:
    """Snapshot and plan errors of a bag driven in step."""
    from itertools import islice

    from vadv2_bringup.bag_reader import BagReader
    from vadv2_core.files import sha256_of
    from vadv2_driver import Driver, DriverConfig
    from vadv2_eval.regression.run import RegressionFrame, drive_frames
    from vadv2_planner.config import PlannerConfig

    config = DriverConfig(model=model, planner=PlannerConfig(planner=planner))
    files = sorted(
        p for p in (bag_path.iterdir() if bag_path.is_dir() else [bag_path]) if p.suffix in (".mcap", ".db3")
    )
    about = {"bag": bag_path.name, "sha256": [sha256_of(f) for f in files], "model": model, "planner": planner}
    with BagReader(bag_path) as reader:
        frames = (RegressionFrame(f.frame, f.ego, f.command, f.route) for f in reader.frames())
        return drive_frames(Driver(config), islice(frames, limit or None), about | {"limit": limit})


def regress_record(
    bag_path: Annotated[Path, typer.Argument(metavar="BAG", help="rosbag2 with six cameras and odometry.")],
    out: Annotated[Path, typer.Option(help="Folder of the golden log.")],
    model: Annotated[str, typer.Option(help="Size of the system, or a folder below models.")] = "tiny",
    planner: Annotated[str, typer.Option(help="Planner by name.")] = "truncated_diffusion",
    frames: Annotated[int, typer.Option(help="At most so many frames; 0 for all.", min=0)] = 0,
) -> None:
    """Drive a bag in step and keep what every stage answered.

    Example: `vadv2 regress record out/drive/bag --out golden/city --frames 20`
    """
    import numpy as np

    from vadv2_core.files import write_json_atomic
    from vadv2_eval.regression.snapshot import save_snapshot

    snapshot, errors = _drive_bag(bag_path, model, planner, frames)
    save_snapshot(out, snapshot)
    write_json_atomic(out / "errors.json", [None if np.isnan(e) else float(e) for e in errors])
    typer.echo(f"{len(snapshot.stamps)} frames, {len(snapshot.arrays) + len(snapshot.texts)} fields: {out}")


def regress_check(
    golden: Annotated[Path, typer.Argument(help="Folder of a golden log.")],
    bag_path: Annotated[Path, typer.Option("--bag", help="The bag it was recorded from.")],
    long: Annotated[
        bool, typer.Option("--long", help="Every field that differs, instead of one line a stage.")
    ] = False,
    ignore: Annotated[list[str] | None, typer.Option(help="A stage or stage/field not to look at; repeatable.")] = None,
    timing: Annotated[float, typer.Option(help="Allowed slowdown a stage, in calibration loops; 0: none.")] = 2.0,
    out: Annotated[Path | None, typer.Option("--json", help="Write the comparison here.")] = None,
) -> None:
    """Drive the same bag again and say where the answers differ from golden, and by how much. Status 1 where they do.

    Example: `vadv2 regress check golden/city --bag out/drive/bag --long`
    """
    import numpy as np

    from vadv2_core.errors import InputError
    from vadv2_core.files import read_json, write_json_atomic
    from vadv2_eval.regression.compare import compare_snapshots
    from vadv2_eval.regression.snapshot import load_snapshot

    recorded = load_snapshot(golden)
    about = recorded.about
    new, errors = _drive_bag(bag_path, about["model"], about["planner"], about["limit"])
    if new.about["sha256"] != about["sha256"]:
        raise InputError("is another bag than golden's", str(bag_path), f"the bag {about['bag']} it was recorded from")
    before = np.array([np.nan if e is None else e for e in read_json(golden / "errors.json")])
    found = compare_snapshots(
        recorded,
        new,
        ignore=ignore or (),
        timing_ratio=timing,
        scores={"plan to odometry over 3 s, m": (before, errors)},
    )
    typer.echo(found.text(long=long))
    if out is not None:
        write_json_atomic(out, found.to_json())
    raise typer.Exit(0 if found.same else 1)
