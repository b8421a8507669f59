"""Where an error sits: identity first, then structure; stacks, twins and shared layers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, ContractError, contract

WRONG = np.zeros((9, 2, 2), np.float32)


@contract
def scale(weight: Float[AnyArray, "p 1 1"], x: Float[AnyArray, "p n n"]) -> Float[Array, "p n n"]:
    return jnp.asarray(weight) * x


@contract
class Scale(eqx.Module):
    weight: Float[Array, "p 1 1"]

    @property
    def p(self):
        return self.weight.shape[-3]

    def __call__(self, x: Float[AnyArray, "{self.p} n n"], *, key: None = None) -> Float[Array, "{self.p} n n"]:
        return self.weight * x


class Apply(eqx.Module):
    """Calls what `use` makes of its layers."""

    layers: object
    use: object = eqx.field(static=True)

    def __call__(self, x):
        return self.use(self.layers, x)


def layer(p=3):
    return Scale(jnp.ones((p, 1, 1)))


def path_of(model, x=WRONG):
    with pytest.raises(ContractError) as caught:
        model(x)
    return str(caught.value).split(": Scale")[0]


def scan_tuple(layers, x):
    arrays = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(eqx.filter(one, eqx.is_array) for one in layers))
    rest = eqx.filter(layers[0], eqx.is_array, inverse=True)
    return jax.lax.scan(lambda carry, one: (eqx.combine(one, rest)(carry), None), jnp.asarray(x), arrays)[0]


def test_twins_are_told_apart_by_identity():
    assert path_of(Apply((layer(), layer()), lambda layers, x: layers[1](x))) == "layers[1]"


def test_twins_that_a_transform_rebuilt_print_both_paths():
    model = Apply((layer(), layer(), layer(4)), lambda layers, x: eqx.filter_checkpoint(layers[1])(x))
    assert path_of(model) == "layers[0] or layers[1]"


def test_many_twins_print_the_first_four():
    model = Apply(tuple(layer() for _ in range(6)), lambda layers, x: eqx.filter_checkpoint(layers[1])(x))
    assert path_of(model) == "layers[0] or layers[1] or layers[2] or layers[3] or …"


def test_a_shared_layer_prints_its_first_path():
    shared = layer()
    assert path_of(Apply({"a": layer(), "b": shared, "c": shared}, lambda d, x: d["c"](x))) == "layers['b']"


def test_a_scan_over_blocks_stacked_in_the_call_is_a_star():
    assert path_of(Apply((layer(), layer()), scan_tuple)) == "layers[*]"


def test_a_layer_vmapped_over_its_own_parameters_is_a_star():
    stack = eqx.filter_vmap(lambda _: layer())(jnp.arange(5))
    model = Apply(stack, lambda layers, x: eqx.filter_vmap(lambda one: one(x))(layers))
    assert path_of(model) == "layers[*]"


@pytest.mark.parametrize("transform", [eqx.filter_jit, eqx.filter_vmap, eqx.filter_checkpoint])
def test_a_layer_kept_under_a_transform_is_found_where_it_is_kept(transform):
    assert path_of(Apply(transform(layer()), lambda kept, x: kept(x)), np.stack([WRONG])) == "layers"


def test_a_function_under_contract_names_the_module_that_called_it():
    model = Apply([Apply(layer(), lambda one, x: scale(one.weight, x))], lambda layers, x: layers[0](x))
    with pytest.raises(ContractError, match=r"^layers\[0\]: scale got x float32\[9, 2, 2\]; it takes \(p=3, n, n\)"):
        model(WRONG)


def test_a_module_from_elsewhere_begins_a_path_of_its_own():
    elsewhere = Apply([layer()], lambda layers, x: layers[0](x))
    assert path_of(Apply(None, lambda _, x: elsewhere(x))) == "layers[0]"


def test_a_module_made_on_the_fly_is_told_by_the_path_of_its_maker():
    model = Apply([Apply(None, lambda _, x: Scale(jnp.asarray(x)))], lambda layers, x: layers[0](x))
    with pytest.raises(ContractError, match=r"^layers\[0\]: Scale got weight float32\[9, 2, 2\]; it takes \(p, 1, 1\)"):
        model(WRONG)


def test_a_super_call_is_the_same_module():
    class Sub(Scale):
        def __call__(self, x, *, key=None):
            return super().__call__(x)

    with pytest.raises(ContractError, match=r"^layers: Sub\(p=3\) got x"):
        Apply(Sub(jnp.ones((3, 1, 1))), lambda one, x: one(x))(WRONG)
