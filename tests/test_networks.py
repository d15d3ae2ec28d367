"""The command's networks: every transformer in front of every classifier, and the same weights in PyTorch."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from torch_networks import torch_network

import npstn
import npstn.functional as F
from npstn import Tensor, models, nn, optim
from npstn.models import NETWORKS
from npstn.transformers import TRANSFORMERS

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGE = 2, 30, 36
every_network = pytest.mark.parametrize("network", NETWORKS)


def smooth(B, dtype=np.float32, seed=0):
    """Smooth random images: of rough ones, the gradients of the parameters are sums of which little is left."""
    rng = np.random.default_rng(seed)
    C, H, W = IMAGE
    y, x = (np.minimum(np.arange(n), n - np.arange(n)) for n in (H, W))
    blur = np.exp(-((y[:, None] / 5) ** 2) - (x / 5) ** 2)  # of frequencies
    images = np.fft.ifft2(np.fft.fft2(rng.normal(size=(B, C, H, W))) * blur).real
    images -= images.min()
    return (images / images.max()).astype(np.float32).astype(dtype), rng.integers(0, 5, B)


def readers(net):
    return [module for module in net.modules() if isinstance(module, models.SpatialTransformer)]


def last_layer(net):
    """The localisation network's layer that gives the parameters: its name below the transformer, and the layer."""
    name, layer = [(n, m) for n, m in named_modules(net) if isinstance(m, nn.Linear)][-1]
    return name, layer


def named_modules(module, prefix=""):
    for name, child in module.named_children():
        yield f"{prefix}{name}", child
        yield from named_modules(child, f"{prefix}{name}.")


@every_network
@pytest.mark.parametrize("parallel", [1, 2])
@pytest.mark.parametrize("transformer", [*TRANSFORMERS, "none"])
def test_a_network_is_built_and_takes_a_step(transformer, network, parallel):
    """At first the last layer of each localiser has no weights: the layers before it get no gradient, and stay."""
    npstn.manual_seed(0)
    net = models.build(transformer, IMAGE, 5, network=network, parallel=parallel)
    images, labels = smooth(6)
    with models.watch(net) as looks:
        y = net(Tensor(images))
    assert y.shape == (6, 5)
    assert_allclose(np.exp(y.data).sum(axis=1), 1, atol=1e-5)
    assert len(looks) == len(readers(net)) == (0 if transformer == "none" else parallel)
    for kind, seen in looks:
        assert kind.name == transformer
        assert_allclose(seen.V.data, images, rtol=0, atol=2e-5)  # the identity
    before = net.state_dict()
    F.nll_loss(y, labels).backward()
    optim.SGD(net.parameters(), lr=0.1).step()
    changed = {name for name, array in net.state_dict().items() if (array != before[name]).any()}
    resting = set()
    for name, module in named_modules(net) if parallel == 2 else [("", net)]:
        if isinstance(module, models.SpatialTransformer):
            prefix = f"{name}." if name else ""
            last, _ = last_layer(module.loc_net)
            own = {n for n in before if n.startswith(f"{prefix}loc_net.")}
            resting |= {n for n in own if not n.startswith(f"{prefix}loc_net.{last}.")}
    assert changed == before.keys() - resting

    again = models.build(transformer, IMAGE, 5, network=network, parallel=parallel)
    again.load_state_dict(net.state_dict())
    assert_array_equal(again(Tensor(images)).data, net(Tensor(images)).data)
    second = F.nll_loss(net(Tensor(images)), labels)
    net.zero_grad()
    second.backward()
    if transformer != "none":  # by now the whole localiser learns
        assert all(np.any(p.grad) for reader in readers(net) for p in reader.loc_net.parameters())


