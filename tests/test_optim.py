"""Optimisers and the learning-rate schedule, against their formulas, written here once more, and against PyTorch."""

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from npstn import Tensor, nn, optim

SHAPES = [(3, 4), (5,), (2, 1, 3), (), (3, 2, 1, 2)]
STEPS = 20


def starts(dtype):
    rng = np.random.default_rng(0)
    return [np.asarray(rng.normal(size=shape), dtype) for shape in SHAPES]


def gradients(step, dtype):
    """The gradients of a step: of very different sizes, and in two steps None for the second parameter."""
    rng = np.random.default_rng(100 + step)
    grads = [np.asarray(10.0**-i * rng.normal(size=shape), dtype) for i, shape in enumerate(SHAPES)]
    if step in (0, 7):
        grads[1] = None
    return grads


def run(make, dtype):
    """The parameters after each step."""
    params = [nn.Parameter(start) for start in starts(dtype)]
    opt = make(optim, iter(params))
    history = []
    for step in range(STEPS):
        opt.zero_grad()
        for p, grad in zip(params, gradients(step, dtype), strict=True):
            p.grad = grad
        opt.step()
        assert all(p.dtype == dtype for p in params)
        history.append([p.data.copy() for p in params])
    return history


def run_torch(torch, make, dtype):
    params = [torch.nn.Parameter(torch.tensor(start)) for start in starts(dtype)]
    opt = make(torch.optim, iter(params))
    history = []
    for step in range(STEPS):
        opt.zero_grad()
        for p, grad in zip(params, gradients(step, dtype), strict=True):
            p.grad = None if grad is None else torch.tensor(grad)
        opt.step()
        history.append([p.detach().numpy().copy() for p in params])
    return history


def assert_same_path(got, wanted, dtype):
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    for i, shape in enumerate(SHAPES):
        own, other = (np.array([params[i] for params in path]) for path in (got, wanted))
        assert_allclose(own, other, rtol=0, atol=tolerance * np.abs(other).max(), err_msg=f"parameter of shape {shape}")


def sgd(p, grads, lr, momentum=0.0, weight_decay=0.0):
    """The path of one number, by the formula."""
    m = None
    for grad in grads:
        if grad is not None:
            g = grad + weight_decay * p
            m = g if m is None else momentum * m + g
            p = p - lr * m
        yield p


def adam(p, grads, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    m = v = t = 0
    for g in grads:
        if g is not None:
            t += 1
            p = p - lr * weight_decay * p
            m = betas[0] * m + (1 - betas[0]) * g
            v = betas[1] * v + (1 - betas[1]) * g**2
            p = p - lr * (m / (1 - betas[0] ** t)) / (math.sqrt(v / (1 - betas[1] ** t)) + eps)
        yield p


CASES = [
    (sgd, "SGD", {"lr": 0.1}),
    (sgd, "SGD", {"lr": 0.05, "momentum": 0.9}),
    (sgd, "SGD", {"lr": 0.1, "weight_decay": 0.3}),
    (sgd, "SGD", {"lr": 0.02, "momentum": 0.5, "weight_decay": 0.1}),
    (sgd, "SGD", {"lr": 0.0, "momentum": 0.5}),
    (adam, "Adam", {}),
    (adam, "Adam", {"lr": 0.1}),
    (adam, "Adam", {"lr": 0.03, "betas": (0.5, 0.9), "eps": 1e-3}),
    (adam, "Adam", {"lr": 0.03, "betas": (0.0, 0.0)}),
    (adam, "AdamW", {"lr": 0.1, "weight_decay": 0.3}),
    (adam, "AdamW", {"weight_decay": 0.0}),
]
CASE_IDS = [f"{name}-{options}" for _, name, options in CASES]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("formula", "name", "options"), CASES, ids=CASE_IDS)
def test_optimisers_follow_their_formula(formula, name, options, dtype):
    history = run(lambda module, params: getattr(module, name)(params, **options), dtype)
    wanted = [[np.empty(shape) for shape in SHAPES] for _ in range(STEPS)]
    for i, start in enumerate(starts(dtype)):
        for index in np.ndindex(start.shape):
            grads = [gradients(step, dtype)[i] for step in range(STEPS)]
            numbers = [None if grad is None else float(grad[index]) for grad in grads]
            for step, p in enumerate(formula(float(start[index]), numbers, **options)):
                wanted[step][i][index] = p
    assert_same_path(history, wanted, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("formula", "name", "options"), CASES, ids=CASE_IDS)
def test_optimisers_follow_pytorch(formula, name, options, dtype, torch):
    def make(module, params):
        return getattr(module, name)(params, **options)

    assert_same_path(run(make, dtype), run_torch(torch, make, dtype), dtype)


# Muon


def polar(M):
    """Jordan's iteration as it is written: U f(S) V^T, where M / |M| = U S V^T and f is the quintic, five times."""
    U, S, Vt = np.linalg.svd(M / np.linalg.norm(M), full_matrices=False)
    for _ in range(5):
        S = 3.4445 * S - 4.7750 * S**3 + 2.0315 * S**5
    return U * S @ Vt


