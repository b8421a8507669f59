import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import relud, sigmoid
from matrinox.nn import Dropout, GRUCell, LSTMCell, Recurrent, RNNCell, Sequential

P, Q, N, T = 2, 3, 2, 5


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def drawn(key, shape, dtype):
    """An initializer that compiles nothing."""
    return jnp.asarray(draw(int(jax.random.key_data(key)[-1]), *shape), dtype) / 3


class PlainLSTM(LSTMCell):
    """The same cell, which `Recurrent` has to call step by step."""

    def __call__(self, carry, x, *, key=None):
        return super().__call__(carry, x, key=key)


class PlainGRU(GRUCell):
    def __call__(self, carry, x, *, key=None):
        return super().__call__(carry, x, key=key)


CELLS = {
    "rnn": (RNNCell, {}),
    "gru": (GRUCell, {}),
    "gru after": (GRUCell, {"reset_after": True}),
    "lstm": (LSTMCell, {}),
    "lstm matmul": (LSTMCell, {"gating": "matmul"}),
}


def build(kind=LSTMCell, seed=0, p=P, q=Q, dtype=None, **options):
    cell = kind(p=p, q=q, n=N, initializer=drawn, dtype=dtype, key=jax.random.key(seed), **options)
    # Biases start at zero, where mistakes in them would not show.
    return jax.tree.map(lambda leaf: leaf + jnp.asarray(0.1, leaf.dtype) if eqx.is_array(leaf) else leaf, cell)


def sequence(*batch, t=T):
    return jnp.asarray(draw(1, *batch, t, P, N, N))


class Noisy(eqx.Module):
    """A user's cell: a leaky sum with dropout on the way in, and a count of the steps taken."""

    dropout: Dropout
    p = q = P
    n = N

    def initial_carry(self, batch_shape=(), dtype=None):
        return {"sum": jnp.zeros((*batch_shape, P, N, N), dtype), "steps": jnp.zeros(batch_shape, int)}

    def __call__(self, carry, x, *, key=None):
        total = 0.5 * carry["sum"] + self.dropout(x, key=key)
        return {"sum": total, "steps": carry["steps"] + 1}, total


@eqx.filter_jit
def stepped(cell, x, carry):
    """The oracle: a loop over the cell."""
    ys = []
    for t in range(x.shape[-4]):
        carry, y = cell(carry, x[..., t, :, :, :])
        ys.append(y)
    return carry, jnp.stack(ys, axis=-4)


def assert_close(ours, theirs, rtol=1e-10):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)


def test_a_leaky_sum_is_worked_out_by_hand():
    x = jnp.ones((3, P, N, N))
    y = Recurrent(Noisy(Dropout(0.0)))(x)
    assert np.array_equal(y[:, 0, 0, 0], [1.0, 1.5, 1.75])
    assert np.array_equal(Recurrent(Noisy(Dropout(0.0)), reverse=True)(x)[:, 0, 0, 0], [1.75, 1.5, 1.0])


@pytest.mark.parametrize("name", CELLS)
def test_recurrent_equals_stepping_the_cell(x64, name):
    kind, options = CELLS[name]
    cell = build(kind, **options)
    x = sequence(3)
    start = jax.tree.map(lambda leaf: leaf + draw(2, *leaf.shape), cell.initial_carry((3,)))
    assert_close(Recurrent(cell).scan(x, carry=start), stepped(cell, x, start))
    last, y = stepped(cell, x[:, ::-1], start)
    assert_close(Recurrent(cell, reverse=True).scan(x, carry=start), (last, y[:, ::-1]))


