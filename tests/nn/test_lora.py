import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.data import DataSet
from matrinox.nn.adapter import Adapter
from matrinox.nn.lora import LoRA, lora
from matrinox.paths import select
from matrinox.train import AdamW, Recipe, fit, freeze

KEYS = jax.random.split(jax.random.key(0), 4)
OPTIONS = {"initializer": drawn, "key": KEYS[0]}


def draw(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def trained(adapted, seed=1):
    """The adapted model with adapters that are no longer as they started."""
    arrays, rest = eqx.partition(adapted.adapters, eqx.is_array)
    moved = jax.tree.map(lambda leaf: jnp.asarray(draw(*leaf.shape, seed=seed) / 3, leaf.dtype), arrays)
    return adapted.with_adapters(eqx.combine(moved, rest))


def small_model(dtype=None):
    options = {"initializer": drawn, "dtype": dtype}
    return nn.Sequential(
        [
            nn.Dense(p=3, q=4, n=2, key=KEYS[0], **options),
            nn.Tanh(),
            nn.LayerNorm(p=4, n=2),
            nn.FlattenLinear(p=4, features=3, n=2, key=KEYS[1], **options),
        ]
    )


def adapted_model(where="**", **options):
    return lora(small_model(), 2, where, **{"initializer": drawn, "key": KEYS[2], **options})


def same_bits(tree, other):
    return eqx.tree_equal(eqx.filter(tree, eqx.is_array), eqx.filter(other, eqx.is_array))


def test_an_adapted_layer_equals_scalar_lora_when_n_is_1():
    layer = nn.Dense(p=5, q=4, n=1, **OPTIONS)
    adapted = trained(lora(layer, 3, "**", alpha=6.0, key=KEYS[1]))
    (adapter,) = adapted.adapters.values()
    W, A, B, x = (np.asarray(a, np.float64) for a in (layer.weight, adapter.down, adapter.up, draw(2, 5, 1, 1)))
    expected = x[..., 0, 0] @ (W[..., 0, 0] + 6 / 3 * B[:, 0] @ A[..., 0]).T
    np.testing.assert_allclose(adapted(jnp.asarray(x, jnp.float32))[..., 0, 0], expected, rtol=1e-5, atol=1e-6)


def test_at_the_start_the_model_gives_what_the_base_gives_bit_for_bit():
    adapted, x = adapted_model(), draw(2, 3, 2, 2)
    np.testing.assert_array_equal(adapted(x), small_model()(x))


def test_the_scale_is_alpha_by_the_rank_and_one_by_default():
    assert {adapter.scale for adapter in adapted_model().adapters.values()} == {1.0}
    adapted = adapted_model(alpha=3)
    assert {(adapter.rank, adapter.alpha, adapter.scale) for adapter in adapted.adapters.values()} == {(2, 3.0, 1.5)}


class Attending(eqx.Module):
    attention: nn.MultiheadAttention
    head: nn.Dense

    def __call__(self, x, *, key=None):
        return self.head(self.attention(x))


def test_by_default_the_projections_of_attention_are_adapted():
    model = Attending(
        nn.MultiheadAttention(p=2, n=2, heads=2, **OPTIONS), nn.Dense(p=2, q=2, n=2, initializer=drawn, key=KEYS[1])
    )
    adapted = lora(model, 1, key=KEYS[2])
    names = ("query_proj", "key_proj", "value_proj", "output_proj")
    assert set(adapted.adapters) == {f"attention.{name}" for name in names}
    x = draw(3, 2, 2, 2)
    np.testing.assert_array_equal(adapted(x), model(x))
    assert float(jnp.abs(trained(adapted)(x) - model(x)).max()) > 1e-3
    assert set(lora(model, 1, "**.value_proj", key=KEYS[2]).adapters) == {"attention.value_proj"}
    assert set(lora(model, 1, "**", key=KEYS[2]).adapters) == {*adapted.adapters, "head"}


def test_the_base_gets_no_gradient_and_none_is_computed():
    adapted, x = trained(adapted_model("layers[0]")), draw(2, 3, 2, 2)

    def loss(adapted):
        return jnp.sum(jnp.sin(adapted(x)))

    gradient = eqx.filter_jit(eqx.filter_grad(loss))(adapted)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient.model))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient.adapters))
    floats = eqx.filter(adapted, eqx.is_inexact_array)

    def products(learns):
        learning, still = eqx.partition(floats, learns)
        rest = eqx.filter(adapted, eqx.is_inexact_array, inverse=True)
        return str(jax.make_jaxpr(jax.grad(lambda part: loss(eqx.combine(part, still, rest))))(learning)).count(
            "dot_general["
        )

    assert products(jax.tree.map(lambda _: True, floats)) == products(select(floats, "adapters.**"))


