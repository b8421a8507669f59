import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.functional import identity, invariant_gate

ROUNDING = {"rtol": 1e-9, "atol": 1e-9}
X = np.array([[[3.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [2.0, 0.0]]])
# Of determinants 3 and −4: tr X / √2 and tr X² / (2√2); √p d; √p (d² − 1/p); ‖X‖ / n.
SCALARS = {
    "trace_powers": [[4 / 2**0.5, 10 / 8**0.5], [0, 8 / 8**0.5]],
    "determinant_ratios": [[0.6 * 2**0.5], [-0.8 * 2**0.5]],
    "squared_determinant_ratios": [[-0.14 * 2**0.5], [0.14 * 2**0.5]],
    "frobenius_norm": [[10**0.5 / 2], [8**0.5 / 2]],
}
EACH = pytest.mark.parametrize("invariant", SCALARS)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def turn(n, seed):
    return np.linalg.qr(draw(n, n, seed=seed))[0]


@EACH
def test_gates_by_hand(x64, invariant):
    scalars = np.array(SCALARS[invariant])
    weight = np.zeros((2, 2, scalars.shape[-1]))
    weight[0, 1, -1], weight[1, 0, 0] = 1, 10
    # The first neuron times the last invariant of the second; the second times 10 times the first of the first, plus 1.
    expected = X * np.array([scalars[1, -1], 10 * scalars[0, 0] + 1])[:, None, None]
    y = invariant_gate(weight, X, np.array([0.0, 1.0]), invariant=invariant, activation=identity)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    half = invariant_gate(0 * weight, X, invariant=invariant)
    np.testing.assert_allclose(half, X / 2, rtol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_gates_commute_with_what_leaves_their_invariants_alone(x64, n):
    x, g, h = draw(5, 3, n, n), draw(n, n, seed=1), draw(n, n, seed=2)
    g, h = (m * np.sign(np.linalg.det(m)) ** (np.arange(n) == 0)[:, None] for m in (g, h))
    mirror = np.diag([-1.0, *np.ones(n - 1)])
    laws = {
        "trace_powers": [(g, np.linalg.inv(g)), (mirror @ g, np.linalg.inv(mirror @ g))],
        "determinant_ratios": [(g, h), (np.eye(n), h), (mirror @ g, h @ mirror)],
        "squared_determinant_ratios": [(g, h), (np.eye(n), mirror @ h)],
        "frobenius_norm": [(turn(n, 3), turn(n, 4) @ mirror)],
    }
    for invariant, pairs in laws.items():
        weight = draw(3, 3, n if invariant == "trace_powers" else 1, seed=5)
        y = np.asarray(invariant_gate(weight, x, weight[:, 0, 0], invariant=invariant))
        for left, right in pairs:
            moved = invariant_gate(weight, left @ x @ right, weight[:, 0, 0], invariant=invariant)
            np.testing.assert_allclose(moved, left @ y @ right, **ROUNDING)


def test_each_gate_commutes_with_no_more_than_it_says(x64):
    x, g, mirror = draw(3, 2, 2), draw(2, 2, seed=1), np.diag([-1.0, 1.0])
    for invariant, right in [("trace_powers", g), ("determinant_ratios", mirror), ("frobenius_norm", g)]:
        weight = draw(3, 3, 1, seed=5)
        y = np.asarray(invariant_gate(weight, x, invariant=invariant))
        moved = invariant_gate(weight, x @ right, invariant=invariant)
        assert np.max(np.abs(moved - y @ right)) > 0.05


def test_gates_of_half_precision_are_computed_in_single_precision():
    x, weight = jnp.asarray(draw(2, 2, 2), jnp.bfloat16), jnp.asarray(draw(2, 2, 1), jnp.bfloat16)
    for invariant in SCALARS:
        y = invariant_gate(weight, x, invariant=invariant)
        wide = invariant_gate(weight.astype(jnp.float32), x.astype(jnp.float32), invariant=invariant)
        assert np.array_equal(y, wide.astype(jnp.bfloat16))


def test_gates_refuse_powers_and_shapes_that_do_not_fit():
    x = jnp.ones((2, 3, 3))
    with pytest.raises(
        ValueError, match=r"`powers` \(=2\) must be 1 for `invariant` \(='frobenius_norm'\): choose 'tr"
    ):
        invariant_gate(jnp.ones((2, 2, 2)), x, invariant="frobenius_norm")
    with pytest.raises(ContractError, match=r"invariant_gate got x float32\[2, 3, 3\].*axis -3 is 2, p is 4"):
        invariant_gate(jnp.ones((4, 4, 1)), x)
    with pytest.raises(ContractError, match="invariant"):
        invariant_gate(jnp.ones((2, 2, 1)), x, invariant="trace")
