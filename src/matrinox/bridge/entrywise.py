"""Whether a function treats each entry of an array by itself: read off the program that JAX traces of it."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr

from matrinox.functional.recurrent import works_by_entries
from matrinox.inspect.programs import programs_in

# Arrays of matrix neurons, with two kinds of axes, so that a function of whole matrices shows; of two shapes, so that
# one that holds an array of the same shape, or divides by a size, shows too.
_SHAPES = (2, 3, 3), (5, 7, 7)
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
    rules = [_rule(function, shape) for shape in _SHAPES]
    return None not in rules and rules[0] == rules[1]


def text_of(program: Any) -> str:
    """A program as text, the same for each trace: functions in it are told with their addresses, which differ."""
    return re.sub(r"0x[0-9a-f]+", "", str(program))


def _rule(function: Callable[..., Any], shape: tuple[int, ...]) -> str | None:
    """What becomes of each entry of an array of this shape; `None` where that is not one rule for each by itself."""
    try:
        traced = jax.make_jaxpr(lambda x: function(x))(jax.ShapeDtypeStruct(shape, jnp.float32))
    except Exception:
        return None
    is_fit = [out.shape for out in traced.out_avals] == [shape]
    is_fit = is_fit and all(_is_fit(program, shape) for program in _programs(traced.jaxpr))
    # Shapes are written with spaces and without.
    return text_of(traced).replace(" ", "").replace(",".join(map(str, shape)), "") if is_fit else None


def _programs(program: Jaxpr) -> Iterator[Jaxpr]:
    """A program and those that its steps call."""
    yield program
    for step in program.eqns:
        for inner in programs_in(step):
            yield from _programs(inner)


def _is_fit(program: Any, shape: tuple[int, ...]) -> bool:
    # Where all is either one number or of the input's shape, and no step moves entries, none can meet another.
    values = [*program.invars, *program.constvars, *(value for step in program.eqns for value in step.outvars)]
    values += [value for step in program.eqns for value in step.invars]
    return all(value.aval.shape in ((), shape) for value in values) and all(
        step.primitive.name in _ENTRYWISE for step in program.eqns
    )
