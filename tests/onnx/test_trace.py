"""What is written of a network, and what is refused: also networks of a user's own modules and operations."""

import numpy as np
import pytest
from exported import Calls, agree, both, exported
from trial import Shift

import npstn
import npstn.functional as F
from npstn import Tensor, models, nn
from npstn.onnx import NODES, ExportError

pytest.importorskip("onnx")
pytestmark = pytest.mark.usefixtures("one_thread")

ENGINE = "onnxruntime"
CORNERS = np.float32([[-1, -1], [1, -1], [-1, 1], [1, 1]])
GRID = np.zeros((5, 1, 1, 2), np.float32)
IMAGES = np.random.default_rng(0).random((4, 2, 5, 6)).astype(np.float32)


class Counts(nn.Module):
    """A network that does something else each time."""

    def __init__(self, mean):
        self.mean = mean

    def forward(self, images):
        self.mean.data[...] = 0.9 * self.mean.data + 0.1 * images.data.mean()
        return images - self.mean


class Scale(npstn.Function):
    """An operation whose `apply` takes other inputs than its forward."""

    @staticmethod
    def forward(ctx, x, factor):
        return x * np.float32(factor)

    @classmethod
    def apply(cls, x):
        return super().apply(x, 3.0)


class Noise(npstn.Function):
    rng = np.random.default_rng(0)

    @staticmethod
    def forward(ctx, x):
        return x + np.float32(Noise.rng.random(x.shape))


class Cube(npstn.Function):
    @staticmethod
    def forward(ctx, x):
        return x**3


def test_modules_of_ones_own():
    pytest.importorskip("onnxruntime")
    npstn.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 4))
    agree(layers, IMAGES, ENGINE)
    agree(lambda x: F.softmax(layers(x) / 2 + layers(2 * x).tanh(), dim=-1), IMAGES, ENGINE)


def test_a_transformer_of_ones_own_whose_constants_grow_with_the_batch():
    """`Shift` makes an identity matrix for each image: a constant, repeated."""
    pytest.importorskip("onnxruntime")
    agree(lambda x: Shift().grid(x, (3, 4)), np.float32([[0.1, 0.2], [-0.3, 0.4], [0.5, 0.6], [0, 0]]), ENGINE)


def test_a_layer_of_several_transformers_and_sizes():
    pytest.importorskip("onnxruntime")
    localiser = nn.Sequential(nn.Flatten(), nn.Linear(60, 6))
    for padding_mode in ("zeros", "border"):
        reader = models.SpatialTransformer(localiser, models.TRANSFORMERS["affine"](), (3, 1), padding_mode)
        agree(lambda x: F.cat([reader(x), reader(x / 2)], dim=1), IMAGES, ENGINE)


def test_what_was_detached_is_still_followed():
    pytest.importorskip("onnxruntime")
    agree(lambda x: (x * 2).detach() + x, IMAGES, ENGINE)


