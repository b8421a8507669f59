"""Every public name of matnets, beside ours: the same values and gradients in float64, but for `DEVIATIONS`.

Whatever matnets exports needs a row in `CASES`, or the walk fails.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matnets
import numpy as np
import pytest

from matrinox import functional
from matrinox.contract import ContractError
from matrinox.params import MatrixParams, init


def modules() -> list[ModuleType]:
    names = [module.name for module in pkgutil.walk_packages(matnets.__path__, "matnets.")]
    public = [name for name in names if not any(part.startswith("_") for part in name.split("."))]
    return [matnets, *map(importlib.import_module, public)]


def exported(module: ModuleType) -> list[str]:
    """What the module lists in `__all__`; where it lists nothing, what it defines."""
    defined = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    names = getattr(module, "__all__", None) or [name for name in defined if not name.startswith("_")]
    return [name for name in names if not isinstance(getattr(module, name), ModuleType)]


THEIRS = {name: getattr(module, name) for module in modules() for name in exported(module)}


def test_the_walk_finds_every_room_of_matnets():
    assert {module.__name__ for module in modules()} >= {
        f"matnets.{room}" for room in set(matnets.__all__) - set(THEIRS)
    }
    assert len(THEIRS) >= 37


def as_called(pool: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Our pool under their names: `window_size`, and steps of 1 unless told."""
    return lambda x, *, window_size, stride=1, padding="VALID": pool(
        x, window=window_size, stride=stride, padding=padding
    )


POOLS = [name for name in THEIRS if "_pool" in name]
OURS = {name: getattr(functional, name) for name in THEIRS if hasattr(functional, name)}
OURS |= {name: as_called(OURS[name]) for name in POOLS}
OURS |= {"MatrixParams": MatrixParams, "init": init}
OURS |= {"lstm_step": functools.partial(functional.lstm_step, gating="raw_matmul")}


SIDES = (1, 2, 3, 4, 5)
# Compiling takes all the time, so the compiler need not optimise.
compiled = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


class Case(NamedTuple):
    """`call(f, Params)`, with f theirs or ours and the container that goes with it, is a function of matrices.

    They are `(*lead, n, n)`, one for each of `leads`. `traced`: theirs can be compiled. `gradient_at`: the sides at
    which gradients are compared as well: all for what divides by a root of the determinant.
    """

    call: Callable[..., Callable[..., Any]]
    leads: tuple[tuple[int, ...], ...]
    traced: bool = True
    gradient_at: tuple[int, ...] = (2,)


def of_one(*lead: int, gradient_at: tuple[int, ...] = (2,), **options: Any) -> Case:
    return Case(lambda f, P: lambda x: f(x, **options), (lead,), gradient_at=gradient_at)


def gates(P: Callable[..., Any], names: str, W: jax.Array, B: jax.Array) -> dict[str, Any]:
    return {name: P(W[i], B[i]) for i, name in enumerate(names)}


def flip(x: jax.Array) -> jax.Array:
    return jnp.cos(x) * x


ACTIVATIONS = "relu leaky_relu elu sigmoid tanh softplus relud leaky_relud elu_powered sst sss"
SCALED = "elud sigmoidd tanhd softplusd"
SCORED = ((3, 2), (4, 2), (4, 2))
PIXELS = np.random.default_rng(0).normal(size=(2, 7, 5, 3))

