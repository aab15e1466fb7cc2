"""A pytest plugin that plants one deliberate mistake: a module is compiled from changed text, its file stays as it is.

The environment variable ``VADV2_MUTATION`` gives the number of the mistake in `mutations.MUTATIONS`.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from types import CodeType

from mutations import MUTATIONS, Mutation, mutated_source


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, mutation: Mutation) -> None:
        super().__init__(name, path)
        self._mutation = mutation

    def get_code(self, fullname: str) -> CodeType:
        return compile(mutated_source(self._mutation), self.path, "exec", dont_inherit=True)


class _Finder(importlib.machinery.PathFinder):
    mutation: Mutation

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname != f"vadv2_eval.{cls.mutation.module}":
            return None
        spec = super().find_spec(fullname, path, target)
        spec.loader = _Loader(fullname, spec.origin, cls.mutation)
        return spec


number = os.environ.get("VADV2_MUTATION")
if number is not None:
    _Finder.mutation = MUTATIONS[int(number)]
    sys.meta_path.insert(0, _Finder)
