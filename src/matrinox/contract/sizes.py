"""Annotations with the sizes that they name filled in: `"*batch {self.p} n"` becomes `"*batch p=2 n"`.

jaxtyping evaluates `{self.p}` as source text, three times a call. Filled in once for each set of sizes, the same
annotation costs a fifth, and prints as what it means.
"""

import re
import types
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any, Union, get_args, get_origin

import jaxtyping

_NAMED_SIZE = re.compile(r"\{(\w+)\.(\w+(?:\.\w+)*)\}")


def named_sizes(hint: Any) -> Iterator[str]:
    """The tokens such as `{self.p}` in the shape strings of `hint`."""
    if is_array_annotation(hint):
        yield from (token for token in hint.dim_str.split() if _NAMED_SIZE.fullmatch(token))
    elif _is_transparent(hint):
        for option in get_args(hint):
            yield from named_sizes(option)


def evaluate_size(token: str, arguments: Mapping[str, Any]) -> int:
    """The value of `{self.p}` for these arguments. **Raises:** `AttributeError` if the argument has no such size."""
    argument, attributes = token[1:-1].split(".", 1)
    return attrgetter(attributes)(arguments[argument])


def fill_sizes(hint: Any, sizes: Mapping[str, int]) -> Any:
    """`hint` with every token of `sizes` replaced by `name=size`."""
    if is_array_annotation(hint):
        tokens = (f"{_label(token)}={sizes[token]}" if token in sizes else token for token in hint.dim_str.split())
        return hint.dtype[hint.array_type, " ".join(tokens)]
    if not _is_transparent(hint):
        return hint
    options = tuple(fill_sizes(option, sizes) for option in get_args(hint))
    return tuple[options] if get_origin(hint) is tuple else Union[options]  # noqa: UP007 - the options are computed


def is_array_annotation(hint: Any) -> bool:
    """Whether `hint` is a jaxtyping array such as `Float[Array, "p n n"]`."""
    return isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)


def _is_transparent(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType, tuple)


def _label(token: str) -> str:
    return token[1:-1].rpartition(".")[2]