@pytest.mark.parametrize(("network", "parallel"), [*((network, 1) for network in NETWORKS), ("cnn", 2)])
@pytest.mark.parametrize("kind", [("affine", {}), ("projective", {}), ("tps", {}), ("tps", {"bounded": 1})], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-10)])
def test_the_same_weights_give_pytorchs_answers_and_gradients(torch, kind, network, parallel, dtype, tolerance):
    name, settings = kind
    npstn.manual_seed(3)  # after 2, two pixels of a window differ by rounding alone: float32 may take either
    net = models.build(name, IMAGE, 5, network=network, parallel=parallel, **settings)
    rng = np.random.default_rng(0)
    for reader in readers(net):
        _, last = last_layer(reader.loc_net)
        last.weight.data[...] = rng.normal(0, 0.05, last.weight.shape)
        last.bias.data[...] += rng.normal(0, 0.1, last.bias.shape)
    peer = torch_network(torch, TRANSFORMERS[name](**settings), IMAGE, 5, network, parallel)
    peer.load_state_dict({k: torch.from_numpy(array) for k, array in net.state_dict().items()})
    if dtype == np.float64:
        net.double(), peer.double()
    images, labels = smooth(4, dtype)
    x, x_of_peer = Tensor(images, requires_grad=True), torch.tensor(images, requires_grad=True)
    y, y_of_peer = net(x), peer(x_of_peer)
    F.nll_loss(y, labels).backward()
    torch.nn.functional.nll_loss(y_of_peer, torch.from_numpy(labels)).backward()
    assert y.dtype == dtype
    assert_allclose(y.data, y_of_peer.detach().numpy(), rtol=tolerance)
    grads = {n: p.grad for n, p in net.named_parameters()} | {"images": x.grad}
    wanted = {n: p.grad.numpy() for n, p in peer.named_parameters()} | {"images": x_of_peer.grad.numpy()}
    assert grads.keys() == wanted.keys()
    for n, grad in wanted.items():
        largest = np.abs(grad).max()
        assert largest > 0, n
        assert_allclose(grads[n], grad, rtol=0, atol=tolerance * largest, err_msg=n)


def test_the_papers_networks_have_about_400_000_weights():
    def count(net):
        return sum(p.data.size for p in net.parameters())

    for image in ((1, 28, 28), (1, 42, 42), (1, 60, 60)):
        assert count(models.build("none", image, 10, network="fcn")) == pytest.approx(400_000, rel=0.02)
        assert count(models.build("none", image, 10, network="cnn")) < 410_000
    assert count(models.build("none", (1, 1000, 1000), 10, network="fcn")) > 1e6  # at least one unit


# What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none", (1, 23, 40), 10, 0.0, "cnn"), "paper_cnn: expected images of at least 24 x 24 pixels, got 23 x 40"),
        (
            ("tps", (1, 40, 27), 10, 0.0, "cnn"),
            "paper_cnn_localiser: expected images of at least 28 x 28 pixels, got 40 x 27",
        ),
        (("affine", (1, 15, 28), 10), "CNN: expected images of at least 16 x 16 pixels, got 15 x 28"),
        (("affine", IMAGE, 10, 0.0, "vgg"), "build: expected network to be one of blog, cnn, fcn, got 'vgg'"),
        (("affine", IMAGE, 10, 0.0, "cnn", 0), "build: expected parallel from 1 to 16, got 0"),
        (("affine", IMAGE, 10, 0.0, "cnn", 17), "build: expected parallel from 1 to 16, got 17"),
        (("affine", IMAGE, 10, 0.0, "cnn", True), "build: expected parallel from 1 to 16, got True"),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(ValueError) as caught:
        models.build(*arguments)
    assert str(caught.value) == message


def test_the_smallest_images_are_taken():
    for transformer, image, network in (("none", (1, 24, 24), "cnn"), ("affine", (1, 28, 28), "cnn")):
        net = models.build(transformer, image, 3, network=network)
        assert net(Tensor(np.zeros((1, *image), np.float32))).shape == (1, 3)
    net = models.build("affine", (1, 1, 2), 3, network="fcn")
    assert net(Tensor(np.zeros((2, 1, 1, 2), np.float32))).shape == (2, 3)


def test_settings_of_another_transformer_are_refused():
    with pytest.raises(ValueError, match="^affine: expected settings among none; got 'grid_size'$"):
        models.build("affine", IMAGE, 10, grid_size=3)


def test_what_means_nothing_alone_is_refused_there_too():
    with pytest.raises(ValueError, match="^none: expected settings among none; got 'grid_size'$"):
        models.build("none", IMAGE, 10, grid_size=3)
    with pytest.raises(ValueError, match="^build: expected parallel from 1 to [0-9]+, got 0$"):
        models.build("none", IMAGE, 10, parallel=0)
    assert len(models.build("affine", IMAGE, 10, parallel=np.int64(2)).transformers) == 2
