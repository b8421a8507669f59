"""Annotations with the sizes that they name filled in: `"*batch {self.p} n"` becomes `"*batch p=2 n"`.

jaxtyping evaluates `{self.p}` as source text, three times a call. Filled in once for each set of sizes, the same
annotation costs a fifth, and prints as what it means.
"""

import re
import types
from collections.abc import Iterator, Mapping
from functools import cache
from operator import attrgetter
from types import CodeType
from typing import Any, Union, get_args, get_origin

import jaxtyping

_ATTRIBUTE = re.compile(r"\{(\w+)\.(\w+(?:\.\w+)*)\}")
_BRACES = re.compile(r"\{(?:\w+\.)*(\w+)\}")


def named_sizes(hint: Any) -> Iterator[str]:
    """The tokens with braces, such as `{self.p}`, in the shape strings of `hint`."""
    if is_array_annotation(hint):
        yield from (token for token in hint.dim_str.split() if "{" in token)
    elif _is_transparent(hint):
        for option in get_args(hint):
            yield from named_sizes(option)


def evaluate_size(token: str, arguments: Mapping[str, Any]) -> int | None:
    """The value of a token for these arguments; `None` if it takes the size of an axis as well.

    **Raises:** what evaluating it raises, such as `AttributeError` if the argument has no such size.
    """
    attribute = _ATTRIBUTE.fullmatch(token)
    if attribute:
        size = attrgetter(attribute[2])(arguments[attribute[1]])
    else:
        text = eval(_compiled(token), dict(arguments))
        size = int(text) if text.isdigit() else _calculate(text)
    return size if isinstance(size, int) else None


@cache
def _compiled(token: str) -> CodeType:
    return compile(f"f'{token.rpartition('=')[2]}'", token, "eval")


def _calculate(text: str) -> int | None:
    try:
        return eval(text, {})
    except NameError:
        return None


def fill_sizes(hint: Any, sizes: Mapping[str, int | None]) -> Any:
    """`hint` with every token of `sizes` that has a value replaced by `name=size`."""
    if is_array_annotation(hint):
        filled = (
            token if sizes.get(token) is None else f"{label_of(token)}={sizes[token]}" for token in hint.dim_str.split()
        )
        return hint.dtype[hint.array_type, " ".join(filled)]
    if not _is_transparent(hint):
        return hint
    options = tuple(fill_sizes(option, sizes) for option in get_args(hint))
    return tuple[options] if get_origin(hint) is tuple else Union[options]  # noqa: UP007 - the options are computed


def label_of(token: str) -> str:
    """What a size is called: `p` for `{self.p}` and for `p={groups}*{params.p}`, `2*p` for `2*{self.p}`."""
    name, equals, _ = token.rpartition("=")
    return name if equals else _BRACES.sub(r"\1", token)


def is_array_annotation(hint: Any) -> bool:
    """Whether `hint` is a jaxtyping array such as `Float[Array, "p n n"]`."""
    return isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)


def _is_transparent(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType, tuple)
