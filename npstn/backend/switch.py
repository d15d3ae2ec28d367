"""A switch that is on inside a `with`."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any


class _Inside(threading.local):
    depth = 0


class Switch(contextlib.ContextDecorator):
    """A switch that is on inside a `with`, in one thread of Python. Each subclass is one switch.

    An object of it serves any number of `with`s, also one inside another. It is a decorator, too: of a function, and
    of a generator function, whose body runs with the switch on and whose caller, between two values, without.

    Raises TypeError where it decorates a coroutine function: others would run inside while that one waits.

    >>> class Loud(Switch):
    ...     pass
    >>> with Loud():
    ...     Loud.is_on()
    True
    >>> Loud.is_on()
    False
    """

    _inside: _Inside

    def __init_subclass__(cls) -> None:
        cls._inside = _Inside()

    @classmethod
    def is_on(cls) -> bool:
        return cls._inside.depth > 0

    def __enter__(self) -> None:
        self._inside.depth += 1

    def __exit__(self, *error: object) -> None:
        self._inside.depth -= 1

    def __call__(self, function: Callable[..., Any]) -> Any:
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            name = type(self).__name__
            raise TypeError(f"{name}: expected a function, got a coroutine function: use `with {name}():` inside it")
        if not inspect.isgeneratorfunction(function):
            return super().__call__(function)

        @functools.wraps(function)
        def switched(*args: Any, **options: Any) -> Iterator[Any]:
            body = function(*args, **options)
            go_on = functools.partial(body.send, None)
            while True:
                try:
                    with self:
                        value = go_on()
                except StopIteration as end:
                    return end.value
                try:
                    sent = yield value
                except GeneratorExit:
                    with self:
                        body.close()
                    raise
                except BaseException as error:  # the caller's `throw`: the body may catch it
                    go_on = functools.partial(body.throw, error)
                else:
                    go_on = functools.partial(body.send, sent)

        return switched
