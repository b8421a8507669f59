"""Why a compiled function is compiled again: what is other in a call than in the calls before it."""

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu

from matrinox.contract import contract
from matrinox.nn.difference import equal, is_array, one_level, say
from matrinox.paths import show

_ABSENT = "absent"
_MOST_CHANGES = 8


@dataclass(frozen=True)
class Change:
    """What is other at one place: its path in the arguments, and what was and is there."""

    path: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}: {self.before} -> {self.after}"


@dataclass(frozen=True)
class Recompilation:
    """A call that was compiled although others had been: which, counted from 1, and what is other than in the nearest.

    Without `changes` the arguments are those of an earlier call: what else decides, such as a switch of JAX or another
    device, has changed, or the program had been dropped.
    """

    call: int
    changes: tuple[Change, ...]

    def __str__(self) -> str:
        lines = [f"  {change}" for change in self.changes[:_MOST_CHANGES]]
        more = len(self.changes) - len(lines)
        lines += [f"  and {more} more"] if more else []
        lines = lines or ["  no argument has changed: a switch of JAX has, or the device, or the program was dropped"]
        return "\n".join([f"call {self.call} was compiled again:", *lines])


class Explained:
    """A compiled function that says why it is compiled again; called as the function is.

    **Arguments:** `recompilations`: a list of those so far, in order; `calls`: how many calls there were.
    """

    def __init__(self, function: Callable[..., Any], tell: Callable[[str], None] | None):
        self._function = function
        self._tell = tell
        self._known: list[_Signature] = []
        self.recompilations: list[Recompilation] = []
        self.calls = 0
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        signature = _Signature(self._function, args, kwargs)
        before = _programs(self._function)
        with _compilations() as compiled:
            result = self._function(*args, **kwargs)
        # A program that is found again may be counted again, for an array of JAX after one of NumPy say.
        if compiled and _programs(self._function) > before:
            self._explain(signature)
        return result

    def _explain(self, signature: "_Signature") -> None:
        if self._known:
            nearest = min(self._known, key=signature.distance)
            found = Recompilation(self.calls, signature.changes(nearest))
            self.recompilations.append(found)
            if self._tell is not None:
                name = getattr(self._function, "__qualname__", "a function")
                self._tell(f"{name}: {found}")
        self._known.append(signature)


@contract
def explain_recompile(f: Callable[..., Any], *, tell: Callable[[str], None] | None = print) -> Explained:
    """The function, telling at each call that compiles it again which leaf is to blame: path, what was, what is.

    A leaf is told by shape and dtype where it is an array, and by its value where it is static: a static field of a
    module, what `eqx.filter_jit` holds static, a static argument of `jax.jit`. A function that is made anew at each
    call, as a lambda is, has one name and is another all the same. Of all earlier calls the one with the fewest changes
    is compared. The arrays of earlier calls are not kept.

    **Arguments:** `f`: from `eqx.filter_jit` or `jax.jit`; any other function goes through `eqx.filter_jit`; `tell`:
    gets the text of each recompilation; `None` to look into `recompilations` alone.
    **Returns:** an `Explained`, called as `f` is; `recompilations` holds what was found.
    **Raises:** `ContractError` for what is not callable; what `f` raises.

    >>> import jax.numpy as jnp
    >>> f = explain_recompile(lambda x: 2 * x)
    >>> for length in (3, 3, 4):
    ...     y = f(jnp.ones(length))
    <lambda>: call 3 was compiled again:
      x: float32[3] -> float32[4]
    """
    return Explained(f if _compiled(f) is not None else eqx.filter_jit(f), tell)


def _compiled(f: Callable[..., Any]) -> Any:
    """What counts the programs of a compiled function; `None` for another."""
    inner = getattr(f, "_cached", f)
    return inner if hasattr(inner, "_cache_size") else None


def _programs(f: Callable[..., Any]) -> int:
    return _compiled(f)._cache_size()


