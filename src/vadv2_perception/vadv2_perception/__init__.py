"""Six cameras to scene tokens: frame assembly, image encoder, temporal history, scene queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vadv2_perception.configuration import EncoderModelConfig, PerceptionConfig
    from vadv2_perception.encoder import SceneEncoder

__all__ = ["EncoderModelConfig", "PerceptionConfig", "SceneEncoder"]


def __getattr__(name: str) -> Any:
    """The stage's doors, imported when first asked for: a command's ``--help`` need not wait for torch."""
    if name == "SceneEncoder":
        from vadv2_perception.encoder import SceneEncoder

        return SceneEncoder
    if name in __all__:
        from vadv2_perception import configuration

        return getattr(configuration, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
