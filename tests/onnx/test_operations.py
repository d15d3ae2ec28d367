"""Every operation of the library gives the same numbers in every engine, or is refused by its name."""

import math

import numpy as np
import pytest
from exported import agree, every_engine, exported

import npstn.functional as F
from npstn import Tensor
from npstn.gradcheck.samples import samples
from npstn.onnx import ExportError

pytest.importorskip("onnx")

REFUSED = {"dropout", "dropout2d", "mse_loss", "nll_loss", "cross_entropy"}  # they belong to the training
SAMPLES = [sample for sample in samples(network=False) if 0 in sample.batch]


def of_volumes(sample):
    """Whether an operation samples volumes, for which there are no nodes: OpenVINO has no such GridSample."""
    image = sample.inputs[0]
    return sample.operation in ("affine_grid", "grid_sample") and (image.ndim == 5 or image.shape[1:] == (3, 4))


def as_network(sample):
    """A function of one tensor (B, N): in its columns stand the inputs of the sample that have a batch."""
    inputs = [sample.inputs[k] for k in sample.batch if k in sample.arrays]
    ends = np.cumsum([0, *(x[0].size for x in inputs)])

    def net(columns):
        given = [Tensor(np.float32(x)) if k in sample.arrays else x for k, x in enumerate(sample.inputs)]
        for i, k in enumerate(k for k in sample.batch if k in sample.arrays):
            given[k] = columns[:, ends[i] : ends[i + 1]].reshape(len(columns), *inputs[i].shape[1:])
        return sample.function(*given, **sample.options_for(*given))

    return net, np.concatenate([x.reshape(len(x), math.prod(x.shape[1:])) for x in inputs], axis=1).astype(np.float32)


@every_engine
@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.operation not in REFUSED and not of_volumes(s)], ids=str)
def test_an_operation(sample, engine):
    net, columns = as_network(sample)
    agree(net, columns, engine)


@pytest.mark.parametrize("sample", [s for s in SAMPLES if of_volumes(s)], ids=str)
def test_a_volume_is_refused_by_the_name_of_its_operation(sample):
    net, columns = as_network(sample)
    with pytest.raises(ExportError, match=f"^onnx.save: {sample.operation}: expected an operation with nodes, got"):
        exported(net, columns.shape[1:], "onnxruntime")


@pytest.mark.parametrize(
    ("net", "name"),
    [
        (F.dropout, "dropout"),
        (F.dropout2d, "dropout"),
        (lambda images: F.mse_loss(images, images), "mse_loss"),
        (lambda images: F.nll_loss(images.reshape(len(images), 4), np.zeros(len(images), int)), "nll_loss"),
        (lambda images: F.cross_entropy(images.reshape(len(images), 4), np.zeros(len(images), int)), "nll_loss"),
    ],
)
def test_an_operation_of_the_training_is_refused_by_its_name(net, name):
    with pytest.raises(ExportError, match=f"^onnx.save: {name}: expected "):
        exported(net, (1, 2, 2), "onnxruntime")


# Where an operator of the same name would not do


@every_engine
def test_confident_log_probabilities(engine):
    scores = np.array([[1000, 0, -1000], [95, 0, 1], [-1e-3, 0, 1e-3]], np.float32)
    agree(lambda x: F.log_softmax(x, dim=1), scores, engine)


@every_engine
def test_the_logarithm_of_a_small_sigmoid(engine):
    agree(lambda x: F.sigmoid(x).log(), np.float32([[-80, -30, -18, 0, 5, 90]]), engine)


@every_engine
def test_a_clamp_whose_limits_are_crossed(engine):
    agree(lambda x: x.clamp(min=1, max=-1), np.float32([[-3, 0, 3]]), engine)


@every_engine
@pytest.mark.filterwarnings("error")
def test_a_clamp_whose_limits_no_number_reaches(engine):
    agree(lambda x: x.clamp(min=-1e300, max=1e300), np.float32([[-3e38, 0, 3e38]]), engine)


@every_engine
@pytest.mark.parametrize("index", [
    np.s_[:, 1], np.s_[:, -1:], np.s_[:, ::-1], np.s_[:, 1:, None, ..., 2], np.s_[..., 0], np.s_[:, [2, 0]],
    np.s_[:, -1, None, -2:], np.s_[:, :, 3:0:-2], np.s_[:, -9::-1], np.s_[:, :, 9::-3], np.s_[:, -9:2], np.s_[:],
], ids=str)
def test_an_index(index, engine):
    agree(lambda x: x[index] * 1, np.float32(np.arange(48).reshape(4, 3, 4)), engine)


@every_engine
@pytest.mark.parametrize("rows", [[1, 0], np.array([1, 0])], ids=["list", "array"])
def test_a_list_picks_rows(rows, engine):
    """It is no pair of indices, as a tuple is."""
    agree(lambda x: x + x.sum(0)[rows] + x[:, rows], np.float32(np.arange(24).reshape(6, 2, 2)), engine)


@every_engine
@pytest.mark.parametrize("net", [
    lambda x: x.reshape(len(x) * 2, 12).max(dim=1).values.reshape(len(x), 2),
    lambda x: x.reshape(len(x) * 6, 4).reshape(len(x), 12, -1).sum(dim=2),
    lambda x: x.reshape(-1, 1, 4).reshape(len(x), 3, 8),
    lambda x: x.reshape(6, len(x), 4).transpose(0, 1),
], ids=["halves", "there and back", "rows", "other axis"])
def test_a_reshape_of_the_batch(net, engine):
    """0, "as in the input", is right for a length only where the input has it at this axis."""
    agree(net, np.float32(np.arange(96).reshape(4, 6, 4)), engine)


@every_engine
def test_channels_that_are_images_for_a_while(engine):
    rng = np.random.default_rng(0)
    weight, images = Tensor(np.float32(rng.normal(size=(3, 1, 3, 3)))), np.float32(rng.random((4, 2, 6, 5)))

    def net(x):
        return F.conv2d(x.reshape(-1, 1, 6, 5), weight).reshape(-1, 72).max(dim=1).values

    agree(net, images, engine)


@every_engine
def test_abs_after_a_max_pool(engine):
    """OpenVINO takes Abs through the MaxPool before it: max(|-3|, |1|) for |max(-3, 1)|."""
    weight = Tensor(np.ones((1, 1, 1, 1), np.float32))
    agree(lambda x: F.max_pool2d(F.conv2d(x, weight), (1, 2)).abs(), np.float32([[[[-3, 1]]], [[[-3, -1]]]]), engine)


@every_engine
@pytest.mark.parametrize("dim", [1, -1, (1, 2), ()], ids=str)
@pytest.mark.parametrize("keepdim", [False, True])
def test_a_sum(dim, keepdim, engine):
    agree(lambda x: x.sum(dim, keepdim), np.float32(np.arange(24).reshape(2, 3, 4)), engine)


@pytest.mark.parametrize("index", [np.s_[:, [0, 1], 1], np.s_[:, [[0, 1]]], np.s_[:, [0, 1], [0, 1]]], ids=str)
def test_an_index_without_nodes_is_refused(index):
    with pytest.raises(ExportError, match="^onnx.save: index: expected "):
        exported(lambda x: x[index], (3, 4), "onnxruntime")
