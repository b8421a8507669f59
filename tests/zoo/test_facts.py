"""What is measured of data and models."""

import jax
import jax.numpy as jnp
import numpy as np

from matrinox import nn
from matrinox.data import DataSet
from matrinox.data.text import TokenWindows
from matrinox.inspect import check
from matrinox.zoo import Characters, Parts, facts


def test_flops_are_those_of_one_example_in_inference_mode():
    """Dense of p=2, q=3, n=4: 2 · 12 · 8 · 4 of products and 48 of the bias; dropout has none."""
    dense = nn.Dense(p=2, q=3, n=4, key=jax.random.key(0))
    example = jax.ShapeDtypeStruct((2, 4, 4), jnp.float32)
    assert facts.count_flops(nn.Sequential([dense, nn.Dropout(0.5)]), example) == 2 * 12 * 8 * 4 + 48
    assert facts.count_flops(dense, example) == check(dense, (2, 4, 4), verbose=False).flops_forward


def test_extent_and_targets_are_of_all_examples_however_many():
    inputs = np.random.RandomState(0).normal(size=(9_000, 2)).astype(np.float32)
    inputs[8_999, 1], inputs[4_500, 0] = 77, -66
    data = DataSet(inputs, np.arange(9_000))
    assert facts.extent(data) == (-66.0, 77.0)
    assert facts.targets_of(data).tolist() == list(range(9_000))
    windows = TokenWindows(np.arange(9_000), 2)
    assert facts.extent(windows) == (0, 8_998)
    assert facts.targets_of(windows).tolist() == [[i + 1, i + 2] for i in range(8_998)]


def test_what_is_the_same_for_all_seeds_and_what_is_a_seeds_own():
    parts = Parts(*(TokenWindows(np.arange(start, 12), 3, name="abc") for start in (0, 2, 4)))
    assert facts.of_data(Characters("abc", length=3), parts) == {
        "name": "abc",
        "split": Characters("abc", length=3).split,
        "examples": {"train": 9, "validation": 7, "test": 5},
        "input": {"shape": [3], "dtype": "int32"},
    }
    hashes = {name: part.fingerprint() for name, part in parts._asdict().items()}
    assert facts.of_split(parts) == {"sha256": hashes, "least": 0, "most": 10}
