"""Launch files, configuration and the vadv2 command line; starts the nodes with or without launch."""
