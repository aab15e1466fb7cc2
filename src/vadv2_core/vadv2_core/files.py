"""Files that are whole or not there: written beside their place, flushed, renamed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import yaml

from vadv2_core.errors import InputError


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a kill -9, sees the old one or the new one and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json_atomic(path: Path, value: Any) -> None:
    """Write JSON (UTF-8, two spaces) by `write_bytes_atomic`; NaN and infinities are refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes_atomic(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        InputError: for a file that is missing or not JSON, with the line where it broke.
    """
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", str(path), "a JSON file") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", str(path), "a JSON file") from None


def read_yaml(path: Path, expected: str = "a YAML file") -> Any:
    """Read YAML: plain values only, no Python objects; an empty file is an empty mapping.

    Raises:
        InputError: for a file that is missing or not YAML, with the first line of why.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:  # also dates, keys, bytes, depth
        raise InputError(f"cannot be read: {str(error).splitlines()[0]}", str(path), expected) from None
    return {} if values is None else values


def write_between_marks(page: Path, begin: str, end: str, text: str) -> None:
    """Put a generated text between two lines of a Markdown page; what stands before and after stays.

    Raises:
        InputError: for a page without the marks.
    """
    old = page.read_text() if page.is_file() else ""
    start, stop = old.find(begin), old.find(end, max(old.find(begin), 0))
    if start < 0 or stop < 0:
        raise InputError("no place for the tables", str(page), f"a line {begin} and after it a line {end}")
    write_bytes_atomic(page, (old[: start + len(begin)] + "\n\n" + text + "\n" + old[stop:]).encode())


def whole_lines(path: Path) -> list[str]:
    """Lines of a file that a process appends to, none where it is not there yet.

    A line that a kill cut short is ended first, so that it does not swallow the next one; whoever reads the lines must
    still expect half a line.
    """
    if not path.exists():
        return []
    text = path.read_text()
    if text and not text.endswith("\n"):
        with path.open("a") as out:
            out.write("\n")
    return text.splitlines()


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while piece := source.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
