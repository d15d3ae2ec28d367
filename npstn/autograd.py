"""The tape: tensors that remember which operation made them, and the walk that carries gradients back.

A forward pass leaves a chain of contexts behind, one for each operation that was applied:

    x ---- Square.apply ----> y ---- Sum.apply ----> loss
    Tensor    Context            Context

    loss._context.sources = [Square's Context]       where the gradient of each input goes
    y._context.sources    = [x]                      x is a leaf: its gradient is added to x.grad

`loss.backward()` walks the chain from the youngest operation to the oldest. It gives each operation the gradient of its
result and gets the gradients of its inputs. This module knows no particular operation; they live in `npstn.ops`.
"""

from __future__ import annotations

import contextlib
import heapq
import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from npstn import changes
from npstn.backend.memory import keep_freed_memory
from npstn.backend.switch import Switch
from npstn.numpy_face import FLOATS, NumpyFace, array_of_floats, native


class Tensor(NumpyFace):
    """An array that gradients flow through.

    Args:
        data: an array, number or nested list of numbers; it is copied. Arrays of float32 and float64 keep their dtype;
            integers, booleans and plain Python numbers become float32.
        requires_grad: whether `backward` leaves the gradient in `.grad`, an ndarray of the same shape and dtype.

    Raises TypeError for any other dtype, ValueError for lists of different lengths.

    >>> x = Tensor([1, 2, 3], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4., 6.], dtype=float32)
    """

    __slots__ = ("_array", "_context", "_used", "grad", "requires_grad")

    if TYPE_CHECKING:  # the methods that are operations, listed in npstn/__init__.py

        def __getattr__(self, name: str) -> Callable[..., Tensor]: ...

        def __getitem__(self, index: Any) -> Tensor: ...

        def __mul__(self, other: Any) -> Tensor: ...

        def __add__(self, other: Any) -> Tensor: ...

        def __matmul__(self, other: Any) -> Tensor: ...

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        keep_freed_memory()  # before the first array that a kernel reads is made
        self._array: np.ndarray = array_of_floats(data)
        self._used = False  # whether an operation has had it: the operation, or one that took a view, may have saved it
        self.requires_grad = requires_grad
        self.grad: np.ndarray | None = None
        self._context: Context | None = None

    @classmethod
    def _wrap(cls, array: np.ndarray) -> Tensor:
        """Make a tensor of an array that the library made itself, without copy or check."""
        tensor = object.__new__(Tensor)
        tensor._array, tensor._used = array, False
        tensor.requires_grad, tensor.grad, tensor._context = False, None, None
        return tensor

    @property
    def data(self) -> np.ndarray:
        """The array itself, not a copy.

        What is written into it, or assigned to it, is not on the tape. If a backward would need the numbers that were
        there before, it raises RuntimeError. Raises TypeError for anything but floats.
        """
        viewed = self._array.base is not None
        changes.hand_out(self._array, maybe_saved=self._used or viewed or self._context is not None)
        return self._array

    @data.setter
    def data(self, array: Any) -> None:
        array = native(np.asarray(array))  # NumPy's arithmetic gives a scalar where an array has no axes
        if array.dtype not in FLOATS:
            raise TypeError(f"Tensor.data: expected an array of float32 or float64, got {array.dtype}")
        changes.note_changes([self._array])
        self._array = array
        changes.hand_out(array, maybe_saved=False)

    @property
    def T(self) -> Tensor:
        """The axes in reverse order; of a matrix, its transpose. Raises ValueError for more than two axes."""
        if self.ndim > 2:
            raise ValueError(f"T: expected at most two axes, got shape {self.shape}; use transpose(dim0, dim1)")
        return self.transpose(0, 1) if self.ndim == 2 else self

    def detach(self) -> Tensor:
        """A tensor that shares the memory but is not on the tape."""
        tensor = Tensor._wrap(self._array)
        self._used = tensor._used = True
        return tensor

    def retain_grad(self) -> None:
        """Let `backward` leave the gradient in `.grad` of this tensor too, though it is the result of an operation.

        >>> x = Tensor([2.0], requires_grad=True)
        >>> y = x * x
        >>> y.retain_grad()
        >>> (3 * y).backward()
        >>> y.grad
        array([3.], dtype=float32)
        """
        if self._context is not None:
            self._context.retained = self

    def backward(self, gradient: np.ndarray | Tensor | None = None) -> None:
        """Add the gradient of each leaf that requires it to the leaf's `.grad`, and free the graph.

        The gradient of a leaf x is that of the sum of gradient * self: dx = Σ gradient ∂self/∂x.

        Args:
            gradient: the upstream gradient, of this tensor's shape and dtype; optional for a single number, then 1.

        Raises RuntimeError if this tensor does not require grad, if several numbers have no `gradient`, if an earlier
        backward has freed the graph, and if an array that it needs was changed after the forward; ValueError or
        TypeError for a gradient of another shape or dtype. After an error every `.grad` is unchanged.
        """
        if not self.requires_grad:
            raise RuntimeError("backward: expected a tensor that requires grad, got one that does not")
        if gradient is None:
            if self._array.size != 1:
                raise RuntimeError(f"backward: expected a gradient for a tensor of shape {self.shape}, got none")
            gradient = np.ones_like(self._array)
        dy = gradient._array if isinstance(gradient, Tensor) else native(np.asarray(gradient))
        if dy.shape != self.shape or dy.dtype != self.dtype:
            raise _unlike("backward: expected a gradient", dy, self)
        _walk(self._context or self, dy)


