"""Annotations with the sizes that they name filled in: `"*batch {self.p} n"` becomes `"*batch p=2 n"`.

jaxtyping evaluates `{self.p}` as source text, three times a call. Filled in once for each set of sizes, the same
annotation costs a fifth, and prints as what it means.

A token may also stand for several axes: where its value is a text with spaces, such as `"h w p=2"`, those take its
place. Beside the arguments it may use the names of the function's own module, as in `{axes_taken(2,layout)}`.
"""

import re
import types
from collections.abc import Iterator, Mapping
from functools import cache
from operator import attrgetter
from types import CodeType, MappingProxyType
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


def evaluate_size(
    token: str, arguments: Mapping[str, Any], names: Mapping[str, Any] = MappingProxyType({})
) -> int | str | None:
    """The value of a token for these arguments: a size, or the axes that it stands for.

    **Arguments:** `token`: with its braces; `arguments`: of the call; `names`: what it may use besides.
    **Returns:** `None` if it takes the size of an axis as well.
    **Raises:** what evaluating it raises, such as `AttributeError` if the argument has no such size.
    """
    attribute = _ATTRIBUTE.fullmatch(token)
    if attribute and attribute[1] in arguments:
        size = attrgetter(attribute[2])(arguments[attribute[1]])
    else:
        text = eval(_compiled(token), dict(names), dict(arguments))
        size = text if " " in text else int(text) if text.isdigit() else _calculate(text)
    return size if isinstance(size, int) or (isinstance(size, str) and " " in size) else None


@cache
def _compiled(token: str) -> CodeType:
    return compile(f"f'{token.rpartition('=')[2]}'", token, "eval")


def _calculate(text: str) -> int | None:
    try:
        return eval(text, {})
    except NameError:
        return None


def fill_sizes(hint: Any, sizes: Mapping[str, int | str | None]) -> Any:
    """`hint` with every token of `sizes` that has a value replaced by `name=size`, or by the axes it stands for."""
    if is_array_annotation(hint):
        filled = (_fill(token, sizes.get(token)) for token in hint.dim_str.split())
        return hint.dtype[hint.array_type, " ".join(filled)]
    if not _is_transparent(hint):
        return hint
    options = tuple(fill_sizes(option, sizes) for option in get_args(hint))
    return tuple[options] if get_origin(hint) is tuple else Union[options]  # noqa: UP007 - the options are computed


def _fill(token: str, value: int | str | None) -> str:
    if value is None:
        return token
    return value if isinstance(value, str) else f"{label_of(token)}={value}"


def spell_out(dim_str: str, arguments: Mapping[str, Any]) -> str:
    """`dim_str` with the axes for which a token stands in its place, where `arguments` tell them."""
    return " ".join(_spell_out(token, arguments) for token in dim_str.split())


def _spell_out(token: str, arguments: Mapping[str, Any]) -> str:
    if "{" not in token:
        return token
    try:
        value = evaluate_size(token, arguments)
    except Exception:
        return token
    return value if isinstance(value, str) else token


def label_of(token: str) -> str:
    """What a size is called: `p` for `{self.p}` and for `p={groups}*{params.p}`, `2*p` for `2*{self.p}`."""
    name, equals, _ = token.rpartition("=")
    return name if equals else _BRACES.sub(r"\1", token)


def is_array_annotation(hint: Any) -> bool:
    """Whether `hint` is a jaxtyping array such as `Float[Array, "p n n"]`."""
    return isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)


def _is_transparent(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType, tuple)
