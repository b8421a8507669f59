"""Where the observed calls of layers run in a traced program, how often, and at what cost."""

from dataclasses import dataclass
from math import prod
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, Var

from matrinox.inspect.flops import flops_of
from matrinox.inspect.observe import Call, enter_p, exit_p, rebased
from matrinox.nn.stack import Stack


@dataclass
class Run:
    """A call where it runs in the program.

    `path` is that of the layer, `calls` how often it runs, `layers` how many layers with weights of their own it stands
    for, as in a scan over stacked layers; `forward` are the floating-point operations of all its calls.
    """

    call: Call
    path: str
    depth: int
    calls: int
    layers: int
    times: int
    forward: int = 0
    finished: bool = False


def runs_of(program: ClosedJaxpr) -> tuple[list[Run], int]:
    """The calls in a program, in the order in which they run, and the floating-point operations of all of it."""
    walk = _Walk()
    total = walk.cost(program.jaxpr, 1, {})
    return [run for run in walk.found if run.finished], total


class _Walk:
    def __init__(self) -> None:
        self.found: list[Run] = []
        self.open: list[Run] = []

    def cost(self, jaxpr: Jaxpr, times: int, stacked: dict[Var, int]) -> int:
        """The cost of one turn of a program.

        **Arguments:** `times`: how often it runs; `stacked`: of a variable that a scan takes another slice of in each
        turn, how many there are.
        """
        total = 0
        started: list[tuple[Run, int]] = []
        for equation in jaxpr.eqns:
            if equation.primitive in (enter_p, exit_p) and not equation.params["call"].is_layers_work:
                continue
            if equation.primitive is enter_p:
                started.append((self._enter(equation, times, stacked), total))
            elif equation.primitive is exit_p:
                self._exit(equation.params["call"], started, total, times)
            else:
                total += self._other(equation, times, stacked)
        for run, _ in started:
            self.open.remove(run)
        return total

    def _enter(self, equation: Any, times: int, stacked: dict[Var, int]) -> Run:
        call: Call = equation.params["call"]
        around = self.open[-1] if self.open else None
        weights = [var for var in equation.invars[: call.weights] if isinstance(var, Var)]
        scanned = max((stacked.get(var, 1) for var in weights), default=1)
        # Under `vmap` the arrays in the program are those of all its calls.
        mapped = [
            prod(var.aval.shape) // entries
            for var, entries in zip(equation.invars, call.entries, strict=True)
            if entries
        ]
        layers = scanned * max(mapped[: call.weights], default=1)
        run = Run(call, call.path, len(self.open), times * max(mapped, default=1), layers, times)
        if around is not None:
            of_stack = isinstance(around.call.layer, Stack) and times > around.times
            is_slice = scanned > 1 and layers > around.layers
            run.path = rebased(call, around.call, around.path, "[*]" if of_stack or is_slice else None)
        self.found.append(run)
        self.open.append(run)
        return run

    def _exit(self, call: Call, started: list[tuple[Run, int]], total: int, times: int) -> None:
        # A call that ended in an error, which the model caught, has no exit of its own.
        while started:
            run, before = started.pop()
            self.open.remove(run)
            if run.call is call:
                run.forward, run.finished = (total - before) * times, True
                return

    def _other(self, equation: Any, times: int, stacked: dict[Var, int]) -> int:
        operands = [stacked.get(var, 1) if isinstance(var, Var) else 1 for var in equation.invars]

        def inner(program: Jaxpr, turns: int) -> int:
            # A condition and a loop have operands of their own in front.
            handed = operands[len(operands) - len(program.invars) :]
            if equation.primitive.name == "scan":
                slices = equation.params["num_consts"] + equation.params["num_carry"]
                handed = [*handed[:slices], *(turns * count for count in handed[slices:])]
            counts = {var: count for var, count in zip(program.invars, handed, strict=False) if count > 1}
            return self.cost(program, times * turns, counts)

        flops = flops_of(equation, inner)
        if max(operands, default=1) > 1:
            stacked.update(dict.fromkeys(equation.outvars, max(operands)))
        return flops
