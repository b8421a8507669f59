import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from matrinox.contract import ContractError
from matrinox.functional import rotary, sinusoidal_positions
from matrinox.nn import LearnedPosition, RotaryPosition, Sequential, SinusoidalPosition

LAYERS = {
    "learned": LearnedPosition(length=9, p=2, n=3, key=jax.random.key(0)),
    "sinusoidal": SinusoidalPosition(),
    "rotary": RotaryPosition(),
    "rotary of two heads": RotaryPosition(heads=2, interleaved=True),
}
every_position = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def draw(layer, *leading):
    p = 2 * getattr(layer, "heads", 1)
    return np.random.default_rng(0).normal(size=(*leading, p, 3, 3)).astype(np.float32)


def test_learned_positions_by_hand():
    layer = LearnedPosition(length=3, p=1, n=1, key=jax.random.key(0))
    layer = eqx.tree_at(lambda layer: layer.weight, layer, jnp.array([1.0, 20.0, 300.0])[:, None, None, None])
    x = jnp.array([5.0, 7.0])[:, None, None, None]
    assert layer(x).ravel().tolist() == [6, 27]
    assert layer(x, start_pos=1).ravel().tolist() == [25, 307]


def test_sinusoidal_positions_by_hand():
    y = SinusoidalPosition()(jnp.full((1, 1, 2, 2), 10.0), start_pos=3)
    expected = [[10 + np.sin(3), 10 + np.cos(3)], [10 + np.sin(0.03), 10 + np.cos(0.03)]]
    np.testing.assert_allclose(y[0, 0], expected, rtol=1e-6)


def test_rotary_positions_by_hand():
    # Entries (0, 1) of the two rows pair up: row 0 turns with row 1.
    x = jnp.array([[[[1.0, 0.0], [0.0, 1.0]]]])
    cos, sin, slow_cos, slow_sin = np.cos(2), np.sin(2), np.cos(0.02), np.sin(0.02)
    expected = [[cos, -slow_sin], [sin, slow_cos]]
    np.testing.assert_allclose(RotaryPosition()(x, start_pos=2)[0, 0], expected, rtol=1e-6)


def test_learned_positions_equal_an_eqx_embedding_of_the_positions_when_n_is_1():
    weight, x = (np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32) for rows in (7, 3))
    theirs = eqx.nn.Embedding(weight=jnp.asarray(weight))
    table = jnp.asarray(weight[..., None, None])
    ours = LearnedPosition(length=7, p=4, n=1, initializer=lambda *_: table, key=jax.random.key(0))
    expected = x + np.asarray(jax.vmap(theirs)(np.arange(2, 5)))
    assert np.array_equal(np.asarray(ours(x[..., None, None], start_pos=2))[..., 0, 0], expected)