def test_recurrent_equals_a_loop_over_eqx_lstm_cell_when_n_is_1(x64):
    theirs = eqx.nn.LSTMCell(2, 3, key=jax.random.key(0))
    cell = LSTMCell(p=2, q=3, n=1, initializer=drawn, key=jax.random.key(0))
    weight = np.concatenate([theirs.weight_hh, theirs.weight_ih], axis=1)
    new = jax.tree.map(jnp.asarray, (weight[..., None, None], np.asarray(theirs.bias)[..., None, None]))
    cell = eqx.tree_at(lambda cell: (cell.weight, cell.bias), cell, new)
    x, state = draw(0, T, 2), (jnp.zeros(3), jnp.zeros(3))
    step = eqx.filter_jit(theirs)
    expected = [(state := step(one, state))[0] for one in x]
    np.testing.assert_allclose(Recurrent(cell)(x[..., None, None])[..., 0, 0], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("ours", "plain", "options"), [(LSTMCell, PlainLSTM, {}), (GRUCell, PlainGRU, {})], ids=["lstm", "gru"]
)
def test_gradients_with_the_input_part_outside_the_loop_are_those_of_stepping(x64, ours, plain, options):
    x, lengths = sequence(3), jnp.array([5, 2, 0])

    def loss(cell, x):
        return jnp.sum(jnp.sin(Recurrent(cell)(x, lengths=lengths)))

    gradient = eqx.filter_jit(eqx.filter_grad(lambda cell_x: loss(*cell_x)))
    fast, slow = gradient((build(ours, **options), x)), gradient((build(plain, **options), x))
    assert_close(fast, slow)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(fast))


def test_gradients_of_recurrent_match_finite_differences(x64):
    layer = Recurrent(build(GRUCell, reset_after=True))
    arrays, rest = eqx.partition(layer, eqx.is_inexact_array)

    @jax.jit
    def loss(arrays, x, carry):
        return jnp.sum(jnp.sin(eqx.combine(arrays, rest)(x, carry=carry, lengths=jnp.array([3, 1]))))

    given = arrays, sequence(2, t=3), layer.initial_carry((2,)) + 0.3
    check_grads(loss, given, order=1, modes=["rev"], rtol=1e-6, atol=1e-6)


def equations(jaxpr):
    """Of the jaxpr and the calls in it, but not of its loops."""
    for eqn in jaxpr.eqns:
        yield eqn
        if eqn.primitive.name != "scan" and "jaxpr" in eqn.params:
            yield from equations(eqn.params["jaxpr"].jaxpr)


def loop_of(layer, x):
    (loop,) = [eqn for eqn in outside(layer, x) if eqn.primitive.name == "scan"]
    return loop


def outside(layer, x):
    return list(equations(jax.make_jaxpr(lambda x: layer(x))(x).jaxpr))


def inside(layer, x):
    return list(equations(loop_of(layer, x).params["jaxpr"].jaxpr))


def count_products(equations):
    return sum(eqn.primitive.name == "dot_general" for eqn in equations)


@pytest.mark.parametrize(("name", "products"), [("rnn", 1), ("lstm", 1), ("gru after", 1), ("gru", 2)])
def test_of_few_examples_the_input_part_of_all_gates_is_one_product_outside_the_loop(name, products):
    """Inside is the hidden part alone; a GRU's candidate, whose product waits for the reset gate, is the second."""
    kind, options = CELLS[name]
    layer, x = Recurrent(build(kind, **options)), sequence(3)
    assert count_products(outside(layer, x)) == 1
    assert count_products(inside(layer, x)) == products


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru after", "gru"])
def test_many_examples_take_the_input_part_in_the_loop_and_give_what_each_gives_alone(x64, name):
    kind, options = CELLS[name]
    layer, x, lengths = Recurrent(build(kind, **options)), sequence(16), jnp.arange(16) % (T + 1)
    assert count_products(outside(layer, x)) == 0

    def loss(layer_x, run):
        layer, x = layer_x
        return jnp.sum(jnp.sin(run(lambda x, lengths: layer(x, lengths=lengths))(x, lengths)))

    value_and_gradient = eqx.filter_jit(eqx.filter_value_and_grad(loss))
    many, alone = (value_and_gradient((layer, x), run) for run in (lambda call: call, jax.vmap))
    assert_close(many, alone)


def test_many_examples_of_half_precision_give_half_precision():
    layer = Recurrent(build(dtype=jnp.bfloat16, use_bias=False))
    x = sequence(16).astype(jnp.bfloat16)
    y = layer(x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(float), jax.vmap(layer)(x).astype(float), atol=0.01)


def test_a_cell_with_a_call_of_its_own_is_called_in_the_loop():
    layer, x = Recurrent(build(PlainLSTM)), sequence(3)
    assert count_products(outside(layer, x)) == 0
    assert count_products(inside(layer, x)) == 1


