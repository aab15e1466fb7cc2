"""Which test notices each deliberate mistake: a table.

    .venv/bin/python src/vadv2_eval/test/mutation_table.py [--json FILE] [--page docs/evaluation.md] [--only N]

Each mistake is planted in a process of its own and the metric tests run until one fails. The page takes the table
between its marks.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from mutations import MUTATIONS

from vadv2_core.files import write_between_marks

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- mutation table -->", "<!-- end -->"
TESTS = ("test_pdms_cases.py", "test_open_loop.py", "test_pdms_parts.py")


def noticed_by(number: int) -> str:
    """The first test that fails with this mistake planted; empty where none does."""
    environment = os.environ | {
        "VADV2_MUTATION": str(number),
        "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # importing them takes longer than most mistakes live
    }
    chosen = TESTS[1:] if MUTATIONS[number].module.startswith("open_loop") else (TESTS[0], TESTS[2])
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "mutation_plugin", "-p", "no:cacheprovider"]
    command += [str(HERE / t) for t in chosen]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=HERE, check=False)
    if done.returncode == 0:
        return ""
    found = re.search(r"^(?:FAILED|ERROR) \S*?(test_\w+\.py(?:::\S+)?)", done.stdout, re.MULTILINE)
    return found.group(1) if found else f"exit status {done.returncode}"


def table(rows: list[dict[str, str]]) -> str:
    """The rows as Markdown, and how many mistakes nothing noticed."""
    lines = ["| # | mistake | in | noticed by |", "|---|---|---|---|"]
    for number, row in enumerate(rows, 1):
        test = f"`{row['noticed_by']}`" if row["noticed_by"] else "**nothing**"
        lines.append(f"| {number} | {row['mistake']} | `{row['module']}` | {test} |")
    unnoticed = sum(not row["noticed_by"] for row in rows)
    return "\n".join([*lines, "", f"{len(rows)} mistakes, {unnoticed} unnoticed"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--only", type=int)
    arguments = parser.parse_args()
    numbers = range(len(MUTATIONS)) if arguments.only is None else [arguments.only]
    rows = []
    for number in numbers:
        mutation, test = MUTATIONS[number], noticed_by(number)
        rows.append({"mistake": mutation.name, "module": mutation.module, "noticed_by": test})
        print(f"{mutation.name} ({mutation.module}): {test or 'NOTHING'}", flush=True)
    unnoticed = [r["mistake"] for r in rows if not r["noticed_by"]]
    print(f"\n{table(rows)}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"mutations": rows, "unnoticed": unnoticed}, indent=2) + "\n")
    if arguments.page is not None and arguments.only is None:
        write_between_marks(arguments.page, BEGIN, END, table(rows) + "\n")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