@contextlib.contextmanager
def _compilations() -> Iterator[list[str]]:
    """What XLA compiles meanwhile, as a list that grows."""
    compiled: list[str] = []

    def note(event: str, duration_secs: float, **kwargs: str | int) -> None:
        del duration_secs, kwargs
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


class _Signature:
    """What a call is compiled for: by path, the text and the value of each leaf and static field, arrays by shape."""

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]):
        numbers_are_static = isinstance(f, eqx.Module)
        self._passed = f"{len(args)} by place{''.join(f', {name} by name' for name in sorted(kwargs))}"
        self._entries: dict[tuple[Any, ...], _Entry] = {}
        for name, value in _arguments(f, args, kwargs).items():
            self._entries |= _entries((jtu.GetAttrKey(name),), value, numbers_are_static)

    def distance(self, known: "_Signature") -> int:
        """How many leaves and static fields are other than in a known call, whatever the values of numbers."""
        return sum(_differ(before, after) for _, before, after in self._pairs(known))

    def changes(self, known: "_Signature") -> tuple[Change, ...]:
        """What is other here than in a known call; the values of numbers, and what is passed by name, only
        where nothing else is."""
        changed = [
            (path, _texts(before, after)) for path, before, after in self._pairs(known) if _differ(before, after)
        ]
        if not changed:
            changed = [
                (path, (repr(before.number), repr(after.number)))
                for path, before, after in self._pairs(known)
                if before is not None and after is not None and not equal(before.number, after.number)
            ]
            if self._passed != known._passed:
                changed.append(((jtu.GetAttrKey("arguments"),), (known._passed, self._passed)))
        return tuple(Change(show(path), *texts) for path, texts in changed)

    def _pairs(self, known: "_Signature") -> Iterator[tuple[tuple[Any, ...], "_Entry | None", "_Entry | None"]]:
        for path in dict.fromkeys((*self._entries, *known._entries)):
            yield path, known._entries.get(path), self._entries.get(path)


@dataclass(frozen=True)
class _Entry:
    text: str
    static: Any = None
    number: Any = None


def _entries(path: tuple[Any, ...], node: Any, numbers_are_static: bool) -> Iterator[tuple[tuple[Any, ...], _Entry]]:
    parts, _ = one_level(node)
    if is_array(node):
        weak = ", weakly typed" if getattr(node, "weak_type", False) else ""
        yield path, _Entry(say(node) + weak)
    elif isinstance(node, bool | int | float | complex) and not numbers_are_static:
        # Compiled for its type alone, unless the argument is static.
        yield path, _Entry(f"{jnp.result_type(type(node)).name}[], weakly typed", number=node)
    elif jtu.all_leaves([node]):
        yield path, _Entry(say(node), static=node)
    else:
        yield path, _Entry(f"a {type(node).__name__}", static=type(node))
        for field in dataclasses.fields(node) if isinstance(node, eqx.Module) else ():
            if field.metadata.get("static", False):
                value = getattr(node, field.name, None)
                yield (*path, jtu.GetAttrKey(field.name)), _Entry(say(value), static=value)
        for key, part in parts:
            yield from _entries(path + key, part, numbers_are_static)


def _arguments(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    try:
        bound = inspect.signature(f).bind(*args, **kwargs)
    except (TypeError, ValueError):
        # Some built-in functions have no signature to read; what does not bind is for the function to refuse.
        return {"args": args, **kwargs}
    bound.apply_defaults()
    return bound.arguments


def _differ(before: _Entry | None, after: _Entry | None) -> bool:
    if before is None or after is None:
        return True
    return before.text != after.text or not (before.static is after.static or equal(before.static, after.static))


def _texts(before: _Entry | None, after: _Entry | None) -> tuple[str, str]:
    if before is None or after is None:
        return before.text if before else _ABSENT, after.text if after else _ABSENT
    if before.text != after.text:
        return before.text, after.text
    return before.text, f"another {after.text.removeprefix('a ')}"
