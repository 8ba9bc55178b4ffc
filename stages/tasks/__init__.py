"""One folder a task: `task.py` (see `stages.task`) and `recipes.py`."""
