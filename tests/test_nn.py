"""Modules: the names, order and first values of their weights, their switches, and loading weights."""

import math
import re
from collections import deque

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import npstn
import npstn.functional as F
from npstn import Tensor, models, nn
from npstn.transformers import Rotation


class Branch(nn.Module):
    def __init__(self):
        self.second = nn.Linear(4, 3)
        self.drop = nn.Dropout(0.5)
        self.first = nn.Conv2d(2, 3, kernel_size=(2, 1), bias=False)


class Net(nn.Module):
    """Parameters between and after modules, and attributes that are no weights."""

    def __init__(self):
        self.left = Branch()
        self.scale = nn.Parameter(np.full((2,), 3, np.float32))
        self.size = 7
        self.constant = Tensor([1.0])
        self.right = Branch()
        self.drop = nn.Dropout2d(0.25)
        self.head = nn.Linear(3, 1)


NAMES = [
    "left.second.weight",
    "left.second.bias",
    "left.first.weight",
    "scale",
    "right.second.weight",
    "right.second.bias",
    "right.first.weight",
    "head.weight",
    "head.bias",
]
NAMES_OF_BRANCH = ["second.weight", "second.bias", "first.weight"]
SHAPES = [(3, 4), (3,), (3, 2, 2, 1), (2,), (3, 4), (3,), (3, 2, 2, 1), (1, 3), (1,)]


@pytest.fixture
def net():
    npstn.manual_seed(0)
    return Net()


def test_parameters_are_named_in_the_order_in_which_they_were_set(net):
    named = list(net.named_parameters())
    assert [name for name, _ in named] == NAMES
    assert [p.shape for _, p in named] == SHAPES
    assert all(type(p) is nn.Parameter and p.requires_grad and p.dtype == np.float32 for _, p in named)
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in named]
    assert list(net.state_dict()) == NAMES
    assert [name for name, _ in net.left.named_parameters()] == NAMES_OF_BRANCH
    assert [name for name, _ in net.head.named_parameters("there.")] == ["there.weight", "there.bias"]


def test_a_parameter_that_is_used_twice_is_listed_once():
    # An optimiser must not change it twice a step. The state has it under both names, as in PyTorch.
    net = Branch()
    net.again = net.second
    assert len(list(net.parameters())) == 3
    assert list(net.state_dict()) == [*NAMES_OF_BRANCH, "again.weight", "again.bias"]


def test_modules_are_listed_in_the_order_in_which_they_were_set(net):
    kinds = [type(module).__name__ for module in net.modules()]
    branch = ["Branch", "Linear", "Dropout", "Conv2d"]
    assert kinds == ["Net", *branch, *branch, "Dropout2d", "Linear"]
    assert next(net.modules()) is net


def test_a_parameter_copies_its_data():
    source = np.ones(3)
    p = nn.Parameter(source)
    assert p.requires_grad
    assert p.dtype == np.float64
    assert not np.shares_memory(p.data, source)


def test_train_and_eval_reach_every_module(net):
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.left.train()
    assert [module.training for module in net.modules()].count(True) == 4
    assert net.train() is net
    assert all(module.training for module in net.modules())
    net.train(False)
    assert not any(module.training for module in net.modules())
    assert Net().training  # others are not concerned
    assert list(net.state_dict()) == NAMES


@pytest.mark.parametrize("layer", [nn.Dropout, nn.Dropout2d])
def test_dropout_layers_drop_only_while_training(layer):
    x = Tensor(np.ones((6, 50, 2, 2)))
    drop = layer(0.25)
    npstn.manual_seed(0)
    first, second = drop(x).data, drop(x).data
    assert set(np.unique(first)) == {0, 1 / 0.75}
    assert not np.array_equal(first, second)
    share, channels = (first == 0).mean(), 300 * (4 if layer is nn.Dropout else 1)
    assert abs(share - 0.25) < 5 * math.sqrt(0.25 * 0.75 / channels)
    whole_channels = np.all(first == first[:, :, :1, :1])
    assert whole_channels == (layer is nn.Dropout2d)
    assert_array_equal(drop.eval()(x).data, x.data)


