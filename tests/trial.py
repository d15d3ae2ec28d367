"""A transformer and a task as somebody else would add them: another size, two channels, three classes, two parameters.

They are the proof of the seams: what takes them knows neither 28, nor ten, nor an angle.
"""

import numpy as np

import npstn.functional as F
from npstn import Tensor
from npstn.data import Source
from npstn.tasks import Batch, Measure, Task
from npstn.transformers import Setting, Transformer

H, W = 24, 40


class Shift(Transformer):
    """Moves an image by (x, y), in half-widths to the left and half-heights up."""

    name = "shift"
    identity = np.zeros(2, np.float32)

    def grid(self, parameters, size):
        B = len(parameters)
        straight = np.tile(np.eye(2, 3, dtype=parameters.dtype), (B, 1, 1))
        return F.affine_grid(Tensor(straight), (B, 1, *size), align_corners=True) + parameters.reshape(B, 1, 1, 2)

    def describe(self, parameters, size):
        h, w = size
        return {"shift_x_px": -parameters[:, 0] * (w - 1) / 2, "shift_y_px": -parameters[:, 1] * (h - 1) / 2}


def bars(count, seed):
    """Bright images (count, 24, 40) with a dark bar: upright, lying, or both, a cross; and which of these it is."""
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 40, (count, H, W), dtype=np.uint8), np.arange(count) % 3
    images[labels != 1, 4:-4, 18:22] = 255
    images[labels != 0, 10:14, 10:-10] = 255
    return images, labels


def bars_source(folder=None, train=120, test=36):
    return Source("bars", "bars", lambda for_training: bars(train, 0) if for_training else bars(test, 1), (H, W),
                  ("upright", "lying", "cross"))


class Shifted(Task):
    """Bars, moved by up to `reach` pixels each way; the second channel is the first one at half the brightness."""

    name = "shifted"
    image = (2, H, W)
    settings = {"reach": Setting(4.0, 0, 10, "move images by up to R pixels")}
    measured = {"rest_px": Measure("distance left", ".2f", " px")}

    def distort(self, images, labels, chosen, rng, strength):
        images, labels = images[chosen], labels[chosen]
        reach = round(strength * self.chosen["reach"])
        right, down = rng.integers(-reach, reach + 1, (2, len(images)))
        moved = [np.roll(image, (y, x), axis=(0, 1)) for image, x, y in zip(images, right, down, strict=True)]
        grey = np.float32(np.reshape(moved, images.shape)) / np.float32(255)
        truth = {"shift_x_px": right.astype(np.float32), "shift_y_px": down.astype(np.float32)}
        return Batch(np.stack([grey, grey / 2], axis=1), labels, truth)

    def measures(self, test, found):
        if "shift_x_px" not in found:
            return {"rest_px": float("nan")}
        rest = [test.truth[name] + found[name] for name in ("shift_x_px", "shift_y_px")]
        return {"rest_px": float(np.hypot(*rest).mean())}
