"""The reasoner's commands: ``./vadv2 vlm show``, ``./vadv2 vlm make``, ``./vadv2 vlm ask``."""

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

    @group.command("ask")
    def ask(
        images: Annotated[list[Path], typer.Argument(help="Pictures of one moment, front first.")],
        model: Annotated[
            str,
            typer.Option("--model", help="As for `show`; its own vision tower reads the pictures, frozen as it comes."),
        ] = "",
        command: Annotated[str, typer.Option("--command", help="What the ego is asked to do, in words.")] = "",
        speed: Annotated[float, typer.Option("--speed", help="The ego's, m/s.", min=0.0)] = 0.0,
        max_tokens: Annotated[int, typer.Option("--max-tokens", help="Bound on the answer.", min=8)] = 192,
        free: Annotated[bool, typer.Option("--free", help="Any words, not only sentences that can be parsed.")] = False,
        json: Annotated[Path | None, typer.Option("--json", help="Also write the answer.")] = None,
    ) -> None:
        """Ask a vision language model about pictures through the pixel door, without the stack around it.

        Example: `./vadv2 vlm ask front.jpg front_left.jpg front_right.jpg --model Qwen/Qwen3-VL-2B-Instruct --speed 8`
        """
        from vadv2_core.files import write_json_atomic
        from vadv2_vlm.asking import answer_as_mapping, ask_about
        from vadv2_vlm.config import VlmConfig

        directory = Path(model) if model and Path(model).is_dir() else None
        config = VlmConfig(
            language_model="" if directory else model, max_tokens=max_tokens, sentences="free" if free else "grammar"
        )
        answer = answer_as_mapping(ask_about(images, directory, config, command, speed))
        for key, value in answer.items():
            typer.echo(f"{key:24} {value}")
        if json is not None:
            write_json_atomic(json, answer)
