import jax
import numpy as np

from matrinox import nn


def test_transpose_makes_columns_of_rows():
    x = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    assert np.array_equal(nn.Transpose()(x), [matrix.T for matrix in x])


def test_transposing_lets_columns_meet_between_dense_layers():
    """What stands in one column reaches, behind two layers, the other one only if it is transposed between them."""
    first, last = (nn.Dense(p=1, q=1, n=2, key=key) for key in jax.random.split(jax.random.key(0)))
    x = np.eye(2, dtype=np.float32)[None]
    changed = x + np.array([[0, 0], [0, 1]], np.float32)
    for between, meet in ((lambda y: y, False), (nn.Transpose(), True)):
        chain = nn.Sequential([first, between, last])
        assert np.any(chain(x)[..., 0] != chain(changed)[..., 0]) == meet
