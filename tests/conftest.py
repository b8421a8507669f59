"""Fixtures that every room's tests share."""

import jax
import pytest


@pytest.fixture
def x64():
    """64-bit JAX for the length of one test."""
    with jax.enable_x64(True):
        yield
