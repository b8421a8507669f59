"""No GPU is needed: what a program would be there is read off its lowered text, JAX being told of one."""

import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from jax._src.cudnn import fused_attention_stablehlo as cudnn

from matrinox.functional import fused_attention, multihead_attention

TOKENS = jax.ShapeDtypeStruct((3, 64, 4, 2, 2), jnp.bfloat16)


@pytest.fixture
def gpu(monkeypatch):
    """What JAX asks of an NVIDIA GPU of the Hopper generation before it lowers for one."""
    asked = []
    monkeypatch.setattr(cudnn, "check_cudnn_version", lambda: asked.append(True) or 91100)
    monkeypatch.setattr(cudnn, "check_compute_capability", lambda capability: capability <= "9.0")
    monkeypatch.setattr(cudnn, "is_cuda_compute_capability_equal", lambda capability: capability == "9.0")
    monkeypatch.setattr(fused_attention, "compute_capability", lambda: (9, 0))
    yield
    assert asked, "JAX no longer asks `jax._src.cudnn` about the GPU: patch what it asks now"


def kernels(run, *operands, platform="cuda"):
    """The fused kernels that a program calls, and whether it holds scores of all pairs of the 64 tokens."""
    text = jax.jit(run).trace(*operands).lower(lowering_platforms=(platform,)).as_text()
    return sorted(set(re.findall(r"__cudnn\$(\w+)\(", text))), bool(re.search(r"tensor<[\dx]*64x64x", text))


def attention(heads=2, **options):
    return lambda Q, K, V, **scores: multihead_attention(Q, K, V, heads=heads, **options, **scores)


def gradient(run):
    return jax.grad(lambda *operands: jnp.sum(run(*operands).astype(jnp.float32)), (0, 1, 2))


def test_a_gpu_gets_the_fused_kernel_and_the_cpu_the_same_program_without(gpu):
    operands = TOKENS, TOKENS, TOKENS
    assert kernels(attention(), *operands) == (["fmhaSoftmax"], False)
    assert kernels(attention(), *operands, platform="cpu") == ([], True)
    assert kernels(attention(implementation="cudnn"), *operands) == (["fmhaSoftmax"], False)
    assert kernels(attention(implementation="xla"), *operands) == ([], True)
    shared = jax.ShapeDtypeStruct((3, 64, 2, 2, 2), jnp.bfloat16)
    assert kernels(attention(causal=True), TOKENS, shared, shared) == (["fmhaSoftmax"], False)
    assert kernels(jax.vmap(attention()), *operands) == (["fmhaSoftmax"], False)


def test_the_fused_gradient_keeps_no_scores(gpu):
    run = gradient(attention(causal=True))
    assert kernels(run, TOKENS, TOKENS, TOKENS) == (["fmhaSoftmax", "fmhaSoftmaxBackward"], False)


def test_masks_and_biases_go_to_the_fused_kernel(gpu):
    def run(Q, K, V, mask, bias):
        return multihead_attention(Q, K, V, heads=2, mask=mask, bias=bias)

    mask, bias = jax.ShapeDtypeStruct((3, 1, 1, 64), bool), jax.ShapeDtypeStruct((2, 64, 64), jnp.float32)
    assert kernels(run, TOKENS, TOKENS, TOKENS, mask, bias)[0] == ["fmhaScaleBiasSoftmax"]


def test_what_the_fused_kernel_does_not_take_goes_to_xla(gpu, monkeypatch):
    def same(dtype=jnp.bfloat16, t=64, p=4):
        return [jax.ShapeDtypeStruct((3, t, p, 2, 2), dtype)] * 3

    def masked(Q, K, V, mask):
        return multihead_attention(Q, K, V, heads=2, mask=mask)

    assert kernels(attention(), *same(jnp.float16))[0] == ["fmhaSoftmax"]
    assert kernels(attention(), *same(jnp.float32))[0] == []
    assert kernels(attention(heads=4), *same())[0] == []
    assert kernels(attention(heads=1), *same(p=66))[0] == []
    assert kernels(masked, *same(t=63), jax.ShapeDtypeStruct((63, 63), bool))[0] == []
    monkeypatch.setattr(fused_attention, "compute_capability", lambda: (7, 5))
    assert kernels(attention(), *same())[0] == []


@pytest.mark.parametrize("fault", [RuntimeError("cuDNN is not detected."), ValueError("Q must have a rank of 4")])
def test_a_fault_is_not_taken_for_what_the_kernel_does_not_take(fault, monkeypatch):
    def fail():
        raise fault

    monkeypatch.setattr(fused_attention, "compute_capability", lambda: (9, 0))
    monkeypatch.setattr(cudnn, "check_cudnn_version", fail)
    with pytest.raises(type(fault), match=str(fault)):
        jax.eval_shape(attention(), TOKENS, TOKENS, TOKENS)
    assert kernels(attention(implementation="xla"), TOKENS, TOKENS, TOKENS) == ([], True)


def test_the_fused_kernel_by_name_says_why_it_cannot_be(gpu, monkeypatch):
    def refused(why, Q=TOKENS, **options):
        with pytest.raises(ValueError, match=rf"`implementation` \(='cudnn'\) cannot compute .*{why}"):
            jax.eval_shape(attention(implementation="cudnn", **options), Q, Q, Q)

    refused("takes half precision, not float32", jax.ShapeDtypeStruct(TOKENS.shape, jnp.float32))
    refused("head dim must be <= 256 and a multiple of 8, but got 4", heads=4)
    refused("`chunk`: leave one of them out", chunk=16)
    refused("`dropout`: leave one of them out", dropout=0.5, key=jax.random.key(0))
    monkeypatch.setattr(fused_attention, "compute_capability", lambda: None)
    refused("needs an NVIDIA GPU of compute capability 8.0 or more. Leave it None")


def test_float64_is_not_for_the_fused_kernel(x64):
    Q = jax.ShapeDtypeStruct(TOKENS.shape, jnp.float64)
    with pytest.raises(ValueError, match="cannot compute attention with float64"):
        jax.eval_shape(attention(implementation="cudnn"), Q, Q, Q)


def test_the_compute_capability_is_that_of_the_default_device(monkeypatch):
    def on(**device):
        monkeypatch.setattr(jax, "devices", lambda: [SimpleNamespace(**device)])
        return fused_attention.compute_capability()

    nvidia, amd = SimpleNamespace(platform_version="cuda 12090"), SimpleNamespace(platform_version="rocm 60300")
    assert on(platform="gpu", client=nvidia, compute_capability="10.3") == (10, 3)
    assert on(platform="gpu", client=amd, compute_capability="gfx942") is None
    assert on(platform="cpu") is None


def test_jax_computes_what_it_can(monkeypatch):
    calls = []
    theirs = jax.nn.dot_product_attention

    def spy(*operands, **options):
        calls.append(options)
        return theirs(*operands, **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", spy)
    for options in ({}, {"causal": True}, {"mask": jnp.ones((64, 64), bool)}, {"chunk": 64}):
        jax.eval_shape(attention(**options), TOKENS, TOKENS, TOKENS)
    assert [call["is_causal"] for call in calls] == [False, True, False, False]
    jax.eval_shape(attention(chunk=32), TOKENS, TOKENS, TOKENS)
    jax.eval_shape(attention(dropout=0.5, key=jax.random.key(0)), TOKENS, TOKENS, TOKENS)
    assert len(calls) == 4
