"""The networks: against the same model written in PyTorch, against finite differences, and whether they learn."""

import re

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import npstn
import npstn.functional as F
from npstn import Tensor, models, nn, optim
from npstn.transformers import Rotation

PARTS = {
    "cnn.conv1.weight": (10, 1, 5, 5),
    "cnn.conv1.bias": (10,),
    "cnn.conv2.weight": (20, 10, 5, 5),
    "cnn.conv2.bias": (20,),
    "cnn.fc1.weight": (50, 320),
    "cnn.fc1.bias": (50,),
}
SHAPES = {
    **{f"loc_net.{name}": shape for name, shape in PARTS.items()},
    "loc_net.cnn.fc2.weight": (1, 50),
    "loc_net.cnn.fc2.bias": (1,),
    **{f"cls_net.{name}": shape for name, shape in PARTS.items()},
    "cls_net.cnn.fc2.weight": (10, 50),
    "cls_net.cnn.fc2.bias": (10,),
}


@pytest.fixture
def peer(torch):
    """The same model in PyTorch, in eval mode."""
    from benchmarks.peer import STNClsNet

    return STNClsNet().eval()


def turning_net(seed=0, **options):
    """A network that turns each image by an angle of its own, in float32, without dropout unless `train()` is called.

    Round 0.3 radians: there no point of the grid lies on a pixel, where the slope jumps, as it does for an angle of 0.
    """
    npstn.manual_seed(seed)
    net = models.STNClsNet(**options).eval()
    net.loc_net.cnn.fc2.weight.data[...] = np.random.default_rng(seed).normal(0, 0.3, (1, 50))
    net.loc_net.cnn.fc2.bias.data[...] = 0.3
    return net


def batch(B, dtype=np.float32, seed=0):
    """Random images, smooth ones: of white noise, the gradient of the angle is a sum of which little is left; so are
    the figures of its float32 in PyTorch as well."""
    rng = np.random.default_rng(seed)
    distance = np.minimum(np.arange(28), 28 - np.arange(28))
    blur = np.exp(-((distance / 6) ** 2))  # of frequencies
    images = np.fft.ifft2(np.fft.fft2(rng.normal(size=(B, 1, 28, 28))) * blur[:, None] * blur).real
    images -= images.min(axis=(2, 3), keepdims=True)
    images /= images.max(axis=(2, 3), keepdims=True)
    return images.astype(np.float32).astype(dtype), rng.integers(0, 10, B)


def test_state_dict_names_and_shapes():
    state = models.STNClsNet().state_dict()
    assert {name: array.shape for name, array in state.items()} == SHAPES
    assert list(state) == list(SHAPES)
    assert {array.dtype for array in state.values()} == {np.dtype(np.float32)}


def test_state_dict_is_pytorchs(peer):
    own, state = models.STNClsNet().state_dict(), peer.state_dict()
    assert list(own) == list(state)
    for name, array in own.items():
        assert array.shape == tuple(state[name].shape)


@pytest.mark.parametrize("by_file", [False, True], ids=["in memory", "safetensors"])
def test_weights_move_both_ways(torch, peer, tmp_path, by_file):
    own = turning_net()
    path = tmp_path / "weights.safetensors"
    if by_file:
        from safetensors.torch import load_file, save_file

        save_file(peer.state_dict(), path)
        own.load_state_dict(npstn.load(path))
    else:
        own.load_state_dict(peer.state_dict())
    for name, array in own.state_dict().items():
        assert_array_equal(array, peer.state_dict()[name].numpy(), err_msg=name)

    own = turning_net(seed=1)
    if by_file:
        npstn.save(own.state_dict(), path)
        peer.load_state_dict(load_file(path))
    else:
        peer.load_state_dict({name: torch.from_numpy(array) for name, array in own.state_dict().items()})
    for name, array in own.state_dict().items():
        assert_array_equal(peer.state_dict()[name].numpy(), array, err_msg=name)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-10)])
