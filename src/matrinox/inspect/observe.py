"""The calls of a model's layers, observed while it is traced.

Every module of the tree is replaced by one of a subclass of its class, whose `__call__` and public methods leave a
marker in the traced program on the way in and on the way out. So nothing is patched: the model, its classes and other
threads are as they were, and what asks `isinstance`, reads fields or calls methods sees no difference. The markers
stand in the program itself, so that a layer in a loop, under `vmap` or in a function that is compiled once and called
twice is found wherever it runs, and as often.

What is no part of the tree is not observed, such as a layer that a function closes over, nor is a call in a loop of
which the model itself takes the gradient: its costs are those of the layer around it.
"""

import functools
import inspect
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import prod
from typing import Any

import equinox as eqx
import jax
import jax.tree_util as jtu
from jax.core import Tracer
from jax.extend.core import Primitive
from jax.interpreters import ad, batching

from matrinox.nn.tracing import WATCHED, is_shaped

_FIELD = "_observed"


class _WithMethod(eqx.Module):
    def method(self) -> None:
        """Is bound as Equinox binds methods: by a module that holds the layer."""


BoundMethod: Any = type(_WithMethod().method)
Jitted: Any = type(eqx.filter_jit(lambda: None))
# The fields of Equinox's wrappers in which a layer may be: it is called by the name of the wrapper.
_WRAPPED = frozenset({"._fun", "._fun_value_and_grad", ".__self__", ".func"})


@dataclass(eq=False)
class Call:
    """One call of a layer, as it was traced.

    `path` is that of the layer, `inside` the call around it; `skeleton` are the layer, its arguments and its options
    with shapes in the place of arrays; `entries` are the sizes of the traced arrays among them, of which the first
    `weights` are in the layer; `outputs` is what it gave, in shapes.
    """

    path: str
    method: str
    inside: "Call | None"
    skeleton: Any
    entries: tuple[int, ...]
    weights: int
    outputs: Any = None
    is_finished: bool = False

    @property
    def layer(self) -> Any:
        """The layer, with shapes in the place of its arrays."""
        return self.skeleton[0]

    @property
    def is_layers_work(self) -> bool:
        """Whether it made arrays of arrays.

        A method that tells a fact, or gives other layers, does no layer's work, and none is done by a call that ended
        in an error, which the model may have caught.
        """
        leaves = jax.tree.leaves(self.outputs, is_leaf=lambda node: isinstance(node, eqx.Module))
        gives_arrays = any(map(is_shaped, leaves)) and not any(isinstance(leaf, eqx.Module) for leaf in leaves)
        is_method = self.method != "__call__"
        return self.is_finished and not (is_method and (not gives_arrays or len(self.entries) == self.weights))


def rebased(call: Call, around: Call, path: str, index: str | None) -> str:
    """The path of a call from that of the call around it, as both may have been traced elsewhere.

    **Arguments:** `call`; `around`: that it runs in; `path`: of the latter; `index`: what is written in the place of
    that of the layer, where a loop runs over layers.
    """
    outer = call.inside.path if call.inside is not None else around.path
    rest = call.path.removeprefix(outer)
    if outer and (rest == call.path or rest[:1] not in (".", "[", "")):
        return call.path
    if index is not None:
        rest = re.sub(r"\[[^\[\]]*\](?=[^\[\]]*$)", index, rest) if "[" in rest else rest + index
    joint = "." if path and rest and rest[0] not in ".[" else ""
    return (path + joint + rest).removeprefix(".")


class _Place:
    """Where a module stands. All places are equal: two layers that differ in nothing else are alike."""

    def __init__(self, path: str):
        self.path = path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Place)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return repr(self.path)


@dataclass
class Recording:
    """The calls so far, in the order in which they were begun, and the one that is under way."""

    calls: list[Call] = field(default_factory=list)
    current: Call | None = None


_recording: ContextVar[Recording | None] = ContextVar("matrinox_recording", default=None)


@contextmanager
def recording() -> Iterator[Recording]:
    """Calls of observed layers leave their markers while this is open, in this thread."""
    token = _recording.set(Recording())
    try:
        yield _recording.get()  # pyright: ignore[reportReturnType]
    finally:
        _recording.reset(token)


enter_p = Primitive("enter_layer")
exit_p = Primitive("exit_layer")


