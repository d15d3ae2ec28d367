"""The networks: a small CNN, the spatial transformer, and the classifier with a spatial transformer before it.

The attributes have the names of the PyTorch model of the blog post that this project starts from, so that weights move
both ways under the names in `state_dict`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import NamedTuple

import numpy as np

import npstn.functional as F
from npstn import nn
from npstn.autograd import Tensor
from npstn.messages import check_name, one_line
from npstn.ops.arguments import check_probability, check_shape, output_size, whole
from npstn.ops.grid_sample import PADDINGS
from npstn.transformers import TRANSFORMERS, Rotation, Transformer
from npstn.transformers.base import choose

Image = tuple[int, int, int]  # channels, rows, columns
MNIST: Image = (1, 28, 28)
MOST_PARALLEL = 16  # transformers side by side


def image_shape(network: str, image: Image) -> Image:
    """Return (C, H, W), also of a list. Raises ValueError for what is no shape of an image.

    >>> image_shape("CNN", [1, 28, 28])
    (1, 28, 28)
    """
    if not isinstance(image, (tuple, list)) or len(image) != 3:
        raise ValueError(f"{network}: expected image to be (channels, rows, columns), got {one_line(image)}")
    C, H, W = (whole(network, "each length of image", length, 1) for length in image)
    return C, H, W


class CNN(nn.Module):
    """Two convolutions and two linear layers: (B, C, H, W) -> (B, num_output).

    Args:
        num_output: the numbers that each image gives, at least 1.
        dropout: the probability of dropping a channel of conv2, and a number of fc1.
        image: (C, H, W) of the images; H and W at least 16.

    Raises ValueError for another dropout or num_output and for smaller images; its `forward` raises ValueError for
    images of another shape.
    """

    def __init__(self, num_output: int, dropout: float = 0.5, image: Image = MNIST) -> None:
        check_probability(type(self).__name__, "dropout", dropout)
        self.image = C, H, W = image_shape("CNN", image)
        h, w = (((n - 4) // 2 - 4) // 2 for n in (H, W))
        if h < 1 or w < 1:
            raise ValueError(f"CNN: expected images of at least 16 x 16 pixels, got {H} x {W}")
        self.conv1 = nn.Conv2d(C, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.conv2_drop = nn.Dropout2d(dropout)
        self.fc1 = nn.Linear(20 * h * w, 50)
        self.fc1_drop = nn.Dropout(dropout)
        self.fc2 = nn.Linear(50, whole("CNN", "num_output", num_output, 1))

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(f"CNN: expected images in a Tensor, got {type(x).__name__}")
        if x.shape[1:] != self.image:
            raise ValueError(f"CNN: expected images of shape (B, {', '.join(map(str, self.image))}), got {x.shape}")
        # The shapes are those of images of 28 x 28.
        x = F.relu(F.max_pool2d(self.conv1(x), 2))  # (B, 10, 12, 12)
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))  # (B, 20, 4, 4)
        x = x.reshape(len(x), self.fc1.weight.shape[1])  # (B, 320)
        x = self.fc1_drop(F.relu(self.fc1(x)))
        return self.fc2(x)


class ClsNet(nn.Module):
    """The classifier: images (B, C, H, W) -> log-probabilities of the classes (B, classes)."""

    def __init__(self, dropout: float = 0.5, image: Image = MNIST, classes: int = 10) -> None:
        self.cnn = CNN(classes, dropout, image)

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.cnn(x), dim=1)


class LocNet(nn.Module):
    """The localisation network: images (B, C, H, W) -> the parameters of a transformer (B, P).

    The weights of its last layer start at zero, the bias at the transformer's identity: at first no image is changed.
    """

    def __init__(self, dropout: float = 0.5, image: Image = MNIST, identity: np.ndarray = Rotation.identity) -> None:
        self.cnn = CNN(len(identity), dropout, image)
        start_at(self.cnn.fc2, identity)

    def forward(self, x: Tensor) -> Tensor:
        return self.cnn(x)


class Look(NamedTuple):
    """How a spatial transformer read a batch of images."""

    U: Tensor  # (B, C, H, W), what it was given
    parameters: Tensor  # (B, P), what its localisation network chose
    grid: Tensor  # (B, h, w, 2), where it read: (x, y), normalised, align_corners
    V: Tensor  # (B, C, h, w), what it read


def _check_transformer(network: str, transformer: Transformer) -> None:
    if not isinstance(transformer, Transformer):
        expected = "transformer to be a Transformer, such as npstn.transformers.Rotation()"
        raise TypeError(f"{network}: expected {expected}, got {one_line(transformer)}")


class SpatialTransformer(nn.Module):
    """The module of the paper's figure 2: a localisation network, a grid generator, the sampler.

    It can stand anywhere in a network, several in a row or side by side.

    Args:
        loc_net: from the input (B, C, H, W) to the transformer's parameters (B, P).
        transformer: the kind of map.
        size: rows and columns of the output, (h, w); the input's where None.
        padding_mode: what the sampler reads outside of the input; see `F.grid_sample`.

    Raises TypeError for another transformer, ValueError for another size or padding_mode.

    >>> turn = SpatialTransformer(LocNet(), Rotation(), size=(14, 14))
    >>> turn(Tensor(np.zeros((2, 1, 28, 28), np.float32))).shape
    (2, 1, 14, 14)
    """

    def __init__(
        self,
        loc_net: nn.Module,
        transformer: Transformer,
        size: tuple[int, int] | None = None,
        padding_mode: str = "zeros",
    ) -> None:
        self.loc_net = loc_net
        _check_transformer("SpatialTransformer", transformer)
        if size is not None:
            output_size("SpatialTransformer", size)
        check_name("SpatialTransformer", "padding_mode", padding_mode, PADDINGS)
        self.transformer, self.size, self.padding_mode = transformer, size, padding_mode
        self._watchers: list[list[tuple[Transformer, Look]]] = []  # see `watch`
        self._steered: Tensor | None = None  # see `steer`

    def look(self, U: Tensor) -> Look:
        """Read the input (B, C, H, W) where the localisation network says, or where `steer` has it read."""
        parameters = self.loc_net(U) if self._steered is None else self._steered
        wanted = len(U), len(self.transformer.identity)
        if parameters.shape != wanted:
            expected = f"expected parameters of shape {wanted} for {self.transformer.name}"
            source = "its localisation network" if self._steered is None else "steer"
            raise ValueError(f"SpatialTransformer: {expected}, got {parameters.shape} from {source}")
        check_shape("SpatialTransformer", "input", U, "B, C, H, W")
        h, w = self.size or U.shape[2:]
        grid = self.transformer.grid(parameters, (h, w))
        V = F.grid_sample(U, grid, padding_mode=self.padding_mode, align_corners=True)
        look = Look(U, parameters, grid, V)
        for looks in self._watchers:
            looks.append((self.transformer, look))
        return look

    def forward(self, U: Tensor) -> Tensor:
        return self.look(U).V


def spatial_transformers(net: nn.Module) -> list[SpatialTransformer]:
    """The spatial transformers in a network, in the order of `net.modules()`."""
    return [module for module in net.modules() if isinstance(module, SpatialTransformer)]


def spatial_transformer(net: nn.Module, number: int = 0) -> SpatialTransformer:
    """One of the spatial transformers in a network, by its number in the order of `net.modules()`.

    Raises ValueError where the network has no such transformer.

    >>> spatial_transformer(STNClsNet()).transformer.parameter_names
    ('angle_deg',)
    """
    transformers = spatial_transformers(net)
    if not 0 <= number < len(transformers):
        there = f"from 0 to {len(transformers) - 1}" if transformers else "of a network that has some"
        raise ValueError(f"spatial_transformer: expected the number of one {there}, got {number}")
    return transformers[number]


def localisers(net: nn.Module) -> list[nn.Module]:
    """The localisation networks of the spatial transformers in a network."""
    return [module.loc_net for module in spatial_transformers(net)]


@contextlib.contextmanager
def watch(net: nn.Module) -> Iterator[list[tuple[Transformer, Look]]]:
    """Keep what each spatial transformer in a network does: inside, every look is appended to the list, in order.

    >>> net = STNClsNet().eval()
    >>> with watch(net) as looks:
    ...     log_probabilities = net(Tensor(np.zeros((2, 1, 28, 28), np.float32)))
    >>> [(transformer.name, look.parameters.shape) for transformer, look in looks]
    [('rotation', (2, 1))]
    """
    looks: list[tuple[Transformer, Look]] = []
    watched = spatial_transformers(net)
    for module in watched:
        module._watchers.append(looks)
    try:
        yield looks
    finally:
        for module in watched:
            module._watchers = [others for others in module._watchers if others is not looks]


@contextlib.contextmanager
def steer(net: nn.Module, parameters: Tensor, number: int = 0) -> Iterator[None]:
    """Let a spatial transformer in a network read where these parameters say, and not its localisation network.

    Args:
        parameters: (B, P), for the images that the network is given inside of the `with`.
        number: which transformer: see `spatial_transformer`.

    Raises ValueError where the network has no such transformer; inside, the network raises it for another shape.

    >>> net = STNClsNet().eval()
    >>> with steer(net, Tensor([[0.0], [np.pi / 2]])), watch(net) as looks:
    ...     log_probabilities = net(Tensor(np.eye(28, dtype=np.float32).reshape(1, 1, 28, 28).repeat(2, axis=0)))
    >>> looks[0][1].V.data[1, 0, 0, 27].round(3).item()  # a quarter turn takes one diagonal to the other
    1.0
    """
    steered = spatial_transformer(net, number)
    before, steered._steered = steered._steered, parameters
    try:
        yield
    finally:
        steered._steered = before


class Transformed(SpatialTransformer):
    """A spatial transformer in front of a classifier: (B, C, H, W) -> log-probabilities (B, classes)."""

    def __init__(
        self,
        loc_net: nn.Module,
        transformer: Transformer,
        cls_net: nn.Module,
        size: tuple[int, int] | None = None,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__(loc_net, transformer, size, padding_mode)
        self.cls_net = cls_net

    def forward(self, U: Tensor) -> Tensor:
        return self.cls_net(self.look(U).V)


class SideBySide(nn.Module):
    """Several spatial transformers side by side in front of a classifier, which gets all their outputs as channels.

    Args:
        transformers: each (B, C, H, W) -> (B, C, h, w).
        cls_net: (B, C * how many, h, w) -> log-probabilities (B, classes).

    Source: Jaderberg et al. 2015, appendix, MNIST addition.
    """

    def __init__(self, transformers: Sequence[SpatialTransformer], cls_net: nn.Module) -> None:
        self.transformers = nn.ModuleList(transformers)
        self.cls_net = cls_net

    def forward(self, U: Tensor) -> Tensor:
        return self.cls_net(F.cat([transformer(U) for transformer in self.transformers], dim=1))


class STNClsNet(Transformed):
    """The network of the blog post: a small CNN chooses the parameters, another one tells the class.

    Args:
        dropout: of the localisation network and of the classifier.
        transformer: the kind of map; rotations where None.
        image: (C, H, W) of the images.
        classes: how many there are.
    """

    loc_net: LocNet
    cls_net: ClsNet

    def __init__(
        self,
        dropout: float = 0.5,
        transformer: Transformer | None = None,
        image: Image = MNIST,
        classes: int = 10,
    ) -> None:
        transformer = Rotation() if transformer is None else transformer
        _check_transformer("STNClsNet", transformer)
        loc_net = LocNet(dropout, image, transformer.identity)
        super().__init__(loc_net, transformer, ClsNet(dropout, image, classes))


class Classifier(nn.Module):
    """The log-probabilities of the scores that a network gives."""

    def __init__(self, scores: nn.Module) -> None:
        self.scores = scores

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.scores(x), dim=1)


def start_at(last: nn.Linear, identity: np.ndarray) -> nn.Linear:
    """Give the last layer of a localisation network zero weights, and the identity as bias: it moves nothing yet."""
    last.load_state_dict({"weight": np.zeros(last.weight.shape, np.float32), "bias": identity})
    return last


# The paper's networks, section 4.1. All have about 400,000 weights or fewer, relu, no dropout.


def _after(size: int, *layers: tuple[int, int]) -> int:
    """The pixels along a side that are left of `size` after filters and pools: (filter, pool) for each layer."""
    for filter_size, pool in layers:
        size = (size - filter_size + 1) // pool
    return size


def paper_cnn(image: Image, classes: int) -> nn.Module:
    """9 x 9 and 7 x 7 convolutions with 32 filters each, 2 x 2 max pooling after both, one linear layer."""
    C, H, W = image
    h, w = (_after(n, (9, 2), (7, 2)) for n in (H, W))
    if h < 1 or w < 1:
        raise ValueError(f"paper_cnn: expected images of at least 24 x 24 pixels, got {H} x {W}")
    first = nn.Conv2d(C, 32, 9), nn.MaxPool2d(2), nn.ReLU()
    second = nn.Conv2d(32, 32, 7), nn.MaxPool2d(2), nn.ReLU()
    return Classifier(nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(32 * h * w, classes)))


def paper_fcn(image: Image, classes: int) -> nn.Module:
    """Two hidden linear layers of one width, such that there are about 400,000 weights."""
    n = math.prod(image)
    width = max(round((math.sqrt(n**2 + 4 * 400_000) - n) / 2), 1)  # n width + width^2 = 400,000
    first, second = (nn.Linear(n, width), nn.ReLU()), (nn.Linear(width, width), nn.ReLU())
    return Classifier(nn.Sequential(nn.Flatten(), *first, *second, nn.Linear(width, classes)))


def paper_cnn_localiser(image: Image, identity: np.ndarray) -> nn.Module:
    """2 x 2 max pooling, a 5 x 5 convolution with 20 filters, pooling, another 5 x 5 with 20, 20 hidden units."""
    C, H, W = image
    h, w = (_after(n // 2, (5, 2), (5, 1)) for n in (H, W))
    if h < 1 or w < 1:
        raise ValueError(f"paper_cnn_localiser: expected images of at least 28 x 28 pixels, got {H} x {W}")
    first = nn.MaxPool2d(2), nn.Conv2d(C, 20, 5), nn.MaxPool2d(2), nn.ReLU()
    second = nn.Conv2d(20, 20, 5), nn.ReLU(), nn.Flatten()
    hidden = nn.Linear(20 * h * w, 20), nn.ReLU()
    return nn.Sequential(*first, *second, *hidden, start_at(nn.Linear(20, len(identity)), identity))


def paper_fcn_localiser(image: Image, identity: np.ndarray) -> nn.Module:
    """Hidden linear layers of 32 units."""
    first, second = (nn.Linear(math.prod(image), 32), nn.ReLU()), (nn.Linear(32, 32), nn.ReLU())
    return nn.Sequential(nn.Flatten(), *first, *second, start_at(nn.Linear(32, len(identity)), identity))


class Network(NamedTuple):
    """A classifier, and the localisation network that goes with it."""

    classifier: Callable[..., nn.Module]  # (image, classes, dropout) -> Module
    localiser: Callable[..., nn.Module]  # (image, identity, dropout) -> Module


NETWORKS = {
    "blog": Network(
        lambda image, classes, dropout: ClsNet(dropout, image, classes),
        lambda image, identity, dropout: LocNet(dropout, image, identity),
    ),
    "cnn": Network(
        lambda image, classes, dropout: paper_cnn(image, classes),
        lambda image, identity, dropout: paper_cnn_localiser(image, identity),
    ),
    "fcn": Network(
        lambda image, classes, dropout: paper_fcn(image, classes),
        lambda image, identity, dropout: paper_fcn_localiser(image, identity),
    ),
}


def build(
    transformer: str,
    image: Image,
    classes: int,
    dropout: float = 0.0,
    network: str = "blog",
    parallel: int = 1,
    **settings: float,
) -> nn.Module:
    """The network of the command: a classifier behind transformers, or alone with the transformer "none".

    Args:
        transformer: a name of `TRANSFORMERS`, or "none".
        image: (C, H, W).
        classes: how many there are.
        dropout: of the blog's networks; the paper's have none.
        network: a name of `NETWORKS`.
        parallel: how many transformers read the image side by side.
        settings: of the transformer.

    Raises ValueError for other names and settings, for a dropout outside 0 .. 1, for fewer classes than one, and for
    images that the network cannot take.

    >>> type(build("none", (1, 28, 28), 10)).__name__
    'ClsNet'
    >>> net = build("affine", (2, 42, 42), 19, network="cnn", parallel=2)
    >>> net(Tensor(np.zeros((5, 2, 42, 42), np.float32))).shape
    (5, 19)
    """
    check_probability("build", "dropout", dropout)  # also where the network has none
    image, classes = image_shape("build", image), whole("build", "classes", classes, 1)
    check_name("build", "network", network, NETWORKS)
    check_name("build", "transformer", transformer, [*TRANSFORMERS, "none"])
    if isinstance(parallel, bool) or not isinstance(parallel, Integral) or not 1 <= parallel <= MOST_PARALLEL:
        raise ValueError(f"build: expected parallel from 1 to {MOST_PARALLEL}, got {one_line(parallel)}")
    make = NETWORKS[network]
    if transformer == "none":
        choose("none", {}, settings)  # it has no settings
        return make.classifier(image, classes, dropout)
    kind = TRANSFORMERS[transformer](**settings)
    if parallel == 1:
        loc_net = make.localiser(image, kind.identity, dropout)
        return Transformed(loc_net, kind, make.classifier(image, classes, dropout))
    readers = [SpatialTransformer(make.localiser(image, kind.identity, dropout), kind) for _ in range(parallel)]
    C, H, W = image
    return SideBySide(readers, make.classifier((parallel * C, H, W), classes, dropout))
