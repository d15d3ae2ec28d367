# %% [markdown]
# # A trained localiser for another classifier
#
# The localiser of a spatial transformer learned to turn digits upright because that helped one classifier. It will
# help others too. Here it is frozen, and a classifier that could never deal with turned digits itself, a single
# linear layer, is trained on the images that it hands on.

# %%
import numpy as np

import npstn
import npstn.functional as F
from npstn import Tensor, models, nn, optim, training
from npstn.data import batches, draw_digits

angle = 45
digits = draw_digits(2000, seed=0)
test = training.fixed_test_set(*draw_digits(500, seed=1), angle, seed=0)

# %% [markdown]
# ## The localiser
#
# We train a small one on the spot. If you have a run of `npstn train`, its localiser is better, and this cell is
#
#     net = models.STNClsNet()
#     net.load_state_dict(npstn.load("runs/.../weights.safetensors"))

# %%
npstn.manual_seed(0)
net = models.STNClsNet(dropout=0.0)
optimizer = optim.AdamW(net.parameters())
epochs, batch_size = 5, 32
schedule = optim.OneCycleLR(optimizer, max_lr=4e-3, total_steps=epochs * -(-len(digits[0]) // batch_size))
for _ in range(epochs):
    for batch in batches(*digits, angle, batch_size, npstn.backend.random.generator()):
        optimizer.zero_grad()
        F.nll_loss(net(Tensor(batch.images)), batch.labels).backward()
        optimizer.step()
        schedule.step()
score = training.evaluate(net, test)
correlation = score.angle_correlation(test.degrees)
print(f"the network that it was trained in: {score.accuracy:.1f} %, angle correlation {correlation:.2f}")

# %% [markdown]
# ## Frozen
#
# A weight that does not require grad gets no gradient, so no optimiser moves it, and the tape does not even start
# there. Since the localiser stays as it is, its images are made without a tape at all: `training.turned`.

# %%
net.eval()
for parameter in net.loc_net.parameters():
    parameter.requires_grad = False
before = net.loc_net.state_dict()


class Linear(nn.Module):
    """The other classifier: each class is one weighted sum of the pixels."""

    def __init__(self):
        self.fc = nn.Linear(28 * 28, 10)

    def forward(self, x):
        return self.fc(x.reshape(len(x), 28 * 28))


def train(prepare):
    """Train a linear classifier on what `prepare` makes of the images; the test digits that it reads, in percent."""
    npstn.manual_seed(0)  # the same weights, angles and order of the digits, for a fair comparison
    classifier = Linear()
    optimizer = optim.Adam(classifier.parameters(), lr=2e-3)
    for _ in range(6):
        for batch in batches(*digits, angle, batch_size, npstn.backend.random.generator()):
            optimizer.zero_grad()
            F.cross_entropy(classifier(Tensor(prepare(batch.images))), batch.labels).backward()
            optimizer.step()
    with npstn.no_grad():
        scores = classifier(Tensor(prepare(test.images)))
    return 100 * (scores.numpy().argmax(axis=1) == test.labels).mean()


alone = train(lambda images: images)
behind = train(lambda images: training.turned(net, images))
print(f"a linear classifier on digits turned within {angle} degrees: {alone:.1f} %")
print(f"the same behind the frozen localiser: {behind:.1f} %")
assert behind > alone + 3

# %% [markdown]
# ## Or as one network
#
# Where the new classifier is to be trained on, both in one, put it in the place of the old. The frozen weights have
# no gradient, and the optimiser leaves them alone.

# %%
net.cls_net = Linear()
optimizer = optim.Adam(net.parameters(), lr=2e-3)
for batch in batches(*digits, angle, batch_size, npstn.backend.random.generator()):
    optimizer.zero_grad()
    loss = F.cross_entropy(net(Tensor(batch.images)), batch.labels)
    loss.backward()
    optimizer.step()
assert net.cls_net.fc.weight.grad is not None
assert all(parameter.grad is None for parameter in net.loc_net.parameters())
assert all(np.array_equal(array, before[name]) for name, array in net.loc_net.state_dict().items())
print("after an epoch as one network the localiser's weights are what they were, to the last bit")
