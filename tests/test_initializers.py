import functools
import math

import jax
import jax.numpy as jnp
import matnets
import numpy as np
import pytest

from matrinox import functional, initializers
from matrinox.contract import ContractError
from matrinox.initializers import (
    MATCHED,
    gain_of,
    glorot_uniform,
    identity_plus_noise,
    lecun_normal,
    orthogonal,
    rotations,
    variance_scaling,
)

DENSE = (24, 16, 4, 4)
CONV = (12, 8, 3, 3, 4, 4)
SHAPES = {"dense": DENSE, "conv1d": (16, 8, 5, 4, 4), "conv2d": CONV, "conv3d": (8, 4, 2, 2, 3, 4, 4)}

ACTIVATIONS = {
    "identity": lambda x: x,
    "relu": jax.nn.relu,
    "relud": functional.relud,
    "leaky_relu": jax.nn.leaky_relu,
    "leaky_relud": functional.leaky_relud,
    "elu": jax.nn.elu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "silu": jax.nn.silu,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "softplus": jax.nn.softplus,
}

OF_MATRICES = ("relud", "leaky_relud")

# At gain 1: `test_the_gain_multiplies_the_weight` lets the tests below draw each stack of weights once.
INITIALIZERS = {
    "variance_scaling(gain_of(activation))": variance_scaling(),
    "orthogonal(gain_of(activation))": orthogonal(),
    "lecun_normal": lecun_normal,
    "glorot_uniform": glorot_uniform,
    "identity_plus_noise(0.1)": identity_plus_noise(0.1),
}

EVERY = {
    "variance_scaling": variance_scaling(),
    "uniform": variance_scaling(2.0, "uniform"),
    "lecun_normal": lecun_normal,
    "glorot_uniform": glorot_uniform,
    "orthogonal": orthogonal(),
    "identity_plus_noise": identity_plus_noise(0.1),
    "rotations": rotations,
}


def flat(weight):
    """The linear map that a layer applies to a column: (q·n) × (k·p·n)."""
    weight = np.moveaxis(np.asarray(weight, np.float64), -2, 1)
    return weight.reshape(weight.shape[0] * weight.shape[1], -1)


def root_mean_square(x):
    return jnp.sqrt(jnp.mean(x**2))


@functools.cache
def thirty_weights(initializer, seed):
    keys = jax.random.split(jax.random.key(seed), 30)
    return jnp.stack([INITIALIZERS[initializer](key, (128, 128, 4, 4), jnp.float32) for key in keys])


def worst_ratio(initializer, activation, seed):
    """The largest factor, over thirty layers, by which the activations' RMS departs from the input's."""
    gain = gain_of(activation) if "gain_of" in initializer else 1.0
    x = jax.random.normal(jax.random.key(100 + seed), (8, 128, 4, 4))

    def layer(x, weight):
        x = ACTIVATIONS[activation](gain * jnp.einsum("qpak,bpkc->bqac", weight, x))
        return x, root_mean_square(x)

    ratios = jax.lax.scan(layer, x, thirty_weights(initializer, seed))[1] / root_mean_square(x)
    return float(jnp.maximum(ratios, 1 / ratios).max())


@pytest.mark.parametrize(
    ("distribution", "shape"),
    [*(("normal", shape) for shape in SHAPES.values()), ("truncated_normal", CONV), ("uniform", CONV)],
    ids=str,
)
def test_variance_scaling_counts_p_and_n_and_the_kernel(distribution, shape):
    weight = variance_scaling(1.5, distribution)(jax.random.key(0), shape, jnp.float32)
    _, p, *kernel, n, _ = shape
    variance = 1.5**2 / (math.prod(kernel) * p * n)
    # Four standard errors of a variance of 6,000 entries or more.
    assert np.var(weight) == pytest.approx(variance, rel=4 * math.sqrt(2 / weight.size))
    assert abs(np.mean(weight)) < 4 * math.sqrt(variance / weight.size)


def test_uniform_variance_scaling_fills_its_interval_and_no_more():
    weight = variance_scaling(1.0, "uniform")(jax.random.key(0), DENSE, jnp.float32)
    limit = math.sqrt(3 / (16 * 4))
    assert 0.99 * limit < np.abs(weight).max() <= limit


def test_lecun_normal_is_variance_scaling_without_arguments():
    key = jax.random.key(0)
    assert np.array_equal(lecun_normal(key, CONV, jnp.float32), variance_scaling()(key, CONV, jnp.float32))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_glorot_uniform_repeats_every_bit_of_matnets(dtype):
    key = jax.random.key(3)
    theirs = matnets.init(key, 5, 3, 4, dtype=dtype).W
    assert np.array_equal(glorot_uniform(key, (3, 5, 4, 4), dtype), theirs)


def test_glorot_uniform_counts_the_kernel():
    weight = glorot_uniform(jax.random.key(0), CONV, jnp.float32)
    limit = math.sqrt(6 / (9 * 8 * 4 + 9 * 12 * 4))
    assert 0.99 * limit < np.abs(weight).max() <= limit


