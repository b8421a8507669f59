import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional, nn
from matrinox.contract import ContractError

DRAWS = 20
"""Of X and G for each law."""


def drawn(key, shape, dtype):
    """An initializer that compiles nothing."""
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape) / 2, dtype)


def invertible(n, seed, sign=None):
    """Matrices of condition number 10, of a sign of the determinant if one is given."""
    rng = np.random.default_rng(seed)
    left, right = np.linalg.qr(rng.normal(size=(2, DRAWS, 1, n, n)))[0]
    g = left @ np.diag(np.geomspace(10**0.5, 10**-0.5, n)) @ right
    if sign is not None:
        g[..., 0] *= sign * np.sign(np.linalg.det(g))[..., None]
    return g


def rotations(n, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(DRAWS, 1, n, n)))[0]


def stack(n, activation, use_bias=False):
    weights = {"initializer": drawn, "key": jax.random.key(0), "use_bias": use_bias}
    return nn.Sequential([nn.Dense(2, 4, n, **weights), activation, nn.Dense(4, 3, n, **weights)])


def gate(n, invariant):
    return nn.InvariantGate(4, n, invariant=invariant, initializer=drawn, key=jax.random.key(0))


def errors_of(models, x, changes):
    """Of `f(X G) = f(X) G` for each model and its G: the largest of all examples, relative to its largest entry."""
    run = eqx.filter_jit(lambda models, xs: [model(x) for model, x in zip(models, xs, strict=True)])
    moved = run(models, [(x @ g).astype(np.float32) for g in changes])
    for y, z, g in zip(moved, run(models, [x] * len(changes)), changes, strict=True):
        y, expected = np.asarray(y, float), np.asarray(z, float) @ g
        # Of an example whose gates are all shut the error is 0, or infinite.
        size = np.maximum(np.max(np.abs(expected), axis=(-3, -2, -1)), 1e-30)
        yield np.max(np.max(np.abs(y - expected), axis=(-3, -2, -1)) / size)


@pytest.mark.parametrize("n", [2, 4])
def test_dense_layers_without_bias_and_their_gates_commute_with_multiplication_from_the_right(n):
    x = np.random.default_rng(n).normal(size=(DRAWS, 2, n, n)).astype(np.float32)
    laws = [
        (nn.ReLUd(), invertible(n, 1, sign=1)),
        (nn.LeakyReLUd(0.3), invertible(n, 2, sign=1)),
        (gate(n, "determinant_ratios"), invertible(n, 3, sign=1)),
        (gate(n, "squared_determinant_ratios"), invertible(n, 4)),
        (gate(n, "frobenius_norm"), rotations(n, 5)),
    ]
    activations, changes = zip(*laws, strict=True)
    for error in errors_of([stack(n, activation) for activation in activations], x, changes):
        assert error < 1e-5


def test_determinant_ratios_of_a_stack_do_not_depend_on_a_factor_from_the_right():
    x = np.random.default_rng(0).normal(size=(DRAWS, 2, 3, 3)).astype(np.float32)
    run = eqx.filter_jit(nn.Sequential([*stack(3, gate(3, "determinant_ratios")), nn.DeterminantRatios()]))
    np.testing.assert_allclose(run((x @ invertible(3, 6, sign=1)).astype(np.float32)), run(x), atol=1e-5)


def test_a_bias_an_elementwise_activation_and_a_gate_of_another_law_end_it():
    n = 3
    x = np.random.default_rng(n).normal(size=(DRAWS, 2, n, n)).astype(np.float32)
    bias = jax.tree.map(lambda leaf: leaf + 0.1, stack(n, nn.ReLUd(), use_bias=True))
    g = invertible(n, 1, sign=1)
    gates = [stack(n, gate(n, invariant)) for invariant in ("frobenius_norm", "trace_powers")]
    models = [bias, stack(n, nn.ReLU()), *gates, stack(n, nn.ReLUd())]
    for error in errors_of(models, x, [g, g, g, g, invertible(n, 1, sign=-1)]):
        assert error > 0.01


def test_a_gate_by_hand_at_first_lets_half_of_each_neuron_through():
    layer = nn.InvariantGate(2, 2, initializer=lambda key, shape, dtype: jnp.zeros(shape, dtype), key=jax.random.key(0))
    x = jnp.array([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 2.0], [2.0, 0.0]]])
    assert np.array_equal(layer(x), x / 2)


def test_a_gate_is_its_functional_twin_and_knows_its_sizes():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3, 4, 4)), jnp.float32)
    options = {"initializer": drawn, "key": jax.random.key(0)}
    layer = nn.InvariantGate(3, 4, powers=2, activation=functional.relu, **options)
    assert np.array_equal(layer(x), functional.invariant_gate(layer.weight, x, layer.bias, activation=functional.relu))
    assert (layer.p, layer.n, layer.powers, nn.InvariantGate(3, 4, **options).powers) == (3, 4, 2, 4)
    norm = nn.InvariantGate(3, 4, invariant="frobenius_norm", use_bias=False, dtype=jnp.bfloat16, **options)
    assert (norm.bias, norm.powers, norm.weight.dtype) == (None, 1, jnp.bfloat16)
    y = functional.invariant_gate(norm.weight, x, invariant="frobenius_norm")
    assert np.array_equal(norm(x), y)


def test_a_gate_of_default_weights_takes_what_a_sigmoid_takes():
    x = np.random.default_rng(0).normal(size=(64, 32, 4, 4)).astype(np.float32)
    layer = nn.InvariantGate(32, 4, invariant="determinant_ratios", key=jax.random.key(0))
    # E[σ(z)²] = 0.293 for z of the standard normal distribution.
    assert float(jnp.mean(eqx.filter_jit(layer)(x) ** 2)) == pytest.approx(0.293, rel=0.1)


def test_sizes_and_powers_that_do_not_fit_are_refused():
    options = {"initializer": drawn, "key": jax.random.key(0)}
    for size in ("p", "n", "powers"):
        with pytest.raises(ValueError, match=rf"`{size}` \(=0\) must be at least 1"):
            nn.InvariantGate(**{"p": 2, "n": 4, size: 0}, **options)
    with pytest.raises(ValueError, match=r"`powers` \(=3\) must be 1 for `invariant` \(='determinant_ratios'\)"):
        nn.InvariantGate(2, 4, invariant="determinant_ratios", powers=3, **options)
    with pytest.raises(ContractError, match=r"InvariantGate\(p=2, n=4\) got x .*axis -3 is 3, p is 2"):
        nn.InvariantGate(2, 4, **options)(jnp.ones((3, 4, 4)))
