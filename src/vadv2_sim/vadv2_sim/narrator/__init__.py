"""The narrator: language that is a function of the Scene, and the check that reads it back."""

from vadv2_sim.narrator.edge_cases import edge_cases
from vadv2_sim.narrator.facts import SceneFacts, Visibility
from vadv2_sim.narrator.narrator import Narration, Narrator
from vadv2_sim.narrator.truth import check, check_facts, check_text

__all__ = ["Narration", "Narrator", "SceneFacts", "Visibility", "check", "check_facts", "check_text", "edge_cases"]
