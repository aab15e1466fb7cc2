"""The planner's part of the command line: ``./vadv2 anchors``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the planner's commands."""

    @app.command("anchors")
    def anchors(
        out: Annotated[Path, typer.Option("--out", help="Anchor file to write (JSON).")],
        source: Annotated[
            str,
            typer.Option(
                "--from",
                help="'kinematic' for seeded bicycle trajectories, or a safetensors file with a tensor 'trajectories' "
                "of shape (n, 16, 2) at 0.5 s or (n, 80, 2) at 0.1 s, metres in base_link.",
            ),
        ] = "kinematic",
        modes: Annotated[int, typer.Option(help="Anchors to make.", min=1, max=8192)] = 20,
        seed: Annotated[int, typer.Option(help="Of the clustering and the kinematic trajectories.")] = 0,
        count: Annotated[int, typer.Option(help="Kinematic trajectories to draw.", min=100)] = 20000,
        json: Annotated[Path | None, typer.Option("--json", help="Also write the numbers printed here.")] = None,
    ) -> None:
        """Make the planner's anchors by k-means over trajectories, with their normalisation constants.

        Example: ./vadv2 anchors --from kinematic --out anchors.json
        """
        import numpy as np

        from vadv2_core.files import write_json_atomic
        from vadv2_planner.anchors import (
            distance_to_nearest,
            kinematic_trajectories,
            load_trajectories,
            make_anchors,
            save_anchors,
        )

        if source == "kinematic":
            trajectories = kinematic_trajectories(count, seed)
            words = f"kinematic: {count} seeded bicycle trajectories, seed {seed}"
        else:
            trajectories = load_trajectories(Path(source))
            words = f"{Path(source).name}: {len(trajectories)} trajectories, seed {seed}"
        made = make_anchors(trajectories, modes, seed, words)
        save_anchors(out, made)
        apart = distance_to_nearest(trajectories, made.anchors)
        numbers = {
            "trajectories": len(trajectories),
            "anchors": len(made.anchors),
            "mean_distance_to_nearest_m": round(float(apart.mean()), 3),
            "p95_distance_to_nearest_m": round(float(np.percentile(apart, 95)), 3),
            "farthest_m": round(float(np.abs(trajectories).max()), 1),
        }
        for key, value in numbers.items():
            typer.echo(f"{key:28} {value}")
        typer.echo(f"wrote {out}")
        if json is not None:
            write_json_atomic(json, numbers)
