"""Several processes that answer on the same ports, each with the models of its own."""