CASES: dict[str, list[Case]] = {
    "MatrixParams": [Case(lambda f, P: lambda W, B: [f(W, B).W, f(W, B).B], ((3, 2), (3,)), traced=False)],
    "init": [
        Case(lambda f, P, k=k: lambda x: jax.tree.leaves(f(jax.random.key(0), 2, 3, x.shape[-1], **k)), ((),), False)
        for k in ({}, {"dtype": jnp.float64})
    ],
    "dense": [
        Case(lambda f, P: lambda W, B, x: f(P(W, B), x), ((3, 2), (3,), (2,))),
        Case(lambda f, P: lambda W, B, x: f(P(W, B), x, jnp.tanh), ((3, 2), (3,), (2,))),
    ],
    "matrix_conv1d": [
        Case(lambda f, P, options=options: lambda W, B, x: f(P(W, B), x, **options), ((3, 2, 2), (3,), (5, 2)))
        for options in ({}, {"stride": 2, "padding": "SAME"})
    ],
    "matrix_conv2d": [
        Case(lambda f, P, options=options: lambda W, B, x: f(P(W, B), x, **options), ((3, 2, 2, 3), (3,), (5, 4, 2)))
        for options in ({}, {"stride": (2, 1), "padding": "SAME"})
    ],
    "frobenius_score": [Case(lambda f, P: f, ((2,), (2,)))],
    "scaled_frobenius_score": [Case(lambda f, P: f, ((2,), (2,)))],
    "matrix_attention": [
        Case(lambda f, P: functools.partial(f, None), SCORED),
        Case(lambda f, P: lambda W, B, Q, K, V: f(P(W, B), Q, K, V), ((3, 2), (3,), *SCORED)),
        Case(lambda f, P: lambda Q, K, V: f(None, Q, K, V, lambda q, k: -jnp.sum((q - k) ** 2)), SCORED),
    ],
    "rnn_step": [
        Case(lambda f, P: lambda W, B, h, x: f(P(W, B), h, x), ((3, 5), (3,), (3,), (2,))),
        Case(lambda f, P: lambda W, B, h, x: f(P(W, B), h, x, activation=flip), ((3, 5), (3,), (3,), (2,))),
    ],
    "lstm_step": [
        Case(
            lambda f, P, options=options: lambda W, B, h, c, x: f(gates(P, "ifgo", W, B), (h, c), x, **options),
            ((4, 3, 5), (4, 3), (3,), (3,), (2,)),
        )
        for options in ({}, {"activations": (jnp.tanh, flip)})
    ],
    "gru_step": [Case(lambda f, P: lambda W, B, h, x: f(gates(P, "zrn", W, B), h, x), ((3, 3, 5), (3, 3), (3,), (2,)))],
    "embed_pixels": [
        Case(lambda f, P, k=k: lambda x: f(PIXELS, x.shape[-1], interleave=k), ((),), False)
        for k in (False, True, (True, False))
    ],
    "embed_sequence": [Case(lambda f, P, k=k: lambda x: f(PIXELS, x.shape[-1], axis=k), ((),), False) for k in (1, -1)],
}
CASES |= {name: [of_one(8)] for name in ACTIVATIONS.split()}
CASES |= {name: [of_one(8, gradient_at=SIDES)] for name in SCALED.split()}
CASES["leaky_relud"] += [of_one(8, negative_slope=0.3)]
# The gradient of a matrix exponential takes seconds to compile.
CASES["elu_powered"] = [of_one(8, gradient_at=()), of_one(8, alpha=0.3)]
CASES["elud"] += [of_one(8, alpha=0.3)]
for kind in ("max", "avg", "sum", "maxd", "avgd"):
    # Padding is where the pools of determinants deviate, and gradients under `jit` where the others do.
    by_det = kind in ("maxd", "avgd")
    sides, padding = ((2,), "VALID") if by_det else ((), "SAME")
    CASES[f"{kind}_pool1d"] = [
        of_one(5, 2, window_size=2, gradient_at=sides),
        of_one(2, 5, 2, window_size=3, stride=2, gradient_at=sides, padding=padding),
    ]
    CASES[f"{kind}_pool2d"] = [
        of_one(4, 3, 2, window_size=2, gradient_at=sides),
        of_one(2, 4, 5, 2, window_size=(2, 3), stride=(1, 2), gradient_at=sides, padding=padding),
    ]


def test_every_public_name_of_matnets_has_a_row_and_a_counterpart():
    assert set(THEIRS) == set(CASES)
    assert set(THEIRS) <= set(OURS)


def cases(name: str, n: int) -> list[tuple[int, Case]]:
    """The first at every side; what follows are options, at one side."""
    return list(enumerate(CASES[name]))[: None if n == 2 else 1]


def draw(case: Case, n: int) -> list[np.ndarray]:
    generator = np.random.default_rng(n)
    return [generator.normal(size=(*lead, n, n)) / max(1, n / 3) for lead in case.leads]


def with_gradient(function: Callable[..., Any], inputs: list[Any]) -> Any:
    def loss(inputs):
        value = function(*inputs)
        # Weights that differ, so that no sum hides an exchange.
        return sum(jnp.sum(jnp.cos(jnp.arange(leaf.size)) * leaf.ravel()) for leaf in jax.tree.leaves(value)), value

    (_, value), gradient = jax.value_and_grad(loss, has_aux=True)(inputs)
    return value, gradient


def valued(function: Callable[..., Any], inputs: list[Any]) -> Any:
    return function(*inputs)


