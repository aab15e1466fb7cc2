"""The mutation table does not rot: every mistake still changes the source, and a test notices it."""

from __future__ import annotations

import pytest
from mutation_table import noticed_by
from mutations import MUTATIONS, mutated_source, source_of


def test_every_mistake_still_changes_its_module():
    assert len(MUTATIONS) >= 30 and len({m.name for m in MUTATIONS}) == len(MUTATIONS)
    for mutation in MUTATIONS:
        assert source_of(mutation).count(mutation.old) == 1, mutation.name
        compile(mutated_source(mutation), mutation.module, "exec")


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(MUTATIONS)))
def test_every_mistake_is_noticed(number):
    assert noticed_by(number), MUTATIONS[number].name
