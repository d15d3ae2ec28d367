"""Arrays that change between forward and backward: backward gives the gradient at what forward saw, or raises."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import npstn
import npstn.functional as F
from npstn import Function, Tensor, models, nn, no_grad, optim


def leaf(*numbers):
    return Tensor(np.array(numbers, np.float32), requires_grad=True)


def refuses(operation, what, shape=""):
    """Expect the error; `shape` is a regular expression."""
    return pytest.raises(RuntimeError, match=f"^{operation}: expected {what} of shape {shape}.* as forward saw it")


# --- writes with NumPy


def test_an_array_that_is_taken_and_written_after_forward():
    w = leaf(2.0)
    y = (w * w).sum()
    w.data[...] = 5
    with pytest.raises(RuntimeError) as caught:
        y.backward()
    assert str(caught.value) == (
        "mul: expected input of shape (1,) as forward saw it, got changed numbers: run forward again"
    )
    assert w.grad is None


def test_an_array_that_was_taken_before_forward():
    w = leaf(2.0)
    array = w.data
    y = (w * w).sum()
    array += 1
    with refuses("mul", "input", r"\(1,\)"):
        y.backward()


WAYS = {  # ways to the memory of a tensor
    "data": lambda w: w.data,
    "numpy()": lambda w: w.numpy(),
    "asarray": np.asarray,
    "reshape": lambda w: w.reshape(2, 2).data,
    "transpose": lambda w: w.reshape(2, 2).T.data,
    "index": lambda w: w[1:].data,
    "detach": lambda w: w.detach().data,
    "a view of a view": lambda w: w.detach().reshape(2, 2)[0].data,
}


@pytest.mark.parametrize("take", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("before", [True, False], ids=["taken before", "taken after"])
@pytest.mark.parametrize("through_a_view", [False, True], ids=["itself", "used through a view"])
def test_every_way_to_the_memory_is_watched(take, before, through_a_view):
    w = leaf(1.0, 2.0, 3.0, 4.0)
    if before:
        array = take(w)
    used = w.reshape(4, 1) if through_a_view else w
    y = (used * used).sum()
    if not before:
        array = take(w)
    array.flat[-1] = 7.0
    with refuses("mul", "input"):
        y.backward()


def test_an_input_that_needs_no_gradient_and_is_used_through_a_view():
    x, w = Tensor(np.ones((2, 3), np.float32)), leaf(*range(6))
    y = (x.reshape(6) * w).sum()
    x.data[0, 0] = 9
    with refuses("mul", "input"):
        y.backward()


@pytest.mark.parametrize("layout", [np.ascontiguousarray, lambda x: x[:, ::-1]], ids=["rows", "backwards"])
def test_a_change_next_to_what_was_used_is_none(layout):
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    used = x[0]
    y, z = (used * used).sum(), (used * used).sum()
    layout(x.data)[1] = 9
    y.backward()
    assert_array_equal(x.grad, [[0, 2, 4], [0, 0, 0]])
    layout(x.data)[0, 1] = 9
    with refuses("mul", "input", r"\(3,\)"):
        z.backward()


def test_a_tensor_that_was_detached_before_it_was_used():
    w = leaf(2.0)
    shared = w.detach()
    y = (w * w).sum()
    shared.data[...] = 5
    with refuses("mul", "input"):
        y.backward()


def test_a_result_that_backward_needs():
    w = leaf(1.0, 2.0)
    y = w.exp()
    y.data[0] = 0
    with refuses("exp", "result"):
        y.sum().backward()


def test_a_swap_of_two_numbers_is_seen():
    w = leaf(1.0, 2.0, 3.0)
    y = (w * w).sum()
    w.data[:] = w.data[::-1].copy()
    with refuses("mul", "input"):
        y.backward()


def test_not_a_number_that_stays_is_no_change():
    w = leaf(np.nan, 1.0)
    y = (w * w).sum()
    w.data[1] = 1.0
    y.backward()
    assert_array_equal(w.grad, [np.nan, 2.0])


def test_a_constant_array():
    w, mask = leaf(1.0, 2.0), np.array([1.0, 0.0], np.float32)
    y = (w * mask).sum()
    mask[:] = 5
    with refuses("mul", "other"):
        y.backward()


def test_a_user_s_own_function():
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, dy):
            return 2 * ctx.saved[0] * dy

    w = leaf(3.0)
    y = Square.apply(w)
    w.data[...] = 1
    with refuses("square", "saved array 0"):
        y.sum().backward()


def test_what_no_gradient_needs_may_change():
    w, x = leaf(2.0), Tensor([3.0])
    y = (w * x).sum() + (w + w).sum() + F.linear(x, w.reshape(1, 1)).sum()
    w.data[...] = 100.0
    y.backward()
    assert_array_equal(w.grad, [3 + 2 + 3])


# --- labels, indices and masks: copied, so the gradient is that of the forward


def gradient_of(function, arrays, change):
    w = leaf(*np.random.default_rng(0).normal(size=12))
    given = copy.deepcopy(arrays)
    y = function(w, *given)
    if change:
        for array in given:
            array[...] = array[..., ::-1].copy()
    y.sum().backward()
    return w.grad


@pytest.mark.parametrize(
    ("function", "arrays"),
    [
        (lambda w, t: F.nll_loss(w.reshape(3, 4), t), [np.array([0, 1, 3])]),
        (lambda w, t: F.cross_entropy(w.reshape(3, 4), t), [np.array([0, 1, 3])]),
        (lambda w, i: w[i] * np.arange(3), [np.array([1, 5, 7])]),
        (lambda w, i, j: w.reshape(3, 4)[i, j] * np.arange(2), [np.array([0, 1]), np.array([3, 1])]),
        (lambda w, mask: w[mask], [np.arange(12) < 5]),
        (lambda w, points: F.tps_grid(w.reshape(2, 3, 2), points, (2, 2)), [np.array([[0.0, 0], [1, 0], [0, 1]])]),
    ],
    ids=["nll_loss", "cross_entropy", "index", "indices", "mask", "control points"],
)
def test_labels_indices_and_masks_may_change(function, arrays):
    wanted, found = (gradient_of(function, arrays, change) for change in (False, True))
    assert_array_equal(found, wanted)


def test_the_indices_that_max_gives():
    w = leaf(1.0, 5.0, 2.0)
    values, indices = w.reshape(1, 3).max(dim=1)
    indices[...] = 0
    with refuses("max", "indices"):
        values.sum().backward()


# --- changes that the library makes


def two_losses():
    npstn.manual_seed(0)
    net = models.STNClsNet(0.0)
    x = Tensor(np.random.default_rng(0).random((4, 1, 28, 28), np.float32))
    return net, net(x).sum(), net(x).mean()


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW, optim.MuonWithAuxAdam])
def test_a_step_between_the_backwards_of_two_losses(kind):
    net, first, second = two_losses()
    optimizer = kind(net.parameters(), lr=0.1)
    first.backward()
    optimizer.step()
    grads = [p.grad.copy() for p in net.parameters()]
    with refuses("linear", "weight", r"\(10, 50\)"):
        second.backward()
    for p, grad in zip(net.parameters(), grads, strict=True):
        assert_array_equal(p.grad, grad)


@pytest.mark.parametrize("plain_loops", [False, True])
def test_a_step_and_a_convolution(plain_loops):
    conv, x = nn.Conv2d(1, 2, 3), Tensor(np.ones((1, 1, 4, 4), np.float32), requires_grad=True)
    optimizer = optim.SGD(conv.parameters(), lr=0.1)
    if plain_loops:
        with npstn.reference():
            y = conv(x).sum()
    else:
        y = conv(x).sum()
    conv(x).sum().backward()
    optimizer.step()
    with refuses("conv2d", "weight", r"\(2, 1, 3, 3\)"):
        y.backward()


def test_load_state_dict():
    net, _, loss = two_losses()
    net.load_state_dict({name: array * 2 for name, array in net.state_dict().items()})
    with refuses("linear", "weight"):
        loss.backward()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_assignment_to_data(dtype):
    w = leaf(2.0)
    y = (w * w).sum()
    w.data = np.array([5.0], dtype)
    with refuses("mul", "input"):
        y.backward()
    assert w.dtype == dtype


def test_an_average_of_weights():
    layer = nn.Linear(2, 2)
    average = optim.AveragedModel(layer)
    x = Tensor(np.ones((1, 2), np.float32), requires_grad=True)
    y = average(x).sum()
    average.update_parameters(layer)
    with refuses("linear", "weight"):
        y.backward()


# --- and nothing else is refused


def test_forward_after_the_change_is_as_ever():
    w = leaf(2.0)
    for value in (1.0, 5.0, 7.0):
        w.data[...] = value
        w.grad = None
        (w * w).sum().backward()
        assert_array_equal(w.grad, [2 * value])


def test_a_training_by_hand_that_takes_every_array():
    """What a student writes: it reads arrays between forward and backward, and changes weights after backward."""
    npstn.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Linear(3, 2))
    x, labels = np.random.default_rng(0).random((6, 1, 2, 2), np.float32), np.array([0, 1] * 3)
    for _ in range(3):
        images = Tensor(x)
        scores = net(images)
        loss = F.cross_entropy(scores, labels)
        assert np.isfinite([images.data.sum(), scores.data.sum(), *(p.data.sum() for p in net.parameters())]).all()
        net.zero_grad()
        loss.backward()
        for p in net.parameters():
            p.data -= 0.1 * p.grad
        with no_grad():
            net.eval()(Tensor(x)).data[...] = 0
        net.train()


def test_a_deep_copy_is_a_tensor_of_its_own():
    w = leaf(2.0)
    other = copy.deepcopy(w)
    y = (w * w).sum()
    other.data[...] = 5
    y.backward()
    assert_array_equal(w.grad, [4.0])
