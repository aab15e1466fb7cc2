"""The one exception for input a user can mend: one line that says what, where and what was expected."""

from __future__ import annotations

EXIT_BAD_INPUT = 2
"""Exit status of every command line here when it ends on an `InputError`."""


class InputError(ValueError):
    """A file, message, argument or parameter that cannot be used.

    Args:
        what: What is wrong, in a few words (``"camera 'front' has a singular K"``).
        where: The file, topic, field or argument it was found in.
        expected: What would have been right.

    ``str(error)`` is one line; command lines print it and exit with `EXIT_BAD_INPUT`, nodes count it.
    """

    def __init__(self, what: str, where: str = "", expected: str = "") -> None:
        self.what, self.where, self.expected = what, where, expected
        line = f"{where}: {what}" if where else what
        super().__init__(f"{line} (expected {expected})" if expected else line)