FILTERS = [(3, 2, 2, 2), (9, 2, 2, 2), (4, 1, 2, 2), (1, 1, 1, 1), (32, 3, 5, 5)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", FILTERS)
def test_what_is_orthogonal_has_the_singular_vectors_of_the_matrix_and_values_near_1(shape, dtype):
    M = np.random.default_rng(0).normal(size=shape).reshape(shape[0], -1).astype(dtype)
    for factor in (1, 1e20, 1e-3):
        found = optim.orthogonal(M * dtype(factor))
        assert found.dtype == dtype
        assert_allclose(found, polar(M.astype(float)), rtol=0, atol=1e-6 if dtype == np.float32 else 2e-14)
    assert_array_equal(optim.orthogonal(0 * M), 0 * M)


def test_singular_values_above_a_500th_come_near_1():
    s = np.geomspace(0.002, 1, 500)
    found = [optim.orthogonal(np.diag([x, np.sqrt(1 - x**2)]))[0, 0] for x in s]
    assert 0.68 < min(found) < 0.69 and 1.19 < max(found) < 1.21


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", FILTERS)
def test_muon_follows_its_formula_and_pytorch(shape, dtype, torch, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor)  # PyTorch rounds to 8 bits in between
    rng, lr, momentum, weight_decay = np.random.default_rng(0), 0.02, 0.9, 0.3
    p, m = rng.normal(size=shape).astype(dtype).reshape(shape[0], -1), 0
    own, peer = nn.Parameter(p.reshape(shape)), torch.nn.Parameter(torch.tensor(p))
    options = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
    ours = optim.MuonWithAuxAdam([own], **options)
    theirs = torch.optim.Muon([peer], **options, adjust_lr_fn="match_rms_adamw")
    for step in range(10):
        g = rng.normal(size=p.shape).astype(dtype)
        own.grad, peer.grad = None if step == 4 else g.reshape(shape), None if step == 4 else torch.tensor(g)
        ours.step(), theirs.step()
        if step != 4:
            m = momentum * m + (1 - momentum) * g.astype(float)
            u = momentum * m + (1 - momentum) * g
            p = (1 - lr * weight_decay) * p - lr * 0.2 * math.sqrt(max(p.shape)) * polar(u)
        tolerance = (1e-6 if dtype == np.float32 else 1e-12) * np.abs(p).max()
        for wanted in (p, peer.detach().numpy()):
            assert_allclose(own.data.reshape(p.shape), wanted, rtol=0, atol=tolerance)


def test_muon_without_the_bits_that_pytorch_rounds_off_is_near_pytorch(torch):
    rng = np.random.default_rng(0)
    p, g = rng.normal(size=(2, 20, 250)).astype(np.float32)
    own, peer = nn.Parameter(p.reshape(20, 10, 5, 5)), torch.nn.Parameter(torch.tensor(p))
    own.grad, peer.grad = g.reshape(own.shape), torch.tensor(g)
    optim.MuonWithAuxAdam([own], lr=1, weight_decay=0).step()
    torch.optim.Muon([peer], lr=1, weight_decay=0, adjust_lr_fn="match_rms_adamw").step()
    ours, theirs = own.data.reshape(p.shape) - p, peer.detach().numpy() - p
    assert 0.005 < np.linalg.norm(ours - theirs) / np.linalg.norm(ours) < 0.02


def test_muon_is_adamw_for_all_but_filters():
    paths = []
    for kind in (optim.AdamW, optim.MuonWithAuxAdam):
        history = run(lambda module, params, kind=kind: kind(params, lr=0.01, weight_decay=0.1), np.float32)
        paths.append(history[-1])
    for shape, adamw, muon in zip(SHAPES, *paths, strict=True):
        assert np.array_equal(adamw, muon) == (len(shape) != 4)


def test_muon_keeps_one_mean_of_a_filter():
    params = [nn.Parameter(start) for start in starts(np.float32)]
    names = optim.MuonWithAuxAdam(params).state_dict().keys()
    assert names == {"lr", "t", *(f"m.{i}" for i in range(5)), *(f"v.{i}" for i in range(4))}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_not_hidden_by_muon(bad):
    """Divided by its infinite norm, the rest of it would be zeros."""
    p = nn.Parameter(np.ones((2, 1, 2, 2), np.float32))
    p.grad = np.ones(p.shape, np.float32)
    p.grad[0, 0, 0, 0] = bad
    with np.errstate(invalid="ignore"):
        optim.MuonWithAuxAdam([p]).step()
    assert np.isnan(p.data).all()


def test_muon_takes_filters_without_numbers():
    p = nn.Parameter(np.zeros((0, 1, 3, 3)))
    p.grad = np.zeros(p.shape)
    optim.MuonWithAuxAdam([p]).step()
    assert p.shape == (0, 1, 3, 3)


MAKERS = {
    "sgd": lambda params: optim.SGD(params, lr=0.1),
    "momentum": lambda params: optim.SGD(params, lr=0.1, momentum=0.9),
    "momentum and decay": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": lambda params: optim.Adam(params),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_a_parameter_without_grad_is_left_alone(maker):
    left, moved = nn.Parameter(np.ones(3)), nn.Parameter(np.ones(3))
    opt = MAKERS[maker]([left, moved])
    for _ in range(3):
        moved.grad = np.ones(3)
        opt.step()
    assert_array_equal(left.data, np.ones(3))
    assert left.grad is None
    assert np.all(moved.data < 1)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_step_works_in_place_and_leaves_the_grad_alone(maker):
    p = nn.Parameter(np.ones((2, 3)))
    array, grad = p.data, np.full((2, 3), 0.5)
    opt = MAKERS[maker]([p])
    for _ in range(3):
        p.grad = grad
        opt.step()
        assert p.grad is grad
        assert_array_equal(grad, np.full((2, 3), 0.5))
    assert p.data is array
    assert np.all(array < 1)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_grad_that_changes_after_the_step_does_not_change_the_state(maker):
    paths = []
    for spoil in (False, True):
        p = nn.Parameter(np.ones(3))
        opt = MAKERS[maker]([p])
        for step in range(3):
            p.grad = np.arange(3.0) + step
            opt.step()
            if spoil:
                p.grad[...] = 99
        paths.append(p.data)
    assert_array_equal(*paths)


def test_zero_grad_drops_all_gradients():
    params = [nn.Parameter(np.ones(2)), nn.Parameter(np.ones(3))]
    params[0].grad = np.ones(2)
    optim.SGD(params, lr=0.1).zero_grad()
    assert [p.grad for p in params] == [None, None]


@pytest.mark.parametrize("maker", MAKERS)
def test_an_optimiser_descends_to_the_minimum_of_a_parabola(maker):
    p = nn.Parameter(np.array([0.2, -0.1, 0.15]))
    opt = MAKERS[maker]([p])
    opt.lr = 0.01
    if maker == "momentum and decay":
        opt.weight_decay = 0.0  # which has another minimum
    first = None
    for _ in range(300):
        opt.zero_grad()
        loss = ((p - 0.1) ** 2).sum()
        loss.backward()
        opt.step()
        first = loss.item() if first is None else first
    assert loss.item() < 1e-3 * first


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.SGD(p, lr=-0.1), r"^SGD: expected lr .*got -0\.1$"),
        (lambda p: optim.SGD(p, lr=math.nan), r"^SGD: expected lr .*got nan$"),
        (lambda p: optim.SGD(p, lr=0.1, momentum=-0.5), r"^SGD: expected momentum .*-0\.5"),
        (lambda p: optim.SGD(p, lr=0.1, momentum=math.nan), r"^SGD: expected momentum .*nan"),
        (lambda p: optim.SGD(p, lr=0.1, weight_decay=-1), r"^SGD: expected .*weight_decay .*-1"),
        (lambda p: optim.Adam(p, lr=-1), r"^Adam: expected lr .*got -1$"),
        (lambda p: optim.Adam(p, betas=(1.0, 0.999)), r"^Adam: expected two betas .*\(1\.0, 0\.999\)"),
        (lambda p: optim.Adam(p, betas=(0.9, 1.0)), r"^Adam: expected two betas .*\(0\.9, 1\.0\)"),
        (lambda p: optim.Adam(p, betas=(-0.1, 0.9)), r"^Adam: expected two betas .*\(-0\.1, 0\.9\)"),
        (lambda p: optim.Adam(p, betas=(0.9, math.nan)), r"^Adam: expected two betas .*nan"),
        (lambda p: optim.Adam(p, eps=-1e-8), r"^Adam: expected .*eps .*-1e-08"),
        (lambda p: optim.AdamW(p, weight_decay=-0.1), r"^AdamW: expected weight_decay .*got -0\.1"),
        (lambda p: optim.SGD(p, lr="0.1"), r"^SGD: expected lr of at least 0, got '0\.1'$"),
        (lambda p: optim.SGD([{"params": p, "lr": None}], lr=1), r"^SGD: expected lr .* in each group, got None$"),
        (lambda p: optim.Adam(p, betas=(0.9,)), r"^Adam: expected two betas .*got \(0\.9,\), 1e-08$"),
        (lambda p: optim.MuonWithAuxAdam(p, momentum=1), r"^MuonWithAuxAdam: expected momentum .*below 1, got 1$"),
        (lambda p: optim.MuonWithAuxAdam(p, weight_decay=-1), r"^MuonWithAuxAdam: expected weight_decay .*got -1$"),
        (lambda p: optim.AdamW(p, weight_decay="a"), r"^AdamW: expected weight_decay of at least 0, got 'a'$"),
        (lambda p: optim.OneCycleLR(optim.SGD(p, 0.1), -1, 3), r"^OneCycleLR: expected max_lr .*got -1$"),
        (lambda p: optim.OneCycleLR(optim.SGD(p, 0.1), 1, "3"), r"^OneCycleLR: expected total_steps .*got '3'$"),
        (lambda p: optim.OneCycleLR(optim.SGD(p, 0.1), 1, 3, 0.3, 0), r"^OneCycleLR: expected factors .*got 0, 1"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make([nn.Parameter(np.ones(2))])


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_params_that_would_train_nothing_are_refused(name):
    # A lone parameter would be taken for a sequence of its rows; an exhausted iterator gives an empty list.
    with pytest.raises(TypeError, match=rf"^{name}: "):
        getattr(optim, name)(nn.Parameter(np.ones((2, 2))), lr=0.1)
    with pytest.raises(ValueError, match=rf"^{name}: "):
        getattr(optim, name)([], lr=0.1)


# The schedule


def schedule(total_steps, pct_start=0.3, max_lr=0.4, **options):
    opt = optim.SGD([nn.Parameter(np.ones(1))], lr=123.0)
    return opt, optim.OneCycleLR(opt, max_lr, total_steps, pct_start, **options)


def rates(total_steps, pct_start=0.3, **options):
    """The learning rate that each of the steps is taken with."""
    opt, one_cycle = schedule(total_steps, pct_start, **options)
    taken = [opt.lr]
    for _ in range(total_steps - 1):
        one_cycle.step()
        taken.append(opt.lr)
    return taken


def rates_of_torch(torch, total_steps, pct_start, **options):
    opt = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=123.0)
    one_cycle = torch.optim.lr_scheduler.OneCycleLR(
        opt, 0.4, total_steps, pct_start=pct_start, cycle_momentum=False, **options
    )
    taken = [opt.param_groups[0]["lr"]]
    for _ in range(total_steps - 1):
        opt.step()
        one_cycle.step()
        taken.append(opt.param_groups[0]["lr"])
    return taken


@pytest.mark.parametrize("pct_start", [0.1, 0.25, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("total_steps", [1, 2, 3, 4, 7, 10, 100, 938])
@pytest.mark.parametrize("factors", [(25.0, 1e4), (10.0, 100.0)])
def test_one_cycle_follows_pytorch(total_steps, pct_start, factors, torch):
    if pct_start * total_steps == 1:
        pytest.skip("PyTorch divides by zero here; see test_one_cycle_whose_first_step_is_the_peak_falls")
    options = {"div_factor": factors[0], "final_div_factor": factors[1]}
    wanted = rates_of_torch(torch, total_steps, pct_start, **options)
    assert_allclose(rates(total_steps, pct_start, **options), wanted, rtol=1e-13)


@pytest.mark.parametrize("pct_start", [0.0, 1.0])
def test_one_cycle_that_only_falls_or_only_rises_follows_pytorch(pct_start, torch):
    assert_allclose(rates(12, pct_start), rates_of_torch(torch, 12, pct_start), rtol=1e-13)


@pytest.mark.parametrize("total_steps", [10, 30, 1000])
def test_one_cycle_rises_and_falls_as_its_docstring_says(total_steps):
    got = np.array(rates(total_steps))
    peak = round(0.3 * total_steps) - 1
    assert got[0] == pytest.approx(0.4 / 25, rel=1e-15)
    assert got[peak] == pytest.approx(0.4, rel=1e-15)
    assert got[-1] == pytest.approx(0.4 / 25 / 1e4, rel=1e-9)  # nearly equal numbers are subtracted
    assert np.all(np.diff(got[: peak + 1]) > 0)
    assert np.all(np.diff(got[peak:]) < 0)
    half_way_down = peak + (total_steps - 1 - peak) / 2
    if half_way_down.is_integer():
        assert got[int(half_way_down)] == pytest.approx((got[peak] + got[-1]) / 2, rel=1e-13)


@pytest.mark.parametrize(("total_steps", "pct_start"), [(1, 1.0), (2, 0.5), (4, 0.25), (10, 0.1)])
def test_one_cycle_whose_first_step_is_the_peak_falls(total_steps, pct_start):
    # The way up has no length. PyTorch raises ZeroDivisionError; here the rate starts at one of its ends and falls.
    got = np.array(rates(total_steps, pct_start))
    assert min(abs(got[0] - 0.4), abs(got[0] - 0.4 / 25)) < 1e-15
    assert np.all(got > 0)
    assert np.all(got <= 0.4)
    assert np.all(np.diff(got[1:]) < 0)


@pytest.mark.parametrize("total_steps", range(1, 8))
def test_one_cycle_of_few_steps_stays_within_its_bounds(total_steps):
    got = rates(total_steps)
    assert len(got) == total_steps
    assert all(0.4 / 25 / 1e4 * (1 - 1e-9) <= lr <= 0.4 for lr in got)


@pytest.mark.parametrize("pct_start", [0.0, 0.3, 1.0])
def test_one_cycle_beyond_its_end_stays_at_the_last_rate(pct_start):
    opt, one_cycle = schedule(10, pct_start)
    for _ in range(9):
        one_cycle.step()
    last = opt.lr
    for _ in range(5):
        one_cycle.step()
        assert opt.lr == pytest.approx(last, rel=1e-12)


def test_one_cycle_sets_the_rate_that_the_optimiser_uses():
    p = nn.Parameter(np.zeros(1))
    opt = optim.SGD([p], lr=123.0)
    one_cycle = optim.OneCycleLR(opt, 0.4, 10)
    path = [0.0]
    for _ in range(10):
        p.grad = np.array([-1.0])
        opt.step()
        one_cycle.step()
        path.append(p.data.item())
    assert_allclose(np.diff(path), rates(10), rtol=1e-10)


@pytest.mark.parametrize("total_steps", [0, -3])
def test_one_cycle_without_steps_is_refused(total_steps):
    with pytest.raises(ValueError, match=rf"^OneCycleLR: expected total_steps of at least 1, got {total_steps}$"):
        schedule(total_steps)


@pytest.mark.parametrize("pct_start", [-0.1, 1.5, math.nan])
def test_one_cycle_with_a_pct_start_outside_0_to_1_is_refused(pct_start):
    with pytest.raises(ValueError, match=r"^OneCycleLR: expected pct_start .*got "):
        schedule(10, pct_start)


# States


STATEFUL = {
    **MAKERS,
    "adamw": lambda params: optim.AdamW(params, lr=0.01, weight_decay=0.3),
    "muon": lambda params: optim.MuonWithAuxAdam(params, lr=0.01, weight_decay=0.3),
}


def steps(opt, params, first, last, dtype):
    for step in range(first, last):
        for p, grad in zip(params, gradients(step, dtype), strict=True):
            p.grad = grad
        opt.step()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("at", [0, 1, 8, 15])
@pytest.mark.parametrize("maker", STATEFUL)
def test_an_optimiser_goes_on_from_its_state_to_the_last_bit(maker, at, dtype):
    params = [nn.Parameter(start) for start in starts(dtype)]
    opt = STATEFUL[maker](params)
    steps(opt, params, 0, at, dtype)
    opt.lr *= 0.5
    state, values = opt.state_dict(), [p.data.copy() for p in params]
    steps(opt, params, at, STEPS, dtype)

    copies = [nn.Parameter(start) for start in starts(dtype)]
    other = STATEFUL[maker](copies)
    steps(other, copies, 5, 7, dtype)  # these steps are forgotten
    for p, value in zip(copies, values, strict=True):
        p.data[...] = value
    other.load_state_dict(state)
    assert other.lr == opt.lr
    steps(other, copies, at, STEPS, dtype)
    for one, two in zip(params, copies, strict=True):
        assert one.data.tobytes() == two.data.tobytes()


@pytest.mark.parametrize("maker", STATEFUL)
def test_a_state_is_a_copy_of_plain_arrays_and_numbers(maker):
    params = [nn.Parameter(start) for start in starts(np.float32)]
    opt = STATEFUL[maker](params)
    steps(opt, params, 0, 3, np.float32)
    state = opt.state_dict()
    before = {name: np.array(value) for name, value in state.items()}
    steps(opt, params, 3, 6, np.float32)
    opt.load_state_dict(state)
    steps(opt, params, 3, 6, np.float32)
    for name, value in state.items():
        assert type(value) in (float, np.ndarray) and np.asarray(value).dtype.kind in "fi", name
        assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda state: state.pop("m.1"), KeyError, "expected an entry 'm.1', got none"),
        (lambda state: state.pop("lr"), KeyError, "expected an entry 'lr', got none"),
        (lambda state: state.update(x=1), KeyError, "expected no entry 'x', got one: the optimiser has no such state"),
        (lambda state: state.update({"v.0": np.ones(2)}), ValueError, r"expected 'v.0' of shape (3, 4), got (2,)"),
        (lambda state: state.update({"v.1": np.ones(5)}), TypeError, "expected 'v.1' of float32, got float64"),
        (lambda state: state.update(t=np.array([1, 2, -3, 4, 5])), ValueError, "expected 't' of at least 0, got -3"),
        (lambda state: state.update(lr=-0.5), ValueError, "expected 'lr' of at least 0, got -0.5"),
        (lambda state: state.update(t=np.ones(5)), TypeError, "expected 't' of int64, got float64"),
    ],
    ids=["missing", "no lr", "unknown", "shape", "dtype", "negative count", "negative lr", "kind"],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, says):
    params = [nn.Parameter(start) for start in starts(np.float32)]
    opt, other = optim.Adam(params), optim.Adam(params)
    steps(opt, params, 0, 3, np.float32)
    before = opt.state_dict()
    steps(other, params, 0, 5, np.float32)
    state = other.state_dict()
    change(state)
    with pytest.raises(error) as caught:
        opt.load_state_dict(state)
    assert caught.value.args[0] == f"Adam.load_state_dict: {says}"
    for name, value in opt.state_dict().items():
        assert_array_equal(value, before[name])