class Context:
    """One application of an operation, with what its forward keeps for its backward.

    Attributes:
        needs_input_grad: for each input, whether its gradient will be used.
        saved: the arrays that forward gave to `save_for_backward`.
        shape, dtype: those of the result, and so of the gradient that backward gets.

    Forward may keep plain values, such as a stride, as further attributes.
    """

    copies: dict[int, bytes] | None = None  # of saved arrays that the caller may change
    retained: Tensor | None = None  # the result, if `retain_grad` was called on it

    def __init__(self, function: type[Function], sources: list[Context | Tensor | None]) -> None:
        self.function = function
        # A source is the operation that gave an input, not the input: an input that no forward saved can be freed.
        self.sources: list[Context | Tensor | None] | None = sources
        self.needs_input_grad = tuple([source is not None for source in sources])
        self.saved: tuple[Any, ...] = ()
        self.age = changes.now()
        self.shape: tuple[int, ...]
        self.dtype: np.dtype

    if TYPE_CHECKING:  # the attributes that a forward sets

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: Any) -> None: ...

    def save_for_backward(self, *arrays: Any) -> None:
        self.saved = arrays


class Function:
    """An operation: a forward and a backward, which take and give ndarrays.

    >>> class Square(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...
    ...     @staticmethod
    ...     def backward(ctx, dy):
    ...         (x,) = ctx.saved
    ...         return 2 * x * dy
    >>> Square.apply(Tensor([3.0]))
    Tensor([9.], dtype=float32)

    `backward` gets dy, the gradient of the result, and returns the gradient of each input of `forward`, or None where
    an input has none. It must not change `dy` or the saved arrays. Messages call the operation by its `name`, the
    class's in snake case unless the class sets another, and the saved arrays by the names in `keeps`. The gradients of
    leaves are copied, unless `gives_new_arrays` promises that nothing else refers to the arrays that `backward`
    returns.
    """

    name: str = "function"
    keeps: tuple[str, ...] = ()
    gives_new_arrays = False

    def __init_subclass__(cls) -> None:
        if "name" not in vars(cls):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    @staticmethod
    def forward(ctx: Context, *inputs: Any) -> np.ndarray:
        raise TypeError("Function: expected a subclass that defines forward, got one without")

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        raise TypeError("Function: expected a subclass that defines backward, got one without")

    @classmethod
    def apply(cls, *inputs: Any) -> Tensor:
        """Run forward on the arrays of `inputs`, and put it on the tape if an input requires grad."""
        recording = not no_grad.is_on()
        arrays, sources, given = [], [], []
        for x in inputs:
            source = None
            if isinstance(x, Tensor):
                x._used = True
                if recording and x.requires_grad:
                    source = x._context or x
                x = x._array
            elif isinstance(x, np.ndarray):
                x = native(x)
                if x.flags.writeable or x.base is not None:  # else nobody can write to it
                    given.append(x)
            arrays.append(x)
            sources.append(source)
        ctx = Context(cls, sources)
        y = cls.forward(ctx, *arrays)
        if not isinstance(y, np.ndarray):
            if isinstance(y, (tuple, list)):
                kind = type(y).__name__
                raise TypeError(f"{cls.name}: expected forward to return one array, got a {kind} of {len(y)}")
            y = np.asarray(y)  # NumPy gives a scalar where the result has no axes
        if y.dtype not in FLOATS:
            raise TypeError(f"{cls.name}: expected forward to give float32 or float64, got {y.dtype}")
        result = Tensor._wrap(y)
        if True in ctx.needs_input_grad:
            ctx.shape, ctx.dtype = y.shape, y.dtype
            if given or changes.handed_out:
                ctx.copies = changes.copies(ctx.saved, given)
            result.requires_grad, result._context = True, ctx
        if _mode.steps is not None:
            _mode.steps.append(Step(cls, inputs, result))
        return result


class Step(NamedTuple):
    """An operation that was applied: what to, and what came out."""

    function: type[Function]
    inputs: tuple
    result: Tensor


