"""Fixtures that every room's tests share."""

import gc
import os
from contextlib import contextmanager

import jax
import numpy as np
import pytest
from jax._src import compiler, core

# JAX takes compiler options for one program, and tests need them for all.
users_options = compiler.get_compile_options
users_stage = core.stage_p.impl


@pytest.fixture
def x64():
    """64-bit JAX for the length of one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True, scope="session")
def what_was_imported_is_no_garbage():
    """Modules and collected tests stay: the collector need not look through them again and again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="module")
def compiled_programs_are_dropped():
    """Kept over all modules, thousands of compiled programs would take more memory than small machines have."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def quick_options():
    """XLA's short way to machine code: kernels that go through MLIR take three times as long to compile.

    None where its version no longer knows them.
    """
    options = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except (jax.errors.JaxRuntimeError, ValueError):
        return {}
    return options


@pytest.fixture(scope="module")
def quick_environment(quick_options):
    """What a program of its own finds, which compiles quickly then; this process has read its environment already."""
    options = [f"--{name}={str(value).lower()}" for name, value in quick_options.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        patch.setenv("XLA_FLAGS", " ".join([os.environ.get("XLA_FLAGS", ""), *options]).strip())
        yield


def staged_without_a_program(x):
    """What `jnp.asarray` does with an array of NumPy: JAX compiles the identity for every shape of one."""
    return jax.device_put(x.copy()) if type(x) is np.ndarray else users_stage(x)


@contextmanager
def compiling(quickly, options):
    def quick(*args, env_options_overrides=None, **kwargs):
        return users_options(*args, env_options_overrides={**options, **(env_options_overrides or {})}, **kwargs)

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", quickly)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "get_compile_options", quick if quickly else users_options)
        patch.setattr(core.stage_p, "impl", staged_without_a_program if quickly else users_stage)
        yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(autouse=True, scope="module")
def small_programs_are_compiled_quickly(request, quick_options):
    """Most programs of tests run once or twice: to optimise their machine code takes longer than that.

    Benchmarks, and modules and tests marked `optimised`, as they look at what is compiled, get the programs that users
    get.
    """
    marked = request.node.get_closest_marker("optimised") is not None
    with compiling(request.path.parent.name != "benchmarks" and not marked, quick_options):
        yield


@pytest.fixture(autouse=True)
def programs_of_marked_tests_are_those_of_users(request, quick_options):
    if request.node.get_closest_marker("optimised") is None:
        yield
        return
    with compiling(False, quick_options):
        yield