def test_a_schedule_goes_on_from_its_state():
    opt, one_cycle = schedule(10)
    for _ in range(4):
        one_cycle.step()
    other_opt, other = schedule(10)
    other.load_state_dict(one_cycle.state_dict())
    assert other_opt.lr == opt.lr
    for _ in range(8):
        one_cycle.step()
        other.step()
        assert other_opt.lr == opt.lr


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW, optim.MuonWithAuxAdam])
def test_a_weight_and_its_gradient_may_have_other_orders_in_memory(kind):
    weights = []
    for order, order_of_gradient in itertools.product("CF", "CF"):
        p = nn.Parameter(np.array(np.arange(6.0).reshape(2, 1, 3, 1), order=order))
        opt = kind([p], lr=0.1)
        for power in (1, 2, 3):
            p.grad = np.array(np.arange(6.0).reshape(p.shape) ** power, order=order_of_gradient)
            opt.step()
        weights.append(p.data)
    for weight in weights[1:]:
        assert_array_equal(weight, weights[0])


@pytest.mark.parametrize("lr", [1, np.float32(0.5), np.int64(2)])
def test_the_rate_of_a_state_may_be_any_number(lr):
    opt, other = (optim.SGD([nn.Parameter(np.zeros(2))], lr=rate) for rate in (lr, 0.3))
    opt.load_state_dict(other.state_dict())
    assert opt.lr == 0.3
    other.load_state_dict(optim.SGD([nn.Parameter(np.zeros(2))], lr=lr).state_dict())
    assert other.lr == float(lr)


