"""What a derivative is returned with: the four columns of the table of returns, in one place.

| | plain | `has_aux` | `return_value` | both |
|---|---|---|---|---|
| `behind` | `d` | `(d, aux)` | `(d, value)` | `(d, value, aux)` |
| `value_first` | `(value, d)` | `((value, aux), d)` | | |

The rows are in `selection`: `d` is `arg`, `var` or `(var, arg)` by what is selected.
"""

from collections.abc import Callable
from typing import Any

from jaxtyping import PyTree

Arrangement = Callable[[PyTree, PyTree, PyTree], Any]
"""`(derivative, value, aux)` to what is returned."""


def behind(has_aux: bool | None, return_value: bool) -> Arrangement:
    """The derivative, and behind it the value and the auxiliary data that are asked for."""

    def arranged(derivative: PyTree, value: PyTree, aux: PyTree) -> Any:
        rest = ((value,) if return_value else ()) + ((aux,) if has_aux else ())
        return (derivative, *rest) if rest else derivative

    return arranged


def value_first(has_aux: bool | None) -> Arrangement:
    """The value, with the auxiliary data if there are any, and then the derivative."""

    def arranged(derivative: PyTree, value: PyTree, aux: PyTree) -> Any:
        return ((value, aux) if has_aux else value), derivative

    return arranged