@pytest.mark.parametrize(
    "shape", [(3, 5, 2, 2), (5, 3, 2, 2), (4, 4, 3, 3), (3, 2, 3, 2, 2), (2, 3, 2, 2, 3, 3)], ids=str
)
def test_orthogonal_has_orthonormal_rows_or_columns(shape):
    matrix = flat(orthogonal(1.5)(jax.random.key(0), shape, jnp.float32)) / 1.5
    rows, columns = matrix.shape
    gram = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(min(rows, columns)), atol=1e-5)


def test_orthogonal_differs_from_key_to_key():
    first, second = (orthogonal()(jax.random.key(i), (2, 2, 2, 2), jnp.float32) for i in (0, 1))
    assert not np.allclose(first, second)


@pytest.mark.parametrize(("q", "p"), [(3, 3), (2, 3), (3, 2)])
def test_identity_plus_no_noise_passes_neuron_to_neuron(q, p):
    weight = identity_plus_noise(0.0)(jax.random.key(0), (q, p, 4, 4), jnp.float32)
    x = np.random.default_rng(0).normal(size=(p, 4, 4)).astype(np.float32)
    y = np.einsum("qpak,pkc->qac", weight, x)
    assert np.array_equal(y[: min(p, q)], x[: min(p, q)])
    assert not y[p:].any()


@pytest.mark.parametrize("kernel", [(3,), (4,), (3, 2)])
def test_identity_of_a_kernel_sits_where_same_padding_puts_the_middle(kernel):
    weight = np.asarray(identity_plus_noise(0.0)(jax.random.key(0), (2, 2, *kernel, 3, 3), jnp.float32))
    middle = tuple((size - 1) // 2 for size in kernel)
    taps = np.einsum("qp...ij->...qpij", weight)
    assert np.array_equal(taps[middle], np.einsum("qp,ij->qpij", np.eye(2), np.eye(3)))
    assert np.count_nonzero(taps) == 2 * 3


def test_noise_on_the_identity_has_the_variance_it_says():
    noise = identity_plus_noise(0.3)(jax.random.key(0), DENSE, jnp.float32)
    noise = noise - identity_plus_noise(0.0)(jax.random.key(0), DENSE, jnp.float32)
    assert np.var(noise) == pytest.approx(0.3**2 / (16 * 4), rel=4 * math.sqrt(2 / noise.size))


@pytest.mark.parametrize("n", [2, 3])
def test_rotations_are_orthogonal_of_determinant_1_and_turn_every_way(n):
    """As many as turn a vector one way turn it the other: the mean of all is 0."""
    drawn = np.float64(rotations(jax.random.key(0), (40, 50, n, n), jnp.float32))
    assert np.swapaxes(drawn, -1, -2) @ drawn == pytest.approx(np.broadcast_to(np.eye(n), drawn.shape), abs=1e-5)
    assert np.linalg.det(drawn) == pytest.approx(np.ones((40, 50)), abs=1e-5)
    assert drawn.mean((0, 1)) == pytest.approx(np.zeros((n, n)), abs=4 / math.sqrt(n * 2000))


def test_the_gain_of_piecewise_linear_activations_is_exact():
    assert gain_of("identity") == gain_of("linear") == pytest.approx(1.0, rel=1e-13)
    assert gain_of("relu") == gain_of("relud") == pytest.approx(math.sqrt(2), rel=1e-13)
    assert gain_of("leaky_relu") == gain_of("leaky_relud") == pytest.approx(math.sqrt(2 / (1 + 0.01**2)), rel=1e-13)


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name not in OF_MATRICES])
def test_the_gain_makes_up_for_the_second_moment_that_an_activation_takes(activation):
    # An oracle of another kind: the trapezium rule on JAX's own activation.
    z = np.linspace(-9, 9, 40_001)
    value = np.asarray(ACTIVATIONS[activation](jnp.asarray(z, jnp.float32)), np.float64)
    moment = np.trapezoid(value**2 * np.exp(-(z**2) / 2), z) / math.sqrt(2 * math.pi)
    assert gain_of(activation) ** 2 * moment == pytest.approx(1.0, rel=1e-5)


def test_the_gain_of_elu_equals_its_closed_form():
    # E[z²; z > 0] = 1/2, and E[e^(az); z < 0] = e^(a²/2) Φ(−a).
    phi = [math.erfc(a / math.sqrt(2)) / 2 for a in (0, 1, 2)]
    moment = 0.5 + math.exp(2) * phi[2] - 2 * math.exp(0.5) * phi[1] + phi[0]
    assert gain_of("elu") == pytest.approx(1 / math.sqrt(moment), rel=1e-12)


@pytest.mark.parametrize("activation", OF_MATRICES)
@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_gain_makes_up_for_the_second_moment_that_a_gate_on_the_determinant_takes(activation, n):
    x = jax.random.normal(jax.random.key(0), (20_000, 1, n, n))
    assert float(jnp.mean(ACTIVATIONS[activation](x) ** 2)) == pytest.approx(1 / gain_of(activation) ** 2, abs=0.02)


