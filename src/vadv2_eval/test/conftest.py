from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

DATA = Path(__file__).resolve().parent / "data"


@pytest.fixture(scope="session")
def pdms_file() -> Path:
    return DATA / "pdms_public.json.gz"


@pytest.fixture(scope="session")
def raw_cases(pdms_file: Path) -> list[dict[str, Any]]:
    return json.loads(gzip.decompress(pdms_file.read_bytes()))["cases"]