def test_training_moves_the_adapters_alone():
    adapted, base = adapted_model("layers[*]"), small_model()
    data = DataSet(draw(16, 3, 2, 2), np.arange(16) % 3)
    recipe = Recipe(steps=20, batch=8, steps_per_round=10, optimiser=AdamW(learning_rate=0.05, weight_decay=0.1))
    fitted = fit(adapted, data, data, recipe, key=KEYS[3], frozen=freeze(adapted, "model.**"))
    assert same_bits(fitted.state.model.model, base)
    for path, adapter in fitted.state.model.adapters.items():
        assert not np.array_equal(adapter.up, adapted.adapters[path].up)
        assert not np.array_equal(adapter.down, adapted.adapters[path].down)
    assert fitted.rounds[-1].loss < 0.8 * float(recipe.task.loss(base(data.inputs), data.targets))
    assert "trained: 66 parameters in 4 leaves" in str(freeze(adapted, "model.**"))


def test_without_freezing_only_an_optimiser_that_decays_weights_moves_the_base():
    adapted, x = trained(adapted_model()), draw(2, 3, 2, 2)
    floats = eqx.filter(adapted, eqx.is_inexact_array)
    gradient = eqx.filter_jit(eqx.filter_grad(lambda adapted: jnp.sum(jnp.sin(adapted(x)))))(adapted)
    for optimiser, keeps in ((optax.sgd(0.1, 0.9), True), (optax.adam(0.1), True), (optax.adamw(0.1), False)):
        updates, _ = optimiser.update(gradient, optimiser.init(floats), floats)
        after = eqx.apply_updates(adapted, updates)
        assert same_bits(after.model, adapted.model) == keeps
        assert not same_bits(after.adapters, adapted.adapters)


def furthest(tree, other):
    """The largest difference between arrays of two trees, relative to the largest entry of each."""
    pairs = zip(*(jax.tree.leaves(eqx.filter(t, eqx.is_inexact_array)) for t in (tree, other)), strict=True)
    wide = [[np.asarray(leaf, np.float64) for leaf in pair] for pair in pairs]
    return max(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30) for a, b in wide)


@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-6), ("bfloat16", 8e-3)])
def test_merging_gives_a_plain_model_and_unmerging_the_base(dtype, most):
    base = small_model(dtype)
    adapted = trained(lora(base, 2, "**", initializer=drawn, key=KEYS[2]))
    merged = adapted.merge()
    assert type(merged) is type(base)
    assert jax.tree.structure(merged) == jax.tree.structure(base)
    assert merged.layers[0].weight.dtype == dtype
    assert same_bits(merged, adapted.whole())
    assert furthest(merged, base) > 0.1
    # Of what it was merged from nothing is left here but the adapters.
    alone = LoRA(merged, adapted.adapters)
    assert furthest(alone.unmerge(merged), base) < most


def test_a_merged_model_gives_what_the_adapted_one_gives_and_trains_as_a_whole():
    adapted, x = trained(adapted_model("layers[0]")), draw(2, 3, 2, 2)
    merged = adapted.merge()
    np.testing.assert_array_equal(merged(x), adapted(x))
    gradient = eqx.filter_jit(eqx.filter_grad(lambda model: jnp.sum(jnp.sin(model(x)))))(merged)
    assert np.any(gradient.layers[0].weight)


def test_adapters_may_be_wider_than_the_base():
    base = small_model("bfloat16")
    adapted = trained(lora(base, 2, "**", dtype="float32", initializer=drawn, key=KEYS[2]))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(eqx.filter(adapted.adapters, eqx.is_array))} == {"float32"}
    assert adapted.whole().layers[0].weight.dtype == "bfloat16"
    assert not same_bits(adapted.whole(), base)


