"""Fixtures that every room's tests share."""

import jax
import pytest


@pytest.fixture
def x64():
    """64-bit JAX for the length of one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True, scope="module")
def compiled_programs_are_dropped():
    """Kept over all modules, thousands of compiled programs would take more memory than small machines have."""
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True, scope="module")
def small_programs_are_compiled_quickly(request):
    """Most programs of tests run once or twice: to optimise their machine code takes longer than that.

    Rooms that train, benchmarks, and modules marked `optimised`, as they look at what is compiled, get the programs
    that users get.
    """
    trains = request.path.parent.name in ("benchmarks", "train", "zoo")
    quick = not trains and request.node.get_closest_marker("optimised") is None
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", before or quick)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