def test_the_compiled_loop_does_not_grow_with_the_length_and_unrolls_as_told():
    layer = Recurrent(build())
    for part in (outside, inside):
        short, long = ([eqn.primitive.name for eqn in part(layer, sequence(t=t))] for t in (5, 500))
        assert short == long
    unrolled = Recurrent(build(), unroll=3)
    assert loop_of(unrolled, sequence()).params["unroll"] == 3
    np.testing.assert_allclose(unrolled(sequence()), layer(sequence()), rtol=1e-6)


def test_outside_jit_too_a_loop_is_compiled_once(caplog):
    layer, x = Recurrent(build()), sequence(7)
    compiled = []
    with jax.log_compiles(True), caplog.at_level("DEBUG"):
        for factor in (1, 2):
            layer(factor * x)
            compiled.append(sum("Finished XLA compilation of jit(_scan)" in message for message in caplog.messages))
    assert compiled == [1, 1]


@pytest.mark.parametrize("batch", [(), (0,), (2, 3)])
def test_a_state_of_the_columns_of_all_examples_is_that_of_each(x64, batch):
    """Elementwise cells run on such a state; one whose activation is not known to be elementwise does not."""
    known = build(RNNCell)
    unknown = build(RNNCell, activation=lambda h: jnp.tanh(h))
    assert known.columns_apart
    assert not unknown.columns_apart
    x, lengths = sequence(*batch), jnp.full(batch, 3)
    for reverse in (False, True):
        ours, theirs = (Recurrent(cell, reverse=reverse).scan(x, lengths=lengths) for cell in (known, unknown))
        assert_close(ours, theirs, rtol=1e-12)


def test_an_activation_of_whole_matrices_gets_whole_matrices(x64):
    cell, x = build(RNNCell, activation=relud), sequence(3)
    assert not cell.columns_apart
    assert_close(Recurrent(cell).scan(x), stepped(cell, x, cell.initial_carry((3,))))
    assert not build(LSTMCell, gating="matmul").columns_apart
    assert not build(LSTMCell, activations=(sigmoid, relud)).columns_apart


def test_recurrent_under_jit_and_vmap_equals_recurrent_over_a_batch(x64):
    layer, x, lengths = Recurrent(build(), reverse=True), sequence(2, 3), jnp.array([[5, 0, 3], [1, 2, 4]])

    @eqx.filter_jit
    def run(x, lengths):
        one = jax.vmap(jax.vmap(lambda x, lengths: layer.scan(x, lengths=lengths)))
        return layer.scan(x, lengths=lengths), one(x, lengths)

    batched, mapped = run(x, lengths)
    assert_close(batched, mapped, rtol=1e-12)
    assert_close(batched, layer.scan(x, lengths=lengths), rtol=1e-12)


@pytest.mark.parametrize(("kind", "reverse"), [(LSTMCell, False), (LSTMCell, True), (PlainGRU, True)])
def test_a_padded_example_is_run_as_if_it_ended(x64, kind, reverse):
    layer, x = Recurrent(build(kind), reverse=reverse), sequence(3)
    lengths = jnp.array([5, 2, 0])
    carry, y = layer.scan(x, lengths=lengths)
    for index, length in enumerate(lengths):
        last, expected = layer.scan(x[index, : int(length)])
        np.testing.assert_allclose(y[index, :length], expected, rtol=1e-12)
        assert not np.any(y[index, length:])
        assert_close(jax.tree.map(lambda leaf, index=index: leaf[index], carry), last, rtol=1e-12)


@pytest.mark.parametrize(("kind", "reverse"), [(LSTMCell, False), (LSTMCell, True), (PlainGRU, True)])
def test_padding_does_not_leak_even_where_it_is_nan(x64, kind, reverse):
    layer, x, lengths = Recurrent(build(kind), reverse=reverse), sequence(3), jnp.array([5, 2, 0])
    padding = jnp.arange(T)[None, :, None, None, None] >= lengths[:, None, None, None, None]

    @eqx.filter_jit
    def run(layer, x):
        def loss(layer_x):
            carry, y = layer_x[0].scan(layer_x[1], lengths=lengths)
            return jnp.sum(jnp.sin(y)) + sum(jnp.sum(jnp.cos(leaf)) for leaf in jax.tree.leaves(carry))

        return layer.scan(x, lengths=lengths), eqx.filter_grad(loss)((layer, x))

    clean = run(layer, x)
    for dirt in (jnp.nan, jnp.inf, 1e30):
        dirty = run(layer, jnp.where(padding, dirt, x))
        assert all(np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (clean, dirty)), strict=True))
    of_x = clean[1][1]
    assert not np.any(jnp.where(padding, of_x, 0))
    assert np.all(of_x[0])


