"""How well a reasoner reasons; answers are scored by their parsed meaning, never by substring."""