def test_models_are_adapted_merged_and_unmerged_under_jit():
    layer, x = nn.Dense(p=2, q=2, n=2, **OPTIONS), draw(2, 2, 2)

    @eqx.filter_jit
    def there_and_back(layer):
        adapted = lora(layer, 1, "**", initializer=lambda key, shape, dtype: jnp.ones(shape, dtype), key=KEYS[1])
        moved = eqx.tree_at(lambda adapted: adapted.adapters[""].up, adapted, replace_fn=jnp.ones_like)
        merged = moved.merge()
        return merged, moved.unmerge(merged), moved(x)

    merged, unmerged, y = there_and_back(layer)
    np.testing.assert_allclose(merged.weight, layer.weight + 1, rtol=1e-6)
    np.testing.assert_allclose(unmerged.weight, layer.weight, atol=1e-6)
    np.testing.assert_allclose(y, merged(x), rtol=1e-5, atol=1e-6)


def test_one_base_takes_several_adapters():
    one = trained(adapted_model(), seed=1)
    other = trained(adapted_model("layers[0]"), seed=2)
    x = draw(2, 3, 2, 2)
    switched = one.with_adapters(other)
    assert switched.model is one.model
    assert same_bits(switched.with_adapters(one.adapters), one)
    np.testing.assert_array_equal(switched(x), other(x))
    again = eqx.tree_at(lambda adapted: adapted.adapters, one, other.adapters)
    np.testing.assert_array_equal(again(x), other(x))


def test_an_adapted_model_can_be_adapted_again():
    first = trained(adapted_model("layers[0]"), seed=1)
    second = trained(lora(first, 1, "**", initializer=drawn, key=KEYS[3]), seed=2)
    assert set(second.adapters) == {"model.layers[0]", "model.layers[3]"}
    weight = first.model.layers[0].weight + first.adapters["layers[0]"].delta
    weight += second.adapters["model.layers[0]"].delta
    np.testing.assert_allclose(second.whole().whole().layers[0].weight, weight, atol=1e-6)
    merged = second.merge()
    assert isinstance(merged, LoRA)
    assert same_bits(merged.adapters, first.adapters)


def test_a_tied_weight_is_adapted_once_for_all_its_uses():
    layers = [
        nn.Dense(p=3, q=2, n=2, initializer=drawn, key=KEYS[0]),
        nn.Dense(p=2, q=3, n=2, initializer=drawn, transposed=True, key=KEYS[1]),
    ]
    tied = nn.Tied(nn.Sequential(layers), {"layers[1].weight": "layers[0].weight"})
    adapted = trained(lora(tied, 1, "**", initializer=drawn, key=KEYS[2]))
    assert list(adapted.adapters) == ["model.layers[0]"]
    whole = adapted.whole().whole()
    assert whole.layers[1].weight is whole.layers[0].weight
    np.testing.assert_array_equal(adapted(draw(3, 2, 2)), adapted.merge()(draw(3, 2, 2)))
    with pytest.raises(
        ValueError,
        match=r"but 'model\.layers\[1\]' \(Dense\), whose weight is tied to 'layers\[0\]\.weight': adapt the layer of",
    ):
        lora(tied, 1, "model.layers[1]", key=KEYS[2])


def test_an_adapted_weight_is_not_tied_to_one_that_is_adapted_otherwise():
    model = nn.Sequential([nn.Dense(p=2, q=2, n=2, initializer=drawn, key=key) for key in KEYS[:2]])
    adapted = lora(model, 1, "layers[0]", key=KEYS[2])
    with pytest.raises(
        ValueError,
        match=r"'model\.layers\[1\]\.weight', on which is nothing, to 'model\.layers\[0\]\.weight', on which is the"
        r" adapter of 'layers\[0\]'",
    ):
        nn.Tied(adapted, {"model.layers[1].weight": "model.layers[0].weight"})
    tied = nn.Tied(adapted, {"model.layers[1].bias": "model.layers[0].bias"})
    assert tied.whole().model.layers[1].bias is adapted.model.layers[0].bias


