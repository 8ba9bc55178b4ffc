"""The command line, the walk through the stages, and MLflow."""
