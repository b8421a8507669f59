import equinox as eqx
import jax
import jax.numpy as jnp
import matnets
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.params import MatrixParams, init


def test_sizes_are_read_off_the_weight():
    params = MatrixParams(W=jnp.ones((3, 2, 5, 6, 4, 4)), B=jnp.ones((3, 4, 4)))
    assert (params.q, params.p, params.n, params.kernel) == (3, 2, 4, (5, 6))
    assert MatrixParams(jnp.ones((3, 2, 4, 4))).kernel == ()


def test_params_are_a_pytree_whose_bias_may_be_absent():
    params = MatrixParams(jnp.ones((3, 2, 4, 4)))
    assert [leaf.shape for leaf in jax.tree.leaves(params)] == [(3, 2, 4, 4)]
    doubled = jax.jit(lambda params: jax.tree.map(lambda leaf: 2 * leaf, params))(params)
    assert isinstance(doubled, MatrixParams)
    assert np.array_equal(doubled.W, 2 * params.W)
    assert doubled.B is None


def test_params_can_be_stacked_and_built_under_vmap():
    keys = jax.random.split(jax.random.key(0), 5)
    stack = eqx.filter_vmap(lambda key: init(key, p=2, q=3, n=4))(keys)
    assert stack.W.shape == (5, 3, 2, 4, 4)
    assert stack.B.shape == (5, 3, 4, 4)


def test_numpy_arrays_become_jax_arrays():
    params = MatrixParams(np.ones((3, 2, 4, 4), np.float32), np.ones((3, 4, 4), np.float32))
    assert isinstance(params.W, jax.Array)
    assert isinstance(params.B, jax.Array)


@pytest.mark.parametrize(
    ("W", "B", "fact"),
    [
        ((3, 2, 4, 5), (3, 4, 4), "axis -1 is 5, n is 4"),
        ((3, 2, 4), None, "3 axes"),
        ((3, 2, 4, 4), (2, 4, 4), "q is 3"),
        ((3, 2, 4, 4), (3, 5, 5), "n is 4"),
        ((3, 2, 4, 4), (3,), "1 axis"),
    ],
)
def test_params_refuse_a_wrong_shape(W, B, fact):
    with pytest.raises(ContractError, match=fact):
        MatrixParams(jnp.ones(W), None if B is None else jnp.ones(B))


def test_params_refuse_lists_and_integers():
    with pytest.raises(ContractError, match="W as a list"):
        MatrixParams([[[[1.0]]]])
    with pytest.raises(ContractError, match="int32"):
        MatrixParams(jnp.ones((3, 2, 4, 4), jnp.int32))


@pytest.mark.parametrize(
    ("kernel", "axes", "message"),
    [
        ((), 1, r"`matrix_conv1d` takes W \(q, p, r, n, n\), got W \(3, 2, 4, 4\) with 0 kernel axes: use `dense`"),
        ((5,), 0, r"`dense` takes W \(q, p, n, n\), got W \(3, 2, 5, 4, 4\) with 1 kernel axis: use `matrix_conv1d`"),
        (
            (5, 5),
            3,
            r"`matrix_conv3d` takes W \(q, p, kernel_d, kernel_h, kernel_w, n, n\), .* 2 kernel axes: use .*2d`",
        ),
        (
            (1, 1, 1, 1),
            2,
            r"`matrix_conv2d` takes W \(q, p, kernel_h, kernel_w, n, n\), got .* with 4 kernel axes: give it fewer",
        ),
    ],
)
def test_a_weight_with_other_kernel_axes_is_refused_with_the_function_that_takes_it(kernel, axes, message):
    params = MatrixParams(jnp.ones((3, 2, *kernel, 4, 4)))
    params.require_kernel(len(kernel))
    with pytest.raises(ContractError, match=message):
        params.require_kernel(axes)


def test_init_equals_matnets_init():
    key = jax.random.key(0)
    ours, theirs = init(key, 5, 7, 3), matnets.init(key, 5, 7, 3)
    assert np.array_equal(ours.W, theirs.W)
    assert np.array_equal(ours.B, theirs.B)


def test_init_is_uniform_within_the_glorot_limit():
    params = init(jax.random.key(0), p=20, q=30, n=4)
    limit = np.sqrt(6 / (20 * 4 + 30 * 4))
    assert np.abs(params.W).max() <= limit
    # 9,600 draws: the mean square of a uniform variable is limit² / 3.
    np.testing.assert_allclose(np.mean(np.square(params.W)), limit**2 / 3, rtol=0.03)
    assert not params.B.any()


@pytest.mark.parametrize("dtype", [jnp.float32, "bfloat16", jnp.float16, np.float32])
def test_init_gives_the_dtype_asked_for(dtype):
    params = init(jax.random.key(0), p=2, q=3, n=4, dtype=dtype)
    assert params.W.dtype == params.B.dtype == jnp.dtype(dtype)


@pytest.mark.parametrize("name", ["p", "q", "n"])
def test_init_refuses_a_size_below_1(name):
    sizes = {"p": 1, "q": 1, "n": 1, name: 0}
    with pytest.raises(ValueError, match=rf"`{name}` \(=0\) must be at least 1: choose a positive number"):
        init(jax.random.key(0), **sizes)


@pytest.mark.parametrize("dtype", [int, jnp.uint8, bool])
def test_init_refuses_a_dtype_that_is_not_of_floats(dtype):
    with pytest.raises(ValueError, match=r"`dtype` \(=.*\) must be a float dtype"):
        init(jax.random.key(0), p=2, q=3, n=4, dtype=dtype)
