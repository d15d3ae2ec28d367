"""State dicts from elsewhere: what is taken is taken exactly, what is refused is named, with what to do about it."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import npstn
from npstn import nn

NAMES = "weight", "bias"


@pytest.fixture
def net():
    return nn.Linear(3, 2)


@pytest.fixture
def state(rng):
    return {"weight": rng.normal(size=(2, 3)).astype(np.float32), "bias": rng.normal(size=2).astype(np.float32)}


def refusal(net, state, error):
    """What is said of a state; no weight may change."""
    before = net.state_dict()
    with pytest.raises(error) as caught:
        net.load_state_dict(state)
    for name, array in net.state_dict().items():
        assert_array_equal(array, before[name])
    return caught.value.args[0].removeprefix("load_state_dict: expected ")


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_numbers_of_a_torch_tensor_are_taken_exactly(net, state, torch, dtype, double):
    peer = {name: torch.from_numpy(array).to(getattr(torch, dtype)) for name, array in state.items()}
    kind = getattr(torch, dtype)
    peer["bias"] = torch.nn.Parameter(torch.tensor([torch.finfo(kind).max, 1e-7], dtype=kind))
    (net.double() if double else net).load_state_dict(peer)
    for name, array in net.state_dict().items():
        assert_array_equal(array, peer[name].detach().double().numpy().astype(array.dtype), strict=True)


@pytest.mark.parametrize("dtype", [">f4", "<f2", ">f8"])
def test_arrays_of_other_floats_are_taken(net, state, dtype):
    given = {name: array.astype(np.float16).astype(dtype) for name, array in state.items()}
    net.load_state_dict(given)
    for name, array in net.state_dict().items():
        assert_array_equal(array, given[name].astype(np.float32), strict=True)


def test_a_file_of_bfloat16_is_read_exactly(net, state, torch, tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    peer = {name: torch.from_numpy(array).bfloat16() for name, array in state.items()}
    peer["bias"] = torch.tensor([-0.0, torch.finfo(torch.bfloat16).tiny], dtype=torch.bfloat16)
    save_file(peer, tmp_path / "w.safetensors")
    net.load_state_dict(npstn.load(tmp_path / "w.safetensors"))
    for name, array in net.state_dict().items():
        assert array.tobytes() == peer[name].float().numpy().tobytes()


def test_a_torch_tensor_without_plain_numbers_is_refused(net, state, torch):
    peer = {name: torch.from_numpy(array) for name, array in state.items()}
    for tensor, said in {
        peer["weight"].to("meta"): "one on the device meta, which has no numbers: load the weights first",
        peer["weight"].to_sparse(): "one of the layout torch.sparse_coo: give its .to_dense()",
        peer["weight"].to(torch.float8_e4m3fn): "torch.float8_e4m3fn",
        peer["weight"].to(torch.int64): "int64",
        peer["weight"].to(torch.complex64): "complex64",
    }.items():
        got = refusal(net, {**peer, "weight": tensor}, TypeError)
        assert got == f"'weight' of float16, bfloat16, float32 or float64, got {said}"


class OnAGpu:
    """A tensor as PyTorch shows one that is on a GPU, which a machine that runs tests may not have."""

    layout = "torch.strided"

    class device:
        type = "cuda"

        def __str__(self):
            return "cuda:0"

    device = device()

    def detach(self):
        return self

    def __array__(self, *given, **options):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def test_a_tensor_on_a_gpu_is_refused(net, state):
    assert refusal(net, {**state, "bias": OnAGpu()}, TypeError).endswith("one on the device cuda:0: give 'bias'.cpu()")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_a_prefix_is_named_and_what_is_advised_helps(net, state, prefix):
    state = {prefix + name: array for name, array in state.items()}
    said = refusal(net, state, KeyError)
    assert said.startswith(f"an entry 'weight', got '{prefix}weight': take off the prefix of torch.")
    net.load_state_dict(eval(said.partition(", with ")[2]))  # noqa: S307 - the advice is code
    assert_array_equal(net.weight.data, state[f"{prefix}weight"])


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_nested_state_dict_is_named(net, state, prefix):
    checkpoint = {"epoch": 3, "model": {prefix + name: array for name, array in state.items()}, "optimizer": {}}
    assert refusal(net, checkpoint, KeyError) == (
        "an entry 'weight', got a checkpoint that holds the weights in its entry 'model': give state['model']"
    )


@pytest.mark.parametrize("given", ["weights.safetensors", None, [1], nn.Linear(3, 2)], ids=type)
def test_what_is_no_mapping_is_refused(net, given):
    assert refusal(net, given, TypeError) == f"a dict of weights by name, got {type(given).__name__}"


def test_not_strict_is_torchs(net, state, torch):
    """PyTorch returns the same names, loads the same weights, and still refuses another shape."""
    peer = torch.nn.Linear(3, 2)
    for names in ([], ["weight"], ["bias"], ["other", "weight", "more"], ["weight", "bias"]):
        given = {name: state.get(name, "no weight at all") for name in names}
        theirs = peer.load_state_dict({k: torch.tensor(v) if k in NAMES else v for k, v in given.items()}, strict=False)
        before = net.state_dict()
        assert net.load_state_dict(given, strict=False) == tuple(theirs)
        for name, array in net.state_dict().items():
            assert_array_equal(array, given.get(name, before[name]))
    with pytest.raises(ValueError, match="'bias' of shape"):
        net.load_state_dict({"bias": np.zeros(3)}, strict=False)
    assert net.load_state_dict(state) == ([], []) == tuple(peer.load_state_dict(peer.state_dict()))