def test_double_and_float_convert_the_weights(net):
    before = net.state_dict()
    for p in net.parameters():
        p.grad = np.ones_like(p.data)
    parameters = list(net.parameters())
    assert net.double() is net
    for p, (name, old) in zip(net.parameters(), before.items(), strict=True):
        assert p.dtype == np.float64
        assert p.grad is None  # it had the old dtype
        assert_array_equal(p.data, old, err_msg=name)
    assert [id(p) for p in net.parameters()] == [id(p) for p in parameters]
    net.head.weight.data[...] = 0.1
    assert net.float() is net
    assert all(p.dtype == np.float32 for p in net.parameters())
    assert_array_equal(net.head.weight.data, np.full((1, 3), np.float32(0.1)))


def test_a_double_layer_runs_in_float64():
    layer = nn.Linear(3, 2).double()
    x = Tensor(np.ones((4, 3)), requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert (y.dtype, x.grad.dtype, layer.weight.grad.dtype, layer.bias.grad.dtype) == (np.float64,) * 4


def test_zero_grad_drops_all_gradients(net):
    for p in net.parameters():
        p.grad = np.ones_like(p.data)
    net.zero_grad()
    assert [p.grad for p in net.parameters()] == [None] * len(NAMES)


def test_a_state_dict_is_a_copy(net):
    state = net.state_dict()
    for name, p in net.named_parameters():
        assert_array_equal(state[name], p.data)
        kept = p.data.copy()
        state[name] += 1
        assert_array_equal(p.data, kept)


# Loading weights


def other_state(seed=1):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in zip(NAMES, SHAPES, strict=True)}


def test_load_state_dict_copies_in_place(net):
    arrays = [p.data for p in net.parameters()]
    state = other_state()
    net.load_state_dict(dict(reversed(state.items())))  # the order does not matter
    for p, array, (name, value) in zip(net.parameters(), arrays, state.items(), strict=True):
        assert p.data is array
        assert_array_equal(array, value, err_msg=name)
        kept = array.copy()
        value += 1
        assert_array_equal(array, kept, err_msg=name)


@pytest.mark.parametrize("own", [np.float32, np.float64])
@pytest.mark.parametrize("given", [np.float32, np.float64])
def test_load_state_dict_converts_between_dtypes(net, own, given):
    if own == np.float64:
        net.double()
    state = {name: np.full(shape, 0.1, given) for name, shape in zip(NAMES, SHAPES, strict=True)}
    net.load_state_dict(state)
    for name, array in net.state_dict().items():
        assert array.dtype == own
        assert_array_equal(array, np.full(array.shape, given(0.1).astype(own)), err_msg=name)


def test_load_state_dict_takes_torch_tensors(net, torch):
    state = other_state()
    net.load_state_dict({name: torch.from_numpy(array.copy()).double() for name, array in state.items()})
    for name, array in net.state_dict().items():
        assert_array_equal(array, state[name], err_msg=name)


def refused(net, state, error, name):
    """The message with which load_state_dict refuses a state; no weight may change."""
    before = net.state_dict()
    with pytest.raises(error) as caught:
        net.load_state_dict(state)
    for own, array in net.state_dict().items():
        assert_array_equal(array, before[own], err_msg=own)
    message = str(caught.value.args[0])
    assert message.startswith("load_state_dict: ")
    assert repr(name) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_entry_is_named_and_nothing_is_changed(net, name):
    good = other_state()
    shape = good[name].shape
    missing = {key: value for key, value in good.items() if key != name}
    refused(net, missing, KeyError, name)
    refused(net, {}, KeyError, NAMES[0])
    refused(net, {**good, f"{name}2": good[name]}, KeyError, f"{name}2")
    refused(net, {f"{name}2": good[name], **good}, KeyError, f"{name}2")
    for wrong in [(*shape, 1), (1, *shape), (shape[0] + 1, *shape[1:]), ()]:
        message = refused(net, {**good, name: np.zeros(wrong, np.float32)}, ValueError, name)
        assert str(shape) in message
        assert str(wrong) in message
    for dtype in (np.int64, np.complex64, bool):
        message = refused(net, {**good, name: good[name].astype(dtype)}, TypeError, name)
        assert str(np.dtype(dtype)) in message
    net.load_state_dict(good)  # the module still takes a good state
    assert_array_equal(net.state_dict()[name], good[name])


