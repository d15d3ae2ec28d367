"""The networks of `models.build` in PyTorch, with the same names in their state_dict."""

import numpy as np


def torch_network(torch, transformer, image, classes, network, parallel=1):
    """The twin of `models.build(transformer.name, ...)`, in eval mode, with weights of its own."""
    nn, F = torch.nn, torch.nn.functional
    C, H, W = image

    def side(n, layers):
        for filter_size, pool in layers:
            n = (n - filter_size + 1) // pool
        return n

    class CNN(nn.Module):
        def __init__(self, channels, outputs):
            super().__init__()
            h, w = (side(n, [(5, 2), (5, 2)]) for n in (H, W))
            self.conv1, self.conv2 = nn.Conv2d(channels, 10, 5), nn.Conv2d(10, 20, 5)
            self.fc1, self.fc2 = nn.Linear(20 * h * w, 50), nn.Linear(50, outputs)

        def forward(self, x):
            x = F.relu(F.max_pool2d(self.conv1(x), 2))
            x = F.relu(F.max_pool2d(self.conv2(x), 2))
            return self.fc2(F.relu(self.fc1(x.flatten(1))))

    class Named(nn.Module):
        """A module under another name, and what becomes of its output."""

        def __init__(self, name, module, after=lambda x: x):
            super().__init__()
            setattr(self, name, module)
            self.name, self.after = name, after

        def forward(self, x):
            return self.after(getattr(self, self.name)(x))

    def log_probabilities(x):
        return F.log_softmax(x, dim=1)

    def fully(numbers, width, outputs):
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(numbers, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, outputs),
        )

    def classifier(channels):
        if network == "blog":
            return Named("cnn", CNN(channels, classes), log_probabilities)
        if network == "fcn":
            n = channels * H * W
            width = round((np.sqrt(n**2 + 1_600_000) - n) / 2)
            return Named("scores", fully(n, width, classes), log_probabilities)
        h, w = (side(n, [(9, 2), (7, 2)]) for n in (H, W))
        first, second = ((nn.Conv2d(c, 32, n), nn.MaxPool2d(2), nn.ReLU()) for c, n in ((channels, 9), (32, 7)))
        layers = nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(32 * h * w, classes))
        return Named("scores", layers, log_probabilities)

    def localiser(outputs):
        if network == "blog":
            return Named("cnn", CNN(C, outputs))
        if network == "fcn":
            return fully(C * H * W, 32, outputs)
        h, w = (side(n // 2, [(5, 2), (5, 1)]) for n in (H, W))
        layers = nn.MaxPool2d(2), nn.Conv2d(C, 20, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(20, 20, 5), nn.ReLU()
        hidden = nn.Flatten(), nn.Linear(20 * h * w, 20), nn.ReLU(), nn.Linear(20, outputs)
        return nn.Sequential(*layers, *hidden)

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.loc_net = localiser(len(transformer.identity))

        def read(self, U):
            grid = torch_grid(torch, transformer, self.loc_net(U), (H, W))
            return F.grid_sample(U, grid, align_corners=True)

        forward = read

    class Transformed(Reader):
        def __init__(self):
            super().__init__()
            self.cls_net = classifier(C)

        def forward(self, U):
            return self.cls_net(self.read(U))

    class SideBySide(nn.Module):
        def __init__(self):
            super().__init__()
            self.transformers = nn.ModuleList([Reader() for _ in range(parallel)])
            self.cls_net = classifier(parallel * C)

        def forward(self, U):
            return self.cls_net(torch.cat([reader(U) for reader in self.transformers], dim=1))

    return (Transformed() if parallel == 1 else SideBySide()).eval()


def torch_grid(torch, transformer, p, size):
    """The grid of a kind of map for parameters p (B, P), by formula."""
    h, w = size
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n, dtype=torch.float64).to(p) for n in size), indexing="ij")
    if transformer.name == "affine":
        theta = p.reshape(-1, 2, 3)
        return torch.nn.functional.affine_grid(theta, [len(p), 1, h, w], align_corners=True)
    if transformer.name == "projective":
        p = p[:, :, None, None]
        below = p[:, 6] * x + p[:, 7] * y + 1
        return torch.stack(
            [(p[:, 0] * x + p[:, 1] * y + p[:, 2]) / below, (p[:, 3] * x + p[:, 4] * y + p[:, 5]) / below], dim=3
        )
    assert transformer.name == "tps"
    c = torch.from_numpy(transformer.control_points)
    K = len(c)

    def U(z):  # r^2 ln r
        r = torch.cdist(z, c, compute_mode="donot_use_mm_for_euclid_dist")
        return torch.xlogy(r**2, r)

    def row(z):  # of the spline's linear system, for points z (N, 2)
        return torch.cat([U(z), torch.ones(len(z), 1, dtype=z.dtype), z], dim=1)

    L = torch.cat([row(c), torch.cat([torch.ones(K, 1, dtype=c.dtype), c], dim=1).T @ torch.eye(K, K + 3).double()])
    z = torch.stack([x.ravel(), y.ravel()], dim=1).double()
    points = (torch.tanh(p) if transformer.bounded else p).reshape(len(p), K, 2)
    M = (row(z) @ torch.linalg.inv(L)[:, :K]).to(p)
    return (M @ points).reshape(len(p), h, w, 2)