@pytest.mark.parametrize(
    ("state", "error"), [({}, KeyError), ({"taken": 1, "x": 2}, KeyError), ({"taken": -1}, ValueError)]
)
def test_a_schedule_refuses_the_state_of_something_else(state, error):
    _, one_cycle = schedule(10)
    with pytest.raises(error, match=r"^.?OneCycleLR\.load_state_dict: expected "):
        one_cycle.load_state_dict(state)
    assert one_cycle.state_dict() == {"taken": 0}


# Groups of parameters with rates of their own


OPTIMISERS = [
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("Adam", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
]
MUON = "MuonWithAuxAdam", {"lr": 0.01, "weight_decay": 0.1}  # PyTorch has it for matrices only: see further down


@pytest.mark.parametrize(("name", "options"), OPTIMISERS, ids=["SGD", "Adam", "AdamW"])
def test_groups_follow_pytorch(name, options, torch):
    own = [nn.Parameter(p) for p in starts(np.float64)]
    peers = [torch.nn.Parameter(torch.from_numpy(p.data.copy())) for p in own]

    def build(library, params):
        groups = [{"params": params[:1], "lr": 0.03}, {"params": params[1:]}]
        return getattr(library, name)(groups, **options)

    mine, theirs = build(optim, own), build(torch.optim, peers)
    for step in range(5):
        for p, peer, grad in zip(own, peers, gradients(step, np.float64), strict=True):
            p.grad, peer.grad = grad, None if grad is None else torch.tensor(grad)
        mine.step(), theirs.step()
    for p, peer, start in zip(own, peers, starts(np.float64), strict=True):
        assert np.abs(p.data - start).max() > 0
        assert_allclose(p.data, peer.detach().numpy(), rtol=1e-12)


def test_groups_keep_their_ratio_under_a_schedule():
    slow, quick = nn.Parameter(np.zeros(1)), nn.Parameter(np.zeros(1))
    opt = optim.SGD([{"params": slow, "lr": 0.1}, {"params": (p for p in [quick])}], lr=1.0)
    schedule = optim.OneCycleLR(opt, max_lr=2.0, total_steps=10)
    for _ in range(10):
        before = slow.data.copy(), quick.data.copy()
        slow.grad, quick.grad = np.ones(1, slow.dtype), np.ones(1, quick.dtype)
        opt.step()
        assert_allclose(before[1] - quick.data, opt.lr, rtol=1e-5)
        assert_allclose(before[0] - slow.data, 0.1 * opt.lr, rtol=1e-5)
        schedule.step()


@pytest.mark.parametrize(("name", "options"), [*OPTIMISERS, MUON], ids=["SGD", "Adam", "AdamW", "Muon"])
def test_groups_go_on_from_their_state(name, options):
    def build():
        params = [nn.Parameter(p) for p in starts(np.float32)]
        return params, getattr(optim, name)([{"params": params[0], "lr": 0.3}, {"params": params[1:]}], **options)

    def take(params, opt, steps):
        for step in steps:
            for p, grad in zip(params, gradients(step, np.float32), strict=True):
                p.grad = grad
            opt.step()

    params, opt = build()
    take(params, opt, range(2))
    others, other = build()
    for p, q in zip(params, others, strict=True):
        q.data[...] = p.data
    other.load_state_dict(opt.state_dict())
    take(params, opt, range(2, 4))
    take(others, other, range(2, 4))
    for p, q in zip(params, others, strict=True):
        assert_array_equal(p.data, q.data)


def test_groups_at_the_rate_of_all_are_no_groups():
    paths = []
    for grouped in (False, True):
        params = [nn.Parameter(p) for p in starts(np.float32)]
        opt = optim.Adam([{"params": [p], "lr": 3e-3} for p in params] if grouped else params, lr=3e-3)
        for p, grad in zip(params, gradients(0, np.float32), strict=True):
            p.grad = grad
        opt.step()
        paths.append([p.data for p in params])
    for one, other in zip(*paths, strict=True):
        assert_array_equal(one, other)


P = nn.Parameter(np.zeros(2))
ENTRIES = "expected groups with the entries 'params' and 'lr', got"
RATIO = "expected lr above 0, to which the rates of the groups keep their ratio, got 0"
TWICE = "expected each parameter once, got one that is in two groups or twice in one"


@pytest.mark.parametrize(
    ("params", "lr", "message"),
    [
        ([{"params": [P], "betas": (0, 0)}], 1, f"{ENTRIES} ['betas', 'params']"),
        ([{"lr": 1}], 1, f"{ENTRIES} ['lr']"),
        ([{"params": [P]}, P], 1, f"{ENTRIES} Parameter"),
        ([{"params": [P], "lr": -1}], 1, "expected lr of at least 0 in each group, got -1"),
        ([{"params": [P], "lr": float("nan")}], 1, "expected lr of at least 0 in each group, got nan"),
        ([{"params": [P], "lr": 1}], 0, RATIO),
        ([{"params": [P]}, {"params": P}], 1, TWICE),
        ([P, P], 1, TWICE),
        ([{"params": []}], 1, "expected at least one parameter, got none"),
    ],
)
def test_groups_that_are_refused(params, lr, message):
    with pytest.raises(ValueError) as caught:
        optim.SGD(params, lr=lr)
    assert str(caught.value) == f"SGD: {message}"


def test_a_group_may_rest():
    resting, moving = nn.Parameter(np.zeros(1)), nn.Parameter(np.zeros(1))
    opt = optim.SGD([{"params": [resting], "lr": 0}, {"params": [moving]}], lr=0.5)
    resting.grad, moving.grad = np.ones(1), np.ones(1)
    opt.step()
    assert (resting.data.item(), moving.data.item()) == (0, -0.5)


# The averaged weights


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.999])
def test_the_average_follows_pytorch(decay, torch, rng):
    own, peer = nn.Linear(3, 2), torch.nn.Linear(3, 2)
    own.double(), peer.double()
    own.load_state_dict(peer.state_dict())
    averages = torch.optim.swa_utils
    average = optim.AveragedModel(own, decay)
    wanted = averages.AveragedModel(peer, multi_avg_fn=averages.get_ema_multi_avg_fn(decay))
    for _ in range(6):
        for name, array in own.state_dict().items():
            new = array + rng.normal(size=array.shape)
            getattr(own, name).data[...] = new
            getattr(peer, name).data[...] = torch.from_numpy(new)
        average.update_parameters(own)
        wanted.update_parameters(peer)
    for name, array in average.module.state_dict().items():
        assert_allclose(array, getattr(wanted.module, name).detach().numpy(), rtol=1e-12)
    x = rng.normal(size=(4, 3))
    assert_allclose(average(Tensor(x)).data, wanted(torch.from_numpy(x)).detach().numpy(), rtol=1e-10)


