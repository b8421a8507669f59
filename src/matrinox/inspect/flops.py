"""Floating-point operations of a traced program, counted as XLA's cost analysis counts them.

- A product of matrices or a convolution has two for each multiply-add; of a convolution, those that meet the padding or
  a hole are left out.
- An elementwise operation has one for each entry, whatever its dtype, but none if it adds zero or multiplies by one; a
  transcendental function has none, as XLA counts those apart; a reduction has one for each entry that it takes away;
  moving entries about has none.
- A loop has those of its body as often as it runs (XLA's figure is that of one turn), one of unknown length those of
  one turn; of the branches of a condition, the dearest counts.
- A factorisation of matrices has those of the textbook algorithm. (XLA's figure is 0 where a library does the work.)
"""

from collections.abc import Callable
from functools import partial
from math import ceil, log2, prod
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from matrinox.inspect.programs import programs_in

Inner = Callable[[Jaxpr, int], int]
"""The cost of one turn of an inner program, and how many turns it runs for each of the outer one."""

_ELEMENTWISE = frozenset(
    (
        *("abs", "add", "add_any", "and", "ceil", "clamp", "conj", "convert_element_type", "div", "eq", "floor", "ge"),
        *("gt", "imag", "is_finite", "le", "lt", "max", "min", "mul", "ne", "neg", "nextafter", "not", "or"),
        *(
            "population_count",
            "real",
            "reduce_precision",
            "rem",
            "round",
            "select_n",
            "shift_left",
            "shift_right_arithmetic",
            "shift_right_logical",
            "sign",
            "square",
            "sub",
            "xor",
        ),
    )
)
_NEUTRAL = {"add": 0, "sub": 0, "mul": 1}
_REDUCTIONS = ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "reduce_xor")
_CUMULATIVE = ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
_WINDOWS = ("reduce_window_sum", "reduce_window_max", "reduce_window_min", "reduce_window")
# Composed of other operations when lowered: of each entry, those beside transcendental ones.
_COMPOSED = {"logistic": 3, "exp2": 1}
# Two words of 32 bits take 20 rounds of five operations, and five additions of keys.
_FLOPS_OF_A_RANDOM_WORD = 58


def count_flops(program: ClosedJaxpr | Jaxpr) -> int:
    """The floating-point operations of a program."""
    jaxpr = program.jaxpr if isinstance(program, ClosedJaxpr) else program
    return sum(flops_of(equation, lambda inner, _: count_flops(inner)) for equation in jaxpr.eqns)


def flops_of(equation: Any, inner: Inner) -> int:
    """The floating-point operations of one equation, those of a program in it being `inner(program, turns)` a turn."""
    name, params = equation.primitive.name, equation.params
    inputs = [var.aval for var in equation.invars]
    outputs = [var.aval for var in equation.outvars]
    if name in _ELEMENTWISE:
        return 0 if _is_neutral(name, equation.invars) else _entries(outputs[0])
    if name in _RULES:
        return _RULES[name](params, inputs, outputs)
    if name == "scan":
        return params["length"] * inner(params["jaxpr"].jaxpr, params["length"])
    if name == "cond":
        return max(inner(branch.jaxpr, 1) for branch in params["branches"])
    if name == "custom_linear_solve":
        return inner(params["jaxprs"].solve.jaxpr, 1)
    return sum(inner(program, 1) for program in programs_in(equation))


def _is_neutral(name: str, operands: Any) -> bool:
    """Whether this is a sum with zero or a product with one, which no compiler computes."""
    neutral = _NEUTRAL.get(name)
    aside = operands[1:] if name == "sub" else operands
    return neutral is not None and any(
        isinstance(operand, Literal) and np.ndim(operand.val) == 0 and operand.val == neutral for operand in aside
    )


def _entries(aval: Any) -> int:
    return prod(aval.shape)


def _dot_general(params: Any, inputs: Any, outputs: Any) -> int:
    (contracted, _), _ = params["dimension_numbers"]
    return 2 * _entries(outputs[0]) * prod(inputs[0].shape[axis] for axis in contracted)


def _convolution(params: Any, inputs: Any, outputs: Any) -> int:
    numbers = params["dimension_numbers"]
    image, kernel, out = (
        [aval.shape[axis] for axis in spec]
        for aval, spec in zip(
            (*inputs, outputs[0]), (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec), strict=True
        )
    )
    positions = _positions(
        image[2:], kernel[2:], out[2:], params["window_strides"], params["padding"], params["lhs_dilation"],
        params["rhs_dilation"],
    )  # fmt: skip
    return 2 * positions * out[0] * kernel[1] * out[1]


def _matrix_convolve(params: Any, inputs: Any, outputs: Any) -> int:
    x, w = (aval.shape for aval in inputs)
    geometry, out = params["geometry"], outputs[0].shape
    positions = _positions(
        x[1:-1], w[:-2], out[1:-1], geometry.stride, geometry.padding, geometry.spread, geometry.dilation
    )
    return 2 * positions * out[0] * w[-2] * out[-1]