def test_the_gain_of_a_function_is_that_of_its_name():
    assert gain_of(jax.nn.silu) == pytest.approx(gain_of("silu"), rel=1e-6)


@pytest.mark.parametrize("make", [variance_scaling, orthogonal])
def test_the_gain_multiplies_the_weight(make):
    key = jax.random.key(0)
    expected = 1.7 * make()(key, DENSE, jnp.float32)
    np.testing.assert_allclose(make(1.7)(key, DENSE, jnp.float32), expected, rtol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("initializer", "activation"), [(name, f) for name in MATCHED for f in MATCHED[name]])
def test_matched_pairs_keep_the_root_mean_square_through_thirty_layers(initializer, activation, seed):
    assert worst_ratio(initializer, activation, seed) < 2


@pytest.mark.parametrize("activation", ["gelu", "silu"])
@pytest.mark.parametrize("initializer", ["variance_scaling(gain_of(activation))", "orthogonal(gain_of(activation))"])
def test_pairs_left_out_of_the_table_do_not_hold(initializer, activation):
    assert worst_ratio(initializer, activation, 0) > 2


@pytest.mark.parametrize("gain", [0.9, 1.1])
def test_gelu_and_silu_run_away_on_either_side_of_any_gain(gain):
    # E f(s·z)² / s² grows with s: whatever gain makes a size stay, a larger size grows and a smaller one shrinks.
    for activation in (jax.nn.gelu, jax.nn.silu):
        ratios = [1 / (s * gain_of(lambda z, s=s, f=activation: f(s * z))) for s in (0.25, 0.5, 1, 2, 4)]
        assert ratios == sorted(ratios)


def test_the_table_names_only_what_exists():
    assert set(MATCHED) == set(INITIALIZERS)
    assert all(hasattr(initializers, name.split("(")[0]) for name in MATCHED)


@pytest.mark.parametrize("initializer", EVERY.values(), ids=EVERY)
def test_every_initializer_keeps_shape_dtype_and_key(initializer):
    for shape, dtype in ((DENSE, jnp.float32), (CONV, jnp.float32), (DENSE, jnp.bfloat16)):
        weight = initializer(jax.random.key(0), shape, dtype)
        assert weight.shape == shape
        assert weight.dtype == dtype
    again = initializer(jax.random.key(0), DENSE)
    assert again.dtype == jnp.result_type(float)
    assert np.array_equal(again, initializer(jax.random.key(0), DENSE))
    assert not np.array_equal(again, initializer(jax.random.key(1), DENSE))


@pytest.mark.parametrize("initializer", EVERY.values(), ids=EVERY)
def test_every_initializer_refuses_a_shape_that_is_not_a_weights(initializer):
    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"`shape` \(=\(2, 4, 4\)\) must be \(q, p, \*kernel, n, n\)"):
        initializer(key, (2, 4, 4))
    with pytest.raises(ValueError, match=r"`shape` \(=\(2, 2, 4, 3\)\) must be \(q, p, \*kernel, n, n\)"):
        initializer(key, (2, 2, 4, 3))
    with pytest.raises(ValueError, match=r"`shape` \(=\(2, 0, 4, 4\)\) must have sizes of at least 1"):
        initializer(key, (2, 0, 4, 4))
    with pytest.raises(ValueError, match=r"`dtype` \(=int32\) must be a float dtype"):
        initializer(key, DENSE, jnp.int32)
    with pytest.raises(ContractError):
        initializer(0, DENSE)
    for _ in range(50):
        with pytest.raises(ContractError, match="shape"):
            initializer(key, (2, 2, 4.0, 4))


@pytest.mark.parametrize("make", [variance_scaling, orthogonal])
@pytest.mark.parametrize("gain", [0.0, -1.0, math.inf, math.nan])
def test_a_gain_that_is_not_positive_is_refused(make, gain):
    with pytest.raises(ValueError, match=r"`gain` \(=.*\) must be positive and finite"):
        make(gain)


@pytest.mark.parametrize("scale", [-0.1, math.inf])
def test_noise_of_a_negative_scale_is_refused(scale):
    with pytest.raises(ValueError, match=r"`scale` \(=.*\) must be 0 or more, and finite"):
        identity_plus_noise(scale)


def test_an_unknown_distribution_is_refused():
    with pytest.raises(ContractError, match="distribution"):
        variance_scaling(1.0, "gaussian")


def test_an_unknown_activation_names_the_nearest():
    with pytest.raises(
        ValueError, match=r"`activation` \(='leaky_rellu'\) must be one of .*: did you mean 'leaky_relu'\?"
    ):
        gain_of("leaky_rellu")


@pytest.mark.parametrize(
    "activation", [lambda z: 0 * z, lambda z: np.where(z > 0, np.inf, z)], ids=["zero", "infinite"]
)
def test_an_activation_without_a_second_moment_has_no_gain(activation):
    with pytest.raises(ValueError, match=r"`activation` gives E\[f\(z\)²\] = .*, which must be positive and finite"):
        gain_of(activation)