def test_a_decay_may_follow_the_number_of_updates():
    net = nn.Linear(1, 1, bias=False)
    average = optim.AveragedModel(net, lambda updates: updates / (1 + updates))  # the mean
    for weight in (1, 2, 6):
        net.weight.data[...] = weight
        average.update_parameters(net)
    assert average.module.weight.item() == pytest.approx(3, rel=1e-6)
    average.decay = lambda updates: 1.0
    with pytest.raises(ValueError, match=r"^AveragedModel\.update_parameters: expected decay from 0 to below 1, got 1"):
        average.update_parameters(net)


def test_an_average_goes_on_where_another_stood():
    def averaged(steps, average, net):
        for step in steps:
            net.weight.data[...] = step
            average.update_parameters(net)
        return average.module.state_dict()

    nets = [nn.Linear(2, 2) for _ in range(3)]
    whole, first, second = (optim.AveragedModel(net, 0.5) for net in nets)
    wanted = averaged(range(6), whole, nets[0])
    averaged(range(3), first, nets[1])
    second.load_state_dict(first.state_dict())
    nets[2].bias.data[...] = nets[1].bias.data[...] = nets[0].bias.data
    got = averaged(range(3, 6), second, nets[2])
    assert got["weight"].tobytes() == wanted["weight"].tobytes()
    state = second.state_dict()
    for wrong in ({}, {**state, "more": 1}, {**state, "updates": -1}, {"updates": 3}):
        with pytest.raises((KeyError, ValueError), match="load_state_dict: expected"):
            second.load_state_dict(wrong)
    assert second.updates == 6


