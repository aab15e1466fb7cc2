"""The stack as an agent of others' benchmarks; each agent module is imported only where its benchmark is installed."""