def test_an_operation_of_ones_own(monkeypatch):
    with pytest.raises(ExportError) as refused:
        exported(Cube.apply, (3,), ENGINE)
    assert str(refused.value) == (
        "onnx.save: cube: expected an operation with nodes, got none; write a function that adds them as NODES[Cube]"
    )
    pytest.importorskip("onnxruntime")
    monkeypatch.setitem(NODES, Cube, lambda graph, x: graph.node("Mul", x, graph.node("Mul", x, x)))
    agree(Cube.apply, IMAGES, ENGINE)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (lambda x: x * float(x.data.mean()), "mul: expected constants that do not"),
        (lambda x: x + 2 * x.data, "add: expected constants that do not"),
        (lambda x: x - x.mean(), "div: expected constants that do not"),
        (lambda x: x[: len(x) - 1], "index: expected indices that do not"),
        (lambda x: F.cat([x] * len(x)), "expected a network that takes the same steps"),
        (lambda x: x.exp() if x.data.flat[0] > 0.5 else x.sin(), "expected a network that takes the same steps"),
        (lambda x: Tensor(x.data * 2), "output: expected a Tensor that operations computed from the images, got one"),
        (lambda x: (x * 2, x), "output: expected a Tensor that operations computed from the images, got tuple"),
        (lambda x: x.sum(0), "output: expected a row for each image"),
        (lambda x: x.transpose(0, 1), "output: expected a row for each image"),
        (lambda x: x.transpose(0, 1).reshape(len(x) * 6, -1), "output: expected a row for each image"),
        (lambda x: (x[:, 0, 0] @ x[:, 0, 0].T).reshape(1, 1, len(x), len(x)), "reshape: expected at most one length"),
        (lambda x: F.cat([x, x]), "output: expected a row for each image, got a tensor of shape (4, 2, 5, 6) for 2"),
        (lambda x: F.cat([x[: len(x) // 2] * 2, x[len(x) // 2 :]]), "index: expected indices that do not"),
        (lambda x: x * float(min(len(x), 2)), "mul: expected constants that do not"),
        (lambda x: x * 2 if len(x) == 1 else x, "expected a network that takes the same steps"),
        (lambda x: x * 2 if len(x) > 8 else x, "expected a network that takes the same steps"),
        (lambda x: F.cat([x[i : i + 64] for i in range(0, len(x), 64)]), "expected a network that takes the same"),
        (lambda x: x * 2 if len(x) % 4 == 0 else x, "expected a network that takes the same steps"),
        (lambda x: x * np.float32(0.05 < x.data.mean() < 0.4), "mul: expected constants that do not"),
        (lambda x: x + x[-2::-1].sum(), "index: expected a slice of the images that goes backwards from"),
        (lambda x: x[:, :, :, :0].reshape(len(x), 0, 5), "reshape: expected lengths of at least 1, got (2, 0, 5)"),
        (
            lambda x: F.grid_sample(x.transpose(0, 2), GRID, "bicubic", "border"),
            "grid_sample: expected sizes of an image that do not",
        ),
        (
            lambda x: F.tps_grid(x[:, 0, :4, :2], x[0, 0, :4, :2] * 0 + CORNERS, (3, 3)),
            "tps_grid: expected control points that",
        ),
        (lambda x: F.avg_pool2d(x, (min(len(x), 2), 1)), "avg_pool2d: expected windows that do not"),
        (lambda x: Tensor(x.data + x[2].data), "expected a network for images of shape (2, 2, 5, 6), got"),
        (lambda x: x + Tensor(np.float32(x.data > 0)), "add: expected constants that do not"),
        (lambda x: x * Tensor(np.sign(x.data)), "mul: expected constants that do not"),
        (lambda x: x if x.data.min() >= 0 else x * 0, "expected a network that takes the same steps"),
        (lambda x: x * float(round(float(x.data.mean()) * 2)), "mul: expected constants that do not"),
        (
            lambda x: x * Tensor(np.float32((x.data > 0.5).any(axis=(1, 2, 3), keepdims=True))),
            "mul: expected constants that do not",
        ),
    ],
)
def test_what_other_images_would_change_is_refused(net, message):
    with pytest.raises(ExportError) as refused:
        exported(net, (2, 5, 6), ENGINE)
    assert str(refused.value).removeprefix("onnx.save: ").startswith(message)


def writes_to_a_result(x):
    y = x * 2
    y.data[...] *= 3
    return y + 1


def puts_another_array_in_a_result(x):
    y = x * 2
    y.data = y.data + 1
    return y + 1


def writes_to_a_view(x):
    y = x * 2
    rows = y.reshape(len(y), 60)
    y.data[...] = 1
    return rows + 1


def writes_to_the_images(x):
    x.data[...] -= 0.5
    return x * 2


def puts_others_in_place_of_the_images(x):
    x.data = x.data - 0.5
    return x * 2


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (writes_to_a_result, "mul: expected the same numbers when it is repeated, got others: something"),
        (puts_another_array_in_a_result, "mul: expected the same numbers when it is repeated, got others: something"),
        (writes_to_a_view, "mul: expected the same numbers when it is repeated, got others: something"),
        (writes_to_the_images, "expected a network that leaves the images as they are, got one that writes to them"),
        (puts_others_in_place_of_the_images, "expected a network that leaves the images as they are, got one that"),
        (Counts(Tensor([0.0])), "sub: expected the same numbers when it is repeated, got others: something"),
        (Counts(nn.Parameter([0.0])), "expected a network that leaves its parameters as they are, got one that"),
    ],
    ids=lambda net: getattr(net, "__name__", ""),
)
def test_a_network_that_writes_to_its_arrays_is_refused(net, message):
    with pytest.raises(ExportError) as refused:
        exported(net, (2, 5, 6), ENGINE)
    assert str(refused.value).removeprefix("onnx.save: ").startswith(message)
    assert all((parameter.data == 0).all() for parameter in getattr(net, "parameters", list)())


class Halves(nn.Module):
    """A network that changes its parameters, in one of several ways."""

    def __init__(self, way):
        self.way, self.scale, self.shift = way, nn.Parameter([3.0]), nn.Parameter([1.0])

    def forward(self, images):
        if self.way == "in place":
            self.scale.data[...] *= 0.5
        if self.way == "images":
            self.scale.data[...] *= 0.5
            images.data[...] = 0
        if self.way == "raises":
            self.scale.data[...] *= 0.5
            raise RuntimeError("no more")
        if self.way == "others":
            self.scale.data = np.minimum(self.scale.data, 2)
        self.shift.data[...] += 1
        return images * self.scale + self.shift


