# %% [markdown]
# # The gradient of one pixel, by hand
#
# A spatial transformer turns a digit by an angle. How does the loss change when the angle changes? For one pixel of the
# turned digit the answer takes six short steps, here in plain arithmetic: no array, no library. The numbers in
# brackets are those of the formulas in docs/derivation.md. A gradient of the loss is d and a name: da is what we want.
# At the end npstn computes the same.

# %%
from math import cos, floor, sin

import numpy as np

import npstn.functional as F
from npstn import Tensor
from npstn.data import draw_digits

images, labels = draw_digits(100, seed=0)
U = (images[labels == 2][0] / 255.0).tolist()  # a list of 28 rows: a digit 2, 0 for paper, 1 for ink
H, W = 28, 28
a = 0.3  # the angle by which the transformer turns it, in radians: about 17 degrees
i, j = 8, 10  # the output pixel that we follow, row and column


# %% [markdown]
# ## Forward: where does the pixel look, and what does it see?
#
# The pixel's place, normalised to -1 .. 1 (41), is turned by the angle (40), and becomes a place in the image, in
# pixels (24). That is (nearly always) a place between four pixels, and what is seen there is their average, weighted
# by how near they are (28).

# %%
def place(i, j, a):
    """Where output pixel (i, j) looks: normalised."""
    x, y = 2 * j / (W - 1) - 1, 2 * i / (H - 1) - 1
    return x * cos(a) - y * sin(a), x * sin(a) + y * cos(a)


def neighbours(G_x, G_y):
    """The four pixels round that place, (above: left, right), (below: left, right), and the fractions between them."""
    x, y = (G_x + 1) * (W - 1) / 2, (G_y + 1) * (H - 1) / 2
    m, n = floor(x), floor(y)

    def pixel(n, m):
        return U[n][m] if 0 <= n < H and 0 <= m < W else 0.0  # there is nothing outside

    return (pixel(n, m), pixel(n, m + 1)), (pixel(n + 1, m), pixel(n + 1, m + 1)), (x - m, y - n)


G_x, G_y = place(i, j, a)
above, below, (f_x, f_y) = neighbours(G_x, G_y)
V = (1 - f_y) * ((1 - f_x) * above[0] + f_x * above[1]) + f_y * ((1 - f_x) * below[0] + f_x * below[1])
print(f"output pixel ({i}, {j}) looks at ({G_x:.4f}, {G_y:.4f}), normalised")
print(f"  above it  {above[0]:.4f} and {above[1]:.4f}, below it {below[0]:.4f} and {below[1]:.4f}")
print(f"  it lies {f_x:.4f} of a pixel from the left ones, {f_y:.4f} from the upper ones, and sees {V:.4f}")

# %% [markdown]
# ## Backward: from the loss to the angle
#
# Say the loss is $L = V^2 / 2$, so that $dV = V$. When the point moves to the right, what it sees changes by the
# difference between right and left (34); when it moves down, by that between below and above (35). A step of 1 in
# normalised coordinates is (W - 1) / 2 pixels (37). And when the angle grows, the point moves at a right angle to its
# place (48); so the slope is a torque, place times force, crosswise (49).


# %%
def slope(i, j, a, dV):
    """da, as far as it goes through output pixel (i, j), after the gradients on the way to it."""
    G_x, G_y = place(i, j, a)
    above, below, (f_x, f_y) = neighbours(G_x, G_y)
    dx = dV * ((1 - f_y) * (above[1] - above[0]) + f_y * (below[1] - below[0]))
    dy = dV * ((1 - f_x) * (below[0] - above[0]) + f_x * (below[1] - above[1]))
    dG_x, dG_y = dx * (W - 1) / 2, dy * (H - 1) / 2
    return dx, dy, dG_x, dG_y, G_x * dG_y - G_y * dG_x


dV = V
dx, dy, dG_x, dG_y, da = slope(i, j, a, dV)
print(f"the loss is {V * V / 2:.6f}, dV = {dV:.6f}")
print(f"  in pixels   dx  = {dx:.6f}, dy  = {dy:.6f}")
print(f"  normalised  dGx = {dG_x:.6f}, dGy = {dG_y:.6f}")
print(f"  the angle   da  = {da:.6f}   by hand")

# %% [markdown]
# ## The same by npstn
#
# Its tape records what is done to the angle, and `backward` goes the same way back.


# %%
def turned(angle):
    grid = F.affine_grid(F.rotation_theta(angle), (1, 1, H, W), align_corners=True)
    return F.grid_sample(Tensor(np.array(U)[None, None]), grid, align_corners=True)


angle = Tensor(np.array([a]), requires_grad=True)
loss = 0.5 * turned(angle)[0, 0, i, j] ** 2
loss.backward()
print(f"                    {angle.grad[0]:.6f}   by npstn")
assert abs(angle.grad[0] - da) < 1e-12


# %% [markdown]
# And with no derivative at all: the loss at an angle a little larger and a little smaller.


# %%
def loss_at(a):
    return 0.5 * turned(Tensor(np.array([a]))).data[0, 0, i, j] ** 2


step = 1e-6
difference = (loss_at(a + step) - loss_at(a - step)) / (2 * step)
print(f"                    {difference:.6f}   by the difference of two losses")
assert abs(difference - da) < 1e-6

# %% [markdown]
# ## All pixels
#
# A loss that looks at the whole turned digit gives each pixel a dV of its own, and the angle gets the sum of the
# torques (50). Here is the loss of the derivation's picture: how far the digit is from another, pixel by pixel.

# %%
target = (images[labels == 2][1] / 255.0).tolist()
angle = Tensor(np.array([a]), requires_grad=True)
V_all = turned(angle)
(0.5 * (V_all - Tensor(np.array(target)[None, None])) ** 2).sum().backward()

by_hand = 0.0
for i in range(H):
    for j in range(W):
        dV = V_all.data[0, 0, i, j] - target[i][j]
        by_hand += slope(i, j, a, dV)[-1]
print(f"all {H * W} pixels: da = {by_hand:.6f} by hand, {angle.grad[0]:.6f} by npstn")
assert abs(angle.grad[0] - by_hand) < 1e-9
