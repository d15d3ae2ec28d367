#!/usr/bin/env bash
# PyTorch 2.13.0 (CPU), fused=True in SGD, Adam, AdamW and Adagrad: the step mixes up the entries of a weight if the
# gradient, or the optimiser's state, has another order in memory than the weight. The kernel walks through all of them
# in the order of memory, as if they were alike. Nothing is said. With fused=False each entry gets its own step. On a GPU
# the fused kernel refuses such tensors (issues 106951 and 110758 of PyTorch); on the CPU nobody looks.
# - A gradient that was written by hand, p.grad = ..., for a weight in channels_last: the step below should be the gradient
#   times the learning rate, and is a permutation of it.
# - A run that is resumed: the model is made in channels_last, and load_state_dict reads the momentum of a run without.
#   The gradients are right, the loss goes down, but 25 steps end somewhere else. The same happens to a model that is
#   moved to channels_last after the first step.
# A gradient check sees nothing, as each gradient is right. Where the strides agree, fused and not fused agree to rounding.
#
# Seen on 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "torch==2.13.0"
"$work/venv/bin/python" -W ignore - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import torch

LAST = torch.channels_last
torch.set_num_threads(1)

for memory in (torch.contiguous_format, LAST):
    for fused in (False, True):
        weight = torch.nn.Parameter(torch.zeros(1, 2, 2, 2).to(memory_format=memory))
        weight.grad = torch.arange(1.0, 9.0).reshape(1, 2, 2, 2)
        torch.optim.SGD([weight], lr=1, fused=fused).step()
        print(f"SGD, {memory}, fused={fused}:", *(f"{-step:.0f}" for step in weight.detach().flatten().tolist()))


def network(memory):
    return torch.nn.Conv2d(3, 4, 2, dtype=torch.float64).to(memory_format=memory)


def train(net, optimiser, steps):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(8, 3, 6, 6, dtype=torch.float64, generator=generator)
    target = torch.randn(8, 4, 5, 5, dtype=torch.float64, generator=generator)
    for _ in range(steps):
        optimiser.zero_grad()
        (net(x) - target).square().mean().backward()
        optimiser.step()


def resumed(kind, fused, memory):
    """The weight after 5 steps in the usual order, a restart in another, and 20 steps more."""
    torch.manual_seed(0)
    first, second = network(torch.contiguous_format), network(memory)
    optimisers = [kind(net.parameters(), lr=0.1, fused=fused, **MORE.get(kind, {})) for net in (first, second)]
    train(first, optimisers[0], 5)
    second.load_state_dict(first.state_dict())
    optimisers[1].load_state_dict(optimisers[0].state_dict())
    train(second, optimisers[1], 20)
    assert second.weight.grad.stride() == second.weight.stride()
    return second.weight.detach()


MORE = {torch.optim.SGD: {"momentum": 0.9}}
for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad):
    expected = resumed(kind, False, torch.contiguous_format)
    for fused in (False, True):
        for memory in (torch.contiguous_format, LAST):
            error = (resumed(kind, fused, memory) - expected).abs().max().item()
            verdict = "the same" if error < 1e-9 else "another weight"
            print(f"{kind.__name__}, resumed in {memory}, fused={fused}: {verdict}")
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
SGD, torch.contiguous_format, fused=False: 1 2 3 4 5 6 7 8
SGD, torch.contiguous_format, fused=True: 1 2 3 4 5 6 7 8
SGD, torch.channels_last, fused=False: 1 2 3 4 5 6 7 8
SGD, torch.channels_last, fused=True: 1 3 5 7 2 4 6 8
SGD, resumed in torch.contiguous_format, fused=False: the same
SGD, resumed in torch.channels_last, fused=False: the same
SGD, resumed in torch.contiguous_format, fused=True: the same
SGD, resumed in torch.channels_last, fused=True: another weight
Adam, resumed in torch.contiguous_format, fused=False: the same
Adam, resumed in torch.channels_last, fused=False: the same
Adam, resumed in torch.contiguous_format, fused=True: the same
Adam, resumed in torch.channels_last, fused=True: another weight
AdamW, resumed in torch.contiguous_format, fused=False: the same
AdamW, resumed in torch.channels_last, fused=False: the same
AdamW, resumed in torch.contiguous_format, fused=True: the same
AdamW, resumed in torch.channels_last, fused=True: another weight
Adagrad, resumed in torch.contiguous_format, fused=False: the same
Adagrad, resumed in torch.channels_last, fused=False: the same
Adagrad, resumed in torch.contiguous_format, fused=True: the same
Adagrad, resumed in torch.channels_last, fused=True: another weight
SEEN
echo "as seen"
