import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import functional, nn
from matrinox.contract import ContractError

KEY = jax.random.key(0)

# Of each pool over windows: the arguments before the window.
KINDS = {"Max": (), "Avg": (), "Sum": (), "Maxd": (), "Avgd": (), "": (jnp.sum,)}
POOLS = {f"{kind}Pool{axes}d": (kind, axes) for kind in KINDS for axes in (1, 2, 3)}
OTHERS = [f"Adaptive{kind}Pool{axes}d" for kind in ("Avg", "Max") for axes in (1, 2, 3)]

every_window_pool = pytest.mark.parametrize("name", POOLS)


@every_window_pool
def test_pools_over_windows_are_their_functional_twins(name):
    kind, axes = POOLS[name]
    twin = getattr(functional, f"{kind.lower()}{'_' if kind else ''}pool{axes}d")
    fill = {} if kind else {"fill": 0.5}
    x = drawn(KEY, (*(4, 3, 2)[:axes], 2, 2, 2), float)
    layer = getattr(nn, name)(*KINDS[kind], 3, 1, "SAME", dilation=2, input_dilation=1, **fill)
    options = {"window": 3, "stride": 1, "padding": "SAME", "dilation": 2, "input_dilation": 1}
    ours, theirs = jax.jit(lambda x: (layer(x), twin(x, *KINDS[kind], **options, **fill)))(x)
    np.testing.assert_array_equal(ours, theirs)


@every_window_pool
def test_windows_are_checked_when_the_layer_is_built(name):
    kind, axes = POOLS[name]
    layer, before = getattr(nn, name), KINDS[kind]
    with pytest.raises(ValueError, match=r"`window` \(=0\) must be at least 1"):
        layer(*before, 0)
    with pytest.raises(ValueError, match=rf"`stride` \(=.*\) must have {axes} size"):
        layer(*before, 2, (1,) * {1: 2, 2: 3, 3: 2}[axes])
    with pytest.raises(ValueError, match=r"`padding` \(='SMAE'\) must be .*: did you mean 'SAME'\?"):
        layer(*before, 2, padding="SMAE")
    with pytest.raises(ValueError, match=r"`padding` \(=2\) must be shorter than `window` \(=2\)"):
        layer(*before, 2, padding=2)
    with pytest.raises(ValueError, match=r"`dilation` \(=0\) must be at least 1"):
        layer(*before, 2, dilation=0)
    with pytest.raises(ValueError, match=r"`input_dilation` \(=-1\) must be at least 1"):
        layer(*before, 2, input_dilation=-1)
    with pytest.raises(ContractError, match="window"):
        layer(*before, 2.0)


@every_window_pool
def test_pools_of_equal_options_are_equal_and_hold_no_arrays(name):
    layer, before = getattr(nn, name), KINDS[POOLS[name][0]]
    pool = layer(*before, 2, 1, dilation=2)
    assert not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(pool))
    assert pool == layer(*before, window=2, stride=1, dilation=2)
    assert pool != layer(*before, 2, 1)


@pytest.mark.parametrize("name", [*POOLS, *OTHERS])
def test_a_missing_space_axis_is_refused(name):
    axes = int(name[-2])
    layer = getattr(nn, name)(*KINDS[POOLS[name][0]] if name in POOLS else (), 2)
    with pytest.raises(ContractError, match=rf"{name} got x .*it has {axes + 2} ax"):
        layer(jnp.ones((4,) * (axes + 2)))