def test_the_average_of_weights_in_another_order_in_memory():
    net = nn.Linear(3, 2)
    net.weight.data = np.asfortranarray(net.weight.data)
    average = optim.AveragedModel(net, 0.5)
    average.module.weight.data = np.asfortranarray(np.zeros((2, 3), np.float32))
    average.updates = 1
    average.update_parameters(net)
    assert_array_equal(average.module.weight.data, net.weight.data / 2)


def test_the_average_is_a_copy_that_leaves_the_network_alone():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    (net(Tensor(np.ones((1, 2), np.float32))) ** 2).sum().backward()
    kept, grads = net.state_dict(), [p.grad.copy() for p in net.parameters()]
    average = optim.AveragedModel(net, decay=0.5)
    assert all(p.grad is None for p in average.module.parameters())
    average.update_parameters(net)
    average.module.eval()
    average.module[0].weight.data[...] = 7
    assert net.training and net[1].training
    for name, array in net.state_dict().items():
        assert_array_equal(array, kept[name])
    for p, grad in zip(net.parameters(), grads, strict=True):
        assert_array_equal(p.grad, grad)
    assert {p.dtype for p in average.module.parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2, float("nan")])
def test_a_decay_outside_0_to_1_is_refused(decay):
    with pytest.raises(ValueError, match=f"^AveragedModel: expected decay from 0 to below 1, got {decay}$"):
        optim.AveragedModel(nn.Linear(1, 1), decay)