@pytest.mark.parametrize("dtype", ["float8_e5m2", "int64"])
def test_a_bad_torch_tensor_is_named_and_nothing_is_changed(net, dtype, torch):
    state = {name: torch.from_numpy(array) for name, array in other_state().items()}
    state["head.weight"] = state["head.weight"].to(getattr(torch, dtype))
    assert dtype in refused(net, state, TypeError, "head.weight")


# First values


@pytest.mark.parametrize(
    ("make", "fan_in"),
    [
        (lambda: nn.Linear(400, 50), 400),
        (lambda: nn.Conv2d(4, 500, (5, 2)), 40),
        (lambda: nn.Conv2d(10, 300, 3, stride=2, padding=1), 90),
    ],
    ids=["linear", "conv2d", "conv2d-square"],
)
def test_first_weights_are_uniform_within_one_over_root_fan_in(make, fan_in):
    npstn.manual_seed(3)
    layer = make()
    bound = 1 / math.sqrt(fan_in)
    for p in layer.parameters():
        assert np.abs(p.data).max() <= np.nextafter(np.float32(bound), np.float32(1))
    u = (layer.weight.data.ravel().astype(np.float64) / bound + 1) / 2  # should be uniform on 0 .. 1
    counts = np.histogram(u, bins=10, range=(0, 1 + 1e-6))[0]
    assert u.size >= 20_000
    assert_allclose(counts, u.size / 10, atol=5 * math.sqrt(u.size * 0.1 * 0.9))
    assert abs(u.mean() - 1 / 2) < 5 * math.sqrt(1 / 12 / u.size)
    assert np.corrcoef(u[1:], u[:-1])[0, 1] < 5 / math.sqrt(u.size)
    bias = layer.bias.data
    assert bias.min() < -0.5 * bound < 0.5 * bound < bias.max()
    assert np.unique(bias).size == bias.size


def test_first_weights_repeat_by_seed():
    states = []
    for seed in (0, 0, 1):
        npstn.manual_seed(seed)
        states.append(Net().state_dict())
    for name, array in states[0].items():
        assert_array_equal(array, states[1][name])
        if name != "scale":
            assert not np.array_equal(array, states[2][name])
    assert not np.array_equal(states[0]["left.second.weight"], states[0]["right.second.weight"])


# The layers compute what the functions do


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_computes_its_formula(bias):
    layer = nn.Linear(3, 2, bias=bias).double()
    x = np.random.default_rng(0).normal(size=(4, 3))
    wanted = x @ layer.weight.data.T + (layer.bias.data if bias else 0)
    assert_allclose(layer(Tensor(x)).data, wanted, rtol=1e-13, atol=1e-14)
    assert list(layer.state_dict()) == (["weight", "bias"] if bias else ["weight"])


@pytest.mark.parametrize("bias", [True, False])
def test_a_conv2d_layer_hands_its_options_on(bias):
    layer = nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), bias=bias)
    x = Tensor(np.random.default_rng(0).normal(size=(2, 2, 6, 5)).astype(np.float32))
    y = layer(x)
    assert y.shape == (2, 3, 3, 4)
    assert_array_equal(y.data, F.conv2d(x, layer.weight, layer.bias, stride=(2, 1), padding=(1, 0)).data)
    assert list(layer.state_dict()) == (["weight", "bias"] if bias else ["weight"])


def test_a_module_without_forward_says_so():
    with pytest.raises(TypeError, match="^Branch: expected a subclass that defines forward"):
        Branch()(Tensor([1.0]))


