"""Six cameras to scene tokens: frame assembly, image encoder, temporal history, scene queries."""