def test_another_network_is_refused():
    average = optim.AveragedModel(nn.Linear(1, 1), 0.5)
    with pytest.raises(ValueError):
        average.update_parameters(nn.Linear(1, 1, bias=False))


# Gradients and parameters that do not fit

UNFIT = {
    "a shorter one": (np.ones(2, np.float32), ValueError, r"a gradient of shape \(4, 64\), got \(2,\)"),
    "the same size": (np.ones((64, 4), np.float32), ValueError, r"a gradient of shape \(4, 64\), got \(64, 4\)"),
    "no axes": (np.ones((), np.float32), ValueError, r"a gradient of shape \(4, 64\), got \(\)"),
    "float64": (np.ones((4, 64)), TypeError, "a gradient of float32, got float64"),
    "float16": (np.ones((4, 64), np.float16), TypeError, "a gradient of float32, got float16"),
    "a list": ([[1.0] * 64] * 4, TypeError, "a gradient that is an array, got a list"),
    "a Tensor": (Tensor(np.ones((4, 64), np.float32)), TypeError, "a gradient that is an array, got a Tensor"),
}


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.AdamW, optim.MuonWithAuxAdam])
@pytest.mark.parametrize(("gradient", "error", "said"), UNFIT.values(), ids=UNFIT)
def test_a_gradient_that_does_not_fit_is_refused_and_nothing_is_changed(make, gradient, error, said):
    first, second = nn.Parameter([1.0]), nn.Parameter(np.ones((4, 64), np.float32))
    opt = make([first, second], lr=1.0)
    first.grad, second.grad = np.ones(1, np.float32), gradient
    before = opt.state_dict()
    with pytest.raises(error, match=f"^{make.__name__}.step: expected {said}$"):
        opt.step()
    assert first.item() == 1 and (second.data == 1).all()
    assert all(np.array_equal(array, before[name]) for name, array in opt.state_dict().items())