def test_layers_without_inputs_have_no_weights_but_biases_of_zero():
    for layer, x in ((nn.Linear(0, 3), np.ones((2, 0))), (nn.Conv2d(0, 3, 2), np.ones((2, 0, 2, 2)))):
        layer.double()
        y = layer(Tensor(x))
        assert y.shape == (2, 3, 1, 1)[: x.ndim]
        assert not y.data.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(-1, 2), "Linear: expected in_features to be an integer from 0 to below 2^31, got -1"),
        (lambda: nn.Linear(2, "2"), "Linear: expected out_features to be an integer from 0 to below 2^31, got '2'"),
        (lambda: nn.Conv2d(1.5, 2, 3), "Conv2d: expected in_channels to be an integer from 0 to below 2^31, got 1.5"),
        (lambda: nn.Conv2d(1, -1, 3), "Conv2d: expected out_channels to be an integer from 0 to below 2^31, got -1"),
        (
            lambda: nn.Conv2d(1, 2, (1, 2, 3)),
            "Conv2d: expected kernel_size to be an integer or a pair of integers, got (1, 2, 3)",
        ),
        (lambda: nn.Conv2d(1, 2, 0), "Conv2d: expected kernel_size of at least 1, got 0"),
    ],
)
def test_sizes_that_no_layer_has_are_refused(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message


# Lists of modules, and modules of functions


def test_a_list_of_modules_has_pytorchs_names(torch):
    def build(nn):
        inner = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU())
        return nn.ModuleList([nn.Conv2d(1, 2, 3), inner, nn.ModuleList([nn.Linear(1, 2, bias=False)])])

    own, peer = build(nn), build(torch.nn)
    assert list(own.state_dict()) == list(peer.state_dict())
    own.load_state_dict(peer.state_dict())
    for name, array in own.state_dict().items():
        assert_array_equal(array, peer.state_dict()[name].numpy())


def test_a_list_of_modules_is_a_list():
    first, second, third = nn.ReLU(), nn.Linear(2, 2), nn.Dropout(0.5)
    layers = nn.ModuleList([first])
    assert layers.append(second) is layers
    layers.append(third)
    assert len(layers) == 3 and list(layers) == [first, second, third]
    assert layers[0] is first and layers[-1] is third
    with pytest.raises(IndexError):
        layers[3]
    layers.eval()
    assert not third.training
    assert len(nn.ModuleList()) == 0 and list(nn.ModuleList()) == []


def test_a_slice_of_modules_is_a_list_of_modules(torch):
    for library in (nn, torch.nn):
        net = library.Sequential(library.Flatten(), library.Linear(4, 3), library.ReLU())
        assert type(net[1:]) is library.Sequential and list(net[1:]) == [net[1], net[2]]
        layers = library.ModuleList(net)
        assert type(layers[::-1]) is library.ModuleList and list(layers[::-1]) == [net[2], net[1], net[0]]
    x = Tensor(np.ones((2, 2, 2), np.float32))
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU())
    assert_array_equal(net[:2](x), net[1](net[0](x)))


@pytest.mark.parametrize("make", [lambda x: nn.ModuleList([x]), nn.Sequential, lambda x: nn.ModuleList().append(x)])
@pytest.mark.parametrize("given", [np.tanh, 3, None, nn.Linear])
def test_a_list_of_modules_takes_modules_only(make, given):
    with pytest.raises(TypeError, match=rf"^(ModuleList|Sequential): expected a Module, got {type(given).__name__}$"):
        make(given)


def test_sequential_follows_pytorch(rng, torch):
    def build(nn):
        return nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.MaxPool2d(2), nn.ReLU(), nn.MaxPool2d(3, 1, 1), nn.Flatten(), nn.Linear(18, 4)
        )

    own, peer = build(nn), build(torch.nn)
    own.load_state_dict(peer.state_dict())
    x = rng.normal(size=(5, 2, 8, 6)).astype(np.float32)
    assert_allclose(own(Tensor(x)).data, peer(torch.from_numpy(x)).detach().numpy(), rtol=1e-5, atol=1e-6)
    assert nn.Sequential()(x) is x


def test_flatten_keeps_the_batch():
    assert nn.Flatten()(Tensor(np.zeros((3, 2, 4, 5), np.float32))).shape == (3, 40)
    assert nn.Flatten()(Tensor(np.zeros((0, 2, 4), np.float32))).shape[0] == 0
    assert nn.Flatten()(Tensor(np.zeros((3, 7), np.float32))).shape == (3, 7)


