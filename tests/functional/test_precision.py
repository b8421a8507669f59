import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.functional.precision import require_precision, sum_dtype, sum_dtype_of, widen


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("given", "wide"), [("bfloat16", "float32"), ("float16", "float32"), ("float32", "float32"), ("float64", "float32")]
)
def test_half_precision_becomes_single_and_double_what_jax_is_set_to(given, wide):
    assert widen(np.ones(3, jnp.dtype(given))).dtype == wide


def test_double_precision_stays(x64):
    assert widen(np.ones(3)).dtype == jnp.float64


@pytest.mark.parametrize(
    "precision",
    [
        None,
        *("default", "fastest", "bfloat16", "bfloat16_3x", "high", "tensorfloat32", "highest", "float32"),
        *jax.lax.Precision,
        ("high", "highest"),
        (jax.lax.Precision.HIGH, jax.lax.Precision.DEFAULT),
        "BF16_BF16_F32",
        jax.lax.DotAlgorithmPreset.F32_F32_F32,
    ],
)
def test_what_jax_takes_for_a_precision_is_taken(precision):
    require_precision(precision)
    x = jax.ShapeDtypeStruct((2, 2), jnp.bfloat16)
    assert jax.eval_shape(lambda x: jnp.matmul(x, x, precision=precision), x).shape == (2, 2)


@pytest.mark.parametrize("precision", ["hihgest", ("high", "hihgest")])
def test_a_misspelt_precision_is_refused_with_the_nearest_name(precision):
    with pytest.raises(ValueError, match=r"`precision` \(='hihgest'\).* JAX knows: did you mean 'highest'\?"):
        require_precision(precision)


def test_a_pair_names_no_algorithm():
    with pytest.raises(ValueError, match=r"`precision` \(='F32_F32_F32'\) must be a name that JAX knows"):
        require_precision(("high", "F32_F32_F32"))


@pytest.mark.parametrize("given", [jnp.float32, "float32", np.dtype("float32"), np.float64])
def test_the_dtype_of_a_sum_is_kept_as_one_that_jax_has(given):
    assert sum_dtype(given) == "float32"


def test_no_dtype_of_a_sum_leaves_it_to_the_compiler():
    assert sum_dtype(None) is None
    assert sum_dtype_of(None, np.dtype("float32")) is None


def test_sums_of_integers_are_refused():
    with pytest.raises(ValueError, match=r"`accumulation_dtype` \(=int32\) must be a float dtype: use float32"):
        sum_dtype(jnp.int32)


@pytest.mark.parametrize("narrow", ["bfloat16", "float16"])
def test_sums_narrower_than_what_is_summed_are_refused(narrow):
    inputs = np.dtype("float32")
    with pytest.raises(ValueError, match=rf"\(={narrow}\) must hold what is summed, of float32: choose float32 or"):
        sum_dtype_of(narrow, inputs)
    assert sum_dtype_of("float32", jnp.dtype(narrow)) == "float32"
