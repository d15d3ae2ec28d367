"""The file: what it says of itself, its weights, and that it is written whole or not at all."""

import os
import sys

import numpy as np
import pytest

import npstn
from npstn import models, onnx
from npstn.onnx import ExportError

package = pytest.importorskip("onnx")
pytestmark = pytest.mark.usefixtures("one_thread")

IMAGE = 1, 28, 28


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


@pytest.fixture
def model(path):
    npstn.manual_seed(0)
    npstn.onnx.save(models.STNClsNet(), path, IMAGE)
    return package.load(path)


def axes(value):
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


def test_what_the_file_says_of_itself(model):
    assert (model.producer_name, model.producer_version) == ("npstn", npstn.__version__)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", onnx.OPSET)]
    (images,), (output,) = model.graph.input, model.graph.output
    assert (images.name, axes(images)) == ("images", ["batch", 1, 28, 28])
    assert (output.name, axes(output)) == ("output", ["batch", 10])


def test_the_weights_keep_their_names_and_values(model):
    npstn.manual_seed(0)
    constants = {tensor.name: package.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for name, array in models.STNClsNet().state_dict().items():
        np.testing.assert_array_equal(constants[name], array)


def test_the_grid_is_a_product_and_the_names_are_unique(model):
    operators = [node.op_type for node in model.graph.node]
    assert "AffineGrid" not in operators and operators.count("GridSample") == 1
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)


def test_the_same_network_gives_the_same_bytes(path, model):
    first = path.read_bytes()
    npstn.manual_seed(0)
    npstn.onnx.save(models.STNClsNet(), path, IMAGE)
    assert path.read_bytes() == first


def test_weights_of_float64_are_written_as_float32(path):
    """onnxruntime has no convolution of float64."""
    runtime = pytest.importorskip("onnxruntime")
    npstn.manual_seed(0)
    net = models.STNClsNet(transformer=models.TRANSFORMERS["affine"]()).double().eval()
    npstn.onnx.save(net, str(path), list(IMAGE))
    images = np.random.default_rng(0).random((3, *IMAGE))
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images.astype(np.float32)})
    np.testing.assert_allclose(found, net(npstn.Tensor(images)).data, atol=1e-5)
    assert next(net.parameters()).dtype == np.float64


def test_a_file_is_written_whole_or_not_at_all(path, monkeypatch):
    path.write_bytes(b"the old one")

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        npstn.onnx.save(models.ClsNet(), path, IMAGE)
    assert path.read_bytes() == b"the old one" and os.listdir(path.parent) == ["model.onnx"]


def test_a_network_that_is_refused_leaves_the_old_file(path):
    path.write_bytes(b"the old one")
    net = models.ClsNet()
    net.forward = lambda x: x * float(x.data.mean())
    with pytest.raises(ExportError):
        npstn.onnx.save(net, path, IMAGE)
    assert path.read_bytes() == b"the old one"


def test_without_the_package_it_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExportError) as refused:
        npstn.onnx.save(models.ClsNet(), path, IMAGE)
    assert str(refused.value) == "onnx.save: expected the package onnx, got none; pip install onnx"
    assert not path.exists()


def test_images_of_another_size_are_refused_by_the_network(path):
    with pytest.raises(ValueError, match=r"of shape \(2, 1, 20, 20\), got one that raises ValueError: CNN: "):
        npstn.onnx.save(models.ClsNet(), path, (1, 20, 20))
    assert not path.exists()


@pytest.mark.parametrize(
    ("net", "image", "error", "message"),
    [
        (models.ClsNet(), 784, TypeError, "image to be a shape such as (1, 28, 28), got 784"),
        (models.ClsNet(), (1, 0, 28), ValueError, "each length of image to be an integer from 1 to below 2^31, got 0"),
        (npstn.functional.relu, IMAGE, TypeError, "net to be a Module, got function"),
    ],
)
def test_other_arguments_are_refused(path, net, image, error, message):
    with pytest.raises(error) as refused:
        npstn.onnx.save(net, path, image)
    assert str(refused.value) == f"onnx.save: expected {message}" and not path.exists()


def test_a_shape_of_numpys_integers(path):
    npstn.onnx.save(models.ClsNet(), path, tuple(np.array(IMAGE)))
    assert axes(package.load(path).graph.input[0]) == ["batch", 1, 28, 28]
