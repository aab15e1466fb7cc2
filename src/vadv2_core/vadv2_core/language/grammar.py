"""Sentence patterns that are written and read by the same words.

A pattern is a line of text with alternatives ``(a|b)``, optional parts ``[a]`` and slots ``{field}`` or
``{field:form}``. It is expanded to templates without alternatives; a template renders a statement, and its regular
expression gives the same statement back.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from vadv2_core.errors import InputError

Phrases = Mapping[Any, Sequence[str]]
"""Words for a value, the usual ones first."""

_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")


@dataclasses.dataclass(frozen=True)
class Slot:
    """How one field is said: a closed list of phrases a value.

    Attributes:
        phrases: By value; no phrase stands for two values.
    """

    phrases: Phrases

    @cached_property
    def values(self) -> dict[str, Any]:
        """Value by phrase."""
        table: dict[str, Any] = {}
        for value, words in self.phrases.items():
            for phrase in words:
                if table.setdefault(phrase.lower(), value) != value:
                    raise InputError(f"{phrase!r} stands for two values", "language", "one value a phrase")
        return table

    @cached_property
    def regex(self) -> str:
        """An alternation of all phrases, longest first."""
        return "|".join(re.escape(p) for p in sorted(self.values, key=len, reverse=True))


def expand(pattern: str) -> Iterator[str]:
    """Every text of a pattern with alternatives ``(a|b)`` and optional parts ``[a]`` (both nest).

    Raises:
        InputError: for a bracket that is not closed.
    """
    depth, start = 0, -1
    for i, character in enumerate(pattern):
        if character in "([":
            if depth == 0:
                start = i
            depth += 1
        elif character in ")]":
            depth -= 1
            if depth == 0:
                inner, closing = pattern[start + 1 : i], character
                choices = _split(inner) if closing == ")" else ["", *_split(inner)]
                for choice in choices:
                    for middle in expand(choice):
                        for tail in expand(pattern[i + 1 :]):
                            yield pattern[:start] + middle + tail
                return
    if depth:
        raise InputError("a bracket is not closed", repr(pattern), "balanced () and []")
    yield pattern


def _split(text: str) -> list[str]:
    parts, depth, last = [], 0, 0
    for i, character in enumerate(text):
        depth += character in "(["
        depth -= character in ")]"
        if character == "|" and depth == 0:
            parts.append(text[last:i])
            last = i + 1
    return [*parts, text[last:]]


@dataclasses.dataclass(frozen=True)
class Template:
    """One way to say one kind of statement.

    Attributes:
        kind: The statement's class.
        text: With slots, without alternatives and without the full stop.
        slots: By slot name as written (``"cls:the"``).
        constants: Fields that the words themselves fix.
    """

    kind: type[Any]
    text: str
    slots: Mapping[str, Slot]
    constants: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def says(self, statement: Any) -> bool:
        """Whether this template has words for every field of the statement."""
        if type(statement) is not self.kind:
            return False
        fixed = all(getattr(statement, name) == value for name, value in self.constants.items())
        return fixed and all(getattr(statement, field) in slot.phrases for field, slot in self._fields)

    def render(self, statement: Any, generator: np.random.Generator | None = None) -> str:
        """The sentence, capital first and full stop last; a generator varies the words, without one the usual are said.

        Raises:
            InputError: where the template has no words for the statement.
        """
        if not self.says(statement):
            raise InputError(f"{statement} has no words", repr(self.text), "a statement of the template's kind")

        def word(match: re.Match[str]) -> str:
            words = self.slots[match.group()[1:-1]].phrases[getattr(statement, match.group(1))]
            return words[0] if generator is None else words[int(generator.integers(len(words)))]

        return sentence(_SLOT.sub(word, self.text))

    def parse(self, text: str) -> Any | None:
        """The statement a sentence (normalised by `normal`) makes, or None where it is not of this template."""
        match = self._regex.fullmatch(text)
        if match is None:
            return None
        values = dict(self.constants)
        for (field, slot), phrase in zip(self._fields, match.groups(), strict=True):
            value = slot.values[phrase]
            if values.setdefault(field, value) != value:
                return None
        return self.kind(**values)

    @cached_property
    def pieces(self) -> tuple[str | tuple[str, Slot], ...]:
        """The text in order: literal words, and (field, slot) where a value is said; for decoders to follow."""
        found: list[str | tuple[str, Slot]] = []
        last = 0
        for match in _SLOT.finditer(self.text):
            if match.start() > last:
                found.append(self.text[last : match.start()])
            found.append((match.group(1), self.slots[match.group()[1:-1]]))
            last = match.end()
        return (*found, self.text[last:]) if last < len(self.text) else tuple(found)

    @cached_property
    def _fields(self) -> list[tuple[str, Slot]]:
        return [(m.group(1), self.slots[m.group()[1:-1]]) for m in _SLOT.finditer(self.text)]

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        pieces, last = [], 0
        for match in _SLOT.finditer(self.text):
            pieces += [re.escape(self.text[last : match.start()].lower()), f"({self.slots[match.group()[1:-1]].regex})"]
            last = match.end()
        return re.compile("".join([*pieces, re.escape(self.text[last:].lower())]))


def sentence(text: str) -> str:
    """Capital first, one full stop last, single spaces."""
    text = re.sub(r"\s+", " ", text).strip().rstrip(".")
    return text[:1].upper() + text[1:] + "."


def normal(text: str) -> str:
    """A sentence as templates match it: lower case, single spaces, no full stop, no numbering in front."""
    text = re.sub(r"\s+", " ", text).strip().lower().rstrip(".! ")
    return re.sub(r"^\(?\d+[.)]\s*", "", text)


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, split after full stops and at line breaks; numbering of steps is dropped."""
    pieces = re.split(r"(?<=[.!?])\s+|\n+", text.strip())
    return [p for p in pieces if normal(p) and not re.fullmatch(r"\(?\d+[.)]?", p.strip())]
