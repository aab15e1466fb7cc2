"""Towns and traffic, a six-camera renderer, an expert driver and its narrator."""
