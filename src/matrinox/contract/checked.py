"""A function with its annotations checked around every call, and a violation put in the words of the model."""

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

import equinox as eqx
import jaxtyping
from beartype import beartype

from matrinox.contract.axes import RULES
from matrinox.contract.locate import locate
from matrinox.contract.message import callable_name, describe_argument, describe_return
from matrinox.contract.nearest import guess
from matrinox.contract.sizes import evaluate_size, fill_sizes, named_sizes


class ContractError(TypeError, ValueError):
    """A value that breaks the shape, dtype or type that a signature declares."""

    __module__ = "matrinox.contract"


class _Progress(threading.local):
    """How far each checked call under way in this thread has come: empty, then entered, then what its body returned."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []


_progress = _Progress()
MARK = "__matrinox_contract__"
"""The attribute by which a checked function is known."""
_ENTERED = object()
_RAISED_IN = "Raised in "
_SizesOfTokens = tuple[int | str | None, ...]


def checked(fn: Callable[..., Any], names: Mapping[str, Any]) -> Callable[..., Any]:
    """`fn` under jaxtyping and beartype, raising `ContractError`; `fn` itself if it is that already.

    **Arguments:** `fn`: any function or method; `names`: what its string annotations may use beside its globals.
    """
    if hasattr(fn, MARK):
        return fn
    signature = evaluated_signature(fn, names)
    hints = [*(parameter.annotation for parameter in signature.parameters.values()), signature.return_annotation]
    tokens = tuple(dict.fromkeys(token for hint in hints for token in named_sizes(hint)))
    by_sizes: dict[_SizesOfTokens, Callable[..., Any]] = {}

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if jaxtyping.config.jaxtyping_disable:
            return fn(*args, **kwargs)
        sizes = _sizes(fn, signature, tokens, args, kwargs)
        if sizes not in by_sizes:
            by_sizes[sizes] = _check_with(fn, _filled(signature, dict(zip(tokens, sizes, strict=False))))
        reached: list[Any] = []
        _progress.calls.append(reached)
        try:
            return by_sizes[sizes](*args, **kwargs)
        except (jaxtyping.TypeCheckError, jaxtyping.AnnotationError) as error:
            if reached == [_ENTERED]:
                # Raised by somebody else's check inside the body.
                raise
            refusal = str(error)
        except TypeError:
            if not reached:
                _bound(fn, signature, args, kwargs)
            raise
        except ValueError as error:
            _note_the_path(error, fn, args)
            raise
        finally:
            _progress.calls.pop()
        raise _violation(fn, _filled(signature, dict(zip(tokens, sizes, strict=False))), args, kwargs, reached, refusal)

    setattr(call, MARK, True)
    return call


def _note_the_path(error: ValueError, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Adds where in the model under call an error by value was raised, which its text cannot know."""
    layer = args[0] if args and isinstance(args[0], eqx.Module) else None
    told = isinstance(error, ContractError) or any(
        note.startswith(_RAISED_IN) for note in getattr(error, "__notes__", ())
    )
    if layer is None or told or fn.__name__ == "__init__":
        return
    path = locate(sys._getframe(2), layer)
    if path:
        error.add_note(f"{_RAISED_IN}{path}: {callable_name(fn.__qualname__, layer)}.")


def _names_around(fn: Callable[..., Any]) -> Mapping[str, Any]:
    return getattr(inspect.unwrap(fn), "__globals__", {})


def _sizes(
    fn: Callable[..., Any], signature: inspect.Signature, tokens: tuple[str, ...], args: Any, kwargs: Any
) -> _SizesOfTokens:
    if not tokens:
        return ()
    bound = _bound(fn, signature, args, kwargs)
    bound.apply_defaults()
    try:
        return tuple(evaluate_size(token, bound.arguments, _names_around(fn)) for token in tokens)
    except Exception:
        # The argument that should have the sizes is itself at fault: `_violation` says how.
        return ()


def _bound(fn: Callable[..., Any], signature: inspect.Signature, args: Any, kwargs: Any) -> inspect.BoundArguments:
    owner = args[0] if args and next(iter(signature.parameters)) == "self" else None
    return bind_arguments(callable_name(fn.__qualname__, owner), signature, args, kwargs)


