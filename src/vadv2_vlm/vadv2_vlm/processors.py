"""`AutoProcessor` from a directory or the hub, with or without torchvision."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import AutoProcessor
from transformers.processing_utils import ProcessorMixin


@contextmanager
def optional_video() -> Iterator[None]:
    """Within it a processor is built, loaded or saved without its video part, where torchvision is absent.

    Qwen's and OneVision's processors otherwise insist on a video processor, which needs torchvision, though no video is
    ever seen here.
    """
    if importlib.util.find_spec("torchvision") is not None:
        yield
        return
    base: Any = ProcessorMixin
    original = base.__dict__["get_attributes"]
    whole = original.__func__
    base.get_attributes = classmethod(lambda cls: [a for a in whole(cls) if a != "video_processor"])
    try:
        yield
    finally:
        base.get_attributes = original


def load_processor(source: str, *, local: bool) -> Any:
    """The processor of a model directory or hub name.

    Args:
        source: Directory or hub name.
        local: Never ask the hub.

    Raises:
        OSError, ValueError: as transformers raises them, for a directory that is not a processor's.
    """
    with optional_video():
        return AutoProcessor.from_pretrained(source, local_files_only=local)
