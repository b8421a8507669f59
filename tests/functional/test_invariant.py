import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.functional import characteristic_polynomial, det, determinant_ratios, trace_powers

READOUTS = {"traces": trace_powers, "polynomial": characteristic_polynomial, "ratios": determinant_ratios}
EACH = pytest.mark.parametrize("readout", READOUTS.values(), ids=READOUTS)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def of_rank(n, rank):
    x = draw(3, n, n, seed=n) / n
    return x[..., :rank] @ x[..., :rank, :]


@jax.jit
def values_and_slopes(x):
    def total(readout):
        return lambda x: (lambda y: (jnp.sum(jnp.sin(y)), y))(readout(x))

    return {name: jax.value_and_grad(total(readout), has_aux=True)(x) for name, readout in READOUTS.items()}


def test_invariants_by_hand():
    x = jnp.array([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]]])
    assert trace_powers(x, 3).tolist() == [[5, 29, 155], [0, 2, 0]]
    assert characteristic_polynomial(x).tolist() == [[-5, -2], [0, -1]]
    np.testing.assert_allclose(determinant_ratios(x), np.array([-2, -1]) / 5**0.5, rtol=1e-6)


def test_trace_powers_are_sums_of_powers_of_eigenvalues(x64):
    x = draw(2, 5, 3, 4, 4)
    values = np.linalg.eigvals(x)
    for powers in (1, 2, 3, 6, 7):
        expected = np.stack([np.sum(values**k, axis=-1).real for k in range(1, powers + 1)], axis=-1)
        np.testing.assert_allclose(trace_powers(x, powers), expected, rtol=1e-9, atol=1e-9)
        scale = np.array([k**0.5 * 2.0**k for k in range(1, powers + 1)])
        np.testing.assert_allclose(trace_powers(x, powers, scaled=True), expected / scale, rtol=1e-9, atol=1e-9)
    assert np.array_equal(trace_powers(x), trace_powers(x, 4))


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_the_characteristic_polynomial_is_that_of_numpy(x64, n):
    x = draw(5, 2, n, n)
    expected = np.array([[np.poly(matrix)[1:] for matrix in row] for row in x])
    np.testing.assert_allclose(characteristic_polynomial(x), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(characteristic_polynomial(x)[..., -1], (-1) ** n * det(x), rtol=1e-9, atol=1e-12)
    single = np.asarray(characteristic_polynomial(x.astype(np.float32)), float)
    assert np.max(np.abs(single - expected) / np.max(np.abs(expected), axis=-1, keepdims=True)) < 1e-5


def test_determinant_ratios_are_the_determinants_on_the_unit_sphere(x64):
    x = draw(5, 3, 4, 4)
    values = np.linalg.det(x)
    np.testing.assert_allclose(
        determinant_ratios(x), values / np.linalg.norm(values, axis=-1, keepdims=True), rtol=1e-10
    )


@pytest.mark.parametrize("n", [2, 3, 4])
def test_invariants_do_not_depend_on_the_basis(x64, n):
    x, g, h = draw(3, n, n), draw(n, n, seed=n), draw(n, n, seed=n + 1)
    for readout in (lambda x: trace_powers(x, n + 2), characteristic_polynomial):
        np.testing.assert_allclose(readout(g @ x @ np.linalg.inv(g)), readout(x), rtol=1e-8, atol=1e-8)
    sign = np.sign(np.linalg.det(g) * np.linalg.det(h))
    np.testing.assert_allclose(determinant_ratios(g @ x @ h), sign * determinant_ratios(x), rtol=1e-9)


@pytest.mark.parametrize("n", [3, 5])
def test_derivatives_are_finite_and_right_at_every_rank(x64, n):
    direction = draw(3, n, n, seed=9)
    for rank in range(n + 1):
        x = of_rank(n, rank)
        read = values_and_slopes(x)
        ahead, behind = values_and_slopes(x + 1e-6 * direction), values_and_slopes(x - 1e-6 * direction)
        for name, ((_, y), slope) in read.items():
            assert np.isfinite(y).all()
            assert np.isfinite(slope).all()
            # Where all neurons are singular, ratios have no derivative.
            if name != "ratios" or rank == n:
                expected = (ahead[name][0][0] - behind[name][0][0]) / 2e-6
                np.testing.assert_allclose(np.vdot(slope, direction), expected, rtol=1e-5, atol=1e-5)
    (_, y), slope = values_and_slopes(np.zeros((3, n, n)))["ratios"]
    assert not np.any(y)
    assert not np.any(slope)


def test_ratios_of_determinants_beyond_the_range_of_floats_are_right():
    x = jnp.asarray(draw(3, 4, 4), jnp.float32)
    for scale in (1e-30, 1e30):
        np.testing.assert_allclose(determinant_ratios(x * scale), determinant_ratios(x), rtol=1e-5)
    # A determinant of 1e-30, of which the square is 0 in float32, beside one of 0.
    thin = jnp.array([[[1.0, 0.0], [0.0, 1e-30]], [[1.0, 0.0], [0.0, 0.0]]])
    assert determinant_ratios(thin).tolist() == [1, 0]


@EACH
def test_invariants_take_half_precision_empty_batches_and_what_is_not_finite(readout):
    readout, x = jax.jit(readout), jnp.asarray(draw(2, 3, 3, 3), jnp.bfloat16)
    assert np.array_equal(readout(x), readout(x.astype(jnp.float32)).astype(jnp.bfloat16))
    assert readout(x[:0]).shape == (0, *readout(x).shape[1:])
    assert np.isnan(readout(jnp.full((1, 3, 3), np.nan))).any()


@EACH
def test_invariants_refuse_a_wrong_shape(readout):
    with pytest.raises(ContractError, match="axis -1 is 5, n is 4"):
        readout(jnp.ones((3, 4, 5)))
    with pytest.raises(ContractError, match="at least 3"):
        readout(jnp.ones((4, 4)))


def test_no_power_is_refused():
    with pytest.raises(ValueError, match=r"`powers` \(=0\) must be at least 1"):
        trace_powers(jnp.ones((2, 3, 3)), 0)
