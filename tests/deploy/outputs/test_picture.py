import base64
import io

import numpy as np
import pytest
from PIL import Image

from deploy.bundle import Signature, TensorSpec
from deploy.errors import InputError
from deploy.outputs import output_kind

SIGNATURE = Signature("picture", (TensorSpec("restored", "float32", ("batch", "height", "width", 3), (0, 255)),))


def read(values: np.ndarray):
    (result,) = output_kind(SIGNATURE).read({"restored": values[None].astype(np.float32)}, {})
    return result


def test_values_are_rounded_to_pixels_and_kept() -> None:
    values = np.array([[[0.4, 0.6, 254.7], [10, 20, 30]]])
    result = read(values)
    assert result.pixels.tolist() == [[[0, 1, 255], [10, 20, 30]]]
    assert result.values == pytest.approx(values)
    with pytest.raises(ValueError, match="read-only"):
        result.values[0] = 1


def test_it_is_a_png_file_and_one_in_json() -> None:
    result = read(np.full((2, 3, 3), 77.0))
    answer = result.to_dict()
    assert (answer["height"], answer["width"]) == (2, 3)
    head, _, data = answer["picture"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == result.to_file()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(result.to_file()))), result.pixels)


def test_it_is_drawn_beside_what_it_was_made_of() -> None:
    result = read(np.full((2, 3, 3), 77.0))
    assert result.draw().size == (3, 2)
    both = np.asarray(result.draw(np.zeros((2, 3, 3), np.uint8)))
    assert both[:, :3].max() == 0
    assert both[:, 3:].min() == 77
    with pytest.raises(InputError, match="4 x 4 px, the answer is for one of 3 x 2"):
        result.draw(np.zeros((4, 4, 3), np.uint8))
