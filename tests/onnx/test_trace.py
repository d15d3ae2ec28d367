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
IMAGES = np.random.default_rng(0).random((4, 2, 5, 6)).astype(np.float32)


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
        (lambda x: Tensor(x.data * 2), "output: expected a Tensor that was computed from the images, got Tensor"),
        (lambda x: (x * 2, x), "output: expected a Tensor that was computed from the images, got tuple"),
        (lambda x: x.sum(0), "output: expected a row for each image"),
        (lambda x: x.transpose(0, 1), "output: expected a row for each image"),
        (lambda x: x.transpose(0, 1).reshape(len(x) * 6, -1), "reshape: expected at most one length"),
    ],
)
def test_what_other_images_would_change_is_refused(net, message):
    with pytest.raises(ExportError) as refused:
        exported(net, (2, 5, 6), ENGINE)
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