def test_rotary_positions_equal_eqx_rotary_positional_embedding_when_n_is_1():
    @jax.jit
    def both(x):
        ours = [RotaryPosition(heads=heads)(x[..., None, None])[..., 0, 0] for heads in (1, 2)]
        by_head = jax.vmap(eqx.nn.RotaryPositionalEmbedding(4), 1, 1)(x.reshape(5, 2, 4)).reshape(5, 8)
        return ours, [eqx.nn.RotaryPositionalEmbedding(8)(x), by_head]

    for ours, theirs in zip(*both(np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_layers_are_their_functional_twins():
    x = draw(LAYERS["sinusoidal"], 2, 4)
    table = sinusoidal_positions(4, 2, 3, start_pos=5, base=100.0)
    assert np.array_equal(SinusoidalPosition(base=100.0)(x, start_pos=5), x + table)
    options = {"base": 100.0, "heads": 2, "interleaved": True}
    x = draw(LAYERS["rotary of two heads"], 2, 4)
    assert np.array_equal(RotaryPosition(**options)(x, start_pos=5), rotary(x, start_pos=5, **options))


@every_position
def test_step_by_step_with_start_pos_equals_the_full_pass(layer):
    x = draw(layer, 3, 6)

    def step(position, token):
        return position + 1, layer(token[:, None], start_pos=position)[:, 0]

    run = jax.jit(lambda x: (lax.scan(step, jnp.array(0), jnp.moveaxis(x, 1, 0))[1], layer(x)))
    decoded, full = run(x)
    np.testing.assert_allclose(np.moveaxis(decoded, 0, 1), full, rtol=1e-5, atol=1e-6)


@every_position
def test_a_start_for_each_example_is_that_of_each_example_alone(layer):
    x, starts = draw(layer, 3, 2), np.array([4, 0, 7])

    @jax.jit
    def run(x, starts):
        alone = jnp.stack([layer(row, start_pos=start) for row, start in zip(x, (4, 0, 7), strict=True)])
        return alone, layer(x, start_pos=starts), jax.vmap(_at(layer))(x, starts)

    alone, *traced = run(x, starts)
    for together in (*traced, layer(x, start_pos=starts)):
        np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def _at(layer):
    return lambda x, start: layer(x, start_pos=start)


@every_position
def test_a_start_may_be_an_int_or_a_scalar_array(layer):
    x = draw(layer, 2)
    for start in (jnp.array(3), np.array(3), jnp.array(3, jnp.uint8)):
        np.testing.assert_allclose(layer(x, start_pos=start), layer(x, start_pos=3), rtol=1e-6)


def test_positions_beyond_the_length_are_refused():
    layer = LAYERS["learned"]
    x = draw(layer, 2, 4)
    layer(x, start_pos=5)
    message = r"`start_pos` \+ t \(=6 \+ 4\) must be at most `length` \(=9\): choose a `length` of 10 or more"
    for start in (6, jnp.array(6), np.array([0, 6])):
        with pytest.raises(ValueError, match=message):
            layer(x, start_pos=start)
    with pytest.raises(ValueError, match=r"`start_pos` \(=-1\) must be 0 or more: the first position is 0"):
        layer(x, start_pos=-1)
    with pytest.raises(ValueError, match=r"`start_pos` \+ t \(=0 \+ 10\) must be at most `length` \(=9\)"):
        eqx.filter_jit(_at(layer))(draw(layer, 10), jnp.array(0))


def test_traced_positions_beyond_the_length_give_nan_and_nothing_else():
    layer = LAYERS["learned"]
    x = jnp.asarray(draw(layer, 4))
    run = eqx.filter_jit(_at(layer))
    late, early = run(x, jnp.array(7)), run(x, jnp.array(-1))
    assert np.array_equal(late[:2], layer(x[:2], start_pos=7))
    assert np.isnan(late[2:]).all()
    assert np.isnan(early[0]).all()
    assert np.array_equal(early[1:], layer(x[1:]))


def test_only_learned_positions_have_leaves():
    assert {name: len(jax.tree.leaves(layer)) for name, layer in LAYERS.items()} == {
        "learned": 1,
        "sinusoidal": 0,
        "rotary": 0,
        "rotary of two heads": 0,
    }


def test_the_gradient_of_learned_positions_reaches_the_rows_that_were_added():
    run = eqx.filter_jit(eqx.filter_grad(lambda layer, x: jnp.sum(layer(x, start_pos=2))))
    gradient = np.asarray(run(LAYERS["learned"], jnp.ones((5, 4, 2, 3, 3))).weight)
    assert np.array_equal(gradient[2:6], np.full((4, 2, 3, 3), 5.0))
    assert not np.any(gradient[[0, 1, 6, 7, 8]])


def test_learned_positions_know_their_sizes_and_start_small():
    layer = LearnedPosition(length=100, p=4, n=4, dtype=jnp.float16, key=jax.random.key(0))
    assert (layer.length, layer.p, layer.n) == (100, 4, 4)
    assert layer.weight.dtype == jnp.float16
    assert float(jnp.std(layer.weight.astype(jnp.float32))) == pytest.approx(0.02, rel=0.05)


def test_positions_stand_in_a_chain():
    chain = Sequential([SinusoidalPosition(), RotaryPosition()])
    x = draw(LAYERS["rotary"], 2, 4)
    assert np.array_equal(chain(x), RotaryPosition()(SinusoidalPosition()(x)))


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: LearnedPosition(0, 2, 3, key=jax.random.key(0)), r"`length` \(=0\) must be at least 1"),
        (lambda: LearnedPosition(9, 0, 3, key=jax.random.key(0)), r"`p` \(=0\) must be at least 1"),
        (lambda: LearnedPosition(9, 2, 0, key=jax.random.key(0)), r"`n` \(=0\) must be at least 1"),
        (lambda: SinusoidalPosition(base=1.0), r"`base` \(=1.0\) must be above 1, and finite"),
        (lambda: RotaryPosition(base=-5.0), r"`base` \(=-5.0\) must be above 1, and finite"),
        (lambda: RotaryPosition(heads=0), r"`heads` \(=0\) must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(build, match):
    with pytest.raises(ValueError, match=match):
        build()


def test_rotary_positions_refuse_heads_that_do_not_fit():
    with pytest.raises(
        ValueError, match=r"`p` \(=3\) must be divisible by `heads` \(=2\): choose `p` as a multiple of 2"
    ):
        RotaryPosition(heads=2)(jnp.ones((4, 3, 2, 2)))
    with pytest.raises(ValueError, match=r"`p`·n·n / `heads` \(=9\) must be even"):
        RotaryPosition(heads=2)(jnp.ones((4, 2, 3, 3)))


def test_a_start_that_is_no_integer_is_refused():
    with pytest.raises(ContractError, match=r"RotaryPosition got start_pos float32\[\]"):
        RotaryPosition()(jnp.ones((4, 2, 3, 3)), start_pos=jnp.array(1.0))
    with pytest.raises(ContractError, match=r"LearnedPosition\(.*\) got start_pos int32\[3\].*\*batch is \(2,\)"):
        LAYERS["learned"](jnp.ones((2, 4, 2, 3, 3)), start_pos=jnp.arange(3))
