# %% [markdown]
# # Checking an operation of your own
#
# An operation is a forward and a backward, arrays in, arrays out. Whether the second is the derivative of the first
# cannot be seen in the loss curve: a network learns with a slightly wrong gradient too, only worse. `npstn.check_op`
# answers the question in a line.

# %%
import numpy as np

import npstn


class Swish(npstn.Function):
    """y = x s with the sigmoid s = 1 / (1 + exp(-x)). Since ∂s/∂x = s (1 - s), dx = dy (s + x s (1 - s))."""

    @staticmethod
    def forward(ctx, x):
        s = 1 / (1 + np.exp(-x))
        ctx.save_for_backward(x, s)
        return x * s

    @staticmethod
    def backward(ctx, dy):
        x, s = ctx.saved
        return dy * (s + x * s * (1 - s))


x = np.random.default_rng(0).standard_normal((3, 4))  # float64: in float32 differences drown in rounding errors
report = npstn.check_op(Swish.apply, x)
print(report)


# %% [markdown]
# `check_op` has checked the contracts of a backward pass, too. `print` shows what was measured. In code, the report is
# true if nothing is wrong.

# %%
assert report
print("contracts:", ", ".join(report.contracts))


# %% [markdown]
# ## A wrong formula
#
# The product rule has two terms. If one is forgotten, the answer says which entries are wrong, and of the worst of
# them the slope by backward and by differences.


# %%
class HalfTheRule(Swish):
    @staticmethod
    def backward(ctx, dy):
        x, s = ctx.saved
        return dy * s  # x also stands in s


try:
    npstn.check_op(HalfTheRule.apply, x)
except npstn.GradcheckError as error:
    print(f"caught:\n{error}")
else:
    raise AssertionError("the mistake was let through")


# %% [markdown]
# If the wrong entries have something in common, the message says so: a factor that is missing everywhere, or one
# row or channel. Here the last column of an image gets no gradient, a usual slip of the index.


# %%
class RightMinusLeft(npstn.Function):
    """y[..., m] = x[..., m + 1] - x[..., m]: the step from each column to the next."""

    @staticmethod
    def forward(ctx, x):
        ctx.shape_of_x = x.shape
        return x[..., 1:] - x[..., :-1]

    @staticmethod
    def backward(ctx, dy):
        dx = np.zeros(ctx.shape_of_x, dy.dtype)
        dx[..., 1:-1] += dy[..., :-1]  # should be dx[..., 1:] += dy
        dx[..., :-1] -= dy
        return dx


try:
    npstn.check_op(RightMinusLeft.apply, x)
except npstn.GradcheckError as error:
    print(f"caught:\n{error}")
else:
    raise AssertionError("the mistake was let through")


# %% [markdown]
# ## A broken contract
#
# The formula may be right, and the backward pass wrong all the same: this one writes into the upstream gradient, which
# may belong to another operation too. No difference quotient sees that. As soon as a result is used twice, the network
# would learn badly.


# %%
class WritesIntoDy(Swish):
    @staticmethod
    def backward(ctx, dy):
        x, s = ctx.saved
        dy *= s + x * s * (1 - s)
        return dy


try:
    npstn.check_op(WritesIntoDy.apply, x)
except npstn.GradcheckError as error:
    print(f"caught:\n{error}")
else:
    raise AssertionError("the mistake was let through")

# %% [markdown]
# The operation that passed can now stand in a network like any other. docs/gradcheck.md tells more about the checker,
# and about the command `npstn gradcheck`, which checks the operations of the library.
