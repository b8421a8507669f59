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