def test_a_parameter_of_another_shape_than_at_first_is_refused():
    p = nn.Parameter([1.0, 2.0])
    opt = optim.SGD([p], lr=1.0)
    p.data = np.ones(3, np.float32)
    p.grad = np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"^SGD.step: expected a parameter of shape \(2,\), as at first, got one of "):
        opt.step()
    assert opt.state_dict()["m.0"].shape == (2,)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (nn.Linear(1, 1), r"SGD: expected parameters, got a Linear: give its parameters\(\)"),
        ([np.ones(3)], r"SGD: expected parameters, such as net.parameters\(\), got a ndarray among them"),
        (nn.Linear(1, 1).named_parameters(), "SGD: expected parameters, .* got a tuple among them"),
        (nn.Linear(1, 1).state_dict(), "SGD: expected parameters, .* got a str among them"),
    ],
)
def test_what_is_no_parameter_is_refused(params, said):
    with pytest.raises(TypeError, match=f"^{said}$"):
        optim.SGD(params, lr=1.0)


def test_the_first_update_copies_the_weights():
    net = nn.Linear(2, 1)
    net.weight.data[...] = np.inf
    average = optim.AveragedModel(net, decay=0.5)
    net.weight.data[...] = 3
    average.update_parameters(net)
    assert (average.module.weight.data == 3).all()


@pytest.mark.parametrize("other", [nn.Linear(2, 2), nn.Linear(2, 1, bias=False)])
def test_a_network_of_other_shapes_is_not_averaged(other):
    average = optim.AveragedModel(nn.Linear(2, 1))
    before = average.module.state_dict()
    with pytest.raises(ValueError, match=r"^AveragedModel.update_parameters: expected weights of shapes \[\(1, 2\), "):
        average.update_parameters(other)
    assert average.updates == 0 and all(np.array_equal(a, before[n]) for n, a in average.module.state_dict().items())
