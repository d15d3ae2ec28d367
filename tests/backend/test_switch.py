"""The switches of a `with`: used again, nested, as decorators, in generators, one for each thread."""

import threading

import pytest

import npstn
from npstn import Tensor, no_grad
from npstn.ops.reference import plain_loops


def recording():
    return (Tensor([1.0], requires_grad=True) * 2).requires_grad


SWITCHES = {"no_grad": (no_grad, lambda: not recording()), "reference": (npstn.reference, plain_loops)}
every_switch = pytest.mark.parametrize(("switch", "is_on"), SWITCHES.values(), ids=SWITCHES)


@every_switch
def test_one_object_serves_many_withs(switch, is_on):
    one = switch()
    for _ in range(2):
        with one:
            assert is_on()
            with one:
                assert is_on()
            assert is_on()
        assert not is_on()


@every_switch
def test_an_error_inside_switches_off(switch, is_on):
    with pytest.raises(KeyError), switch():
        raise KeyError
    assert not is_on()


@every_switch
def test_a_function(switch, is_on):
    @switch()
    def function(depth):
        """Its text."""
        return is_on() and (depth == 0 or function(depth - 1))

    assert function(3) and function(0) and not is_on()
    assert function.__doc__ == "Its text."


@every_switch
def test_a_generator_function(switch, is_on):
    seen = []

    @switch()
    def generator(first):
        try:
            got = yield first, is_on()
            seen.append((got, is_on()))
            try:
                yield is_on()
            except KeyError:
                seen.append(("caught", is_on()))
            yield is_on()
        finally:
            seen.append(("closed", is_on()))

    running = generator(7)
    assert not is_on()
    assert next(running) == (7, True)
    assert not is_on()
    assert running.send("sent")
    assert running.throw(KeyError)
    assert not is_on()
    running.close()
    assert not is_on()
    assert seen == [("sent", True), ("caught", True), ("closed", True)]


@every_switch
def test_a_generator_that_ends_gives_its_value(switch, is_on):
    @switch()
    def three():
        yield from range(3)
        return "end"

    def outer():
        return (yield from three())

    running, found = outer(), []
    with pytest.raises(StopIteration) as ended:
        while True:
            found.append(next(running))
    assert found == [0, 1, 2] and ended.value.value == "end"


@every_switch
def test_a_coroutine_function_is_refused(switch, is_on):
    async def wait():
        pass

    async def values():
        yield 1

    for function in (wait, values):
        with pytest.raises(TypeError, match=f"^{switch.__name__}: expected a function, got a coroutine function: "):
            switch()(function)


@every_switch
def test_one_object_in_two_threads(switch, is_on):
    one, inside, go_on, seen = switch(), threading.Event(), threading.Event(), []

    def other():
        with one:
            inside.set()
            go_on.wait(10)
            seen.append(is_on())
        seen.append(is_on())

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    assert not is_on()
    with one:
        pass
    go_on.set()
    thread.join()
    assert seen == [True, False]