class _Mode(threading.local):
    steps: list[Step] | None = None  # see `watch_steps`


_mode = _Mode()


class no_grad(Switch):
    """Switch the tape off: in the `with`, results do not require grad and keep nothing. Also a decorator.

    >>> x = Tensor([1.0], requires_grad=True)
    >>> with no_grad():
    ...     (x * 2).requires_grad
    False
    """


@contextlib.contextmanager
def watch_steps() -> Iterator[list[Step]]:
    """Keep what operations do: inside, each one that is applied in this thread is appended to the list, in order.

    >>> with watch_steps() as steps:
    ...     y = Tensor([1.0]) * 2 + 3
    >>> [step.function.name for step in steps]
    ['mul', 'add']
    """
    before, _mode.steps = _mode.steps, []
    try:
        yield _mode.steps
    finally:
        if before is not None:  # one `with` in another
            before.extend(_mode.steps)
        _mode.steps = before


@np.errstate(under="ignore")  # a gradient that is too small for the dtype is 0
def _walk(root: Context | Tensor, dy: np.ndarray) -> None:
    """Carry `dy` from `root` back to the leaves.

    An operation is younger than the operations that gave its inputs. If the youngest goes first, all users of a result
    have had their turn before the operation that gave it, so its gradient is complete. Waiting operations are in a
    heap, because a recursion would fail on long chains.
    """
    gradients: dict[Context | Tensor, np.ndarray] = {root: dy if isinstance(root, Context) else np.array(dy)}
    waiting = [(-root.age, root)] if isinstance(root, Context) else []
    retained: list[tuple[Tensor, np.ndarray]] = []
    while waiting:
        _, ctx = heapq.heappop(waiting)
        dy = gradients.pop(ctx)
        if ctx.retained is not None:
            retained.append((ctx.retained, np.array(dy)))
        for source, dx in _gradients_of_inputs(ctx, dy):
            if source in gradients:
                gradients[source] = np.asarray(gradients[source] + dx)  # a new array: the old one may be shared
            elif isinstance(source, Context):
                gradients[source] = dx
                heapq.heappush(waiting, (-source.age, source))
            else:
                gradients[source] = dx if ctx.function.gives_new_arrays else np.array(dx)
    sums: list[tuple[Tensor, np.ndarray]] = []
    for leaf, dx in gradients.items():
        assert isinstance(leaf, Tensor)
        sums.append((leaf, dx if leaf.grad is None else np.asarray(leaf.grad + dx)))
    for tensor, total in (*retained, *sums):  # not before: an error on the way leaves every `.grad` as it was
        tensor.grad = total


def _gradients_of_inputs(ctx: Context, dy: np.ndarray) -> list[tuple[Context | Tensor, np.ndarray]]:
    """Run one backward, free what forward kept, and give each source that needs a gradient with its gradient."""
    name = ctx.function.name
    if ctx.sources is None:
        raise RuntimeError(f"backward: the graph was freed by an earlier backward (at {name}); run forward again")
    if changes.last_change > ctx.age or changes.handed_out or ctx.copies:  # else nothing can have changed
        _check_saved(ctx)
    gradients = ctx.function.backward(ctx, dy)
    if not isinstance(gradients, tuple):
        gradients = (gradients,)
    sources, ctx.sources, ctx.saved, ctx.copies = ctx.sources, None, (), None
    if len(gradients) != len(sources):
        raise ValueError(f"{name}: expected backward to give {len(sources)} gradients, got {len(gradients)}")
    needed = []
    for i, source in enumerate(sources):
        if source is not None and gradients[i] is not None:
            dx = np.asarray(gradients[i])
            if dx.shape != source.shape or dx.dtype != source.dtype:
                raise _unlike(f"{name}: expected backward to give input {i} a gradient", dx, source)
            needed.append((source, dx))
    return needed


def _check_saved(ctx: Context) -> None:
    """Raise RuntimeError where an array that forward saved was changed since."""
    place = changes.changed(ctx.saved, ctx.copies or {}, ctx.age)
    if place is not None:
        name, keeps = ctx.function.name, ctx.function.keeps
        what = f"{keeps[place] if keeps else f'saved array {place}'} of shape {ctx.saved[place].shape}"
        raise RuntimeError(f"{name}: expected {what} as forward saw it, got changed numbers: run forward again")


def _unlike(expected: str, dy: np.ndarray, y: Context | Tensor) -> Exception:
    """The error for a gradient of y whose shape or dtype is not that of y."""
    if dy.shape != y.shape:
        return ValueError(f"{expected} of shape {y.shape}, got {dy.shape}")
    return TypeError(f"{expected} of dtype {y.dtype}, got {dy.dtype}")
