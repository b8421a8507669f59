"""What the layers of a model give on an example: the matrices themselves, call by call.

The model is traced with its layers observed, and the program is written anew so that it also gives what is at the
markers of each call, wherever it is: in a loop, under `vmap`, in a function that is compiled by itself. It is compiled
once for each structure of a model, so that to look again after a step of training costs a run.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_jaxpr
from jax.extend.core import ClosedJaxpr, DebugInfo, Jaxpr, Literal

from matrinox.contract.axes import array_annotations, read_axes
from matrinox.functional import elu_powered, leaky_relud, relud
from matrinox.inspect.lens_weights import is_foreign
from matrinox.inspect.measured import Measured
from matrinox.inspect.observe import Call, enter_p, exit_p, observed, rebased, recording
from matrinox.inspect.programs import programs_in
from matrinox.nn.determinant_activation import ELUPowered, LeakyReLUd, ReLUd
from matrinox.nn.stack import Stack
from matrinox.nn.tracing import is_key, is_shaped, is_state

GATES = (ReLUd, LeakyReLUd, ELUPowered)
_Seen = tuple[str, jax.Array]

_GATE_OF = {relud: ReLUd, leaky_relud: LeakyReLUd, elu_powered: ELUPowered}


@dataclass(frozen=True)
class Activations:
    """What layers gave, by path and in order of execution, and what came to those that gate by a determinant."""

    given: Mapping[str, Measured]
    gated: Mapping[str, Measured]


def activations_of(model: Any, x: Any, options: Mapping[str, Any]) -> Activations:
    """Runs the model on an example and keeps every array of matrix neurons that a layer gave.

    What several calls of one layer gave is put on top of each other, in a new first axis, as is what the turns of a
    loop gave. Layers in `jax.lax.cond` and `jax.lax.while_loop` are not seen.
    """
    model = jax.tree.map(lambda leaf: _GATE_OF[leaf]() if _is_gate_function(leaf) else leaf, model)
    given, gated = _run(model, x, dict(options))
    return Activations(_joined(given), _joined(gated))


@eqx.filter_jit
def _run(model: Any, x: Any, options: dict[str, Any]) -> tuple[list[_Seen], list[_Seen]]:
    arrays, rest = eqx.partition((observed(model), jax.tree.map(_as_jax, x), options), eqx.is_array)

    def call(arrays: Any) -> Any:
        model, x, options = eqx.combine(arrays, rest)
        return eqx.filter(model(x, **options), eqx.is_array)

    with recording():
        program = jax.make_jaxpr(call)(arrays)
    walk = _Walk()
    walk.program(program, jax.tree.leaves(arrays))
    return walk.given, walk.gated


def _is_gate_function(leaf: Any) -> bool:
    return inspect.isfunction(leaf) and leaf in _GATE_OF


def _as_jax(leaf: Any) -> Any:
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf


@dataclass(frozen=True)
class _Open:
    """A call that is under way, and its path in the model."""

    call: Call
    path: str


@dataclass
class _Walk:
    """A program as it is run: the calls under way, and what was seen so far."""

    open: list[_Open] = field(default_factory=list)
    # How many calls are under way where the turns of the loop are the layers of the innermost stack.
    stack_depth: int | None = None
    given: list[_Seen] = field(default_factory=list)
    gated: list[_Seen] = field(default_factory=list)
    # What was seen is kept, so that no other array takes its identity.
    seen: dict[int, Any] = field(default_factory=dict)

    def program(self, program: ClosedJaxpr, operands: list[Any]) -> list[Any]:
        return self.run(program.jaxpr, program.consts, operands)

    def run(self, program: Jaxpr, constants: list[Any], operands: list[Any]) -> list[Any]:
        values = dict(zip((*program.constvars, *program.invars), (*constants, *operands), strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else values[atom]

        depth = len(self.open)
        for equation in program.eqns:
            taken = [read(atom) for atom in equation.invars]
            if equation.primitive is enter_p:
                self._enter(equation.params["call"], taken)
            elif equation.primitive is exit_p:
                self._exit(equation.params["call"], taken)
            else:
                values.update(zip(equation.outvars, self._step(equation, taken), strict=True))
        # A call that ended in an error, which the model caught, has no exit.
        del self.open[depth:]
        return [read(atom) for atom in program.outvars]

    def _step(self, equation: Any, taken: list[Any]) -> list[Any]:
        name, params = equation.primitive.name, equation.params
        if not any(map(_is_marked, programs_in(equation))):
            return _evaluate(equation, taken)
        if name == "scan":
            return self._scan(taken, **params)
        inner = next((params[key] for key in ("jaxpr", "call_jaxpr") if key in params), None)
        if isinstance(inner, ClosedJaxpr) and len(inner.jaxpr.invars) == len(taken):
            return self.program(inner, taken)
        if isinstance(inner, Jaxpr) and len(inner.invars) == len(taken):
            return self.run(inner, [], taken)
        return _evaluate(_without_markers(equation), taken)

    def _scan(
        self, taken: list[Any], *, jaxpr: ClosedJaxpr, length: int, num_consts: int, num_carry: int, **options: Any
    ) -> list[Any]:
        constants, taken = taken[:num_consts], taken[num_consts:]
        carry, slices = taken[:num_carry], taken[num_carry:]
        over_layers = bool(self.open) and isinstance(self.open[-1].call.layer, Stack)

        def turn(carry: list[Any], slices: list[Any]) -> tuple[list[Any], Any]:
            inner = _Walk(list(self.open), len(self.open) if over_layers else self.stack_depth)
            outputs = inner.program(jaxpr, [*constants, *carry, *slices])
            names[:] = [[path for path, _ in found] for found in (inner.given, inner.gated)]
            arrays = [[array for _, array in found] for found in (inner.given, inner.gated)]
            return outputs[:num_carry], (outputs[num_carry:], arrays)

        names: list[list[str]] = []
        mark = _mark_of(len(self.open))
        chosen = {name: options[name] for name in ("reverse", "unroll")}
        carry, (outputs, arrays) = jax.lax.scan(turn, carry, slices, length, **chosen)
        for paths, found, kept in zip(names, arrays, (self.given, self.gated), strict=True):
            if over_layers:
                pairs = list(zip(paths, found, strict=True))
                turns = range(length)
                kept += [(path.replace(mark, f"[{i}]"), array[i]) for i in turns for path, array in pairs]
            else:
                kept += zip(paths, found, strict=True)
        return [*carry, *outputs]

    def _enter(self, call: Call, taken: list[Any]) -> None:
        around = self.open[-1] if self.open else None
        path = call.path
        if around is not None:
            in_stack = len(self.open) == self.stack_depth
            path = rebased(call, around.call, around.path, _mark_of(len(self.open)) if in_stack else None)
        self.open.append(_Open(call, path))
        _, args, _ = call.skeleton
        if isinstance(call.layer, GATES) and call.method == "__call__" and args:
            x = next((array for array in taken if _ends_like(array, args[0].shape)), None)
            if x is not None:
                self.gated.append((path, x))

    def _exit(self, call: Call, taken: list[Any]) -> None:
        while self.open and self.open[-1].call is not call:
            self.open.pop()
        path = self.open.pop().path
        if call.method != "__call__":
            path = f"{path}.{call.method}".removeprefix(".")
        if isinstance(call.layer, Stack):
            # What its last layer gave, taken out of the loop.
            self.seen.update((id(array), array) for array in taken)
        if not _has_arrays(call.skeleton[1:]) or is_foreign(call.layer):
            return
        fresh = [array for array in _outputs(call, taken) if _is_neurons(call, array) and id(array) not in self.seen]
        for place, array in enumerate(fresh):
            self.seen[id(array)] = array
            self.given.append((path if len(fresh) == 1 else f"{path}[{place}]", array))


def _mark_of(depth: int) -> str:
    # Stands for the index of a layer until its turn is known: of a stack in a stack, another.
    return f"[*{depth}]"


def _outputs(call: Call, taken: list[Any]) -> list[Any]:
    """The arrays that a call gave, without those of a state."""
    nodes = jax.tree.leaves(call.outputs, is_leaf=is_state)
    kept = [not is_state(node) for node in nodes for leaf in jax.tree.leaves(node) if is_shaped(leaf)]
    # A constant leaves no trace in the program.
    return taken if len(kept) != len(taken) else [array for array, keep in zip(taken, kept, strict=True) if keep]


def _is_neurons(call: Call, array: Any) -> bool:
    """Whether the annotation of what the layer gives, or else the shape, tells matrix neurons."""
    if not jnp.issubdtype(array.dtype, jnp.floating) or array.size == 0:
        return False
    try:
        hint = inspect.signature(getattr(type(call.layer), call.method)).return_annotation
        annotations = array_annotations(hint)
        axes = read_axes(annotations[0].dim_str, {"self": call.layer}, {}) if annotations else ()
    except Exception:
        # Whatever is written there, it is not for us to refuse it.
        axes = ()
    if axes and not all(axis.variadic for axis in axes):
        return len(axes) >= 2 and axes[-1].label == axes[-2].label != "_" and array.shape[-1] == array.shape[-2]
    return array.ndim >= 3 and array.shape[-1] == array.shape[-2]


def _has_arrays(tree: Any) -> bool:
    return any(is_shaped(leaf) and not is_key(leaf) for leaf in jax.tree.leaves(tree))


def _ends_like(array: Any, shape: tuple[int, ...]) -> bool:
    # Under `vmap` there is an axis more.
    return jnp.shape(array)[jnp.ndim(array) - len(shape) :] == tuple(shape) and len(shape) >= 2


def _is_marked(program: Jaxpr) -> bool:
    return any(
        equation.primitive in (enter_p, exit_p) or any(map(_is_marked, programs_in(equation)))
        for equation in program.eqns
    )


def _without_markers(equation: Any) -> Any:
    """The equation with programs that can be compiled, which markers cannot."""
    return equation.replace(params={key: _unmarked(value) for key, value in equation.params.items()})


def _unmarked(value: Any) -> Any:
    if isinstance(value, ClosedJaxpr):
        return value.replace(jaxpr=_unmarked(value.jaxpr))
    if isinstance(value, Jaxpr):
        kept = [equation for equation in value.eqns if equation.primitive not in (enter_p, exit_p)]
        return value.replace(eqns=[_without_markers(equation) for equation in kept])
    return tuple(map(_unmarked, value)) if isinstance(value, tuple) else value


def _evaluate(equation: Any, taken: list[Any]) -> list[Any]:
    """What one equation gives, by JAX's own evaluation of a program that has no other."""
    pairs = [(atom, value) for atom, value in zip(equation.invars, taken, strict=True) if not isinstance(atom, Literal)]
    operands = dict(pairs)
    names = DebugInfo("lens", __name__, ("",) * len(operands), ("",) * len(equation.outvars))
    program = Jaxpr((), tuple(operands), equation.outvars, [equation], equation.effects, names)
    return eval_jaxpr(program, (), *operands.values())


def _joined(seen: list[_Seen]) -> dict[str, Measured]:
    """One array for each path: that of the one call, those of several on top of each other, or all their neurons."""
    found: dict[str, dict[tuple[int, ...], list[np.ndarray]]] = {}
    for path, array in seen:
        found.setdefault(path, {}).setdefault(array.shape[-3:], []).append(np.asarray(array))
    joined = {}
    for path, by_neurons in found.items():
        for number, (tail, arrays) in enumerate(by_neurons.items()):
            name = path if number == 0 else f"{path}#{number + 1}"
            alike = len({array.shape for array in arrays}) == 1
            several = np.stack(arrays) if alike else np.concatenate([array.reshape(-1, *tail) for array in arrays])
            joined[name] = Measured(name, arrays[0] if len(arrays) == 1 else several)
    return joined
