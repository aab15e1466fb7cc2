"""Decoding under the grammar of sentences: whatever is said can be parsed back.

The templates of `vadv2_core.language` become a token automaton, built where decoding walks. Where only one token can
follow, the model need not be asked, and runs of such tokens cost one pass together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vadv2_core.language.grammar import Template

Item = tuple[int, int, int, int]
"""Template, piece, alternative, tokens of it already said."""
Encode = Callable[[str], tuple[int, ...]]


def _alternatives(template: Template, fixed: Mapping[str, Any]) -> list[list[str]]:
    """The sentence as a row of alternatives, each with the space before it, so that every one begins a word."""
    row: list[list[str]] = []
    space = " "
    for piece in template.pieces:
        if isinstance(piece, str):
            text = space + piece
            if text.strip():
                row.append([text.rstrip(" ")])
            space = " " if text.endswith(" ") else ""
        else:
            field, slot = piece
            values = [fixed[field]] if field in fixed else list(slot.phrases)
            row.append([space + phrase for value in values for phrase in slot.phrases.get(value, ())])
            space = ""
    row[0] = [text[:1] + text[1:2].upper() + text[2:] if text[0] == " " else text.capitalize() for text in row[0]]
    return [*row, ["."]]


class SentenceChoice:
    """An automaton over a closed list of whole sentences, each of which is said once.

    Args:
        sentences: Token sequences; none is the beginning of another (they end in a full stop).
    """

    start, end = 0, -1

    def __init__(self, sentences: Iterable[tuple[int, ...]]) -> None:
        self._steps: list[dict[int, int]] = [{}]
        self._left: list[int] = [0]
        self._trail: list[int] = [0]
        for sentence in dict.fromkeys(sentences):
            place = self.start
            self._left[place] += 1
            for token in sentence[:-1]:
                place = self._steps[place].setdefault(token, len(self._steps))
                if place == len(self._steps):
                    self._steps.append({})
                    self._left.append(0)
                self._left[place] += 1
            self._steps[place][sentence[-1]] = self.end

    def allowed(self, state: int) -> tuple[int, ...]:
        """Tokens that may follow, in a fixed order; none at the end, and at the start where all has been said."""
        if state == self.end:
            return ()
        return tuple(t for t, to in sorted(self._steps[state].items()) if to == self.end or self._left[to])

    def advance(self, state: int, token: int) -> int:
        """The state after a token; a sentence that ends is not begun again.

        Raises:
            KeyError: for a token that is not allowed.
        """
        onward = self._steps[state][token]
        self._trail = [state] if state == self.start else [*self._trail, state]
        if onward == self.end:
            for place in self._trail:
                self._left[place] -= 1
            del self._steps[state][token]
        return onward


class SentenceGrammar:
    """A deterministic automaton over one sentence, made as it is walked and kept.

    Args:
        encode: The tokenizer.
        templates: Which sentences may be said.
        fixed: Values that fields must have (``{"cause": Cause.RED_LIGHT}``).
    """

    def __init__(self, encode: Encode, templates: Iterable[Template], fixed: Mapping[str, Any] | None = None) -> None:
        fixed = fixed or {}
        self._rows: list[list[list[tuple[int, ...]]]] = []
        for template in templates:
            if all(template.constants.get(field, value) == value for field, value in fixed.items()):
                row = [[encode(text) for text in texts] for texts in _alternatives(template, fixed)]
                if all(row):
                    self._rows.append(row)
        self._states: list[tuple[Item, ...]] = []
        self._numbers: dict[tuple[Item, ...], int] = {}
        self._steps: list[dict[int, int]] = []
        first = [item for t in range(len(self._rows)) for item in self._entries(t, 0)]
        self.start = self._number(first)
        self.end = self._number([])
        """The state after a full stop."""

    def allowed(self, state: int) -> tuple[int, ...]:
        """Tokens that may follow, in a fixed order; none at the end of the sentence."""
        return tuple(self._transitions(state))

    def advance(self, state: int, token: int) -> int:
        """The state after a token.

        Raises:
            KeyError: for a token that is not allowed.
        """
        return self._transitions(state)[token]

    def _entries(self, template: int, piece: int) -> list[Item]:
        return [(template, piece, a, 0) for a in range(len(self._rows[template][piece]))]

    def _number(self, items: list[Item]) -> int:
        key = tuple(items)
        if key not in self._numbers:
            self._numbers[key] = len(self._states)
            self._states.append(key)
            self._steps.append({})
        return self._numbers[key]

    def _transitions(self, state: int) -> dict[int, int]:
        if not self._steps[state]:
            reached: dict[int, list[Item]] = {}
            for template, piece, alternative, said in self._states[state]:
                tokens = self._rows[template][piece][alternative]
                onward = reached.setdefault(tokens[said], [])
                if said + 1 < len(tokens):
                    onward.append((template, piece, alternative, said + 1))
                elif piece + 1 < len(self._rows[template]):
                    onward += self._entries(template, piece + 1)
            self._steps[state] = {token: self._number(reached[token]) for token in sorted(reached)}
        return self._steps[state]