@pytest.mark.parametrize("B", [1, 6])
def test_same_answers_as_pytorch(torch, peer, B, dtype, tolerance):
    own = turning_net()
    peer.load_state_dict({name: torch.from_numpy(array) for name, array in own.state_dict().items()})
    if dtype == np.float64:
        own.double(), peer.double()
    images, labels = batch(B, dtype)
    x, x_of_peer = Tensor(images, requires_grad=True), torch.tensor(images, requires_grad=True)

    output = own(x)
    loss = F.nll_loss(output, labels)
    loss.backward()
    output_of_peer = peer(x_of_peer)
    loss_of_peer = torch.nn.functional.nll_loss(output_of_peer, torch.from_numpy(labels))
    loss_of_peer.backward()

    angles = own.loc_net(x).data
    assert np.abs(angles).min() > 0.1
    assert B == 1 or np.ptp(angles) > 0.01
    assert (output.dtype, loss.dtype) == (dtype, dtype)
    assert_allclose(output.data, output_of_peer.detach().numpy(), rtol=tolerance)
    assert_allclose(loss.item(), loss_of_peer.item(), rtol=tolerance)
    grads = {name: p.grad for name, p in own.named_parameters()} | {"images": x.grad}
    grads_of_peer = {name: p.grad.numpy() for name, p in peer.named_parameters()} | {"images": x_of_peer.grad.numpy()}
    assert grads.keys() == grads_of_peer.keys()
    for name, wanted in grads_of_peer.items():
        largest = np.abs(wanted).max()
        assert largest > 0, name
        assert grads[name].dtype == dtype
        assert_allclose(grads[name], wanted, rtol=0, atol=tolerance * largest, err_msg=name)


def test_loc_net_starts_by_turning_nothing():
    net = models.STNClsNet().eval()
    assert not np.any(net.loc_net.cnn.fc2.weight.data)
    assert not np.any(net.loc_net.cnn.fc2.bias.data)
    x = Tensor(batch(3)[0])
    look = net.look(x)
    assert_array_equal(look.parameters.data, np.zeros((3, 1)))
    assert_allclose(look.V.data, x.data, rtol=0, atol=4e-6)  # a grid coordinate's last bit times 13.5 pixels
    assert_allclose(net(x).data, net.cls_net(x).data, rtol=1e-4)


def test_a_look_turns_by_the_angles_that_it_gives():
    net = turning_net()
    x = Tensor(batch(4)[0])
    look = net.look(x)
    assert look.U is x
    assert (look.parameters.shape, look.grid.shape, look.V.shape) == ((4, 1), (4, 28, 28, 2), (4, 1, 28, 28))
    assert_array_equal(look.parameters.data, net.loc_net(x).data)
    angles = look.parameters.data[:, 0]
    theta = np.array([[[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0]] for a in angles], np.float32)
    grid = F.affine_grid(Tensor(theta), (4, 1, 28, 28), align_corners=True)
    assert_allclose(look.grid.data, grid.data, atol=1e-6)
    assert_allclose(look.V.data, F.grid_sample(x, grid, align_corners=True).data, atol=1e-5)
    assert_array_equal(net(x).data, net.cls_net(look.V).data)


def test_log_probabilities():
    for net in (turning_net(), models.ClsNet().eval()):
        output = net(Tensor(batch(3)[0])).data
        assert output.shape == (3, 10)
        assert_allclose(np.exp(output.astype(np.float64)).sum(axis=1), np.ones(3), atol=1e-6)
    assert models.CNN(7)(Tensor(batch(3)[0])).shape == (3, 7)
    assert models.LocNet()(Tensor(batch(3)[0])).shape == (3, 1)


def test_dropout_is_switched_by_train_and_eval():
    net = turning_net()
    x = Tensor(batch(3)[0])
    quiet = net(x).data
    assert_array_equal(net(x).data, quiet)
    net.train()
    npstn.manual_seed(3)
    first, second = net(x).data, net(x).data
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, quiet)
    npstn.manual_seed(3)
    assert_array_equal(net(x).data, first)
    assert_array_equal(net.eval()(x).data, quiet)
    without = turning_net(dropout=0.0)  # of the same seed: the same weights
    assert_array_equal(without.train()(x).data, quiet)
    for cnn in (net.loc_net.cnn, net.cls_net.cnn):
        assert (cnn.conv2_drop.p, cnn.fc1_drop.p) == (0.5, 0.5)


