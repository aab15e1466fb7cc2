"""Scene tokens to reasoning in words: prompts, token projector, reasoner, parser."""
