"""Path patterns over a module's tree: name leaves as you would write them, `encoder.layers[2].weight`, with wildcards.

| in a pattern | matches |
|---|---|
| `weight`, `[2]`, `['key']` | that attribute, index or dictionary key |
| `*` | one step of any kind |
| `[*]` | one index or key |
| `norm*` | one attribute, by shell wildcard |
| `**` | any number of steps, none included |
"""

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import jax.tree_util as jtu
from jaxtyping import PyTree

from matrinox.contract import contract
from matrinox.contract.nearest import nearest

_STEP = re.compile(r"\[[^\]]*\]|[^.\[\]]+")


def show(path: tuple[Any, ...]) -> str:
    """A path as JAX gives it, written as in Python: `encoder.layers[2].weight`."""
    return jtu.keystr(path).removeprefix(".")


@contract
def find(tree: PyTree, pattern: str, *, is_leaf: Callable[[Any], bool] | None = None) -> dict[str, Any]:
    """The leaves of `tree` whose path matches `pattern`, by path, in the order of the tree.

    **Arguments:** `tree`: any pytree; `pattern`: steps as in Python, such as `encoder.layers[2].weight`, with `*` for
    one step of any kind, `[*]` for one index or key, `norm*` for one attribute and `**` for any number of steps;
    `is_leaf`: as in `jax.tree.map`, to find whole modules.
    **Returns:** `{path: leaf}`, never empty.
    **Raises:** `ValueError` if the pattern is malformed or matches nothing; it names the nearest path.

    >>> find({"encoder": [1.0, 2.0], "head": 3.0}, "**[*]")
    {"['encoder'][0]": 1.0, "['encoder'][1]": 2.0, "['head']": 3.0}
    """
    named, _ = jtu.tree_flatten_with_path(tree, is_leaf=is_leaf)
    steps = _parse(pattern)
    found = {show(path): leaf for path, leaf in named if _matches(steps, _steps_of(path))}
    if not found:
        raise ValueError(_nothing(pattern, [show(path) for path, _ in named]))
    return found


@contract
def select(tree: PyTree, pattern: str, *, is_leaf: Callable[[Any], bool] | None = None) -> PyTree[bool]:
    """A mask over `tree`: `True` at the leaves that `pattern` matches. It fits `eqx.partition` and `optax.masked`.

    **Arguments, Raises:** as `find`.
    """
    found = find(tree, pattern, is_leaf=is_leaf)
    return jtu.tree_map_with_path(lambda path, _: show(path) in found, tree, is_leaf=is_leaf)


@contract
def replace(
    tree: PyTree, pattern: str, new: Callable[[Any], Any], *, is_leaf: Callable[[Any], bool] | None = None
) -> PyTree:
    """`tree` with `new(leaf)` in place of every leaf that `pattern` matches; the original is untouched.

    **Arguments, Raises:** as `find`.

    >>> replace({"weight": 2.0, "bias": 1.0}, "['bias']", lambda b: 0 * b)
    {'bias': 0.0, 'weight': 2.0}
    """
    found = find(tree, pattern, is_leaf=is_leaf)
    return jtu.tree_map_with_path(lambda path, leaf: new(leaf) if show(path) in found else leaf, tree, is_leaf=is_leaf)


@contract
def matches(path: str, pattern: str) -> bool:
    """Whether a pattern, as `find` takes it, matches a path, as `find` writes it: of a leaf or of what holds leaves.

    **Raises:** `ValueError` if the pattern is malformed.

    >>> matches("encoder.layers[2]", "encoder.**")
    True
    """
    return _matches(_parse(pattern), tuple(_STEP.findall(path)))


def _parse(pattern: str) -> tuple[str, ...]:
    steps = tuple(_STEP.findall(pattern))
    written = "".join(step if step.startswith("[") else "." + step for step in steps)
    if not steps or written.removeprefix(".") != pattern:
        raise ValueError(
            f"`pattern` (={pattern!r}) is not a path pattern: join attributes with single dots and put indices in"
            " brackets, as in 'encoder.layers[*].weight'."
        )
    return steps


def _steps_of(path: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(jtu.keystr((key,)).removeprefix(".") for key in path)


def _matches(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    if not pattern:
        return not path
    head, rest = pattern[0], pattern[1:]
    if head == "**":
        return any(_matches(rest, path[i:]) for i in range(len(path) + 1))
    return bool(path) and _matches_step(head, path[0]) and _matches(rest, path[1:])


def _matches_step(pattern: str, step: str) -> bool:
    if pattern.startswith("[") != step.startswith("["):
        return pattern == "*"
    # Brackets would mean a set of characters to fnmatch.
    return fnmatchcase(step.strip("[]"), pattern.strip("[]"))


def _nothing(pattern: str, paths: list[str]) -> str:
    below = next((path for path in paths if re.match(re.escape(pattern) + r"[.\[]", path)), None)
    if below is not None:
        return f"`pattern` (={pattern!r}) names a subtree, not a leaf: write '{pattern}.**' for all that is in it."
    remedy = f"the nearest of {len(paths)} paths is '{nearest(pattern, paths)}'" if paths else "the tree has no leaves"
    return f"`pattern` (={pattern!r}) matches no leaf: {remedy}."
