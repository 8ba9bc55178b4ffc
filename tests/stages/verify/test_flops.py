"""Operations counted from shapes, against counting by hand."""

import onnx
import pytest

from stages.verify.flops import flops


def model(text: str, opset: int = 20) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": {opset}]> {text}')


def of(text: str, **inputs: tuple[int, ...]) -> list[int | None]:
    return list(flops(model(text), inputs).values())


@pytest.mark.parametrize(
    ("operator", "weight", "expected"),
    [
        ("Conv<kernel_shape = [3, 3]>", (5, 4, 3, 3), 2 * 6 * 4 * 5 * 4 * 9),
        ("Conv<kernel_shape = [3, 3], group = 2>", (6, 2, 3, 3), 2 * 6 * 4 * 6 * 2 * 9),
        ("Conv<kernel_shape = [1, 1], strides = [2, 2]>", (5, 4, 1, 1), 2 * 4 * 3 * 5 * 4),
        ("ConvTranspose<kernel_shape = [2, 2], strides = [2, 2]>", (4, 5, 2, 2), 2 * 4 * 8 * 6 * 5 * 4),
    ],
)
def test_convolutions(operator: str, weight: tuple[int, ...], expected: int) -> None:
    shape = ", ".join(map(str, weight))
    text = f"g (float[n, 4, h, w] x, float[{shape}] k) => (float[n, c, p, q] y) {{ y = {operator}(x, k) }}"
    assert of(text, x=(1, 4, 8, 6), k=weight) == [expected]
    assert of(text, x=(3, 4, 8, 6), k=weight) == [3 * expected]


def test_matrix_products() -> None:
    assert of("g (float[n, 5] x, float[5, 7] w) => (float[n, 7] y) { y = MatMul(x, w) }", x=(3, 5), w=(5, 7)) == [210]
    gemm = "g (float[n, 5] x, float[7, 5] w) => (float[n, 7] y) { y = Gemm<transB = 1>(x, w) }"
    assert of(gemm, x=(3, 5), w=(7, 5)) == [210]
    gemm = "g (float[5, n] x, float[5, 7] w) => (float[n, 7] y) { y = Gemm<transA = 1>(x, w) }"
    assert of(gemm, x=(5, 3), w=(5, 7)) == [210]
    batched = "g (float[b, n, 5] x, float[b, 5, 7] w) => (float[b, n, 7] y) { y = MatMul(x, w) }"
    assert of(batched, x=(2, 3, 5), w=(2, 5, 7)) == [420]


def test_only_what_does_the_work_is_counted() -> None:
    assert of("g (float[n, 5] x) => (float[n, 5] y) { a = Relu(x) y = Softmax(a) }", x=(3, 5)) == []


def test_what_is_known_only_at_run_time_is_not_guessed() -> None:
    text = """g (float[n, 5] x) => (float[m, 5] y) {
        index = NonZero(x) rows = Transpose(index) some = GatherND(x, rows) column = Unsqueeze(some, rows)
        y = MatMul(column, x) }"""
    assert of(text, x=(3, 5)) == [None]
