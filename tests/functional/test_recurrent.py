import jax
import jax.numpy as jnp
import matnets
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import gru_step, lstm_step, relu, rnn_step, sigmoid
from matrinox.functional.recurrent import gru_advance, hidden_weights, input_gates, lstm_advance, rnn_advance
from matrinox.params import MatrixParams

P, Q = 2, 3
GATES = {"rnn": "h", "lstm": "ifgo", "gru": "zrn"}


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def fused(gates, n, seed=0):
    return MatrixParams(draw(seed, gates * Q, Q + P, n, n), draw(seed + 1, gates * Q, n, n))


def by_gate(params, names):
    Ws, Bs = (jnp.split(leaf, len(names)) for leaf in (params.W, params.B))
    return {name: MatrixParams(W, B) for name, W, B in zip(names, Ws, Bs, strict=True)}


def of_matnets(params):
    return matnets.MatrixParams(W=params.W, B=params.B)


def state(n, *batch):
    return draw(2, *batch, Q, n, n), draw(3, *batch, Q, n, n), draw(4, *batch, P, n, n)


def assert_close(ours, theirs, rtol=1e-10):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)


def logistic(a):
    return 1 / (1 + np.exp(-np.asarray(a)))


def test_rnn_step_is_worked_out_by_hand():
    # One neuron each of h and x: W_h = [[0, 1], [1, 0]] exchanges the rows of h, W_x = 2 I doubles x.
    W = jnp.array([[[[0.0, 1.0], [1.0, 0.0]], [[2.0, 0.0], [0.0, 2.0]]]])
    params = MatrixParams(W, jnp.array([[[0.0, 0.0], [0.0, -20.0]]]))
    h, x = jnp.array([[[1.0, 2.0], [3.0, 4.0]]]), jnp.array([[[1.0, 1.0], [5.0, 5.0]]])
    carry, y = rnn_step(params, h, x, activation=relu)
    assert np.array_equal(y, [[[5.0, 6.0], [11.0, 0.0]]])
    assert np.array_equal(carry, y)


