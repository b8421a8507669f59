"""Whether a function treats each entry of an array by itself: read off the program that JAX traces of it."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from matrinox.functional.recurrent import works_by_entries

# An array of matrix neurons, and of two kinds of axes: a function of whole matrices shows on it.
_SHAPE = (2, 3, 3)
_ENTRYWISE = frozenset(
    "abs acos acosh add add_any and asin asinh atan atan2 atanh broadcast_in_dim cbrt ceil checkpoint clamp"  # noqa: SIM905
    " convert_element_type copy copy_p cos cosh custom_jvp_call custom_vjp_call digamma div eq erf erf_inv erfc"
    " exp exp2 expm1 floor ge gt integer_pow is_finite jit le lgamma log log1p logistic lt max min mul ne neg"
    " nextafter not or pjit pow reduce_precision rem remat2 round rsqrt select_n sign sin sinh sqrt square"
    " stop_gradient sub tan tanh xor".split()
)


def is_entrywise(function: Callable[..., Any]) -> bool:
    """Whether every entry of what the function gives comes of the same entry of what it takes, by the same rule.

    A function of which this is not certain, such as one that draws or that cannot be traced on `(p, n, n)`, is said not
    to.

    **Arguments:** `function`: a function of one array, or a layer.
    """
    if works_by_entries(function):
        return True
    try:
        traced = jax.make_jaxpr(lambda x: function(x))(jax.ShapeDtypeStruct(_SHAPE, jnp.float32))
    except Exception:
        return False
    return [out.shape for out in traced.out_avals] == [_SHAPE] and all(map(_is_fit, _programs(traced)))


def _programs(program: Any) -> Iterator[Any]:
    """A program and those that its steps call."""
    program = getattr(program, "jaxpr", program)
    yield program
    for step in program.eqns:
        for value in step.params.values():
            for inner in value if isinstance(value, list | tuple) else (value,):
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    yield from _programs(inner)


def _is_fit(program: Any) -> bool:
    # Where all is either one number or of the input's shape, and no step moves entries, none can meet another.
    values = [*program.invars, *program.constvars, *(value for step in program.eqns for value in step.outvars)]
    values += [value for step in program.eqns for value in step.invars]
    return all(value.aval.shape in ((), _SHAPE) for value in values) and all(
        step.primitive.name in _ENTRYWISE for step in program.eqns
    )
