import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deploy.bundle import Signature, TensorSpec
from deploy.errors import BundleError, InputError, NotFoundError, OnnxwayError, TooLargeError
from deploy.inputs import check, input_kind
from deploy.inputs.image import decode_image

IMAGE = Signature("image", (TensorSpec("image", "uint8", ("batch", "height", "width", 3), (0, 255)),))


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (11, 7, 3), np.uint8)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_path_bytes_image_and_array_give_the_same_pixels(pixels: np.ndarray, tmp_path: Path, format: str) -> None:
    image = Image.fromarray(pixels)
    data = encoded(image, format)
    path = tmp_path / "picture.x"  # told by its content, not by its name
    path.write_bytes(data)
    for payload in (data, bytearray(data), memoryview(data), path, str(path), image, Image.open(path), pixels):
        assert np.array_equal(decode_image(payload, 3), pixels)


def test_webp_and_jpeg_are_what_pillow_reads(pixels: np.ndarray) -> None:
    for data in (encoded(Image.fromarray(pixels), "JPEG"), encoded(Image.fromarray(pixels), "WEBP", lossless=True)):
        assert np.array_equal(decode_image(data, 3), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.array_equal(decode_image(data, 3), np.full((3, 4, 3), (255, 0, 0), np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    turns = {  # what a camera held that way stores
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(turns[orientation])), "PNG", exif=exif)
    assert np.array_equal(decode_image(data, 1)[:, :, 0], upright)


def test_damaged_exif_leaves_the_picture_as_stored(pixels: np.ndarray) -> None:
    data = encoded(Image.fromarray(pixels), "PNG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert np.array_equal(decode_image(data, 3), pixels)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode: str) -> None:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    if mode == "P":
        palette = Image.new("P", (2, 1), 0)
        palette.putpalette([0, 0, 0, 0, 0, 0])
        palette.putpixel((1, 0), 1)
        data = encoded(palette, "PNG", transparency=0)
    else:
        data = encoded(image.convert(mode), "PNG")
    for channels in (1, 3):
        assert decode_image(data, channels).reshape(2, channels).tolist() == [[255] * channels, [0] * channels]


def test_half_transparent_red_is_mixed_with_white() -> None:
    data = encoded(Image.new("RGBA", (1, 1), (255, 0, 0, 128)), "PNG")
    red, green, blue = decode_image(data, 3)[0, 0].tolist()
    assert red == 255
    assert green == blue == 127


def test_a_model_of_four_channels_gets_alpha_itself() -> None:
    data = encoded(Image.new("RGBA", (1, 1), (1, 2, 3, 4)), "PNG")
    assert decode_image(data, 4).tolist() == [[[1, 2, 3, 4]]]
    assert decode_image(np.full((1, 1), 9, np.uint8), 4).tolist() == [[[9, 9, 9, 255]]]


def test_sixteen_bits_keep_the_high_byte() -> None:
    narrow = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for format in ("PNG", "TIFF"):
        data = encoded(Image.fromarray(narrow.astype(np.uint16) * 257), format)
        assert np.array_equal(decode_image(data, 1)[:, :, 0], narrow)
        assert np.array_equal(decode_image(data, 3), narrow[:, :, None].repeat(3, axis=2))


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_pixels_without_a_range_are_refused(mode: str) -> None:
    with pytest.raises(InputError, match=rf"pixels of mode {mode} have no stated range"):
        decode_image(encoded(Image.new(mode, (2, 2)), "TIFF"), 1)


def test_big_endian_sixteen_bits() -> None:
    image = Image.frombytes("I;16B", (2, 1), bytes([7, 255, 200, 0]))
    assert decode_image(image, 1).ravel().tolist() == [7, 200]


def test_cmyk_and_bilevel() -> None:
    cmyk = encoded(Image.new("CMYK", (1, 1), (0, 255, 255, 0)), "TIFF")
    assert decode_image(cmyk, 3).tolist() == [[[255, 0, 0]]]
    assert decode_image(encoded(Image.new("1", (1, 1), 1), "PNG"), 3).tolist() == [[[255, 255, 255]]]


def test_grey_and_colour_go_into_each_other(pixels: np.ndarray) -> None:
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    assert np.array_equal(decode_image(pixels, 1)[:, :, 0], grey)
    for payload in (grey, grey[:, :, None], encoded(Image.fromarray(grey), "PNG")):
        assert np.array_equal(decode_image(payload, 3), grey[:, :, None].repeat(3, axis=2))


def test_arrays_of_more_channels_are_taken_as_they_are() -> None:
    spectral = np.random.default_rng(0).integers(0, 256, (4, 5, 36), np.uint8)
    assert np.array_equal(decode_image(spectral, 36), spectral)
    with pytest.raises(InputError, match="the model takes 36 channels"):
        decode_image(np.zeros((4, 5, 3), np.uint8), 36)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), r"array \(4, 4, 3\) of float32: expected uint8"),
        (np.zeros((3, 32, 40), np.uint8), r"array \(3, 32, 40\) of uint8: expected \(height, width\)"),
        (np.zeros(7, np.uint8), "expected"),
        (np.zeros((0, 4, 3), np.uint8), "holds no pixel"),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        decode_image(array, 3)


def test_what_is_no_payload_names_its_type() -> None:
    with pytest.raises(InputError, match=r"got list, expected a path, bytes, a PIL image or a uint8 array"):
        decode_image([[1, 2]], 3)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no\.png: no such file"):
        decode_image(tmp_path / "no.png", 3)
    with pytest.raises(InputError, match="cannot be read"):
        decode_image(tmp_path, 3)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"%PDF-1.4", b"<svg/>", b"GIF89a"])
