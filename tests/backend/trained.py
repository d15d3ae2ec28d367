"""Code for a process of its own: gradients of one small training, from threads and from forked processes."""

TRAINED = """
import hashlib, multiprocessing, os, signal, sys, threading
import numba, numpy as np
import npstn, npstn.functional as F
from npstn import models

npstn.manual_seed(0)
net = models.STNClsNet().eval()
net.loc_net.cnn.fc2.bias.data[...] = 0.3
weights = {name: array.copy() for name, array in net.state_dict().items()}

def gradients(seed):
    'A hash of all gradients of the net, for the images of this seed.'
    own = models.STNClsNet().eval()
    own.load_state_dict(weights)
    rng = np.random.default_rng(seed)
    images = npstn.Tensor(rng.random((20, 1, 28, 28), np.float32))
    F.nll_loss(own(images), rng.integers(0, 10, 20)).backward()
    return hashlib.sha256(b"".join(p.grad.tobytes() for p in own.parameters())).hexdigest()

def in_threads(count, repeat):
    'The gradients that each thread finds, seed by seed, all threads at once.'
    found, start = [None] * count, threading.Barrier(count)
    def work(seed):
        start.wait()
        found[seed] = {gradients(seed) for _ in range(repeat)}
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return found

def in_child(work):
    'Whether work() is true in a forked process.'
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(100)  # a child that hangs must not outlive the test
        os._exit(0 if work() else 1)
    return os.waitpid(child, 0)[1] == 0
"""
