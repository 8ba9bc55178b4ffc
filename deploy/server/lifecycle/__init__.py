"""What is served changes while it is served: swaps, canaries, shadows."""
