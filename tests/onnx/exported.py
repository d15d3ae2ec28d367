"""A network as each engine runs it, and its operations as networks."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from benchmarks.engines import ENGINES, installed

import npstn
from npstn import Tensor, nn

every_engine = pytest.mark.parametrize("engine", [
    pytest.param(name, marks=[] if name in installed() else pytest.mark.skip(f"{name} is not installed"))
    for name in ENGINES
])


class Calls(nn.Module):
    """A network that calls a function."""

    def __init__(self, function):
        self.function = function

    def forward(self, images):
        return self.function(images)


def exported(net, image, engine):
    """A function from images to what the engine gives for them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        npstn.onnx.save(net if isinstance(net, nn.Module) else Calls(net), path, image)
        return ENGINES[engine](path)


def both(net, images, engine):
    """What the engine gives for the images, and what npstn gives."""
    found = exported(net, images.shape[1:], engine)(images)
    return found, net(Tensor(images)).data


def agree(net, images, engine, atol=1e-6):
    found, wanted = both(net, images, engine)
    assert found.dtype == np.float32 and wanted.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=atol)