@pytest.mark.parametrize("cnn", ["loc_net", "cls_net"])
@pytest.mark.parametrize("layer", ["conv2_drop", "fc1_drop"])
def test_each_dropout_layer_is_in_use(cnn, layer):
    net = turning_net()
    x = Tensor(batch(3)[0])
    quiet = net(x).data
    getattr(getattr(net, cnn).cnn, layer).train()
    npstn.manual_seed(0)
    assert not np.array_equal(net(x).data, quiet)


@pytest.mark.parametrize("make", [models.STNClsNet, models.ClsNet, models.LocNet])
@pytest.mark.parametrize("shape", [(2, 1, 27, 28), (2, 3, 28, 28), (1, 28, 28), (28, 28), (2, 784), (0, 1, 0, 0), ()])
def test_wrong_image_shape(make, shape):
    with pytest.raises(ValueError, match=r"^CNN: expected images of shape \(B, 1, 28, 28\), got ") as error:
        make()(Tensor(np.zeros(shape, np.float32)))
    assert str(error.value).endswith(f"got {shape}")


def test_images_of_another_dtype_than_the_weights():
    with pytest.raises(TypeError, match=r"^conv2d: .*float64.*float32|^conv2d: .*float32.*float64"):
        models.STNClsNet()(Tensor(batch(2, np.float64)[0]))


def test_empty_batch():
    net = turning_net().train()
    output = net(Tensor(np.zeros((0, 1, 28, 28), np.float32)))
    assert (output.shape, output.dtype) == ((0, 10), np.float32)
    output.backward(np.zeros((0, 10), np.float32))
    for name, p in net.named_parameters():
        assert_array_equal(p.grad, np.zeros(p.shape), err_msg=name)


def test_gradient_of_the_whole_loss_by_finite_differences():
    net = turning_net().double()
    images, labels = batch(2, np.float64)

    def loss():
        return F.nll_loss(net(Tensor(images)), labels)

    loss().backward()
    step = 1e-5
    rng = np.random.default_rng(0)
    with npstn.no_grad():
        for name, p in net.named_parameters():
            # The largest entry, which says most, and one at random that is not zero. No kink lies within these steps.
            chosen = {int(np.abs(p.grad).argmax()), int(rng.choice(np.flatnonzero(p.grad)))}
            for k in chosen:
                value = p.data.flat[k]
                p.data.flat[k] = value + step
                above = loss().item()
                p.data.flat[k] = value - step
                below = loss().item()
                p.data.flat[k] = value
                slope = (above - below) / (2 * step)
                assert slope == pytest.approx(p.grad.flat[k], rel=1e-7, abs=2e-10), f"{name}, entry {k}"


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="NUMBA_DISABLE_JIT: 20 seconds as plain Python")
def test_learns_a_batch_by_heart():
    npstn.manual_seed(0)
    net = models.STNClsNet(dropout=0.0)
    images, labels = batch(8)[0], np.arange(8)  # as many classes as images: nothing but their contents tells
    images -= images.mean(axis=(2, 3), keepdims=True)
    opt = optim.Adam(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        opt.zero_grad()
        loss = F.nll_loss(net(Tensor(images)), labels)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[0] > 2
    assert losses[-1] < 0.1
    assert np.any(net.loc_net.cnn.fc2.weight.data)  # the transformer learns too


@pytest.mark.parametrize("net", [models.CNN(3), models.LocNet(), models.STNClsNet()])
@pytest.mark.parametrize("x", [None, 1.0, (1, 1, 28, 28), batch(2)[0]], ids=["None", "number", "tuple", "array"])
def test_what_is_no_tensor_is_refused(net, x):
    with pytest.raises(TypeError, match=rf"^CNN: expected images in a Tensor, got {type(x).__name__}$"):
        net(x)


# Other sizes, other places in a network


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((28, 28), 10), "expected image to be (channels, rows, columns), got (28, 28)"),
        ((28, 10), "expected image to be (channels, rows, columns), got 28"),
        (((1, 28.0, 28), 10), "expected each length of image to be an integer from 1 to below 2^31, got 28.0"),
        (((1, 28, 28), 0), "expected classes to be an integer from 1 to below 2^31, got 0"),
    ],
)
def test_what_is_no_image_or_no_class_is_refused(arguments, message):
    with pytest.raises(ValueError) as refused:
        models.build("affine", *arguments)
    assert str(refused.value) == f"build: {message}"