def test_without_a_key_cells_get_none_and_with_one_each_step_gets_its_own():
    layer = Recurrent(Noisy(Dropout(0.5)))
    with pytest.raises(ValueError, match=r"`key` .* is needed by Dropout"):
        layer(jnp.ones((T, P, N, N)))
    x = jnp.ones((64, P, N, N))
    y = layer(x, key=jax.random.key(0))
    kept = np.asarray(y[1:] - 0.5 * y[:-1]).reshape(63, -1) > 0
    assert len(np.unique(kept, axis=0)) > 10
    assert np.array_equal(y, layer(x, key=jax.random.key(0)))
    assert not np.array_equal(y, layer(x, key=jax.random.key(1)))
    quiet = eqx.nn.inference_mode(layer)
    assert np.array_equal(quiet(x), quiet(x, key=jax.random.key(0)))


def test_a_carry_of_any_tree_stays_where_an_example_ends():
    carry, _ = Recurrent(Noisy(Dropout(0.0))).scan(sequence(3), lengths=jnp.array([5, 2, 0]))
    assert np.array_equal(carry["steps"], [5, 2, 0])


def test_a_cell_may_carry_a_number_and_take_its_key_among_other_options():
    class Plain(Noisy):
        def initial_carry(self, batch_shape=(), dtype=None):
            return 1.5

        def __call__(self, carry, x, **options):
            return 2.5, x * carry

    carry, y = Recurrent(Plain(Dropout(0.0))).scan(jnp.ones((2, P, N, N)))
    assert carry == 2.5
    assert np.array_equal(y[:, 0, 0, 0], [1.5, 2.5])


@pytest.mark.parametrize("lengths", [None, jnp.zeros(3, int)])
def test_an_empty_sequence_gives_no_output_and_the_carry_it_started_from(lengths):
    layer = Recurrent(build())
    start = jax.tree.map(lambda leaf: leaf + 1, layer.initial_carry((3,)))
    carry, y = layer.scan(jnp.zeros((3, 0, P, N, N)), carry=start, lengths=lengths)
    assert y.shape == (3, 0, Q, N, N)
    assert_close(carry, start)


def test_two_halves_with_the_carry_passed_on_are_the_whole(x64):
    layer, x = Recurrent(build()), sequence(3)
    carry, first = layer.scan(x[:, :2])
    last, second = layer.scan(x[:, 2:], carry=carry)
    assert_close((last, jnp.concatenate([first, second], axis=1)), layer.scan(x), rtol=1e-12)


@pytest.mark.parametrize("kind", [LSTMCell, PlainLSTM])
def test_half_precision_in_gives_half_out_with_a_carry_in_float32(kind):
    layer = Recurrent(build(kind, dtype=jnp.bfloat16))
    x = sequence(3).astype(jnp.bfloat16)
    carry, y = layer.scan(x)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(carry)} == {jnp.dtype(jnp.float32)}
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf, layer)
    np.testing.assert_allclose(np.asarray(y, np.float32), wide(x.astype(jnp.float32)), rtol=0.05, atol=0.05)
    given, _ = layer.scan(x, carry=layer.initial_carry((3,), jnp.bfloat16))
    assert {leaf.dtype for leaf in jax.tree.leaves(given)} == {jnp.dtype(jnp.bfloat16)}


def test_wider_inputs_widen_carry_and_output(x64):
    carry, y = Recurrent(build(dtype=jnp.float32)).scan(sequence(3))
    assert {leaf.dtype for leaf in jax.tree.leaves((carry, y))} == {jnp.dtype(jnp.float64)}


def test_joints_of_a_sequential_see_the_sizes_of_recurrent_layers():
    first = Recurrent(build(RNNCell, p=2, q=3))
    assert Sequential([first, Recurrent(build(RNNCell, p=3, q=4))]).shapes((T, P, N, N))[-1] == (T, 4, N, N)
    with pytest.raises(
        ContractError, match=r"layers\[1\]: Recurrent\(p=2.*layers\[0\]: Recurrent.*axis -3 is 3, p is 2"
    ):
        Sequential([first, first])


