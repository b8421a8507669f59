import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from matrinox.paths import find, matches, replace, select


class Layer(eqx.Module):
    weight: jax.Array
    bias: jax.Array | None


class Model(eqx.Module):
    encoder: dict[str, Layer]
    layers: tuple[Layer, ...]
    norm1: jax.Array
    norm2: jax.Array


@pytest.fixture
def model() -> Model:
    layer = [Layer(jnp.full((2,), float(i)), None if i == 2 else jnp.zeros(())) for i in range(4)]
    return Model({"first": layer[0]}, tuple(layer[1:]), jnp.ones(()), jnp.ones(()))


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("layers[1].weight", ["layers[1].weight"]),
        ("layers[*].weight", ["layers[0].weight", "layers[1].weight", "layers[2].weight"]),
        ("layers.*.weight", ["layers[0].weight", "layers[1].weight", "layers[2].weight"]),
        ("encoder['first'].*", ["encoder['first'].weight", "encoder['first'].bias"]),
        ("encoder[*].bias", ["encoder['first'].bias"]),
        ("encoder.**", ["encoder['first'].weight", "encoder['first'].bias"]),
        ("**.bias", ["encoder['first'].bias", "layers[0].bias", "layers[2].bias"]),
        ("**[0].**", ["layers[0].weight", "layers[0].bias"]),
        ("norm*", ["norm1", "norm2"]),
        ("**.norm1", ["norm1"]),
    ],
)
def test_find_names_the_matching_leaves_in_tree_order(model, pattern, paths):
    assert list(find(model, pattern)) == paths


def test_find_gives_the_leaves_themselves(model):
    assert find(model, "layers[1].weight")["layers[1].weight"] is model.layers[1].weight


def test_find_gives_whole_modules_with_is_leaf(model):
    found = find(model, "**", is_leaf=lambda node: isinstance(node, Layer))
    assert found["layers[2]"] is model.layers[2]


def test_select_is_a_mask_that_partition_takes(model):
    frozen, rest = eqx.partition(model, select(model, "layers.**"))
    assert frozen.norm1 is None
    assert frozen.layers[0].weight is model.layers[0].weight
    assert rest.layers[0].weight is None
    assert eqx.tree_equal(eqx.combine(frozen, rest), model)


def test_replace_changes_the_matching_leaves_only(model):
    changed = replace(model, "layers[*].weight", jnp.zeros_like)
    assert all((layer.weight == 0).all() for layer in changed.layers)
    assert changed.encoder["first"].weight is model.encoder["first"].weight
    assert (model.layers[2].weight == 3).all()


def test_matches_tells_of_one_path_what_find_finds(model):
    paths = find(model, "**")
    for pattern in ("layers[*].weight", "**.weight", "encoder.**", "**"):
        assert [path for path in paths if matches(path, pattern)] == list(find(model, pattern))
    assert matches("layers[0]", "layers[*]")
    assert not matches("layers[0].weight", "layers[*]")
    assert matches("", "**")
    assert not matches("", "*")
    with pytest.raises(ValueError, match="is not a path pattern"):
        matches("layers", "a..b")


def test_a_pattern_without_a_match_names_the_nearest_path(model):
    message = r"`pattern` \(='layers\[0\].wieght'\) matches no leaf: the nearest of 9 paths is 'layers\[0\].weight'."
    with pytest.raises(ValueError, match=message):
        find(model, "layers[0].wieght")


def test_a_pattern_that_names_a_subtree_says_how_to_take_all_of_it(model):
    with pytest.raises(ValueError, match=r"\(='layers\[0\]'\) names a subtree, not a leaf: write 'layers\[0\].\*\*'"):
        select(model, "layers[0]")


def test_a_tree_without_leaves_says_so():
    with pytest.raises(ValueError, match="the tree has no leaves"):
        find({}, "**")


@pytest.mark.parametrize("pattern", ["", ".weight", "a..b", "layers[0", "layers]0[", "a."])
def test_a_malformed_pattern_is_refused(model, pattern):
    with pytest.raises(ValueError, match="is not a path pattern"):
        find(model, pattern)
