"""Small self-contained HTML pages: headings, tables, pictures inside the file."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from vadv2_core.files import write_bytes_atomic

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c1c1a; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { text-align: left; padding: 0.25rem 0.7rem;
border-bottom: 1px solid #dcdcd6; vertical-align: top; }
caption { text-align: left; font-weight: 600; padding: 0.4rem 0; }
img { max-width: 100%; } h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
"""


def heading(text: str) -> str:
    """A section's heading."""
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def table(header: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> str:
    """A table of plain text."""
    head = "".join(f"<th>{html.escape(h)}</th>" for h in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in row) + "</tr>" for row in rows)
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def image(path: Path, words: str) -> str:
    """A PNG inside the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(words, quote=True)}" src="data:image/png;base64,{data}">'


def page(path: Path, title: str, parts: Sequence[str]) -> None:
    """Write a page."""
    name = html.escape(title)
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f"<style>{STYLE}</style></head><body><h1>{name}</h1>{''.join(parts)}</body></html>\n"
    )
    write_bytes_atomic(path, text.encode())
