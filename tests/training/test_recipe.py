"""Recipes: what they ask for, what they refuse, and the optimiser that they make."""

import dataclasses

import numpy as np
import pytest

from npstn import models, nn, optim
from npstn.training import RECIPES, Recipe, best_epoch

GOOD = Recipe("adamw", lr=0.01, batch_size=8, epochs=3, dropout=0.0)


def test_the_recipe_blog_is_that_of_the_post():
    assert RECIPES["blog"] == Recipe(optimizer="sgd", lr=1e-3, batch_size=10, epochs=5, dropout=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adam"}, "optimizer to be one of muon, adamw, sgd, got 'adam'"),
        ({"lr": 0.0}, "lr above 0 and at most 1000, got 0.0"),
        ({"lr": 1e4}, "lr above 0 and at most 1000, got 10000.0"),
        ({"lr": float("nan")}, "lr above 0 and at most 1000, got nan"),
        ({"localiser_factor": 0.0}, "localiser_factor above 0 and at most 1000, got 0.0"),
        ({"localiser_factor": 1e4}, "localiser_factor above 0 and at most 1000, got 10000.0"),
        ({"dropout": 1.0}, "dropout from 0 to below 1, got 1.0"),
        ({"dropout": -0.1}, "dropout from 0 to below 1, got -0.1"),
        ({"batch_size": 0}, "batch_size to be an integer from 1 to 10^9, got 0"),
        ({"epochs": 2.0}, "epochs to be an integer from 1 to 10^9, got 2.0"),
        ({"warmup": 0}, "warmup to be an integer from 1 to 10^9, got 0"),
        ({"average": 0.0}, "average above 0 and at most 1, got 0.0"),
        ({"average": 1.5}, "average above 0 and at most 1, got 1.5"),
        ({"average": float("nan")}, "average above 0 and at most 1, got nan"),
        ({"label_smoothing": 1.0}, "label_smoothing from 0 to below 1, got 1.0"),
        ({"label_smoothing": -0.1}, "label_smoothing from 0 to below 1, got -0.1"),
        ({"weight_decay": -0.1}, "weight_decay from 0 to 1000, got -0.1"),
        ({"weight_decay": float("nan")}, "weight_decay from 0 to 1000, got nan"),
        ({"curriculum": -0.1}, "curriculum from 0 to 1, got -0.1"),
        ({"curriculum": 1.1}, "curriculum from 0 to 1, got 1.1"),
        ({"curriculum": float("nan")}, "curriculum from 0 to 1, got nan"),
        ({"patience": 0}, "patience to be an integer from 1 to 10^9, got 0"),
        ({"patience": 1.5}, "patience to be an integer from 1 to 10^9, got 1.5"),
    ],
)
def test_other_values_are_refused(changes, message):
    with pytest.raises(ValueError) as caught:
        dataclasses.replace(GOOD, **changes)
    assert str(caught.value) == f"Recipe: expected {message}"


@pytest.mark.parametrize(
    ("accuracies", "best", "out"),
    [
        ([], 0, False),
        ([90], 1, False),
        ([90, 89], 1, False),
        ([90, 89, 90], 1, True),  # as good is not better
        ([90, 89, 91], 3, False),
        ([90, 91, 91, 90.5], 2, True),
        ([90, 91, 90, 92, 80], 4, False),
    ],
)
def test_patience_ends_with_so_many_epochs_that_are_not_better(accuracies, best, out):
    rows = [{"test_accuracy": accuracy} for accuracy in accuracies]
    assert best_epoch(rows) == best
    assert dataclasses.replace(GOOD, patience=2).out_of_patience(rows) == out
    assert not GOOD.out_of_patience(rows)


def test_sgd_has_a_constant_rate():
    optimizer, schedule = RECIPES["blog"].optimizer_for(models.ClsNet(), images=100)
    assert type(optimizer) is optim.SGD
    assert (optimizer.lr, optimizer.momentum, schedule) == (1e-3, 0.5, None)


