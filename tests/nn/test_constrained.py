"""A constrained model: its weights obey after every step and under every transform."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from constrained_chain import KEYS, LAWS, chain, draw, flat, require_laws, transposed
from layer_table.row import drawn

from matrinox import find, freeze, nn
from matrinox.contract import ContractError
from matrinox.nn.tied import TiedLeaf


def test_a_constrained_weight_by_hand():
    layer = nn.Dense(p=1, q=1, n=2, use_bias=False, key=KEYS[0])
    layer = eqx.tree_at(lambda layer: layer.weight, layer, jnp.array([[[[1.0, 2.0], [4.0, 3.0]]]]))
    constrained = nn.Constrained(layer, {"weight": nn.Symmetric()})
    np.testing.assert_array_equal(constrained(jnp.eye(2)[None]), [[[1, 3], [3, 3]]])
    np.testing.assert_array_equal(constrained.model.weight, [[[[1, 3], [3, 3]]]])
    moved = eqx.tree_at(lambda c: c.model.weight, constrained, constrained.model.weight.at[0, 0, 0, 1].add(2))
    np.testing.assert_array_equal(moved(jnp.eye(2)[None]), [[[1, 4], [4, 3]]])


def test_weights_obey_after_twenty_steps():
    constrained, x, y = nn.Constrained(chain(), LAWS), draw(4, 2, 2, 2), draw(3, 4, 2, 2, 2)[1]
    optimiser = optax.adam(0.05)
    require_laws(constrained.whole())

    @eqx.filter_jit
    def train(constrained):
        arrays, rest = eqx.partition(constrained, eqx.is_inexact_array)

        def step(carry, _):
            arrays, memory = carry
            loss, gradient = jax.value_and_grad(lambda arrays: jnp.mean((eqx.combine(arrays, rest)(x) - y) ** 2))(
                arrays
            )
            updates, memory = optimiser.update([gradient], memory, [arrays])
            return (eqx.apply_updates(arrays, updates[0]), memory), loss

        (arrays, _), losses = jax.lax.scan(step, (arrays, optimiser.init([arrays])), length=20)
        return eqx.combine(arrays, rest), losses

    trained, losses = train(constrained)
    require_laws(trained.whole())
    assert losses[-1] < 0.9 * losses[0]
    before, after = (jax.tree.leaves(eqx.filter(tree.whole(), eqx.is_array)) for tree in (constrained, trained))
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(before, after, strict=True))


def test_gradients_match_finite_differences_at_the_start_and_later(x64):
    model = jax.tree.map(lambda leaf: leaf.astype(float) if eqx.is_array(leaf) else leaf, chain())
    constrained, x = nn.Constrained(model, LAWS), draw(3, 2, 2, 2).astype(float)
    arrays, rest = eqx.partition(constrained, eqx.is_inexact_array)
    run = jax.jit(jax.value_and_grad(lambda arrays: jnp.sum(jnp.sin(eqx.combine(arrays, rest)(x)))))
    arrays = jax.tree.map(np.asarray, arrays)
    direction = jax.tree.map(lambda leaf: np.cos(1 + np.arange(leaf.size)).reshape(leaf.shape), arrays)
    for point in (arrays, jax.tree.map(lambda leaf: leaf + 0.1 * np.sin(7 * leaf), arrays)):
        ahead, behind = (
            run(jax.tree.map(lambda leaf, to, h=h: leaf + h * to, point, direction))[0] for h in (1e-5, -1e-5)
        )
        slopes = jax.tree.leaves(jax.tree.map(np.vdot, run(point)[1], direction))
        assert min(map(abs, slopes)) > 1e-3
        np.testing.assert_allclose(sum(slopes), (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-6)


def test_a_model_that_obeys_starts_as_it_is():
    obeying = nn.Constrained(chain(), LAWS).whole()
    again = nn.Constrained(obeying, LAWS).whole()
    for one, other in zip(jax.tree.leaves(obeying), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


SIZES: dict[str, Any] = {"p": 2, "q": 2, "n": 2, "initializer": drawn}
LAYERS = {
    "Conv2d": (nn.Conv2d(kernel=2, key=KEYS[0], **SIZES), "weight", (3, 3, 2, 2, 2)),
    "BilinearDense": (nn.BilinearDense(rank=2, key=KEYS[1], **SIZES), "left", (2, 2, 2)),
    "LSTMCell": (nn.Recurrent(nn.LSTMCell(key=KEYS[2], **SIZES)), "cell.weight", (4, 2, 2, 2)),
}


@pytest.mark.parametrize(("layer", "path", "shape"), LAYERS.values(), ids=LAYERS)
def test_any_weight_of_a_layer_can_be_constrained(layer, path, shape):
    constrained = nn.Constrained(layer, {f"**.{path}": nn.Orthogonal(), "**.bias": nn.Triangular(diagonal="unit")})
    assert list(find(constrained, f"**.{path}")) == [f"model.{path}"]
    whole, x = constrained.whole(), draw(*shape)
    matrix = flat(find(whole, path)[path])
    gram = matrix @ matrix.T if len(matrix) <= len(matrix.T) else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-6)
    np.testing.assert_array_equal(constrained(x), whole(x))
    (bias,) = find(whole, "**.bias").values()
    np.testing.assert_array_equal(bias, np.broadcast_to(np.eye(2), bias.shape))


def test_an_embedding_of_rotations():
    embedding = nn.Embedding(vocabulary=5, p=1, n=2, key=KEYS[0])
    table = nn.Constrained(embedding, {"weight": nn.Orthogonal(per="matrix")})(jnp.arange(5))
    np.testing.assert_allclose(table @ transposed(table), np.broadcast_to(np.eye(2), (5, 1, 2, 2)), atol=1e-6)


def equations(program):
    """All of a program, inner ones too."""
    for equation in program.eqns:
        yield equation
        for value in equation.params.values():
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, jax.extend.core.Jaxpr | jax.extend.core.ClosedJaxpr):
                    yield from equations(getattr(part, "jaxpr", part))


def test_what_a_recurrent_layer_is_constrained_to_is_computed_once_for_all_steps():
    cell = nn.RNNCell(p=1, q=1, n=3, key=KEYS[0])
    constrained = nn.Constrained(nn.Recurrent(cell), {"cell.weight": nn.Orthogonal()})
    program = jax.make_jaxpr(constrained)(draw(7, 1, 3, 3)).jaxpr
    names = [equation.primitive.name for equation in equations(program)]
    within = [
        inner.primitive.name
        for equation in equations(program)
        if equation.primitive.name == "scan"
        for inner in equations(equation.params["jaxpr"].jaxpr)
    ]
    assert names.count("svd") == 1
    assert "tanh" in within
    assert "svd" not in within


def test_frozen_leaves_stay_and_obey_as_the_others_move():
    laws = {"layers[0].weight": nn.Orthogonal(per="matrix"), "layers[0].bias": nn.Symmetric()}
    constrained = nn.Constrained(chain(1), laws)
    part = freeze(constrained, "model.**.bias")
    optimiser = part.optimiser(optax.sgd(0.1))

    @eqx.filter_jit
    def step(constrained):
        gradient = eqx.filter_grad(lambda c: jnp.sum(c(draw(2, 2, 2)) ** 2))(constrained)
        updates, _ = optimiser.update(gradient, optimiser.init(constrained), constrained)
        return eqx.apply_updates(constrained, updates).whole(), updates

    moved, updates = step(constrained)
    assert [path for path, _ in find(eqx.filter(updates, eqx.is_array), "**").items()] == ["model.layers[0].weight"]
    weight, bias = moved.layers[0].weight, moved.layers[0].bias
    np.testing.assert_array_equal(bias, constrained.whole().layers[0].bias)
    np.testing.assert_array_equal(bias, transposed(bias))
    np.testing.assert_allclose(weight @ transposed(weight), np.broadcast_to(np.eye(2), weight.shape), atol=1e-5)
    assert np.abs(weight - constrained.model.layers[0].weight).max() > 1e-4


def test_transforms_and_modes_go_through():
    model = nn.Sequential([*chain(1).layers, nn.Dropout(0.5)])
    constrained, x = nn.Constrained(model, {"layers[0].weight": nn.Orthogonal(per="matrix")}), draw(3, 2, 2, 2)
    still = eqx.nn.inference_mode(constrained)
    y = still(x)
    np.testing.assert_allclose(eqx.filter_jit(still)(x), y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(still)(x), y, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(constrained(x, key=KEYS[0]), constrained.whole()(x, key=KEYS[0]))

    def make(key):
        return nn.Constrained(nn.Dense(p=2, q=2, n=2, key=key), {"weight": nn.Orthogonal(per="matrix")})

    ensemble = eqx.filter_vmap(make)(KEYS)
    outputs = eqx.filter_vmap(lambda member, x: member(x), in_axes=(0, None))(ensemble, x)
    second = jax.tree.map(lambda leaf: leaf[1], eqx.filter(ensemble, eqx.is_array))
    np.testing.assert_allclose(outputs[1], eqx.combine(second, ensemble)(x), rtol=1e-5, atol=1e-6)


def test_joints_and_refusals_see_through():
    constrained = nn.Constrained(chain(p=3), {"layers[0].weight": nn.Orthogonal()})
    with pytest.raises(ContractError, match=r"layers\[1\]: Dense.*but layers\[0\]\.model\.layers\[2\]: Dense.* gives"):
        nn.Sequential([constrained, nn.Dense(p=2, q=2, n=2, key=KEYS[0])])
    assert nn.Sequential([constrained, nn.Trace()])(draw(3, 2, 2)).shape == (3,)
    with pytest.raises(ContractError, match=r"^model\.layers\[0\]: Dense\(p=3, q=3, n=2\) got x float32\[2, 2, 2\]"):
        constrained(draw(2, 2, 2))


def test_two_makings_of_a_constrained_model_are_alike():
    traces = []

    @eqx.filter_jit
    def run(model, x):
        traces.append(0)
        return model(x)

    for _ in range(2):
        run(nn.Constrained(chain(1), {"**.weight": nn.SpectralNorm(), "**.bias": jax.nn.softplus}), draw(2, 2, 2))
    assert len(traces) == 1


@dataclasses.dataclass(frozen=True)
class Above:
    least: float

    def __call__(self, weight):
        assert weight.dtype == jnp.float32
        return self.least + jnp.exp(weight)

    def right_inverse(self, weight):
        return jnp.log(weight - self.least)


def test_a_function_and_an_object_of_ones_own_are_constraints():
    layer = nn.Dense(p=2, q=2, n=2, initializer=drawn, dtype=jnp.bfloat16, key=KEYS[0])
    layer = eqx.tree_at(lambda layer: layer.bias, layer, layer.bias + 3)
    constrained = nn.Constrained(layer, {"weight": jax.nn.softplus, "bias": Above(1.0)})
    whole = constrained.whole()
    assert whole.weight.dtype == whole.bias.dtype == jnp.bfloat16
    np.testing.assert_array_equal(constrained.model.weight, layer.weight)
    np.testing.assert_allclose(np.float32(whole.weight), np.log1p(np.exp(np.float32(layer.weight))), rtol=0.01)
    np.testing.assert_allclose(np.float32(whole.bias), 3, rtol=0.01)


def test_weights_of_half_precision_obey_to_their_rounding():
    model = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16) if eqx.is_array(leaf) else leaf, chain())
    whole = nn.Constrained(model, LAWS).whole()
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(whole))
    matrix = flat(whole.layers[0].weight)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(4), atol=2**-7)
    np.testing.assert_array_equal(whole.layers[0].bias, transposed(whole.layers[0].bias))


def equal_pair():
    model = chain(2)
    return eqx.tree_at(lambda m: m.layers[1].weight, model, model.layers[0].weight)


FIRST, SECOND = "layers[0].weight", "layers[1].weight"


def test_a_tied_model_is_constrained_in_both_places():
    x = draw(2, 2, 2)
    tied = nn.Tied(equal_pair(), {SECOND: FIRST})
    constrained = nn.Constrained(tied, {f"model.{FIRST}": nn.Orthogonal()})
    first, second = constrained.whole().whole().layers
    assert first.weight is second.weight
    expected = nn.Constrained(equal_pair(), {"layers[*].weight": nn.Orthogonal()})
    np.testing.assert_allclose(constrained(x), expected(x), rtol=1e-5, atol=1e-6)
    message = r"`constraints` names 'model\.layers\[1\]\.weight', which is tied to 'layers\[0\]\.weight': constrain"
    with pytest.raises(ValueError, match=message):
        nn.Constrained(tied, {"model.layers[*].weight": nn.Orthogonal()})


def test_a_constrained_model_is_tied_where_both_places_are_constrained_alike():
    x = draw(2, 2, 2)
    constrained = nn.Constrained(equal_pair(), {"layers[*].weight": nn.Orthogonal()})
    tied = nn.Tied(constrained, {f"model.{SECOND}": f"model.{FIRST}"})
    assert tied.model.model.layers[1].weight == TiedLeaf(f"model.{FIRST}")
    np.testing.assert_allclose(tied(x), constrained(x), rtol=1e-5, atol=1e-6)
    half = nn.Sequential([nn.Constrained(equal_pair(), {FIRST: nn.Orthogonal()}), nn.Tanh()])
    message = (
        r"`ties` ties 'layers\[0\]\.model\.layers\[1\]\.weight', on which is nothing, to"
        r" 'layers\[0\]\.model\.layers\[0\]\.weight', on which is Orthogonal\(per='map'\): constrain the tied"
    )
    with pytest.raises(ValueError, match=message):
        nn.Tied(half, {f"layers[0].model.{SECOND}": f"layers[0].model.{FIRST}"})