def _positions(image: Any, kernel: Any, out: Any, strides: Any, padding: Any, spread: Any, dilation: Any) -> int:
    """How many pairs of an output's place and a kernel's place meet an entry of the image."""
    total = 1
    for axis, size in enumerate(image):
        places = np.arange(out[axis])[:, None] * strides[axis] + np.arange(kernel[axis]) * dilation[axis]
        places = places - padding[axis][0]
        last = (size - 1) * spread[axis]
        total *= int(np.sum((places >= 0) & (places <= last) & (places % spread[axis] == 0)))
    return total


def _kernel_gradient(params: Any, inputs: Any, outputs: Any) -> int:
    (x, g), geometry, kernel = (aval.shape for aval in inputs), params["geometry"], params["kernel"]
    if jax.default_backend() == "cpu":
        # A product of patches there, which hold the padding and the holes.
        positions = prod(g[1:-1]) * prod(kernel)
    else:
        positions = _positions(
            x[1:-1], kernel, g[1:-1], geometry.stride, geometry.padding, geometry.spread, geometry.dilation
        )
    return 2 * positions * g[0] * x[-1] // geometry.groups * g[-1]


def _reduction(params: Any, inputs: Any, outputs: Any) -> int:
    return _entries(inputs[0]) - _entries(outputs[0])


def _arg_reduction(params: Any, inputs: Any, outputs: Any) -> int:
    # Of two, the larger, the first of equals or what is no number: four comparisons, three joints and two choices.
    return 9 * _reduction(params, inputs, outputs)


def _cumulative(params: Any, inputs: Any, outputs: Any) -> int:
    # As a tree: one way up and one down.
    return 2 * _entries(inputs[0])


def _window(params: Any, inputs: Any, outputs: Any) -> int:
    return (prod(params["window_dimensions"]) - 1) * _entries(outputs[0])


def _power(params: Any, inputs: Any, outputs: Any) -> int:
    exponent = params["y"]
    bits = f"{abs(exponent):b}"
    return _entries(outputs[0]) * (len(bits) - 1 + bits[1:].count("1") + (exponent < 0))


def _scatter(params: Any, inputs: Any, outputs: Any) -> int:
    return _entries(inputs[-1])


def _select_and_scatter(params: Any, inputs: Any, outputs: Any) -> int:
    source = inputs[0]
    return _entries(source) * prod(params["window_dimensions"])


def _sort(params: Any, inputs: Any, outputs: Any) -> int:
    length = inputs[0].shape[params["dimension"]]
    return _entries(inputs[0]) * ceil(log2(max(length, 1)))


def _composed(each: int, params: Any, inputs: Any, outputs: Any) -> int:
    return each * _entries(outputs[0])


def _random(params: Any, inputs: Any, outputs: Any) -> int:
    return _FLOPS_OF_A_RANDOM_WORD * sum(map(_entries, outputs))


def _of_matrices(each: Callable[[int, int], float], params: Any, inputs: Any, outputs: Any) -> int:
    *batch, rows, columns = inputs[0].shape
    return prod(batch) * round(each(rows, columns))


def _triangular_solve(params: Any, inputs: Any, outputs: Any) -> int:
    return inputs[0].shape[-1] * _entries(outputs[0])


def _factor_of_rectangle(rows: int, columns: int) -> float:
    long, short = max(rows, columns), min(rows, columns)
    return 2 * long * short**2 - 2 * short**3 / 3


# Golub and Van Loan, Matrix Computations.
_FACTORISATIONS: dict[str, Callable[[int, int], float]] = {
    "cholesky": lambda n, _: n**3 / 3,
    "lu": lambda m, n: max(m, n) * min(m, n) ** 2 - min(m, n) ** 3 / 3,
    "geqrf": _factor_of_rectangle,
    "qr": _factor_of_rectangle,
    "householder_product": _factor_of_rectangle,
    "eigh": lambda n, _: 9 * n**3,
    "tridiagonal": lambda n, _: 4 * n**3 / 3,
    "hessenberg": lambda n, _: 10 * n**3 / 3,
    "schur": lambda n, _: 25 * n**3,
    "eig": lambda n, _: 25 * n**3,
    "svd": lambda m, n: 4 * max(m, n) ** 2 * min(m, n) + 8 * max(m, n) * min(m, n) ** 2 + 9 * min(m, n) ** 3,
}

_Rule = Callable[[Any, Any, Any], int]
_RULES: dict[str, _Rule] = {
    "dot_general": _dot_general,
    "conv_general_dilated": _convolution,
    "matrix_convolve": _matrix_convolve,
    "matrix_convolve_kernel_gradient": _kernel_gradient,
    "integer_pow": _power,
    "argmax": _arg_reduction,
    "argmin": _arg_reduction,
    "scatter_add": _scatter,
    "scatter-add": _scatter,
    "scatter_mul": _scatter,
    "scatter_min": _scatter,
    "scatter_max": _scatter,
    "select_and_scatter_add": _select_and_scatter,
    "sort": _sort,
    "triangular_solve": _triangular_solve,
    "random_bits": _random,
    "random_split": lambda params, inputs, outputs: 2 * _random(params, inputs, outputs),
    "random_fold_in": lambda params, inputs, outputs: 2 * _random(params, inputs, outputs),
    "threefry2x32": _random,
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(_CUMULATIVE, _cumulative),
    **dict.fromkeys(_WINDOWS, _window),
    **{name: partial(_composed, each) for name, each in _COMPOSED.items()},
    **{name: partial(_of_matrices, each) for name, each in _FACTORISATIONS.items()},
}
