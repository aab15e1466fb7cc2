"""``config/<node>.param.yaml`` and the tables in the packages' READMEs, written from the config dataclasses."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import yaml

from vadv2_bringup.environment import WORKSPACE
from vadv2_bringup.system import CONFIG, NODE_CONFIGS, PACKAGES, TOPICS
from vadv2_core.config import Parameter, parameters_of, to_mapping
from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic

_WIDTH = 110
_HEAD = "# Every parameter of the {node} node with its default; written by `make docs` from the code.\n"


def _comment(parameter: Parameter) -> str:
    spec = parameter.spec
    bounded = spec.choices or spec.minimum is not None or spec.maximum is not None
    words = spec.description
    if bounded:
        words += f" {spec.expectation()[0].upper()}{spec.expectation()[1:]}."
    elif spec.unit:
        words += f" In {spec.unit}."
    return words + (" Live." if not spec.read_only else "")


def parameter_file(node: str) -> str:
    """The text of a node's parameter file: every parameter, its meaning as a comment, its default as the value."""
    config_type = NODE_CONFIGS[node]
    meanings = {p.name: p for p in parameters_of(config_type)}
    lines = [_HEAD.format(node=node) + "/**:", "  ros__parameters:"]

    def write(values: dict[str, Any], prefix: str, indent: int) -> None:
        pad = " " * indent
        for name, value in values.items():
            if isinstance(value, dict):
                lines.append(f"{pad}{name}:")
                write(value, f"{prefix}{name}.", indent + 2)
                continue
            comment = _comment(meanings[prefix + name])
            lines.extend(
                textwrap.wrap(comment, _WIDTH - indent, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}# ")
            )
            plain = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
            lines.append(f"{pad}{name}: {plain.removesuffix('...').strip()}")

    write(to_mapping(config_type()), "", 4)
    return "\n".join(lines) + "\n"


def parameter_rows(node: str) -> str:
    """The README table of a node's parameters."""
    rows = ["| parameter | type | default | range | what it does |", "|---|---|---|---|---|"]
    defaults = to_mapping(NODE_CONFIGS[node]())
    for parameter in parameters_of(NODE_CONFIGS[node]):
        spec, value = parameter.spec, defaults
        for part in parameter.name.split("."):
            value = value[part]
        bounded = spec.choices or spec.minimum is not None or spec.maximum is not None
        default = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        allowed = spec.expectation() if bounded else spec.unit
        live = " Live." if not spec.read_only else ""
        shown = f"`{default}`" if default else "empty"
        rows.append(
            f"| `{parameter.name}` | {parameter.type.__name__} | {shown} | {allowed} | {spec.description}{live} |"
        )
    return "\n".join(rows)


def topic_rows(node: str) -> str:
    """The README table of a node's inputs and outputs."""
    rows = ["| topic in the node | public name | direction |", "|---|---|---|"]
    for private, public in TOPICS[node].items():
        rows.append(f"| `{private}` | `{public}` | {'in' if '/input/' in private else 'out'} |")
    if node == "perception":
        rows.append("| `~/input/camera/<name>/image[/compressed]` | `camera/<name>/image[/compressed]` | in |")
        rows.append("| `~/input/camera/<name>/camera_info` (without a rig file) | `camera/<name>/camera_info` | in |")
    return "\n".join(rows)


def filled(readme: str, where: str) -> str:
    """A README with the text between its ``<!-- parameters NODE -->`` and ``<!-- topics NODE -->`` marks made anew.

    Raises:
        InputError: for a mark of a node that is none, or one that is not closed by ``<!-- end -->``.
    """
    tables = {"parameters": parameter_rows, "topics": topic_rows}

    def table(match: re.Match[str]) -> str:
        kind, node = match[1], match[2]
        if node not in NODE_CONFIGS:
            raise InputError(f"mark of node {node!r}", where, "one of " + ", ".join(NODE_CONFIGS))
        return f"<!-- {kind} {node} -->\n{tables[kind](node)}\n<!-- end -->"

    marks = len(re.findall(r"<!-- (?:parameters|topics) \w+ -->", readme))
    text, made = re.subn(r"<!-- (parameters|topics) (\w+) -->\n(?:.*?\n)??<!-- end -->", table, readme, flags=re.DOTALL)
    if made != marks:
        raise InputError("a mark is not closed", where, "<!-- end -->")
    return text


def generated_files() -> dict[Path, str]:
    """Every generated file and the text it should have.

    Raises:
        InputError: for a README with a broken mark.
    """
    files = {CONFIG / f"{node}.param.yaml": parameter_file(node) for node in NODE_CONFIGS}
    for package in sorted(set(PACKAGES.values())):
        readme = WORKSPACE / "src" / package / "README.md"
        if readme.is_file():
            files[readme] = filled(readme.read_text(), str(readme))
    return files


def write_generated_files() -> list[Path]:
    """Write what is not as it should be.

    Returns:
        The files that changed.
    """
    changed = []
    for path, text in generated_files().items():
        if not path.is_file() or path.read_text() != text:
            write_bytes_atomic(path, text.encode())
            changed.append(path)
    return changed