@functools.cache
def traced(n: int) -> dict[tuple[str, int], Any]:
    """Values and gradients of all cases, theirs and ours, in one compilation."""
    chosen = {(name, k): case for name in CASES for k, case in cases(name, n) if case.traced}

    @compiled
    def run(inputs):
        return {
            key: [
                (with_gradient if n in case.gradient_at else valued)(case.call(f[key[0]], P), inputs[key])
                for f, P in ((OURS, MatrixParams), (THEIRS, matnets.MatrixParams))
            ]
            for key, case in chosen.items()
        }

    return run({key: draw(case, n) for key, case in chosen.items()})


@pytest.mark.parametrize("n", SIDES)
@pytest.mark.parametrize("name", sorted(CASES))
def test_values_and_gradients_equal_those_of_matnets(x64, name, n):
    for k, case in cases(name, n):
        if case.traced:
            ours, theirs = traced(n)[name, k]
        else:
            inputs = draw(case, n)
            ours = case.call(OURS[name], MatrixParams)(*inputs)
            theirs = case.call(THEIRS[name], matnets.MatrixParams)(*inputs)
        assert len(jax.tree.leaves(ours)) == len(jax.tree.leaves(theirs)) > 0
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


# The test that shows it: the names it concerns, and what ours does.
DEVIATIONS = {
    "test_padding_never_wins_a_determinant_pool": ("maxd_pool1d maxd_pool2d", "padding is no candidate"),
    "test_padding_adds_nothing_to_a_determinant_average": ("avgd_pool1d avgd_pool2d", "padding adds 0, not NaN"),
    "test_windows_do_not_overlap_unless_told": (" ".join(POOLS), "`window`, and a stride of the window by default"),
    "test_pools_of_entries_have_a_gradient_under_jit": (
        "max_pool1d max_pool2d avg_pool1d avg_pool2d sum_pool1d sum_pool2d",
        "theirs has one outside of `jit` only",
    ),
    "test_gates_of_an_lstm_act_by_entries_unless_told": ("lstm_step", "`gating` is Hadamard's by default"),
    "test_a_determinant_of_zero_gives_numbers": (SCALED, "the root of 0 is that of the floor, not 0"),
    "test_a_gate_sees_determinants_beyond_the_range_of_floats": ("relud leaky_relud elu_powered", "theirs reads 0"),
    "test_a_root_of_a_determinant_beyond_the_range_of_floats_is_finite": (SCALED, "theirs is infinite"),
    "test_nan_passes_a_gate": ("relud", "theirs makes it 0"),
    "test_an_exponential_that_is_not_taken_has_no_gradient": ("elu_powered", "theirs may be NaN"),
    "test_integers_are_refused": (
        "dense relu leaky_relu elu sigmoid tanh softplus embed_pixels embed_sequence max_pool1d",
        "the contract is of floats",
    ),
}


def test_every_deviation_is_of_a_public_name_and_has_its_test():
    for test, (names, _) in DEVIATIONS.items():
        assert callable(globals()[test])
        assert set(names.split()) <= set(THEIRS)


NEGATIVE = -jnp.ones((3, 1, 1, 1))


def padded(f: dict[str, Callable[..., jax.Array]], name: str, x: jax.Array) -> list[float]:
    return compiled(functools.partial(f[name], window_size=3, padding="SAME"))(x).ravel().tolist()


def test_padding_never_wins_a_determinant_pool():
    assert padded(THEIRS, "maxd_pool1d", NEGATIVE) == [0, -1, 0]
    assert padded(OURS, "maxd_pool1d", NEGATIVE) == [-1, -1, -1]
    assert padded(THEIRS, "maxd_pool2d", NEGATIVE[None]) == [0, 0, 0]
    assert padded(OURS, "maxd_pool2d", NEGATIVE[None]) == [-1, -1, -1]


def test_padding_adds_nothing_to_a_determinant_average():
    assert np.isnan(padded(THEIRS, "avgd_pool1d", NEGATIVE)).tolist() == [True, False, True]
    assert padded(OURS, "avgd_pool1d", NEGATIVE) == [2, 3, 2]
    assert np.isnan(padded(THEIRS, "avgd_pool2d", NEGATIVE[None])).all()
    assert padded(OURS, "avgd_pool2d", NEGATIVE[None]) == [2, 3, 2]


