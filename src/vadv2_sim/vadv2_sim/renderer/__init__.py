"""Six cameras on EGL: a Scene on a RoadMap becomes images, depth, semantics and what can be seen."""

from vadv2_sim.renderer.config import RendererConfig
from vadv2_sim.renderer.palette import SemanticClass
from vadv2_sim.renderer.renderer import RenderedFrame, Renderer
from vadv2_sim.renderer.truth import GroundTruth

__all__ = ["GroundTruth", "RenderedFrame", "Renderer", "RendererConfig", "SemanticClass"]
