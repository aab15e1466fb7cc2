"""Random statements and texts from a seed: the tokenizer's corpus, tests, and training before there is a simulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from vadv2_core.language.commands import all_commands
from vadv2_core.language.sentences import say, templates
from vadv2_core.language.statements import Statement


def random_statement(generator: np.random.Generator, kind: type[Any] | None = None) -> Statement:
    """A statement of a random kind with random values, all of which have words; it need not be true of any scene."""
    of_kind = templates(kind)
    template = of_kind[int(generator.integers(len(of_kind)))]
    values: dict[str, Any] = dict(template.constants)
    for field in dataclasses.fields(template.kind):
        if field.name not in values:
            slot = next(s for name, s in template.slots.items() if name.partition(":")[0] == field.name)
            choices = list(slot.phrases)
            values[field.name] = choices[int(generator.integers(len(choices)))]
    return template.kind(**values)  # type: ignore[no-any-return]


def corpus(seed: int, sentences: int) -> Iterator[str]:
    """Varied sentences of all kinds, then every driving command: what a tokenizer is made from."""
    generator = np.random.default_rng(seed)
    kinds = sorted({t.kind for t in templates()}, key=lambda k: k.__name__)
    for i in range(sentences):
        yield say(random_statement(generator, kinds[i % len(kinds)]), generator)
    yield from all_commands()