@pytest.mark.parametrize(
    ("kind", "hide"),
    [
        ("list", lambda module: [module]),
        ("tuple", lambda module: (nn.ReLU(), module)),
        ("dict", lambda module: {"first": module}),
        ("set", lambda module: {module}),
        ("list", lambda module: [module.weight]),
        ("list", lambda module: [[nn.ReLU()], ["a", (module,)]]),
        ("dict", lambda module: {"first": [3, {"second": module}]}),
        ("deque", lambda module: deque([module])),
    ],
)
@pytest.mark.parametrize(
    "use",
    [
        lambda net: list(net.parameters()),
        lambda net: net.state_dict(),
        lambda net: net.eval(),
        lambda net: net.load_state_dict({}),
        lambda net: net.double(),
        repr,
    ],
    ids=["parameters", "state_dict", "eval", "load_state_dict", "double", "repr"],
)
def test_a_module_in_a_plain_container_is_an_error_that_names_it(kind, hide, use):
    class Hidden(nn.Module):
        def __init__(self):
            self.layers = hide(nn.Linear(2, 2))

    class Outer(nn.Module):
        def __init__(self):
            self.inner = Hidden()

    for net in (Hidden(), Outer()):
        with pytest.raises(TypeError, match=rf"^Hidden\.layers: expected modules as attributes .*in a {kind}, where"):
            use(net)


def test_plain_containers_of_other_things_are_no_error():
    class Plain(nn.Module):
        def __init__(self):
            self.size, self.names, self.settings, self.none = (2, 3), ["a"], {"p": 0.5}, []

    assert list(Plain().parameters()) == []


def test_options_are_handed_on_to_forward():
    class Scaled(nn.Module):
        def forward(self, x, scale=1, *, shift=0):
            return x * scale + shift

    x = Tensor(np.ones(2, np.float32))
    assert Scaled()(x, scale=3, shift=1).data.tolist() == Scaled()(x, 3, shift=1).data.tolist() == [4, 4]


def test_a_network_shows_its_layers():
    net = nn.Sequential(
        nn.Conv2d(1, 10, kernel_size=5, padding=2),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.ModuleList([nn.Dropout(0.25), nn.Dropout2d()]),
        nn.Linear(4, 2, bias=False),
    )
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Conv2d(1, 10, kernel_size=(5, 5), stride=1, padding=2)\n"
        "  (1): MaxPool2d(kernel_size=2, stride=2, padding=0)\n"
        "  (2): ReLU()\n"
        "  (3): ModuleList(\n"
        "    (0): Dropout(p=0.25)\n"
        "    (1): Dropout2d(p=0.5)\n"
        "  )\n"
        "  (4): Linear(in_features=4, out_features=2, bias=False)\n"
        ")"
    )


@pytest.mark.parametrize("p", [20, 1.5, -0.1, float("nan"), "0.5", None])
@pytest.mark.parametrize("make", [nn.Dropout, nn.Dropout2d, models.ClsNet, models.STNClsNet])
def test_a_probability_outside_of_0_to_1_is_refused_at_once(make, p):
    with pytest.raises(ValueError, match=rf"^\w+: expected a probability \w+ from 0 to 1, got {re.escape(repr(p))}$"):
        make(p)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(1, 1, 3, stride=0), "Conv2d: expected stride of at least 1, got 0"),
        (lambda: nn.Conv2d(1, 1, 3, padding=-1), "Conv2d: expected padding of at least 0, got -1"),
        (lambda: nn.MaxPool2d(0), "MaxPool2d: expected kernel_size of at least 1, got 0"),
        (lambda: nn.MaxPool2d(2, stride=(1, 0)), "MaxPool2d: expected stride of at least 1, got (1, 0)"),
        (lambda: nn.MaxPool2d(2, padding="same"), "MaxPool2d: expected padding to be an integer or a pair of integers"),
        (
            lambda: models.SpatialTransformer(models.LocNet(), Rotation(), padding_mode="zero"),
            "SpatialTransformer: expected padding_mode to be one of zeros, border, reflection, got 'zero'",
        ),
        (
            lambda: models.SpatialTransformer(models.LocNet(), Rotation(), size=(0, 3)),
            "SpatialTransformer: expected size (h, w) of at least 1 x 1",
        ),
        (lambda: models.build("none", (1, 28, 28), 10, 20, network="cnn"), "build: expected a probability dropout"),
    ],
)
def test_wrong_settings_are_refused_at_once(make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make()