def test_what_is_no_cell_is_refused_with_what_it_lacks():
    theirs = eqx.nn.LSTMCell(2, 3, key=jax.random.key(0))
    with pytest.raises(
        TypeError, match=r"`cell` \(=LSTMCell\) must be a cell, and lacks `p`, `q`, `n`, `initial_carry`:"
    ):
        Recurrent(theirs)

    class Keyless(Noisy):
        def __call__(self, carry, x):
            return carry, x

    with pytest.raises(TypeError, match="lacks the keyword `key` of its call: it is called as cell"):
        Recurrent(Keyless(Dropout(0.0)))
    with pytest.raises(TypeError, match=r"`cell` \(=LSTMCell\) must not be a class: build a layer, as LSTMCell"):
        Recurrent(LSTMCell)
    with pytest.raises(TypeError, match="lacks `p`, `q`, `n`, `initial_carry`, a call:"):
        Recurrent(3)
    with pytest.raises(ValueError, match=r"`unroll` \(=0\) must be at least 1"):
        Recurrent(build(), unroll=0)


def test_a_cell_that_breaks_its_word_is_refused():
    class One(Noisy):
        def __call__(self, carry, x, *, key=None):
            return x

    class Shrinking(Noisy):
        def __call__(self, carry, x, *, key=None):
            return {**carry, "sum": carry["sum"][..., :1]}, x

    with pytest.raises(ContractError, match=r"`cell` \(=One\) must return \(carry, y\), got"):
        Recurrent(One(Dropout(0.0)))(jnp.ones((T, P, N, N)))
    with pytest.raises(ContractError, match=r"`cell` \(=Shrinking\) must return a carry as it got it"):
        Recurrent(Shrinking(Dropout(0.0)))(jnp.ones((T, P, N, N)))


def test_lengths_out_of_range_are_refused_where_they_are_known():
    layer, x = Recurrent(build()), sequence(2)
    for wrong in (6, -1):
        with pytest.raises(
            ValueError, match=rf"`lengths` \(={wrong}\) must be from 0 to t \(=5\): count the valid steps"
        ):
            layer(x, lengths=jnp.array([5, wrong]))
    with pytest.raises(ContractError, match=r"Recurrent\(p=2, q=3, n=2\) got lengths int32\[3\]"):
        layer(x, lengths=jnp.array([5, 5, 5]))


def test_traced_lengths_out_of_range_make_their_example_nan_and_no_other():
    layer, x = Recurrent(build()), sequence(4)
    carry, y = jax.jit(lambda lengths: layer.scan(x, lengths=lengths))(jnp.array([6, 5, -1, 2]))
    for array in (y, *jax.tree.leaves(carry)):
        np.testing.assert_array_equal(np.isnan(array).all(axis=tuple(range(1, array.ndim))), [True, False, True, False])
        assert np.isfinite(array[1::2]).all()


def test_a_carry_that_does_not_fit_is_refused():
    layer, x = Recurrent(build()), sequence(3)
    h, _ = layer.initial_carry((3,))
    for wrong in (h, layer.initial_carry((2,)), (h, h.astype(int))):
        with pytest.raises(ContractError, match=r"`carry` \(=.*\) must be as initial_carry\(\(3,\)\) gives it: \(f32"):
            layer(x, carry=wrong)

    class Shared(Noisy):
        def initial_carry(self, batch_shape=(), dtype=None):
            return {"sum": jnp.zeros((*batch_shape, P, N, N), dtype), "steps": jnp.zeros((), int)}

    shared = Recurrent(Shared(Dropout(0.0)))
    assert int(shared.scan(x)[0]["steps"]) == T
    with pytest.raises(ContractError, match=r"must have the batch axes \(3,\) in front where there are `lengths`"):
        shared(x, lengths=jnp.array([1, 2, 3]))


def test_a_wrong_shape_is_refused():
    layer = Recurrent(build())
    with pytest.raises(
        ContractError, match=r"Recurrent\(p=2, q=3, n=2\) got x float32\[5, 3, 2, 2\].*axis -3 is 3, p is 2"
    ):
        layer(jnp.ones((T, 3, N, N)))
    with pytest.raises(
        ContractError, match=r"Recurrent\(p=2, q=3, n=2\).scan got x .* it has 3 axes, at least 4 are due"
    ):
        layer.scan(jnp.ones((P, N, N)))