@pytest.mark.parametrize("way", ["in place", "images", "raises", "others"])
def test_the_parameters_are_what_they_were_after_a_refusal(way, tmp_path):
    net = Halves(way)
    arrays = [parameter.data for parameter in net.parameters()]
    with pytest.raises(ExportError):
        npstn.onnx.save(net, tmp_path / "model.onnx", (3,))
    assert all(parameter.data is array for parameter, array in zip(net.parameters(), arrays, strict=True))
    assert [array.item() for array in arrays] == [3.0, 1.0]


def test_an_operation_whose_apply_is_its_own(monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setitem(NODES, Scale, lambda graph, x, factor: graph.node("Mul", x, np.float32(factor)))
    agree(Scale.apply, IMAGES, ENGINE)


def test_an_operation_that_draws_random_numbers_is_refused(monkeypatch):
    monkeypatch.setitem(NODES, Noise, lambda graph, x: graph.node("Neg", x))
    with pytest.raises(ExportError, match="^onnx.save: noise: expected the same numbers .*, or it is random$"):
        exported(Noise.apply, (3,), ENGINE)


def test_constants_that_are_not_numbers():
    """NaN is the same in all runs, though it is not equal to itself."""
    pytest.importorskip("onnxruntime")
    agree(lambda x: x + np.full((len(x), 1, 1, 6), np.nan, np.float32), IMAGES, ENGINE)


def test_what_a_network_makes_once_and_keeps():
    """The first export has the steps of a constant, the second has not."""
    pytest.importorskip("onnxruntime")

    class Keeps(nn.Module):
        grid = None

        def forward(self, x):
            if self.grid is None:
                self.grid = F.affine_grid(Tensor([[[0.5, 0, 0], [0, 0.5, 0]]]), (1, 1, 4, 4), align_corners=True)
            return F.grid_sample(x, Tensor(np.repeat(self.grid.data, len(x), 0)), align_corners=True)

    net = Keeps()
    for _ in range(2):
        agree(net, IMAGES, ENGINE)


@pytest.mark.parametrize("name", ["images", "output", "batch", "count", "input"])
def test_parameters_of_any_name(name):
    pytest.importorskip("onnxruntime")
    net = Calls(lambda x: x * getattr(net, name))
    setattr(net, name, nn.Parameter(np.float32(np.arange(6))))
    agree(net, IMAGES, ENGINE)


def test_weights_that_float32_cannot_hold_are_refused():
    net = Calls(lambda x: x * net.weight)
    net.weight = nn.Parameter(np.array([1e39]))
    with pytest.raises(ExportError, match="^onnx.save: mul: expected constants that float32 can hold, got 1e.39$"):
        exported(net, (3,), ENGINE)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (lambda graph, x: None, "cube: expected the function in NODES to return the name of a node, got None"),
        (lambda graph, x: graph.node("Mul", x, 2), "expected nodes that onnx accepts, got some that it refuses: "),
        (lambda graph, x: graph.node("Cube", x), "expected nodes that onnx accepts, got some that it refuses: "),
    ],
)
def test_a_row_that_is_wrong_is_refused(monkeypatch, row, message):
    monkeypatch.setitem(NODES, Cube, row)
    with pytest.raises(ExportError) as refused:
        exported(Cube.apply, (3,), ENGINE)
    assert str(refused.value).removeprefix("onnx.save: ").startswith(message)


def test_the_network_is_left_as_it_was(tmp_path):
    """Also its dropout, which is off in the file, and the random numbers."""
    pytest.importorskip("onnxruntime")
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(60, 3))
    net[1].eval()
    before, training = net.state_dict(), [module.training for module in net.modules()]
    npstn.manual_seed(3)
    drawn = F.dropout(Tensor(IMAGES)).data
    npstn.manual_seed(3)
    found, _ = both(net, IMAGES, ENGINE)
    np.testing.assert_array_equal(F.dropout(Tensor(IMAGES)).data, drawn)
    assert [module.training for module in net.modules()] == training == [True, True, False, True]
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    np.testing.assert_allclose(found, net.eval()(Tensor(IMAGES)).data, atol=1e-6)
    assert next(net.parameters()).grad is None


def test_the_identity_is_a_network():
    pytest.importorskip("onnxruntime")
    agree(Calls(lambda x: x), IMAGES, ENGINE)