def test_what_is_no_picture_names_the_formats(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(data)
    for payload, what in ((data, f"image of {len(data)} bytes"), (path, r"x\.png")):
        with pytest.raises(InputError, match=rf"{what}: (not a picture in PNG, JPEG|damaged)"):
            decode_image(payload, 3)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_picture_cut_short_is_named(pixels: np.ndarray, tmp_path: Path, format: str) -> None:
    data = encoded(Image.fromarray(pixels).resize((64, 64)), format)
    path = tmp_path / "cut.bin"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut\.bin"):
        decode_image(path, 3)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_give_pixels_or_an_input_error(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"]))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8))
    raw = bytearray(encoded(image, format))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = decode_image(bytes(raw), 3, max_pixels=10_000)
    except InputError as error:
        words = str(error)
    else:
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
        return
    assert words
    assert "\n" not in words


def test_too_many_pixels_are_refused_by_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(self: Image.Image) -> None:
        raise AssertionError("decoded")

    data = encoded(Image.new("L", (300, 200)), "PNG")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", decode)
    with pytest.raises(TooLargeError, match="300 x 200: more than 59999 pixels"):
        decode_image(data, 1, max_pixels=59_999)


def test_a_decompression_bomb_is_refused() -> None:
    header = encoded(Image.new("1", (1, 1)), "PPM")
    bomb = header.replace(b"1 1\n", b"60000 60000\n", 1)
    with pytest.raises(TooLargeError, match="more than"):
        decode_image(bomb, 1)


def test_an_unknown_kind_names_those_known() -> None:
    with pytest.raises(BundleError, match=r"input kind 'smell': this onnxway knows .*image, .*tensors.*; upgrade"):
        input_kind(Signature("smell", ()))


def test_a_batch_is_four_axes_and_passed_on_untouched() -> None:
    kind = input_kind(IMAGE)
    batch = np.zeros((2, 4, 5, 3), np.uint8)
    assert kind.is_batch(batch)
    assert kind.arrays(batch)["image"] is batch
    assert not kind.is_batch(batch[0])
    assert kind.arrays(batch[0])["image"].shape == (1, 4, 5, 3)
    assert kind.check(kind.arrays(batch)) == 2


PAIR = Signature(
    "image",
    (
        TensorSpec("codes", "int32", ("batch", "length"), (0, 1114111)),
        TensorSpec("scale", "float32", ("batch",), (0, 1)),
    ),
)


def pair(codes: Any, scale: Any) -> dict[str, Any]:
    return {"codes": codes, "scale": scale}


GOOD = pair(np.zeros((2, 5), np.int32), np.zeros(2, np.float32))


def test_tensors_that_fit_give_their_rows() -> None:
    assert check(PAIR, GOOD) == 2
    assert check(PAIR, pair(GOOD["codes"], np.array([np.nan, np.inf], np.float32))) == 2


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, r"input 'codes': missing; expected int32 \(batch, length\)"),
        (GOOD | {"other": GOOD["codes"]}, "input 'other': the model has no such input; expected codes, scale"),
        (GOOD | {"codes": [[1]]}, "input 'codes': got list, expected a numpy array"),
        (GOOD | {"codes": np.zeros((2, 5), np.int64)}, "got dtype int64, expected int32"),
        (GOOD | {"codes": np.zeros((2, 5), ">i4")}, "got dtype >i4, expected int32"),
        (GOOD | {"codes": np.zeros(2, np.int32)}, r"got shape \(2\), expected 2 axes"),
        (GOOD | {"codes": np.zeros((2, 0), np.int32)}, r"got shape \(2, 0\), which holds nothing"),
        (GOOD | {"scale": np.zeros(3, np.float32)}, "input 'scale': batch is 3 here and 2 in 'codes'"),
        (GOOD | {"codes": np.full((2, 5), -1, np.int32)}, "values run from -1 to -1, expected 0 to 1.11411e"),
    ],
)
def test_tensors_that_do_not_fit_are_named(arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check(PAIR, arrays)


def test_a_fixed_size_must_be_met() -> None:
    with pytest.raises(InputError, match=r"got shape \(1, 4, 4, 1\), expected uint8 \(batch, height, width, 3\)"):
        check(IMAGE, {"image": np.zeros((1, 4, 4, 1), np.uint8)})


def test_errors_of_inputs_are_the_clients(tmp_path: Path) -> None:
    with pytest.raises(OnnxwayError) as caught:
        decode_image(b"x", 3)
    assert caught.value.status == 400


TWO = Signature("tensors", (TensorSpec("x", "float32", ("batch", 2)), TensorSpec("ids", "int64", ("batch", "length"))))
ONE = Signature("tensors", (TensorSpec("x", "float32", ("batch", 2)),))


def test_tensors_with_the_batch_axis_are_a_batch_and_others_one_row() -> None:
    kind = input_kind(TWO)
    batch = {"x": np.zeros((3, 2), np.float32), "ids": np.zeros((3, 5), np.int64)}
    assert kind.is_batch(batch)
    assert all(kind.arrays(batch)[name] is array for name, array in batch.items())
    row = {name: array[0] for name, array in batch.items()}
    assert not kind.is_batch(row)
    assert {name: array.shape for name, array in kind.arrays(row).items()} == {"x": (1, 2), "ids": (1, 5)}
    assert kind.check(kind.arrays(row)) == 1


def test_the_array_of_an_only_input_needs_no_name() -> None:
    kind = input_kind(ONE)
    assert kind.arrays(np.ones(2, np.float32))["x"].shape == (1, 2)
    assert kind.is_batch(np.ones((4, 2), np.float32))


def test_lists_become_arrays_of_the_inputs_dtype() -> None:
    arrays = input_kind(TWO).arrays({"x": [1, 2.5], "ids": [3, 4, 5]})
    assert arrays["x"].dtype == np.float32
    assert arrays["ids"].tolist() == [[3, 4, 5]]
    assert input_kind(ONE).is_batch([[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (3.5, "got float, expected a mapping with 'x': float32 (batch, 2), 'ids': int64 (batch, length)"),
        (np.zeros(2, np.float32), "got ndarray, expected a mapping"),
        ({"x": [1, 2]}, "input 'ids': missing; expected int64 (batch, length)"),
        ({"x": [1, 2], "ids": [1], "y": 1}, "input 'y': the model has no such input; expected x, ids"),
        ({"x": [1, 2], "ids": [1.5]}, "input 'ids': got list, expected numbers, int64"),
        ({"x": [[1], [1, 2]], "ids": [1]}, "input 'x': got list, expected numbers"),
        ({"x": ["one", "two"], "ids": [1]}, "input 'x': got list, expected numbers"),
        ({"x": [1, 2], "ids": [2**70]}, "input 'ids': got list, expected numbers"),
        ({"x": [1, 2], "ids": [[1]]}, "inputs 'x' are single rows, and the others are batches"),
        ({"x": [[1, 2]] * 2, "ids": [[1]]}, "batch is 1 here and 2 in 'x'"),
        ({"x": [1, 2, 3], "ids": [1]}, "input 'x': got shape (1, 3), expected float32 (batch, 2)"),
        ({"x": np.zeros(2), "ids": [1]}, "input 'x': got dtype float64, expected float32"),
    ],
)
def test_what_are_no_tensors_of_the_model_is_said(payload: object, words: str) -> None:
    kind = input_kind(TWO)
    kind.is_batch(payload)  # asked before `arrays`, and never the one to complain
    with pytest.raises(InputError) as caught:
        kind.check(kind.arrays(payload))
    assert words in str(caught.value)


def test_sizes_without_a_name_are_each_their_own_and_rows_are_equal_all_the_same() -> None:
    unnamed = Signature("tensors", (TensorSpec("a", "float32", ("?", "?")), TensorSpec("b", "float32", ("?", "?"))))
    kind = input_kind(unnamed)
    assert kind.check({"a": np.zeros((2, 3), np.float32), "b": np.zeros((2, 5), np.float32)}) == 2
    with pytest.raises(InputError, match="input 'b': has 1 rows and 'a' 2"):
        kind.check({"a": np.zeros((2, 3), np.float32), "b": np.zeros((1, 3), np.float32)})