@pytest.mark.parametrize(
    ("optimizer", "kind", "usual"),
    [("muon", optim.MuonWithAuxAdam, 0.2), ("adamw", optim.AdamW, 0.05), ("sgd", optim.SGD, 0.0)],
)
def test_an_optimiser_and_its_weight_decay(optimizer, kind, usual):
    for given, wanted in ((None, usual), (0.0, 0.0), (0.3, 0.3)):
        recipe = dataclasses.replace(GOOD, optimizer=optimizer, weight_decay=given)
        made, _ = recipe.optimizer_for(models.ClsNet(), images=100)
        assert type(made) is kind and made.weight_decay == wanted


def test_adamw_takes_one_cycle_up_to_the_rate_over_all_epochs():
    """90 images make 12 steps an epoch, the last of 2 images. The rate follows cosines: up for a fifth, then down."""
    weight = nn.Parameter(np.ones(3))
    net = nn.Module()
    net.weight = weight
    optimizer, schedule = GOOD.optimizer_for(net, images=90)
    assert type(optimizer) is optim.AdamW and optimizer.weight_decay == 0.05
    rates = []
    for _ in range(3 * 12):
        weight.grad = np.ones(3)
        rates.append(optimizer.lr)
        optimizer.step()
        schedule.step()
    top, last = 0.2 * 36 - 1, 36 - 1  # counted in steps: between two of them, as PyTorch has it

    def cosine(start, end, share):
        return end + (start - end) * (1 + np.cos(np.pi * share)) / 2

    wanted = [
        cosine(0.01 / 25, 0.01, k / top) if k <= top else cosine(0.01, 0.01 / 25e4, (k - top) / (last - top))
        for k in range(36)
    ]
    np.testing.assert_allclose(rates, wanted, rtol=1e-9)


@pytest.mark.parametrize(("warmup", "top"), [(None, 5), (15, 5), (3, 2)])
def test_the_rate_rises_for_a_fifth_of_the_steps_but_no_longer_than_the_recipe_says(warmup, top):
    _, schedule = dataclasses.replace(GOOD, warmup=warmup).optimizer_for(models.ClsNet(), images=80)  # 30 steps
    rates = [schedule.at(step) for step in range(30)]
    assert rates.index(max(rates)) == top and rates[top] == 0.01


def test_an_average_reaches_over_a_share_of_the_steps_so_far():
    """With a share of 1 it is the mean; with less, the last steps weigh more, and the first one ever less."""
    assert GOOD.average_for(nn.Linear(1, 1)) is None
    averages = {}
    for share in (1.0, 0.1):
        net = nn.Linear(1, 1, bias=False).double()
        average = dataclasses.replace(GOOD, average=share).average_for(net)
        for step in range(100):
            net.weight.data[...] = step
            average.update_parameters(net)
        averages[share] = average.module.weight.item()
    assert averages[1.0] == pytest.approx(99 / 2)
    wanted = 0
    for step in range(1, 100):
        wanted += (step - wanted) / (1 + 0.1 * step)
    assert averages[0.1] == pytest.approx(wanted) and 85 < wanted < 95


@pytest.mark.parametrize("recipe", ["fast", "blog"])
@pytest.mark.parametrize("parallel", [1, 2])
def test_localisers_learn_at_a_rate_of_their_own(recipe, parallel):
    """The same step with a factor of 0.25 moves what a localiser learns a quarter as far, and the classifier as far."""
    moved = {}
    for factor in (1.0, 0.25):
        net = models.build("affine", (1, 28, 28), 10, parallel=parallel)
        net.load_state_dict({name: np.zeros_like(array) for name, array in net.state_dict().items()})
        chosen = dataclasses.replace(RECIPES[recipe], localiser_factor=factor)
        optimizer, schedule = chosen.optimizer_for(net, images=100)
        for parameter in net.parameters():
            parameter.grad = np.full(parameter.shape, 0.5, np.float32)
        optimizer.step()
        moved[factor] = net.state_dict()
    for name, whole in moved[1.0].items():
        share = 0.25 if "loc_net" in name else 1
        np.testing.assert_allclose(moved[0.25][name], share * whole, rtol=1e-6)
    assert any("loc_net" in name for name in moved[1.0]) and any("cls_net" in name for name in moved[1.0])
