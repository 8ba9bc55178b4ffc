"""What one preprocessed sample of each kind looks like: the annotation of a model's `shape` says which it takes.

A name stands for a size that is free (it differs from batch to batch). No torch here.
"""

from typing import Annotated

Picture = Annotated[tuple[int, int, int], "pictures or patches, (channels, height, width)"]
Series = Annotated[tuple[int, int | str], "series, (channels, time), time may be free"]
Volume = Annotated[tuple[int, int, int, int], "volumes, (channels, depth, height, width)"]
Tokens = Annotated[tuple[int | str, int], "int64 token numbers, 0 is padding: (length, vocabulary size)"]
