import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.functional.precision import widen


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("given", "wide"), [("bfloat16", "float32"), ("float16", "float32"), ("float32", "float32"), ("float64", "float32")]
)
def test_half_precision_becomes_single_and_double_what_jax_is_set_to(given, wide):
    assert widen(np.ones(3, jnp.dtype(given))).dtype == wide


def test_double_precision_stays(x64):
    assert widen(np.ones(3)).dtype == jnp.float64