def bind_arguments(name: str, signature: inspect.Signature, args: Any, kwargs: Any) -> inspect.BoundArguments:
    """The arguments by name, as a callable of that name and signature takes them.

    **Raises:** `TypeError` for arguments that it does not take, naming the nearest.
    """
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}: {_misfit(error, signature, kwargs)}") from None


def _misfit(error: TypeError, signature: inspect.Signature, kwargs: Mapping[str, Any]) -> str:
    """What is wrong with the names or the count of arguments: a word that is unknown, before one that is missing."""
    parameters = [parameter for name, parameter in signature.parameters.items() if name != "self"]
    known = [parameter.name for parameter in parameters]
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    unknown = next((name for name in kwargs if name not in known and not takes_any), None)
    if unknown is not None:
        remedy = guess(unknown, known) or (f": it takes {', '.join(known)}" if known else "")
        return f"got an unexpected keyword argument {unknown!r}{remedy}"
    if "too many positional" in str(error):
        by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        placed = [f"`{parameter.name}`" for parameter in parameters if parameter.kind in by_place]
        return f"{error}: {', '.join(placed) or 'none'} can be given by place, all else by name"
    return str(error)


def _filled(signature: inspect.Signature, sizes: Mapping[str, int | str | None]) -> inspect.Signature:
    parameters = [
        parameter.replace(annotation=fill_sizes(parameter.annotation, sizes))
        for parameter in signature.parameters.values()
    ]
    return signature.replace(parameters=parameters, return_annotation=fill_sizes(signature.return_annotation, sizes))


def _check_with(fn: Callable[..., Any], signature: inspect.Signature) -> Callable[..., Any]:
    @functools.wraps(fn)
    def body(*args: Any, **kwargs: Any) -> Any:
        reached = _progress.calls[-1]
        reached.append(_ENTERED)
        value = fn(*args, **kwargs)
        reached.append(value)
        return value

    vars(body)["__signature__"] = signature
    return jaxtyping.jaxtyped(body, typechecker=beartype(conf=RULES))


def evaluated_signature(fn: Callable[..., Any], names: Mapping[str, Any]) -> inspect.Signature:
    """The signature, with string annotations (`from __future__ import annotations`) evaluated if they can be."""
    try:
        return inspect.signature(fn, eval_str=True, locals=dict(names))
    except NameError:
        return inspect.signature(fn)


def _violation(
    fn: Callable[..., Any], signature: inspect.Signature, args: Any, kwargs: Any, reached: list[Any], refusal: str
) -> ContractError:
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    values = bound.arguments
    owner = values.get("self")
    name = callable_name(fn.__qualname__, owner)
    entries = list(_entries(signature, values))
    try:
        text = describe_return(name, entries, values, signature.return_annotation, reached[1]) if reached else None
        text = text or describe_argument(name, entries, values) or _unreadable(fn, name, signature, values)
    except Exception:
        text = None
    return refusal_of(
        text or f"{name} was called against its annotations: {refusal.splitlines()[0]}",
        sys._getframe(2),
        owner if isinstance(owner, eqx.Module) else None,
    )


def refusal_of(text: str, frame: FrameType, target: eqx.Module | None) -> ContractError:
    """The error that says `text` of `target`, beginning with its path in the model under call."""
    path = locate(frame, target)
    return ContractError(f"{path}: {text}" if path else text)


def _entries(signature: inspect.Signature, values: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            yield from ((f"{name}[{i}]", parameter.annotation, value) for i, value in enumerate(values[name]))
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            yield from ((f"{name}[{key!r}]", parameter.annotation, value) for key, value in values[name].items())
        else:
            yield name, parameter.annotation, values[name]


def _unreadable(
    fn: Callable[..., Any], name: str, signature: inspect.Signature, values: Mapping[str, Any]
) -> str | None:
    hints = [*(parameter.annotation for parameter in signature.parameters.values()), signature.return_annotation]
    for token in (token for hint in hints for token in named_sizes(hint)):
        try:
            evaluate_size(token, values, _names_around(fn))
        except Exception as error:
            return f"{name} cannot be checked: {token!r} in its annotations cannot be read ({error})."
    return None
