#!/usr/bin/env bash
# schedulefree 1.4.1, AdamWScheduleFree (the optimiser without a schedule, in PyTorch): a part that is frozen at first,
# such as a localiser that waits until the classifier has learnt something, does not start as the others did.
# - The steps are counted for the group, not for each parameter as torch.optim.AdamW does. So the mean of the squared
#   gradients starts at 0 and is not corrected for it: the first step is up to 1 / sqrt(1 - beta2), 32 times, too long,
#   and the next hundred are, too: in 100 steps the parameter goes 5 times as far as it should.
# - eval() gives the mean of all steps, and of a parameter that starts after 1000 steps the first 1000 count as steps on
#   which it stood still. So what is evaluated and saved is a small part of the way behind what has been learnt.
# - With foreach=False and with foreach=True it is the same. A group of its own does not help, since its steps are
#   counted, too, unless it is added by add_param_group when it starts.
# No issue on it was found. Next to it, step() leaves something else than the gradient in .grad: the direction of the
# step. Its norm, logged after the step, is that of a vector of signs, whatever the loss is. That is known,
# schedule_free's issue 68.
#
# Seen on 2026-11-28, with torch 2.13.0, float64: a gradient of 1 in each step, lr 0.001, no decay of weights.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "torch==2.13.0" "schedulefree==1.4.1"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import torch
from schedulefree import AdamWScheduleFree

RATE = 1e-3


def run(make, frozen, steps, added=False):
    """Way of a parameter that gets its first gradient after `frozen` steps, after each of `steps`; in learning rates."""
    early, late = (torch.nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in range(2))
    optimiser = make([early] if added else [early, late])
    free = isinstance(optimiser, AdamWScheduleFree)
    ways = []
    for step in range(frozen + steps):
        if added and step == frozen:
            optimiser.add_param_group({"params": [late]})
        if free:
            optimiser.train()
        early.grad = torch.ones_like(early)
        late.grad = torch.ones_like(late) if step >= frozen else None
        optimiser.step()
        if step >= frozen:
            if free:
                optimiser.eval()
            moving = optimiser.state[late]["z"] if free else late
            ways.append((-moving.item() / RATE, -late.item() / RATE))
    return ways


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=RATE, weight_decay=0)


def schedule_free(parameters):
    return AdamWScheduleFree(parameters, lr=RATE, weight_decay=0)


def schedule_free_alone(parameters):
    return AdamWScheduleFree([{"params": [parameter]} for parameter in parameters], lr=RATE, weight_decay=0)


def schedule_free_in_a_loop(parameters):
    return AdamWScheduleFree(parameters, lr=RATE, weight_decay=0, foreach=False)


for name, make, waits in (
    ("AdamW", adamw, (0, 1000)),
    ("AdamWScheduleFree", schedule_free, (0, 10, 1000)),
    ("AdamWScheduleFree, foreach=False", schedule_free_in_a_loop, (1000,)),
    ("AdamWScheduleFree, a group of its own", schedule_free_alone, (1000,)),
    ("AdamWScheduleFree, a group added later", schedule_free, (1000,)),
):
    for frozen in waits:
        ways = run(make, frozen, 100, added="later" in name)
        print(f"{name}, frozen for {frozen} steps: 1, 10, 100 steps later at", end=" ")
        print(*(f"{ways[count - 1][0]:.1f}" for count in (1, 10, 100)), end="; evaluated at ")
        print(*(f"{ways[count - 1][1]:.1f}" for count in (1, 10, 100)))

weight = torch.nn.Parameter(torch.zeros(4, dtype=torch.float64))
optimiser = schedule_free([weight])
optimiser.train()
weight.grad = torch.tensor([1e-3, -2e-3, 3e-3, 4e-3], dtype=torch.float64)
optimiser.step()
print("a gradient of 0.001 -0.002 0.003 0.004 after the step:", *(f"{entry:.3f}" for entry in weight.grad.tolist()))
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
AdamW, frozen for 0 steps: 1, 10, 100 steps later at 1.0 10.0 100.0; evaluated at 1.0 10.0 100.0
AdamW, frozen for 1000 steps: 1, 10, 100 steps later at 1.0 10.0 100.0; evaluated at 1.0 10.0 100.0
AdamWScheduleFree, frozen for 0 steps: 1, 10, 100 steps later at 1.0 10.0 100.0; evaluated at 1.0 5.5 50.5
AdamWScheduleFree, frozen for 10 steps: 1, 10, 100 steps later at 3.3 19.0 119.1; evaluated at 0.3 5.9 59.4
AdamWScheduleFree, frozen for 1000 steps: 1, 10, 100 steps later at 25.2 126.5 476.4; evaluated at 0.0 0.8 27.9
AdamWScheduleFree, foreach=False, frozen for 1000 steps: 1, 10, 100 steps later at 25.2 126.5 476.4; evaluated at 0.0 0.8 27.9
AdamWScheduleFree, a group of its own, frozen for 1000 steps: 1, 10, 100 steps later at 25.2 126.5 476.4; evaluated at 0.0 0.8 27.9
AdamWScheduleFree, a group added later, frozen for 1000 steps: 1, 10, 100 steps later at 1.0 10.0 100.0; evaluated at 1.0 5.5 50.5
a gradient of 0.001 -0.002 0.003 0.004 after the step: 1.000 -1.000 1.000 1.000
SEEN
echo "as seen"