@pytest.mark.parametrize("gating", ["hadamard", "matmul", "raw_matmul"])
def test_lstm_step_is_worked_out_by_hand(gating):
    """Biases of ±100 open or close a gate: f is [[1, 1], [0, 1]] and i, o are all 1, with g = tanh(x) in one entry."""
    bias = 100 * jnp.array(
        [[[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [-1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0]] * 2]
    )
    W = jnp.zeros((4, 2, 2, 2)).at[2, 1].set(jnp.eye(2))
    h, c, x = jnp.ones((1, 2, 2)), jnp.array([[[1.0, 2.0], [3.0, 4.0]]]), jnp.array([[[1.0, 0.0], [0.0, 0.0]]])
    (_, memory), y = lstm_step(MatrixParams(W, bias), (h, c), x, gating=gating)
    g = np.tanh(1.0)
    expected = {
        "hadamard": [[1 + g, 2.0], [0.0, 4.0]],
        # [[1, 1], [0, 1]] @ c, and ones @ [[g, 0], [0, 0]]
        "raw_matmul": [[4 + g, 6.0], [3 + g, 4.0]],
        # The first row of f halves, as do both of i.
        "matmul": [[2 + g / 2, 3.0], [3 + g / 2, 4.0]],
    }[gating]
    np.testing.assert_allclose(memory[0], expected, rtol=1e-6)
    o = {
        "hadamard": lambda s: s,
        "raw_matmul": lambda s: np.ones((2, 2)) @ s,
        "matmul": lambda s: np.ones((2, 2)) @ s / 2,
    }
    np.testing.assert_allclose(y[0], o[gating](np.tanh(expected)), rtol=1e-6)


def test_gru_step_is_worked_out_by_hand():
    """n = 1, weights 1: z = σ(h + x), r = σ(h + x), n = tanh(r h + x)."""
    params = MatrixParams(jnp.ones((3, 2, 1, 1)))
    _, y = gru_step(params, jnp.full((1, 1, 1), 2.0), jnp.full((1, 1, 1), -1.0))
    z = logistic(1.0)
    assert float(y[0, 0, 0]) == pytest.approx((1 - z) * np.tanh(2 * z - 1) + 2 * z, rel=1e-6)


@pytest.mark.parametrize("n", [1, 3])
def test_rnn_step_equals_matnets(x64, n):
    params, (h, _, x) = fused(1, n), state(n)
    assert_close(rnn_step(params, h, x), matnets.nn.rnn_step(of_matnets(params), h, x))
    theirs = matnets.nn.rnn_step(of_matnets(params), h, x, activation=jnp.sin)
    assert_close(rnn_step(params, h, x, activation=jnp.sin), theirs)


@pytest.mark.parametrize("n", [1, 3])
def test_lstm_step_with_raw_gates_equals_matnets_3_2_5(x64, n):
    params, (h, c, x) = fused(4, n), state(n)
    gates = by_gate(params, "ifgo")
    theirs_gates = {name: of_matnets(gate) for name, gate in gates.items()}
    for options in ({}, {"activations": (jax.nn.softplus, jnp.sin)}):
        theirs = matnets.nn.lstm_step(theirs_gates, (h, c), x, **options)
        assert_close(lstm_step(params, (h, c), x, gating="raw_matmul", **options), theirs)
        assert_close(lstm_step(gates, (h, c), x, gating="raw_matmul", **options), theirs)


@pytest.mark.parametrize("n", [1, 3])
def test_gru_step_equals_matnets(x64, n):
    params, (h, _, x) = fused(3, n), state(n)
    gates = by_gate(params, "zrn")
    theirs = matnets.nn.gru_step({name: of_matnets(gate) for name, gate in gates.items()}, h, x)
    assert_close(gru_step(params, h, x), theirs)
    assert_close(gru_step(gates, h, x), theirs)


def test_lstm_step_equals_its_formula_in_numpy(x64):
    """By entries, as MATNETS 1.1.0 has it."""
    params, (h, c, x) = fused(4, 3), state(3)
    joined = np.concatenate([h, x])
    i, f, g, o = np.split(np.einsum("qpak,pkc->qac", params.W, joined) + params.B, 4)
    memory = logistic(f) * c + logistic(i) * np.tanh(g)
    h_next = logistic(o) * np.tanh(memory)
    assert_close(lstm_step(params, (h, c), x), ((h_next, memory), h_next), rtol=1e-12)


def test_gru_step_with_reset_after_equals_its_formula_in_numpy(x64):
    params, (h, _, x) = fused(3, 3), state(3)
    hidden_bias = draw(9, Q, 3, 3)
    of_h = np.split(np.einsum("qpak,pkc->qac", params.W[:, :Q], h), 3)
    of_x = np.split(np.einsum("qpak,pkc->qac", params.W[:, Q:], x) + params.B, 3)
    z, r = logistic(of_h[0] + of_x[0]), logistic(of_h[1] + of_x[1])
    for bias in (hidden_bias, None):
        n = np.tanh(of_x[2] + r * (of_h[2] + (0 if bias is None else bias)))
        h_next = (1 - z) * n + z * h
        assert_close(gru_step(params, h, x, reset_after=True, hidden_bias=bias), (h_next, h_next), rtol=1e-12)


def test_a_mapping_may_lack_some_or_all_biases(x64):
    params, (h, c, x) = fused(4, 2), state(2)
    gates = by_gate(params, "ifgo")
    without = {name: MatrixParams(gate.W) for name, gate in gates.items()}
    assert_close(lstm_step(without, (h, c), x), lstm_step(MatrixParams(params.W), (h, c), x))
    zeros = MatrixParams(params.W, params.B.at[:Q].set(0))
    assert_close(lstm_step({**gates, "i": without["i"]}, (h, c), x), lstm_step(zeros, (h, c), x))


STEPS = {
    "rnn": lambda params, h, c, x: rnn_step(params, h, x),
    "lstm": lambda params, h, c, x: lstm_step(params, (h, c), x),
    "lstm matmul": lambda params, h, c, x: lstm_step(params, (h, c), x, gating="matmul"),
    "gru": lambda params, h, c, x: gru_step(params, h, x),
    "gru after": lambda params, h, c, x: gru_step(params, h, x, reset_after=True),
}
every_step = pytest.mark.parametrize("name", STEPS)


def params_of(name, n, dtype=None):
    return jax.tree.map(lambda leaf: leaf.astype(dtype or leaf.dtype), fused(len(GATES[name.split()[0]]), n))


@every_step
def test_gradients_of_a_step_match_finite_differences(x64, name):
    step = jax.jit(STEPS[name])
    check_grads(step, (params_of(name, 2), *state(2)), order=1, modes=["rev"], rtol=1e-6, atol=1e-6)


@every_step
def test_a_step_over_a_batch_equals_vmap_and_one_by_one(x64, name):
    params, (h, c, x) = params_of(name, 2), state(2, 2, 3)
    step = STEPS[name]

    @jax.jit
    def run(params, h, c, x):
        mapped = jax.vmap(jax.vmap(step, (None, 0, 0, 0)), (None, 0, 0, 0))(params, h, c, x)
        return step(params, h, c, x), mapped, step(params, h[1, 2], c[1, 2], x[1, 2])

    batched, mapped, one = run(params, h, c, x)
    assert_close(batched, mapped, rtol=1e-12)
    assert_close(jax.tree.map(lambda leaf: leaf[1, 2], batched), one, rtol=1e-12)


@every_step
def test_half_precision_in_gives_half_out_and_the_carry_keeps_its_dtype(name):
    params, (h, c, x) = params_of(name, 2, jnp.bfloat16), state(2)
    carry, y = STEPS[name](params, h, c, x.astype(jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(carry)} == {jnp.dtype(jnp.float32)}
    narrow, _ = STEPS[name](params, h.astype(jnp.bfloat16), c.astype(jnp.bfloat16), x.astype(jnp.bfloat16))
    assert {leaf.dtype for leaf in jax.tree.leaves(narrow)} == {jnp.dtype(jnp.bfloat16)}
    exact, _ = STEPS[name](params_of(name, 2), h, c, x)
    for ours, theirs in zip(jax.tree.leaves(carry), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0.05, atol=0.05)


def test_a_float32_state_sums_up_what_is_lost_in_half_precision():
    """1000 steps of 0.001 each, as i is about 1/2 and f about 1: bfloat16 stops at 0.5, where its spacing is 0.004."""
    bias = jnp.array([0.0, 100.0, 0.002, 0.0], jnp.bfloat16).reshape(4, 1, 1)
    params = MatrixParams(jnp.zeros((4, 2, 1, 1), jnp.bfloat16), bias)
    steps = jnp.zeros((1000, 1, 1, 1), jnp.bfloat16)

    def sum_in(dtype):
        zero = jnp.zeros((1, 1, 1), dtype)
        return float(jax.lax.scan(lambda carry, x: lstm_step(params, carry, x), (zero, zero), steps)[0][1][0, 0, 0])

    assert sum_in(jnp.float32) == pytest.approx(1.0, rel=0.01)
    assert sum_in(jnp.bfloat16) == 0.5


@every_step
def test_a_step_runs_in_lax_scan_on_numpy_arrays(name):
    params = params_of(name, 2)
    h, c, x = map(np.asarray, state(2))
    carry, y = STEPS[name](params, h, c, x)
    start = (h, c) if name.startswith("lstm") else h

    def take(carry, x):
        return STEPS[name](params, *(carry if isinstance(carry, tuple) else (carry, None)), x)

    last, ys = jax.lax.scan(take, start, x[None])
    assert_close(last, carry, rtol=1e-6)
    np.testing.assert_allclose(ys[0], y, rtol=1e-6, atol=1e-6)


def products(function, *args):
    return str(jax.make_jaxpr(function)(*args)).count("dot_general[")


def test_all_gates_are_one_product():
    """Of a GRU two: the candidate's waits for the reset gate."""
    h, c, x = state(2, 5)
    assert products(STEPS["rnn"], params_of("rnn", 2), h, c, x) == 1
    assert products(STEPS["lstm"], params_of("lstm", 2), h, c, x) == 1
    assert products(STEPS["gru"], params_of("gru", 2), h, c, x) == 2
    assert products(lambda h, c, x: lstm_step(by_gate(params_of("lstm", 2), "ifgo"), (h, c), x), h, c, x) == 1


def test_advancing_from_the_gates_of_the_input_is_the_step(x64):
    h, c, x = state(3, 2)
    advances = {
        "rnn": lambda W, given: rnn_advance(W, h, given, jnp.tanh),
        "lstm": lambda W, given: lstm_advance(W, (h, c), given, (sigmoid, jnp.tanh), "hadamard"),
        "gru": lambda W, given: gru_advance(tuple(jnp.split(W[0], [2 * len(W[0]) // 3])), h, given, None),
        "gru after": lambda W, given: gru_advance(W, h, given, None),
    }

    @jax.jit
    def both_ways(params):
        gates = {name: len(GATES[name.split()[0]]) for name in advances}
        return {
            name: (
                advance(hidden_weights(params[name], gates[name]), input_gates(params[name], x, gates[name])),
                STEPS[name](params[name], h, c, x),
            )
            for name, advance in advances.items()
        }

    for advanced, stepped in both_ways({name: params_of(name, 3) for name in advances}).values():
        assert_close(advanced, stepped, rtol=1e-12)


def run_cell(gating, n, steps=100):
    """The largest entry of c behind each step: weights with the variance that keeps entries, input of variance 1."""
    draws = np.random.default_rng(0)
    W = jnp.asarray(draws.normal(size=(4 * 4, 8, n, n))) / np.sqrt(4 * n)
    zero = jnp.zeros((4, n, n))

    def take(carry, x):
        carry, _ = lstm_step(MatrixParams(W), carry, x, gating=gating)
        return carry, jnp.max(jnp.abs(carry[1]))

    return jax.lax.scan(take, (zero, zero), jnp.asarray(draws.normal(size=(steps, 4, n, n))))[1]


def test_raw_matrix_gates_explode_and_normalised_ones_do_not(x64):
    raw, normalised = run_cell("raw_matmul", 4), run_cell("matmul", 4)
    # A forget gate of entries about ½ has spectral radius about n / 2 = 2, and 2¹⁰⁰ is 10³⁰.
    assert raw[-1] > 1e20
    assert np.all(normalised <= 1 + np.arange(100))
    assert normalised.max() < 5


def test_no_normalised_gate_adds_more_than_1_to_the_state(x64):
    """Whatever the weights: ‖c'‖ ≤ ‖c‖ + 1 in the largest entry, and ‖h'‖ ≤ 1."""
    for seed in range(3):
        params = jax.tree.map(lambda leaf: 30 * leaf, fused(4, 4, seed))
        h, c, x = state(4, 20)
        (_, after), y = lstm_step(params, (h, 100 * c), x, gating="matmul")
        assert jnp.all(jnp.max(jnp.abs(after), (-2, -1)) <= jnp.max(jnp.abs(100 * c), (-2, -1)) + 1)
        assert jnp.max(jnp.abs(y)) <= 1


def test_a_normalised_forget_gate_can_keep_the_state_and_can_clear_it():
    h, c, x = state(3)
    for f, kept in ((2000 * jnp.eye(3) - 1000, 1), (-1000 * jnp.ones((3, 3)), 0)):
        bias = jnp.zeros((4 * Q, 3, 3)).at[:Q].set(-1000).at[Q : 2 * Q].set(f)
        (_, after), _ = lstm_step(MatrixParams(jnp.zeros((4 * Q, Q + P, 3, 3)), bias), (h, c), x, gating="matmul")
        np.testing.assert_allclose(after, kept * c, rtol=1e-6)


def test_matrix_gates_are_gates_by_entries_when_n_is_1(x64):
    params, (h, c, x) = fused(4, 1), state(1)
    by_entries = lstm_step(params, (h, c), x)
    assert_close(lstm_step(params, (h, c), x, gating="matmul"), by_entries, rtol=1e-12)
    assert_close(lstm_step(params, (h, c), x, gating="raw_matmul"), by_entries, rtol=1e-12)


def test_a_wrong_shape_is_refused():
    h, c, x = state(4)
    with pytest.raises(ContractError, match=r"rnn_step got x float32\[3, 4, 4\].*axis -3 is 3, p is 2"):
        rnn_step(fused(1, 4), h, h)
    with pytest.raises(ContractError, match=r"gru_step got carry float32\[2, 4, 4\].*axis -3 is 2, q is 3"):
        gru_step(fused(3, 4), x, x)
    with pytest.raises(ContractError, match="lstm_step got carry"):
        lstm_step(fused(4, 4), (h, x), x)
    # It would broadcast.
    with pytest.raises(ContractError, match=r"gru_step got hidden_bias float32\[1, 4, 4\].*axis 0 is 1, q is 3"):
        gru_step(fused(3, 4), h, x, reset_after=True, hidden_bias=h[:1])
    with pytest.raises(ContractError, match=r"lstm_step got x float32\[2, 3, 3\].*axis -2 is 3, n is 4"):
        lstm_step(by_gate(fused(4, 4), "ifgo"), (h, c), x[:, :3, :3])


def test_a_weight_that_does_not_hold_the_gates_is_refused():
    h, c, x = state(4)
    with pytest.raises(ContractError, match=r"`params.W` .* must hold 4 gates, i, f, g, o.*a multiple of 4"):
        lstm_step(fused(3, 4), (h, c), x)
    with pytest.raises(ContractError, match=r"`params.W` .* must take \[h, x\], with h of q=5.*q \+ p on axis 1"):
        rnn_step(MatrixParams(jnp.ones((5, 5, 4, 4))), h, x)
    with pytest.raises(ContractError, match="`dense` takes W"):
        rnn_step(MatrixParams(jnp.ones((3, 5, 2, 4, 4))), h, x)


def test_a_mapping_with_other_gates_is_refused():
    h, c, x = state(4)
    gates = by_gate(fused(4, 4), "ifgo")
    with pytest.raises(ContractError, match=r"must have the gates i, f, g, o: add 'g', 'o'"):
        lstm_step({"i": gates["i"], "f": gates["f"]}, (h, c), x)
    with pytest.raises(ContractError, match=r"must have the gates i, f, g, o: 'c' is none, did you mean"):
        lstm_step({**gates, "c": gates["i"]}, (h, c), x)
    with pytest.raises(ContractError, match=r"must have the gates z, r, n: add 'z', 'r', 'n'"):
        gru_step({}, h, x)
    with pytest.raises(ContractError, match=r"`params\['o'\]` \(=None\) must be a MatrixParams: give each gate"):
        lstm_step({**gates, "o": None}, (h, c), x)
    odd = {**gates, "o": MatrixParams(gates["o"].W[:1])}
    with pytest.raises(ContractError, match=r"`params\['o'\].W` .* must have the shape of `params\['i'\].W`"):
        lstm_step(odd, (h, c), x)


def test_an_unknown_gating_and_a_hidden_bias_without_reset_after_are_refused():
    h, c, x = state(4)
    with pytest.raises(ContractError, match="lstm_step got gating as 'matrix'"):
        lstm_step(fused(4, 4), (h, c), x, gating="matrix")
    with pytest.raises(ValueError, match="`hidden_bias` must be None without `reset_after`"):
        gru_step(fused(3, 4), h, x, hidden_bias=h)
