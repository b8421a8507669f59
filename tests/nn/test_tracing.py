import jax
import jax.numpy as jnp
import numpy as np

from matrinox.nn.tracing import WATCHED, is_key, is_shaped, narrowed, shape_of, table, unwatched


def test_a_numpy_array_is_told_in_the_dtype_that_jax_takes_it_in():
    told = narrowed(np.ones((2, 3)))
    assert (told.shape, told.dtype) == ((2, 3), jnp.asarray(np.ones(1)).dtype)
    assert narrowed(4) == 4


def test_what_has_a_shape_and_a_dtype_stands_for_an_array():
    arrays = (jnp.ones(2), np.ones(2), jax.ShapeDtypeStruct((2,), int))
    assert [(is_shaped(array), shape_of(array)) for array in arrays] == [(True, (2,))] * 3
    assert (is_shaped(np.dtype(float)), shape_of("a")) == (False, "a")


def test_a_key_is_told_from_numbers():
    assert [is_key(array) for array in (jax.random.key(0), jax.random.PRNGKey(0), jnp.ones(2))] == [True, False, False]


def test_a_table_is_aligned_and_numbers_to_the_right():
    assert table([("a", "bc"), ("abc", "d")]) == "a    bc\nabc  d"
    assert table([("a", "bc"), ("abc", "d")], numbers=1) == "a    bc\nabc   d"


def test_a_watched_method_is_known_as_the_one_that_it_stands_for():
    def method():
        """Of a class."""

    def watched():
        """Tells a dry run of its calls."""

    setattr(watched, WATCHED, method)
    assert unwatched(watched) is unwatched(method) is method