@pytest.mark.parametrize("name", POOLS)
def test_windows_do_not_overlap_unless_told(name):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(*(4,) * int(name[-2]), 1, 2, 2)), jnp.float32)
    ours, theirs = getattr(functional, name), functools.partial(THEIRS[name], window_size=2)
    both = compiled(lambda x: (ours(x, window=2), theirs(x, stride=2)))(x)
    np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-6)
    assert jax.eval_shape(theirs, x).shape[0] == 3
    with pytest.raises(TypeError, match="'window'"):
        getattr(functional, name)(x, window_size=2)


@pytest.mark.parametrize("kind", ["max", "avg", "sum"])
def test_pools_of_entries_have_a_gradient_under_jit(kind):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 1, 2, 2)), jnp.float32)
    ours, theirs = (
        jax.grad(lambda x, pool=f[f"{kind}_pool1d"]: jnp.sum(pool(x, window_size=2) ** 2)) for f in (OURS, THEIRS)
    )
    np.testing.assert_allclose(jax.jit(ours)(x), theirs(x), rtol=1e-5)
    with pytest.raises(ValueError, match="Linearization failed"):
        jax.jit(theirs)(x)


def test_gates_of_an_lstm_act_by_entries_unless_told():
    W, B, h, c, x = (jnp.asarray(leaf, jnp.float32) for leaf in draw(CASES["lstm_step"][0], 2))
    (_, ours), _ = functional.lstm_step(gates(MatrixParams, "ifgo", W, B), (h, c), x)
    (_, theirs), _ = matnets.nn.lstm_step(gates(matnets.MatrixParams, "ifgo", W, B), (h, c), x)
    i, f, g = (matnets.dense(matnets.MatrixParams(W[k], B[k]), jnp.concatenate([h, x])) for k in range(3))
    i, f, g = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g)
    np.testing.assert_allclose(ours, f * c + i * g, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(theirs, f @ c + i @ g, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SCALED.split())
def test_a_determinant_of_zero_gives_numbers(name):
    singular = jnp.diag(jnp.array([1.0, 0.0]))
    assert np.isnan(THEIRS[name](singular)).any()
    # The value that a determinant just above 0 has in both.
    nearby = THEIRS[name](jnp.diag(jnp.array([1.0, 1e-8])))
    np.testing.assert_allclose(OURS[name](singular), nearby, rtol=1e-5, atol=1e-4)


def test_a_gate_sees_determinants_beyond_the_range_of_floats():
    small = 1e-12 * jnp.eye(4)
    for name in ("relud", "leaky_relud", "elu_powered"):
        assert np.array_equal(OURS[name](small), small)
    assert not THEIRS["relud"](small).any()
    assert not np.array_equal(THEIRS["leaky_relud"](small), small)
    # There, exp X − I is X up to what rounding to float32 near 1 leaves: nothing.
    assert not THEIRS["elu_powered"](small).any()


@pytest.mark.parametrize("name", SCALED.split())
def test_a_root_of_a_determinant_beyond_the_range_of_floats_is_finite(name):
    large = 1e12 * jnp.eye(4)
    scalar = {"elud": 1e12, "sigmoidd": 1, "tanhd": 1, "softplusd": 1e12}[name]
    np.testing.assert_allclose(OURS[name](large), scalar * jnp.eye(4), rtol=1e-5)
    assert not np.allclose(THEIRS[name](large), scalar * jnp.eye(4))


def test_nan_passes_a_gate():
    x = jnp.full((2, 2), jnp.nan)
    assert not THEIRS["relud"](x).any()
    assert np.isnan(OURS["relud"](x)).all()


def test_an_exponential_that_is_not_taken_has_no_gradient():
    gradient = [jax.grad(lambda x, f=f["elu_powered"]: jnp.sum(f(x)))(1e3 * jnp.eye(2)) for f in (OURS, THEIRS)]
    assert np.array_equal(gradient[0], np.ones((2, 2)))
    assert np.isnan(gradient[1]).all()


@pytest.mark.parametrize("name", DEVIATIONS["test_integers_are_refused"][0].split())
def test_integers_are_refused(name):
    x = np.ones((2, 2, 2, 2), np.int32)
    arguments: dict[str, tuple[Any, ...]] = {"embed_pixels": (x, 2), "embed_sequence": (x, 2)}
    arguments["dense"] = (MatrixParams(jnp.ones((1, 2, 2, 2)), jnp.ones((1, 2, 2))), x[0])
    options = {"window_size": 2} if "pool" in name else {}
    with pytest.raises(ContractError, match="int32"):
        OURS[name](*arguments.get(name, (x,)), **options)