def _mark(primitive: Any) -> None:
    primitive.multiple_results = True
    primitive.def_impl(lambda *arrays, call: [])
    primitive.def_abstract_eval(lambda *arrays, call: [])
    ad.primitive_jvps[primitive] = lambda arrays, tangents, call: (primitive.bind(*arrays, call=call), [])
    batching.primitive_batchers[primitive] = lambda arrays, axes, call: (primitive.bind(*arrays, call=call), [])


_mark(enter_p)
_mark(exit_p)


def observed(model: Any) -> Any:
    """The same model of observed modules: its calls are recorded wherever `recording` is open."""
    return _observed(model, "")


def _observed(node: Any, path: str) -> Any:
    children, treedef = jtu.tree_flatten_with_path(node, is_leaf=lambda other: other is not node)
    if len(children) == 1 and children[0][1] is node:
        return node
    if isinstance(node, Jitted):
        # What it holds is in pieces. Under the trace that is to come, it does no more than what is in it.
        return _observed(node.__wrapped__, path)
    wrapper = is_wrapper(node)
    steps = [jtu.keystr(step) for step, _ in children]
    paths = [path if wrapper and step in _WRAPPED else path + step for step in steps]
    rebuilt = treedef.unflatten(_observed(child, place) for place, (_, child) in zip(paths, children, strict=True))
    if isinstance(node, BoundMethod):
        return getattr(rebuilt.__self__, node.__name__, rebuilt)
    if not isinstance(node, eqx.Module) or wrapper or _is_part(node):
        return rebuilt
    # Two threads at once would make two classes of one.
    with _making:
        twin = object.__new__(_class_of(type(node)))
    for name, value in vars(rebuilt).items():
        object.__setattr__(twin, name, value)
    object.__setattr__(twin, _FIELD, _Place(path.removeprefix(".")))
    return twin


def is_wrapper(node: Any) -> bool:
    """Whether this is one of Equinox's own, as `filter_jit` and bound methods are: no layer that a user would name."""
    return isinstance(node, eqx.nn.Shared) or (
        isinstance(node, eqx.Module) and type(node).__module__.startswith("equinox._")
    )


def _is_part(node: eqx.Module) -> bool:
    # Such as the index of a state, which Equinox knows by its very class.
    return type(node).__module__.startswith("equinox.") and not callable(node)


_making = threading.Lock()


@functools.cache
def _class_of(cls: type[eqx.Module]) -> type[eqx.Module]:
    """The subclass of observed modules; one for each class, as layers of one class must stay so.

    It is kept as long as the class, of which JAX's register of pytrees lets none go.
    """
    members = {name: getattr(cls, name) for name in dir(cls) if name == "__call__" or not name.startswith("_")}
    methods = {
        name: _recorded(member)
        for name, member in members.items()
        if inspect.isfunction(member) and not isinstance(inspect.getattr_static(cls, name), staticmethod)
    }
    namespace = {
        **methods,
        "__annotations__": {_FIELD: _Place},
        _FIELD: eqx.field(static=True, kw_only=True),
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
    }
    metaclass: Any = type(cls)
    return metaclass(cls.__name__, (cls,), namespace)


def _recorded(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        recording = _recording.get()
        place = getattr(self, _FIELD, None)
        if recording is None or place is None or _is_of_itself(recording.current, place):
            return method(self, *args, **kwargs)
        whole = (self, args, kwargs)
        arrays = _tracers(whole)
        outer = recording.current
        this = Call(
            place.path, method.__name__, outer, abstract(whole), tuple(map(_entries, arrays)), len(_tracers(self))
        )
        recording.calls.append(this)
        enter_p.bind(*arrays, call=this)
        recording.current = this
        try:
            given = method(self, *args, **kwargs)
        finally:
            recording.current = outer
        this.outputs, this.is_finished = abstract(given), True
        exit_p.bind(*_tracers(given), call=this)
        return given

    setattr(call, WATCHED, method)
    return call


def _is_of_itself(call: Call | None, place: _Place) -> bool:
    return call is not None and call.path == place.path


def _tracers(tree: Any) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, Tracer)]


def _entries(array: Any) -> int:
    return prod(array.shape)


def abstract(tree: Any) -> Any:
    """`tree` with shapes in the place of arrays."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if eqx.is_array(leaf) else leaf, tree)
