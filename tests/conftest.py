"""Fixtures that every room's tests share."""

import gc

import jax
import pytest
from jax._src import compiler


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


@pytest.fixture(autouse=True, scope="module")
def small_programs_are_compiled_quickly(request, quick_options):
    """Most programs of tests run once or twice: to optimise their machine code takes longer than that.

    Benchmarks, and modules marked `optimised`, as they look at what is compiled or train for long, get the programs
    that users get.
    """
    if request.path.parent.name == "benchmarks" or request.node.get_closest_marker("optimised") is not None:
        yield
        return
    # JAX takes options for one program; these are for all of the module.
    usual = compiler.get_compile_options

    def quick(*args, env_options_overrides=None, **kwargs):
        overrides = {**quick_options, **(env_options_overrides or {})}
        return usual(*args, env_options_overrides=overrides, **kwargs)

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "get_compile_options", quick)
        yield
    jax.config.update("jax_disable_most_optimizations", before)
