"""The reasoner's commands: ``./vadv2 vlm show``, ``./vadv2 vlm make``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the reasoner's commands."""
    group = typer.Typer(help="The vision language model: what it is, and a tiny one from a seed.", no_args_is_help=True)
    app.add_typer(group, name="vlm")

    @group.command("show")
    def show(
        model: Annotated[
            str,
            typer.Argument(help="A VLM checkpoint, or directory or hub name of any image-text-to-text model."),
        ] = "",
        json: Annotated[Path | None, typer.Option("--json", help="Also write what is printed here.")] = None,
    ) -> None:
        """Load a model as the reasoner does and say what it is: class, sizes, licence, tokenizer.

        Without a model: the untrained tiny one. Mind the licence before you use or ship a model of others.

        Example: `./vadv2 vlm show models/tiny/vlm`
        """
        from vadv2_core.files import write_json_atomic
        from vadv2_vlm.config import VlmConfig
        from vadv2_vlm.reasoner import Reasoner

        directory = Path(model) if model and Path(model).is_dir() else None
        config = VlmConfig(language_model="" if directory else model)
        facts = Reasoner(directory, config).describe()
        for key, value in facts.items():
            typer.echo(f"{key:24} {value}")
        if json is not None:
            write_json_atomic(json, facts)

    @group.command("make")
    def make(
        out: Annotated[Path, typer.Argument(help="Directory to write; must not be there yet.")],
        seed: Annotated[int, typer.Option(help="Of the weights.", min=0)] = 0,
    ) -> None:
        """Write the tiny Qwen3-VL with untrained weights: an ordinary transformers directory, tokenizer included.

        Example: `./vadv2 vlm make /tmp/tiny --seed 1`
        """
        from vadv2_core.errors import InputError
        from vadv2_vlm.tiny import write_tiny

        if out.exists():
            raise InputError("is there already", str(out), "a new directory")
        write_tiny(out, seed)
        size = sum(f.stat().st_size for f in out.iterdir())
        typer.echo(f"wrote {out} ({size / 1e6:.1f} MB)")
