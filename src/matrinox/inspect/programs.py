"""The programs inside of a step of a traced program: bodies of loops, branches, what is compiled by itself."""

from collections.abc import Iterator
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr


def programs_in(equation: Any) -> Iterator[Jaxpr]:
    """The programs that one equation of a traced program holds, in the order of its parameters."""
    for value in equation.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, Jaxpr):
                yield part