def test_a_constrained_weight_keeps_its_law_under_a_change():
    model = nn.Sequential([nn.Dense(p=2, q=2, n=2, initializer=drawn, key=KEYS[0])])
    constrained = nn.Constrained(model, {"layers[0].weight": nn.Symmetric()})
    adapted = trained(lora(constrained, 1, "**", initializer=drawn, key=KEYS[2]))
    weight = adapted.whole().whole().layers[0].weight
    np.testing.assert_array_equal(weight, jnp.swapaxes(weight, -1, -2))
    assert furthest(weight, constrained.whole().layers[0].weight) > 0.01


def test_state_passes_through_an_adapted_model():
    def make():
        return nn.Sequential([*small_model().layers[:2], nn.BatchNorm(p=4, n=2)])

    base, state = eqx.nn.make_with_state(make)()
    adapted = lora(base, 2, "layers[0]", initializer=drawn, key=KEYS[2])
    assert adapted.is_stateful()
    leaves, structure = jax.tree.flatten(state)
    expected, expected_after = base(draw(4, 3, 2, 2), jax.tree.unflatten(structure, leaves))
    y, after = nn.Sequential([adapted])(draw(4, 3, 2, 2), state)
    np.testing.assert_array_equal(y, expected)
    assert same_bits(after, expected_after)
    assert after.get(base.layers[2].statistics)[0] == 1
    assert not adapted_model().is_stateful()


def test_the_joints_of_a_sequential_see_through():
    adapted = adapted_model("layers[0]")
    with pytest.raises(ContractError, match=r"layers\[1\]\.model\.layers\[0\]: Dense\(p=3.*axis -3 is 2, p is 3"):
        nn.Sequential([nn.Dense(p=2, q=2, n=2, key=KEYS[0]), adapted])


def test_a_refusal_tells_the_path_in_the_model():
    with pytest.raises(ContractError, match=r"^model\.layers\[0\]: Dense\(p=3, q=4, n=2\) got x float32\[2, 2, 2\]"):
        adapted_model()(draw(2, 2, 2))


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("**.atention.*", r"must match a layer that can be adapted: .*: the nearest of 2 paths is 'layers\[[03]\]'"),
        ("layers[0].weight", r"'layers\[0\]\.weight'\) matches no leaf: the nearest of 2 paths is 'layers\[0\]'"),
        ("layers", r"names a subtree, not a leaf: write 'layers\.\*\*' for all"),
        ("layers..0", r"`where` must match .* is not a path pattern: join"),
        (
            "layers[2]",
            r"`where` \(='layers\[2\]'\) matches nothing that can be adapted, but 'layers\[2\]' \(LayerNorm\), which"
            r" has no weight that is one linear map: Dense, Conv, .* and FlattenLinear have\.",
        ),
    ],
)
def test_a_pattern_without_a_layer_to_adapt_is_refused(where, message):
    with pytest.raises(ValueError, match=message):
        adapted_model(where)


def test_a_pattern_may_match_more_than_layers_that_can_be_adapted():
    assert set(adapted_model("layers[*]").adapters) == {"layers[0]", "layers[3]"}


def test_a_model_without_a_layer_to_adapt_is_refused():
    bilinear = eqx.filter_eval_shape(lambda: nn.BilinearDense(p=1, q=1, n=2, key=KEYS[0]))
    with pytest.raises(ValueError, match=r"`model` \(a BilinearDense\) has no layer that can be adapted: Dense, Conv"):
        lora(bilinear, 1, "**", key=KEYS[0])
    with pytest.raises(
        ValueError, match=r"but 'layers\[0\]' \(BilinearDense\), which has no weight that is one linear"
    ):
        lora(nn.Sequential([bilinear, nn.Dense(p=1, q=1, n=2, **OPTIONS)]), 1, "layers[0]", key=KEYS[0])
    with pytest.raises(TypeError, match=r"`model` \(=3\) must be callable"):
        lora(3, 1, key=KEYS[0])