def test_a_list_is_a_shape():
    net = models.build("affine", [1, 28, 28], 10).eval()
    assert net(Tensor(np.zeros((2, 1, 28, 28), np.float32))).shape == (2, 10)


@pytest.mark.parametrize("image", [(1, 28, 28), (3, 16, 16), (2, 17, 50)])
def test_images_of_any_size_and_any_number_of_classes(image):
    npstn.manual_seed(0)
    net = models.STNClsNet(image=image, classes=4)
    output = net(Tensor(np.ones((2, *image), np.float32)))
    assert output.shape == (2, 4)
    F.nll_loss(output, np.array([0, 3])).backward()
    assert all(np.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize("image", [(1, 15, 28), (1, 28, 15)])
def test_images_that_are_too_small_are_refused(image):
    message = f"^CNN: expected images of at least 16 x 16 pixels, got {image[1]} x {image[2]}$"
    with pytest.raises(ValueError, match=message):
        models.STNClsNet(image=image)


def test_a_transformer_of_another_size_and_padding():
    npstn.manual_seed(0)
    part = models.SpatialTransformer(models.LocNet(0.0), Rotation(), size=(9, 14), padding_mode="border")
    part.loc_net.cnn.fc2.bias.data[...] = 0.8
    U = Tensor(np.ones((2, 1, 28, 28), np.float32))
    assert part(U).shape == (2, 1, 9, 14)
    assert_allclose(part(U).data, 1, rtol=1e-6)  # black comes in nowhere
    part.padding_mode = "zeros"
    assert part(U).data.min() == 0


def test_build_gives_the_network_of_each_transformer():
    nets = [models.build("rotation", (1, 28, 28), 10, dropout=0.25), models.build("none", (2, 20, 30), 3, dropout=0.25)]
    assert {name: array.shape for name, array in nets[0].state_dict().items()} == SHAPES
    assert isinstance(nets[1], models.ClsNet)
    for net in nets:
        assert {m.p for m in net.modules() if isinstance(m, (nn.Dropout, nn.Dropout2d))} == {0.25}
    assert nets[1](Tensor(np.zeros((4, 2, 20, 30), np.float32))).shape == (4, 3)
    assert {m.p for m in models.build("rotation", (1, 28, 28), 10).modules() if isinstance(m, nn.Dropout)} == {0.0}


def test_build_refuses_an_unknown_transformer():
    with pytest.raises(ValueError, match="^build: expected transformer to be one of rotation, .*none, got 'turn'$"):
        models.build("turn", (1, 28, 28), 10)


# watch


class Double(nn.Module):
    """One transformer behind another, and a third one twice."""

    def __init__(self):
        parts = [models.SpatialTransformer(models.LocNet(0.0), Rotation()) for _ in range(3)]
        self.first, self.second, self.twice = parts
        for i, part in enumerate(parts):
            part.loc_net.cnn.fc2.bias.data[...] = i + 1

    def forward(self, x):
        return self.twice(self.twice(self.second(self.first(x))))


def test_watch_sees_every_look_in_order_and_only_within():
    net, x = Double(), Tensor(batch(2)[0])
    net(x)
    with models.watch(net) as looks:
        net(x)
    net(x)
    assert [float(look.parameters.data[0, 0]) for _, look in looks] == [1, 2, 3, 3]
    assert all(isinstance(transformer, Rotation) for transformer, _ in looks)
    assert looks[0][1].U is x
    assert looks[1][1].U is looks[0][1].V


def test_watch_within_watch():
    net, x = Double(), Tensor(batch(2)[0])
    with models.watch(net) as outer:
        with models.watch(net.second) as inner:
            net(x)
        net(x)
    assert (len(outer), len(inner)) == (4 + 4, 1)
    assert outer[1][1] is inner[0][1]


def test_watch_ends_with_an_error():
    net, x = Double(), Tensor(batch(2)[0])
    with pytest.raises(KeyError), models.watch(net) as looks:
        raise KeyError
    net(x)
    assert looks == []


def test_watch_of_a_network_without_a_transformer():
    net = models.ClsNet()
    with models.watch(net) as looks:
        net(Tensor(batch(2)[0]))
    assert looks == []


class Anything(nn.Module):
    """A localisation network that answers to any input."""

    def __init__(self, answer):
        self.answer = answer

    def forward(self, x):
        return self.answer


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (2, 1, 1, 28, 28)])
def test_an_input_with_other_axes_is_refused(shape):
    angles = nn.Parameter(np.zeros((shape[0], 1), np.float32))
    part = models.SpatialTransformer(Anything(angles), Rotation())
    message = re.escape(f"SpatialTransformer: expected input of shape (B, C, H, W), got {shape}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        part(Tensor(np.zeros(shape, np.float32)))


def test_another_number_of_parameters_is_refused():
    """A localiser for another transformer."""
    part = models.SpatialTransformer(models.LocNet(), models.TRANSFORMERS["affine"]())
    with pytest.raises(ValueError) as refused:
        part(Tensor(batch(2)[0]))
    expected = "expected parameters of shape (2, 6) for affine"
    assert str(refused.value) == f"SpatialTransformer: {expected}, got (2, 1) from its localisation network"


@pytest.mark.parametrize("network", ["STNClsNet", "SpatialTransformer"])
def test_the_name_of_a_transformer_is_none(network):
    given = {"loc_net": nn.Flatten()} if network == "SpatialTransformer" else {}
    with pytest.raises(TypeError, match=rf"^{network}: expected transformer to be a Transformer, .*, got 'rotation'$"):
        getattr(models, network)(transformer="rotation", **given)


# steer


def test_steer_takes_the_place_of_one_localisation_network():
    net, x = Double(), Tensor(batch(3)[0])
    angles = np.array([[0.1], [0.2], [0.3]], np.float32)
    with models.steer(net, Tensor(angles), 1), models.watch(net) as looks:
        net(x)
    (_, first), (_, second), *_ = looks
    assert_array_equal(first.parameters.data, np.ones((3, 1)))
    assert_array_equal(second.parameters.data, angles)
    assert_array_equal(second.grid.data, net.second.transformer.grid(Tensor(angles), (28, 28)).data)
    with models.watch(net) as looks:
        net(x)
    assert_array_equal(looks[1][1].parameters.data, np.full((3, 1), 2))


def test_the_loss_goes_back_to_the_parameters_that_steer_gives():
    """And not into the localisation network; as a difference of the loss in float64 says, too."""
    net = models.STNClsNet().eval().double()
    x, labels = Tensor(np.random.default_rng(0).random((1, 1, 28, 28))), np.array([3])

    def loss(angle):
        with models.steer(net, angle):
            return F.nll_loss(net(x), labels)

    angle = Tensor(np.array([[0.3]]), requires_grad=True)
    loss(angle).backward()
    step = 1e-7
    above, below = (loss(Tensor(np.array([[0.3 + h]]))).item() for h in (step, -step))
    assert_allclose(angle.grad, [[(above - below) / (2 * step)]], rtol=1e-5)
    assert all(parameter.grad is None for parameter in net.loc_net.parameters())


def test_steer_refuses():
    net = models.STNClsNet().eval()
    x = Tensor(np.zeros((2, 1, 28, 28), np.float32))
    with pytest.raises(ValueError, match=r"got \(1, 1\) from steer"), models.steer(net, Tensor([[0.0]])):
        net(x)
    net(x)  # and the network is as it was
    with pytest.raises(ValueError, match="from 0 to 0, got 1"), models.steer(net, Tensor([[0.0]]), 1):
        pass
    with pytest.raises(ValueError, match="that has some, got 0"), models.steer(models.ClsNet(), Tensor([[0.0]])):
        pass
