"""Every network of the command gives the same log-probabilities in every engine, for any batch, also for none."""

import numpy as np
import pytest
from exported import every_engine, exported
from numpy.testing import assert_allclose

import npstn
from npstn import Tensor, models
from npstn.transformers import TRANSFORMERS

pytest.importorskip("onnx")
pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = [*TRANSFORMERS, "none"]
CASES = [
    *((kind, "blog", 1, (1, 16, 18)) for kind in KINDS),
    *((kind, "fcn", 2, (2, 6, 7)) for kind in KINDS),
    ("affine", "cnn", 1, (1, 28, 29)),
]


@every_engine
@pytest.mark.parametrize(("kind", "network", "parallel", "image"), CASES)
def test_a_network(kind, network, parallel, image, engine):
    npstn.manual_seed(0)
    rng = np.random.default_rng(0)
    net = models.build(kind, image, 5, network=network, parallel=parallel).eval()
    for parameter in net.parameters():  # the last layer of a localiser, too: its maps differ between images
        parameter.data += rng.normal(0, 0.02, parameter.shape).astype(np.float32)
    run = exported(net, image, engine)
    for batch in (0, 1, 3):
        images = rng.random((batch, *image)).astype(np.float32)
        assert_allclose(run(images), net(Tensor(images)).data, rtol=0, atol=1e-5)


@every_engine
def test_lost_points_are_lost_in_every_engine(engine):
    """An infinite parameter gives no pixel in npstn, and none elsewhere. What follows the sampler is another matter."""
    kind = TRANSFORMERS["affine"]()
    net = models.SpatialTransformer(models.LocNet(image=(1, 16, 16), identity=kind.identity), kind)
    net.loc_net.cnn.fc2.bias.data[2] = np.inf
    images = np.ones((2, 1, 16, 16), np.float32)
    found, wanted = exported(net, (1, 16, 16), engine)(images), net.eval()(Tensor(images)).data
    assert np.isnan(wanted).all() and np.isnan(found).all()
