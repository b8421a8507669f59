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
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return jnp.asarray(rng.normal(size=shape) / 2, dtype)


def invertible(n, seed):
    """Matrices of condition numbers from 1 to 10."""
    rng = np.random.default_rng(seed)
    left, right = np.linalg.qr(rng.normal(size=(2, DRAWS, 1, n, n)))[0]
    values = 10 ** (rng.uniform(size=(DRAWS, 1, 1)) * np.linspace(0.5, -0.5, n))
    return (left * values[..., None, :]) @ right


def neurons(p, n):
    return np.random.default_rng(n).normal(size=(DRAWS, p, n, n)).astype(np.float32)


def conjugate(x, g):
    return g @ np.asarray(x, float) @ np.linalg.inv(g)


def error(y, expected):
    """The largest of all examples, each relative to its largest entry."""
    y, expected = (np.asarray(value, float).reshape(DRAWS, -1) for value in (y, expected))
    return np.max(np.max(np.abs(y - expected), axis=-1) / np.max(np.abs(expected), axis=-1))


def error_of_features(y, expected):
    """The largest of all features, each relative to its largest value: of one example, terms can cancel."""
    return np.max(np.max(np.abs(y - expected), axis=0) / np.max(np.abs(expected), axis=0))


def stack(n, activation=None, last=None):
    weights = {"initializer": drawn, "key": jax.random.key(0)}
    return nn.Sequential(
        [
            nn.ConjugationDense(2, 4, n, **weights),
            nn.InvariantGate(4, n, **weights),
            nn.ConjugationBilinear(4, 3, n, rank=2, **weights),
            activation or nn.LeakyReLUd(0.3),
            last or nn.ConjugationDense(3, 2, n, **weights),
        ]
    )


@pytest.mark.parametrize("n", [2, 4])
def test_a_stack_of_layers_commutes_with_every_change_of_basis_and_its_readouts_do_not_depend_on_it(n):
    model = stack(n)
    brackets = nn.ConjugationBilinear(2, 3, n, commutator=True, initializer=drawn, key=jax.random.key(1))

    @jax.jit
    def run(x):
        y = model(x)
        return y, nn.TracePowers()(y), nn.CharacteristicPolynomial()(y), brackets(x)

    x, g = neurons(2, n), invertible(n, n)
    y, traces, polynomial, bracket = run(x)
    moved = run(conjugate(x, g).astype(np.float32))
    assert error(moved[0], conjugate(y, g)) < 1e-5
    assert error(moved[3], conjugate(bracket, g)) < 1e-5
    assert error_of_features(moved[1], traces) < 1e-5
    assert error_of_features(moved[2], polynomial) < 1e-5


def test_a_stack_that_takes_entries_one_by_one_commutes_with_no_change_of_basis():
    n, key = 3, jax.random.key(0)
    x, g = neurons(2, n), invertible(n, 3)
    moved = conjugate(x, g).astype(np.float32)
    dense = nn.Dense(3, 2, n, initializer=drawn, key=key)
    for wrong in (stack(n, activation=nn.ReLU()), stack(n, last=dense)):
        run = eqx.filter_jit(wrong)
        assert error(run(moved), conjugate(run(x), g)) > 0.01


def test_activations_by_determinants_commute_with_every_change_of_basis(x64):
    x, g = neurons(3, 3).astype(float), invertible(3, 5)
    layers = [nn.ReLUd(), nn.LeakyReLUd(), nn.ELUd(), nn.ELUPowered(), nn.Sigmoidd(), nn.Tanhd(), nn.Softplusd()]

    @jax.jit
    def run(x):
        return [layer(x) for layer in layers]

    for moved, y in zip(run(conjugate(x, g)), run(x), strict=True):
        np.testing.assert_allclose(moved, conjugate(y, g), rtol=1e-8, atol=1e-8)


def test_layers_are_their_functional_twins():
    x, options = neurons(2, 3), {"initializer": drawn, "key": jax.random.key(0)}
    dense = nn.ConjugationDense(2, 4, 3, **options)
    assert np.array_equal(dense(x), functional.conjugation_dense(dense.weight, dense.trace_weight, x, dense.bias))
    for commutator in (False, True):
        bilinear = nn.ConjugationBilinear(2, 4, 3, commutator=commutator, **options)
        expected = functional.conjugation_bilinear(bilinear.left, bilinear.right, x, commutator=commutator)
        assert np.array_equal(bilinear(x), expected)


def test_layers_know_their_sizes():
    options = {"initializer": drawn, "key": jax.random.key(0)}
    dense, bilinear = nn.ConjugationDense(2, 4, 3, **options), nn.ConjugationBilinear(5, 4, 3, rank=2, **options)
    assert (dense.p, dense.q, dense.n) == (2, 4, 3)
    assert (bilinear.p, bilinear.q, bilinear.n, bilinear.rank) == (5, 4, 3, 2)
    assert nn.ConjugationDense(2, 4, 3, use_bias=False, **options).bias is None
    assert nn.ConjugationBilinear(2, 4, 3, dtype=jnp.bfloat16, **options).left.dtype == jnp.bfloat16


def test_the_default_weights_keep_the_variance_of_the_entries():
    key, x = jax.random.key(0), np.random.default_rng(0).normal(size=(16, 32, 4, 4))
    for layer in (
        nn.ConjugationDense(32, 64, 4, key=key),
        nn.ConjugationBilinear(32, 64, 4, rank=3, key=key),
        nn.ConjugationBilinear(32, 64, 4, rank=3, commutator=True, key=key),
    ):
        assert float(jnp.mean(eqx.filter_jit(layer)(x) ** 2)) == pytest.approx(1.0, rel=0.1)


def test_precision_is_kept_and_used_and_highest_by_default():
    options = {"initializer": drawn, "key": jax.random.key(0)}
    for kind in (nn.ConjugationDense, nn.ConjugationBilinear):
        for precision, count in [("highest", True), (None, False)]:
            layer = kind(2, 3, 4, precision=precision, **options)
            text = jax.jit(lambda x, layer=layer: layer(x)).lower(jnp.ones((2, 4, 4))).as_text()
            assert ("HIGHEST, HIGHEST" in text) == count
        assert kind(2, 3, 4, **options).precision == "highest"
        with pytest.raises(ValueError, match="did you mean 'high'"):
            kind(2, 3, 4, precision="hihg", **options)


def test_sizes_that_do_not_fit_are_refused():
    options = {"initializer": drawn, "key": jax.random.key(0)}
    for kind in (nn.ConjugationDense, nn.ConjugationBilinear):
        for size in ("p", "q", "n"):
            with pytest.raises(ValueError, match=rf"`{size}` \(=0\) must be at least 1"):
                kind(**{"p": 2, "q": 3, "n": 4, size: 0}, **options)
    with pytest.raises(
        ValueError, match=r"`rank` \(=3\) must be at most `p` \(=2\), which gives every sum of products"
    ):
        nn.ConjugationBilinear(2, 3, 4, rank=3, **options)
    for size in ("p", "n"):
        with pytest.raises(ValueError, match=rf"`{size}` \(=1\) must be at least 2 for `commutator`: choose 2 or more"):
            nn.ConjugationBilinear(**{"p": 2, "q": 3, "n": 4, size: 1}, commutator=True, **options)
    with pytest.raises(ContractError, match=r"ConjugationDense\(p=2, q=3, n=4\) got x .*axis -3 is 3, p is 2"):
        nn.ConjugationDense(2, 3, 4, **options)(jnp.ones((3, 4, 4)))
