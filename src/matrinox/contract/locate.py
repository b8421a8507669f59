"""Where a module sits inside the model that is being called: the path an error message begins with.

Nothing is recorded in advance. When a contract is violated, the call stack still holds the `self` of every enclosing
module, so the path is found then: by identity, or, where a transform has rebuilt a sublayer, by structure and shapes.
"""

import inspect
import itertools
from collections.abc import Callable
from types import FrameType
from typing import Any

import equinox as eqx
import jax
import jax.tree_util as jtu

_MOST_ALTERNATIVES = 4
_SCAN = inspect.unwrap(jax.lax.scan).__code__


def locate(frame: FrameType | None, target: eqx.Module | None = None) -> str:
    """The path from the outermost module under call to `target`, or to the innermost module on the stack.

    **Arguments:** `frame`: where to begin looking outwards; `target`: the module that refused.
    **Returns:** such as `"encoder.layers[2]"`; `"layers[*]"` inside a scan over stacked layers; `"a or b"` for twins
    that cannot be told apart; `""` at top level.
    """
    chain = [] if target is None else [(target, False)]
    scanned = False
    while frame is not None:
        scanned = scanned or frame.f_code is _SCAN
        module = frame.f_locals.get("self") if frame.f_code.co_argcount else None
        if isinstance(module, eqx.Module) and not _is_wrapper(module) and (not chain or module is not chain[-1][0]):
            chain.append((module, scanned))
            scanned = False
        frame = frame.f_back
    paths = [""]
    for (inner, _), (outer, through_scan) in itertools.pairwise(chain):
        links = _links(outer, inner, through_scan)
        if not links and inner is chain[0][0]:
            # Made on the fly by the module that called it: that one's path is told.
            continue
        if not links:
            break
        paths = [link + path for link in links for path in paths]
    shown = [path.lstrip(".") for path in paths[:_MOST_ALTERNATIVES]]
    return " or ".join(shown) + (" or …" if len(paths) > _MOST_ALTERNATIVES else "")


def _is_wrapper(module: eqx.Module) -> bool:
    # `filter_jit`, bound methods and the like are modules too, but not layers that a user would name.
    return type(module).__module__.startswith("equinox._")


def _links(outer: eqx.Module, inner: eqx.Module, through_scan: bool) -> list[str]:
    same = _find(outer, lambda node: node is inner)
    if same:
        return [jtu.keystr(same[0])]
    twins = _find(outer, lambda node: node is not outer and _is_twin(node, inner, extra_axes=0))
    if through_scan and len(twins) > 1 and len({path[:-1] for path in twins}) == 1:
        return [jtu.keystr(twins[0][:-1]) + "[*]"]
    if not twins:
        twins = _find(outer, lambda node: node is not outer and _is_twin(node, inner, extra_axes=1))
        return [jtu.keystr(path) + "[*]" for path in twins]
    return [jtu.keystr(path) for path in twins]


def _find(tree: Any, wanted: Callable[[Any], bool]) -> list[tuple[Any, ...]]:
    def found(node: Any) -> bool:
        return wanted(_unwrapped(node))

    try:
        nodes, _ = jtu.tree_flatten_with_path(tree, is_leaf=found)
    except AttributeError:
        # A module that is still being built has no fields to look through.
        return []
    return [path for path, node in nodes if found(node)]


def _unwrapped(node: Any) -> Any:
    # A layer kept under a transform, such as `self.layer = eqx.filter_jit(layer)`, is found where the transform is.
    if isinstance(node, eqx.Module) and _is_wrapper(node):
        return getattr(node, "__wrapped__", node)
    return node


def _is_twin(node: Any, inner: eqx.Module, *, extra_axes: int) -> bool:
    if type(node) is not type(inner):
        return False
    theirs, ours = jtu.tree_flatten(node), jtu.tree_flatten(inner)
    if theirs[1] != ours[1] or not ours[0]:
        return False
    pairs = [(a.shape, b.shape) for a, b in zip(theirs[0], ours[0], strict=True) if eqx.is_array(a) and eqx.is_array(b)]
    return (
        bool(pairs)
        and all(a[extra_axes:] == b for a, b in pairs)
        and len({a[:extra_axes] for a, b in pairs}) == 1
        and all(len(a) == len(b) + extra_axes for a, b in pairs)
    )
