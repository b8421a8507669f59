import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.nn.lazy import name_of, open_sizes


def test_a_lazy_layer_cannot_be_called():
    model = nn.Sequential([nn.ReLU(), nn.Lazy(nn.Dense, q=3)])
    with pytest.raises(
        ContractError, match=r"^layers\[1\]: Lazy\(Dense, q=3\) is no layer yet: fill the model with .*nn.materialize"
    ):
        model(jnp.ones((2, 3, 3)))


def test_a_size_that_no_input_tells_must_be_given():
    with pytest.raises(ValueError, match=r"`q` of Dense must be given, as no input tells it: .* tell p and n alone"):
        nn.Lazy(nn.Dense)
    with pytest.raises(ValueError, match="`kernel` of Conv2d must be given"):
        nn.Lazy(nn.Conv2d, q=3)
    with pytest.raises(ValueError, match=r"`in_features` of Linear .* name no size, such as {self.in_features}"):
        nn.Lazy(eqx.nn.Linear, out_features=3)


def test_an_unknown_option_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"`use_bais` \(=False\) must be an option of Dense: did you mean 'use_bias'"):
        nn.Lazy(nn.Dense, q=3, use_bais=False)
    with pytest.raises(ValueError, match="must be an option of ReLU: it takes none"):
        nn.Lazy(nn.ReLU, p=3)
    with pytest.raises(ValueError, match="`key` of a Lazy must be left out: `materialize` gives each layer its own"):
        nn.Lazy(nn.Dense, q=3, key=jax.random.key(0))


def test_what_is_no_module_class_is_refused():
    with pytest.raises(ContractError, match=r"Lazy got layer_class"):
        nn.Lazy(jnp.tanh)


def test_a_lazy_layer_knows_what_an_input_is_to_tell():
    assert open_sizes(nn.Lazy(nn.Dense, q=3)) == ("p", "n")
    assert open_sizes(nn.Lazy(nn.Dense, q=3, p=2, n=4)) == ()
    assert open_sizes(nn.Lazy(nn.Recurrent, cell=nn.Lazy(nn.RNNCell, q=3, n=4))) == ("p",)
    # Of a Lambda no annotation tells a size: the layer in it finds its own.
    assert open_sizes(nn.Lazy(nn.Lambda, train=nn.Lazy(nn.Dense, q=3))) == ()


def test_a_lazy_layer_is_called_by_what_it_is_to_be():
    assert name_of(nn.Lazy(nn.Conv2d, q=3, kernel=(2, 3), dtype=jnp.bfloat16)) == "Lazy(Conv2d, q=3, kernel=(2, 3))"


def test_a_lazy_layer_fits_every_joint_until_it_is_filled():
    dense = nn.Dense(p=2, q=3, n=4, key=jax.random.key(0))
    assert len(nn.Sequential([dense, nn.Lazy(nn.Dense, q=3), dense])) == 3
