import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.transforms.direction import fitted, without_float0

OF = {"a": (jnp.ones((2,), jnp.bfloat16), 3.0), "n": jnp.arange(2), "none": None}


def test_what_is_left_out_is_zero_and_numbers_take_the_dtype():
    given = {"a": (np.ones(2, jnp.bfloat16), 2), "n": None, "none": None}
    a, n = fitted(given, OF, "tangents")["a"], fitted(given, OF, "tangents")["n"]
    assert a[0].dtype == jnp.bfloat16
    assert a[1] == 2.0
    assert n.dtype == jax.dtypes.float0
    assert n.shape == (2,)
    whole = fitted({"a": None, "n": None, "none": None}, OF, "tangents")["a"]
    assert eqx.tree_equal(whole, (jnp.zeros(2, jnp.bfloat16), jnp.zeros(())), typematch=False)


def test_nothing_is_given_where_there_is_nothing():
    assert fitted({"a": None, "n": None, "none": 3.0}, OF, "tangents")["none"] is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((jnp.ones(3, jnp.bfloat16), 1.0), r"`tangents\['a'\]\[0\]` is bfloat16\[3\], and must be bfloat16\[2\], as"),
        (
            (jnp.ones(2), 1.0),
            r"`tangents\['a'\]\[0\]` is float32\[2\], and must be bfloat16\[2\], as what it is of: re",
        ),
        ((None, 1.0j), r"`tangents\['a'\]\[1\]` is complex, and must be float32\[\], as what it is of"),
        (
            [None, 1.0],
            r"`tangents` is \(\{'a': \[None, \*\], .*, and must be \(\{'a': \(\*, \*\), .* `None` is for zeros",
        ),
    ],
)
def test_what_is_not_like_it_is_refused_by_path(given, message):
    with pytest.raises(ValueError, match=message):
        fitted({"a": given, "n": None, "none": None}, OF, "tangents")


def test_one_array_where_a_tree_is_due_is_refused():
    with pytest.raises(ValueError, match=r"`tangents` is one array, and must be \(\{'a': \*\}\)"):
        fitted(jnp.ones(2), {"a": jnp.ones(2)}, "tangents")


def test_what_has_no_derivative_takes_none():
    with pytest.raises(ValueError, match=r"`c\['n'\]` is float32\[2\], .* int32\[2\], has no derivative: give `None`"):
        fitted({"a": None, "n": jnp.ones(2), "none": None}, OF, "c")


def test_derivatives_of_integers_are_nothing():
    zeros = np.zeros(2, jax.dtypes.float0)
    assert without_float0({"a": zeros, "b": 1.0}) == {"a": None, "b": 1.0}