def test_a_weight_that_is_no_single_map_is_refused():
    model = nn.Sequential([nn.Dense(p=2, q=2, n=2, **OPTIONS)])
    stack = jax.tree.map(lambda leaf: leaf[None], model.layers[0])
    inside = eqx.tree_at(lambda m: m.layers, model, (*model.layers, stack))
    with pytest.raises(
        ValueError, match=r"'layers\[1\]' \(Dense\), whose weight has 5 axes, not 4, as of a stack of la"
    ):
        lora(inside, 1, "layers[1]", key=KEYS[0])
    empty = eqx.tree_at(lambda m: m.layers[0].weight, inside, None)
    with pytest.raises(ValueError, match=r"has no layer that can be adapted"):
        lora(empty, 1, "**", key=KEYS[0])
    whole = eqx.tree_at(lambda m: m.layers[1], inside, model.layers[0])
    part = eqx.tree_at(lambda m: m.layers[0].weight, whole, None)
    with pytest.raises(
        ValueError, match=r"'layers\[0\]' \(Dense\), whose weight is a NoneType: an array of floats is du"
    ):
        lora(part, 1, "layers[0]", key=KEYS[0])


def test_a_rank_or_alpha_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"`rank` \(=0\) must be at least 1: choose"):
        lora(small_model(), 0, "**", key=KEYS[0])
    with pytest.raises(
        ValueError,
        match=r"`rank` \(=4\) must be at most 3, which gives every change of the FlattenLinear at 'layers\[3\]': choose"
        r" 3 or less, or leave it out of `where`\.",
    ):
        lora(small_model(), 4, "**", key=KEYS[0])
    for alpha in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(
            ValueError, match=r"`alpha` \(=.*\) must be positive and finite: the rank makes a scale of 1"
        ):
            adapted_model(alpha=alpha)


def test_adapters_that_do_not_fit_are_refused():
    adapted = adapted_model("layers[0]")
    with pytest.raises(ValueError, match=r"`adapters` \(=\{\}\) must hold at least one: make them with `lora`"):
        adapted.with_adapters({})
    with pytest.raises(
        ValueError,
        match=r"`adapters` names 'layers\[1\]', where no layer can be adapted: the nearest of 2 is 'layers\[[03]\]'",
    ):
        adapted.with_adapters({"layers[1]": adapted.adapters["layers[0]"]})
    with pytest.raises(ValueError, match=r"`adapters` names 'layers\[0\]', where no layer can be adapted: it has none"):
        adapted.unmerge(nn.Tanh())
    with pytest.raises(
        ContractError,
        match=r"`adapters` changes at 'layers\[0\]' a weight \[4, 3, 2, 2\] by inputs along \(1, 3\), and that of"
        r" the Dense is \[4, 5, 2, 2\] by inputs along \(1, 3\)\.",
    ):
        adapted.unmerge(nn.Sequential([nn.Dense(p=5, q=4, n=2, key=KEYS[0])]))
    square = lora(nn.Dense(p=2, q=2, n=2, **OPTIONS), 1, "**", key=KEYS[0])
    with pytest.raises(ContractError, match=r"is \[2, 2, 2, 2\] by inputs along \(0, 2\)"):
        square.unmerge(nn.Dense(p=2, q=2, n=2, transposed=True, **OPTIONS))
    with pytest.raises(ValueError, match=r"`rank` \(=0\) must be at least 1"):
        Adapter(jnp.zeros((0, 2, 2)), jnp.zeros((2, 2, 0)), alpha=1.0, inputs=(1, 3))
    with pytest.raises(ContractError, match=r"Adapter got up float32\[2, 2, 3\]"):
        Adapter(jnp.zeros((1, 2, 2)), jnp.zeros((2, 2, 3)), alpha=1.0, inputs=(1, 3))


def test_a_base_whose_adapted_layer_was_replaced_is_refused():
    adapted, x = adapted_model("layers[0]"), draw(3, 2, 2)
    gone = eqx.tree_at(lambda adapted: adapted.model.layers[0], adapted, nn.Tanh())
    with pytest.raises(
        ValueError, match=r"changes 'layers\[0\]\.weight', no longer in the model: adapt the new one anew"
    ):
        gone(x)
    other = nn.Dense(p=1, q=1, n=2, **OPTIONS)
    with pytest.raises(
        ContractError,
        match=r"changes 'layers\[0\]\.weight' \[4, 3, 2, 2\], which is \[1, 1, 2, 2\] by now: adapt the new one anew",
    ):
        eqx.tree_at(lambda adapted: adapted.model.layers[0], adapted, other)(x)
    with pytest.raises(ContractError, match=r"which is a str by now"):
        eqx.tree_at(lambda adapted: adapted.model.layers[0].weight, adapted, "none").merge()
