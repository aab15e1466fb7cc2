"""Parameter files and README tables say what the code says (`make docs` writes them)."""

from __future__ import annotations

import pytest
import yaml

from vadv2_bringup.parameter_files import filled, generated_files, parameter_file
from vadv2_bringup.system import NODE_CONFIGS, PACKAGES
from vadv2_core.config import from_mapping
from vadv2_core.errors import InputError


@pytest.mark.parametrize("path", generated_files(), ids=lambda p: f"{p.parent.name}/{p.name}")
def test_file_is_up_to_date(path) -> None:
    assert path.read_text() == generated_files()[path], "run `make docs`"


@pytest.mark.parametrize("node", NODE_CONFIGS)
def test_readme_has_the_tables_of_its_nodes(node: str) -> None:
    readme = next(t for p, t in generated_files().items() if p.parent.name == PACKAGES[node] and p.name == "README.md")
    assert f"<!-- parameters {node} -->\n| parameter" in readme
    assert f"<!-- topics {node} -->\n| topic" in readme


@pytest.mark.parametrize("node", NODE_CONFIGS)
def test_a_parameter_file_is_the_default_config(node: str) -> None:
    values = yaml.safe_load(parameter_file(node))["/**"]["ros__parameters"]
    assert from_mapping(NODE_CONFIGS[node], values) == NODE_CONFIGS[node]()


def test_a_broken_mark_is_named() -> None:
    with pytest.raises(InputError, match="not closed"):
        filled("<!-- topics vlm -->\n| a |\n", "README.md")
    with pytest.raises(InputError, match="mark of node 'radar'"):
        filled("<!-- topics radar -->\n<!-- end -->", "README.md")
