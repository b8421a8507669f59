"""What the tests of pools share: the oracle."""

from math import prod

import numpy as np
import pytest


def cut(x, window, stride, pads, dilation, spread, fill):
    """`(*space, p, n, n)` to `(window, *space', p, n, n)`, place by place; every option for each axis."""
    axes = len(window)
    wide = np.full(
        (*((size - 1) * k + 1 for size, k in zip(x.shape, spread, strict=False)), *x.shape[axes:]), fill, float
    )
    wide[tuple(slice(None, None, k) for k in spread)] = x
    wide = np.pad(wide, (*pads, (0, 0), (0, 0), (0, 0)), constant_values=fill)
    extents = [(size - 1) * k + 1 for size, k in zip(window, dilation, strict=True)]
    out = [(size - e) // s + 1 for size, e, s in zip(wide.shape, extents, stride, strict=False)]
    entries = np.empty((prod(window), *out, *x.shape[axes:]))
    for place in np.ndindex(*out):
        for i, entry in enumerate(np.ndindex(*window)):
            met = tuple(a * s + b * d for a, s, b, d in zip(place, stride, entry, dilation, strict=True))
            entries[(i, *place)] = wide[met]
    return entries


@pytest.fixture
def windows_by_hand():
    """A loop in NumPy that gathers what each window meets."""
    return cut
