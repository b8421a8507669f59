import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from matrinox import select
from matrinox.transforms.states import pick


class Layer(eqx.Module):
    weight: jax.Array
    bias: jax.Array | None
    steps: jax.Array


class Model(eqx.Module):
    layers: tuple[Layer, ...]
    activation: object

    def __call__(self, x):
        return x


MODEL = Model(
    tuple(Layer(jnp.full((2,), float(i)), None if i else jnp.zeros(()), jnp.zeros((), int)) for i in range(2)), jnp.tanh
)
FLOATS = eqx.filter(MODEL, eqx.is_inexact_array)
WEIGHTS = [layer.weight for layer in MODEL.layers]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (lambda model: model.layers[1].weight, MODEL.layers[1].weight),
        (lambda model: [layer.weight for layer in model.layers], WEIGHTS),
        # The leaves show their shapes, so that a choice may depend on these.
        (lambda model: [layer.weight for layer in model.layers if layer.weight.shape == (2,)], WEIGHTS),
        (lambda model: (model.layers[0].bias, None), (MODEL.layers[0].bias, None)),
        ("layers[*].weight", {f"layers[{i}].weight": MODEL.layers[i].weight for i in range(2)}),
        (eqx.is_inexact_array, FLOATS),
        (lambda leaf: getattr(leaf, "ndim", 0) == 1, eqx.filter(MODEL, select(MODEL, "layers[*].weight"))),
        (lambda leaf: not callable(leaf) and leaf.ndim == 1, eqx.filter(MODEL, select(MODEL, "layers[*].weight"))),
        (select(MODEL, "layers[1].weight"), eqx.filter(MODEL, select(MODEL, "layers[1].weight"))),
        (
            ["**.bias", {"w": lambda model: model.layers[0].weight}],
            [{"layers[0].bias": MODEL.layers[0].bias}, {"w": WEIGHTS[0]}],
        ),
        (("**.bias", "layers[1].weight"), ({"layers[0].bias": MODEL.layers[0].bias}, {"layers[1].weight": WEIGHTS[1]})),
    ],
)
def test_what_is_picked_has_the_structure_of_the_selection(selection, expected):
    var, put = pick(MODEL, selection)
    assert eqx.tree_equal(var, expected)
    assert eqx.tree_equal(put(var), MODEL)


def test_what_is_put_back_takes_the_place_of_what_was_picked_and_of_nothing_else():
    var, put = pick(MODEL, [lambda model: model.layers[1].weight, "layers[0].bias"])
    new = put(jax.tree.map(lambda leaf: leaf + 5, var))
    expected = eqx.tree_at(
        lambda m: (m.layers[1].weight, m.layers[0].bias), MODEL, (jnp.full((2,), 6.0), jnp.array(5.0))
    )
    assert eqx.tree_equal(new, expected)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("layers[*].wieght", r"has layers\[0\].weight, .*activation: `pattern`.* nearest .* 'layers\[1\].weight'"),
        ("layers[0]", r"names a subtree, not a leaf: write 'layers\[0\]\.\*\*'"),
        ("layers..weight", "is not a path pattern"),
        (lambda model: [], r"no leaf of Model, which has layers\[0\].weight, layers\[0\].bias, .*: select some"),
        (lambda leaf: False, "selects no leaf of Model"),
        ([], "selects no leaf of Model"),
        (eqx.is_array, r"selects layers\[0\].steps \(int32\[\]\), .* of Model, which is no array of floats: narrow"),
        ("activation", r"selects activation \(PjitFunction\) of Model, .* pass such leaves over with `check_s"),
        (["**.weight", "layers[1].*t"], r"selects layers\[1\].weight of Model twice: select each leaf once"),
        (lambda model: model.layers[0].weight.T, r"returned float32\[2\], which is no leaf of Model: return its"),
        (select(MODEL.layers[0], "weight"), "is a mask of another model than Model: make it of this one"),
    ],
)
def test_a_selection_that_does_not_fit_is_refused(selection, message):
    with pytest.raises(ValueError, match=message):
        pick(MODEL, selection)


def test_a_slip_in_a_function_tells_what_the_model_has():
    with pytest.raises(AttributeError, match="'Model' object has no attribute 'layer'") as caught:
        pick(MODEL, lambda model: model.layer)
    assert caught.value.__notes__[0].startswith("`grad_states` was asked of Model, which has layers[0].weight")


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (3, r"`grad_states` \(=3\) must be a function of the module, a path pattern, a filter"),
        (MODEL, "is a module that is no mask: make one with `matrinox.select"),
        (lambda node: True if isinstance(node, Model) else None, "returned no bool for a leaf: return one for each"),
    ],
)
def test_what_is_no_selection_is_refused(selection, message):
    with pytest.raises(TypeError, match=message):
        pick(MODEL, selection)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("nothing", {}),
        ("activation", {"activation": None}),
        (eqx.is_array, FLOATS),
        (lambda model: model.layers[0], FLOATS.layers[0]),
        ([], []),
    ],
)
def test_unchecked_what_cannot_be_differentiated_is_passed_over(selection, expected):
    var, put = pick(MODEL, selection, check=False)
    assert eqx.tree_equal(var, expected)
    assert eqx.tree_equal(put(var), MODEL)


def test_unchecked_a_malformed_pattern_is_refused_all_the_same():
    with pytest.raises(ValueError, match="is not a path pattern"):
        pick(MODEL, "layers..weight", check=False)
