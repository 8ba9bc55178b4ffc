"""What one preprocessed sample of each kind looks like: the annotation of a model's `shape` says which it takes.

A name stands for a size that is free (it differs from batch to batch). No torch here.
"""

from typing import Annotated

Picture = Annotated[tuple[int, int, int], "pictures or patches, (channels, height, width)"]
AnyPicture = Annotated[tuple[int, int | str, int | str], "pictures, (channels, height, width), sizes may be free"]
Series = Annotated[tuple[int, int | str], "series, (channels, time), time may be free"]
FixedSeries = Annotated[tuple[int, int], "series of one length, (channels, time): set input.length"]
Volume = Annotated[tuple[int, int, int, int], "volumes, (channels, depth, height, width)"]
AnyVolume = Annotated[
    tuple[int, int | str, int | str, int | str], "volumes, (channels, depth, height, width), sizes may be free"
]
Tokens = Annotated[tuple[int | str, int], "int64 token numbers, 0 is padding: (length, vocabulary size)"]
History = Annotated[tuple[int | str, int, int], "histories, int64 (user, items taken...): (ids, users, items)"]
