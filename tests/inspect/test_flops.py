import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from matrinox import nn, zoo
from matrinox.functional import conv_gradient
from matrinox.inspect import check
from matrinox.inspect.flops import count_flops

pytestmark = pytest.mark.optimised

KEY = jax.random.key(0)


def counted(function, *shapes):
    return count_flops(jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)))


def of_xla(model, x, *, compiled):
    """XLA's own count of a call, and of the call with its gradient by parameters and input."""
    variables, others = eqx.partition(model, lambda leaf: hasattr(leaf, "shape"))

    def call(variables, x):
        return jax.tree.leaves(eqx.combine(variables, others)(x))

    def call_and_gradient(variables, x, cotangents):
        y, pull = jax.vjp(call, variables, x)
        return y, pull(cotangents)

    programs = (
        jax.jit(call).lower(variables, x),
        jax.jit(call_and_gradient).lower(variables, x, jax.eval_shape(call, variables, x)),
    )
    return [(program.compile() if compiled else program).cost_analysis()["flops"] for program in programs]


def ratios(report, model, shape, *, compiled):
    """What is counted of a call, of the call with its gradient and of the gradient, as a share of XLA's count."""
    forward, both = of_xla(model, jax.ShapeDtypeStruct(shape, jnp.float32), compiled=compiled)
    ours = report.flops_forward, report.flops_forward + report.flops_backward, report.flops_backward
    return [one / other for one, other in zip(ours, (forward, both, both - forward), strict=True)]


@pytest.fixture
def no_tricks_of_convolutions(monkeypatch):
    """XLA counts a loop as one turn, and channels of zeros as work: gradients of kernels in one chunk, none padded."""
    monkeypatch.setattr(conv_gradient, "_CHUNK", 2**40)
    monkeypatch.setattr(conv_gradient, "_PADDED_OUT", 0)


# Of those without loops, such as recurrent layers are.
@pytest.mark.parametrize(("batch", "compiled"), [(3, True), (32, False)])
@pytest.mark.parametrize("name", ["cnn-digits", "mlp-digits", "mlp-mnist"])
def test_the_count_of_a_model_of_the_zoo_is_that_of_xla_within_5_percent(
    name, batch, compiled, no_tricks_of_convolutions
):
    model = eqx.filter_eval_shape(lambda key: eqx.nn.inference_mode(zoo.create(name, key=key)), KEY)
    report = check(model, (batch, *model.input_shape), verbose=False)
    assert ratios(report, model, (batch, *model.input_shape), compiled=compiled) == pytest.approx([1, 1, 1], rel=0.05)


def two_layers(key):
    return nn.Sequential([nn.Dense(p=2, q=3, n=2, key=key), nn.Dense(p=3, q=2, n=2, key=key)])


LAYERS = {
    "LayerNorm": (nn.LayerNorm(2, 2), (5, 2, 2, 2)),
    "GELU": (nn.GELU(), (5, 2, 2, 2)),
    "Softmax": (nn.Softmax(), (5, 2, 2, 2)),
    "MaxPool2d": (nn.MaxPool2d(2), (2, 4, 4, 2, 2, 2)),
    "eqx.nn.AvgPool2d": (eqx.nn.AvgPool2d(2, 2), (3, 6, 6)),
    "powers, largest and least": (eqx.nn.Lambda(lambda x: x**5 + x**-3 + x * jnp.argmax(x, 0)), (64, 4)),
    "tree of products": (eqx.nn.Lambda(lambda x: jax.lax.associative_scan(jnp.multiply, x)), (64,)),
    "sort": (eqx.nn.Lambda(jnp.sort), (64,)),
}
DRAWN = {
    "MultiheadAttention": (lambda key: nn.MultiheadAttention(p=2, q=2, n=2, heads=2, key=key), (4, 2, 2, 2)),
    "ConvTranspose2d": (
        lambda key: nn.ConvTranspose2d(p=2, q=3, n=2, kernel=3, stride=2, key=key),
        (2, 4, 4, 2, 2, 2),
    ),
    "Conv2d with holes and groups": (
        lambda key: nn.Conv2d(p=2, q=4, n=2, kernel=3, stride=2, groups=2, dilation=2, padding="SAME", key=key),
        (2, 7, 7, 2, 2, 2),
    ),
    "LSTMCell over a sequence": (lambda key: nn.Recurrent(nn.LSTMCell(2, 3, 2, key=key), unroll=3), (2, 3, 2, 2, 2)),
    # Of more layers, XLA counts the loop over them as one turn.
    "TransformerClassifier": (
        lambda key: nn.TransformerClassifier(2, 2, 3, layers=1, heads=2, key=key),
        (3, 4, 2, 2, 2),
    ),
    "lora": (lambda key: nn.lora(two_layers(key), 2, where="**", alpha=6.0, key=key), (5, 2, 2, 2)),
    "Constrained": (
        lambda key: nn.Constrained(
            two_layers(key), {"layers[0].weight": nn.Symmetric(), "layers[1].weight": nn.Triangular()}
        ),
        (5, 2, 2, 2),
    ),
    "eqx.nn.Conv2d in groups": (lambda key: eqx.nn.Conv2d(2, 4, 3, padding=1, groups=2, key=key), (2, 6, 6)),
}


@pytest.mark.parametrize("name", [*LAYERS, *DRAWN])
def test_the_count_of_a_layer_is_that_of_xla_within_1_percent(name, no_tricks_of_convolutions):
    model, shape = LAYERS.get(name) or (eqx.filter_eval_shape(DRAWN[name][0], KEY), DRAWN[name][1])
    report = check(model, shape, verbose=False)
    assert ratios(report, model, shape, compiled=False)[:2] == pytest.approx([1, 1], rel=0.01)


class Trained(eqx.Module):
    """A model with its state, which it gives back beside what it computes."""

    model: nn.Sequential
    state: list[jax.ShapeDtypeStruct]
    tree: object = eqx.field(static=True)

    def __call__(self, x):
        return self.model(x, jax.tree.unflatten(self.tree, self.state))


def with_batch_norm(key):
    model, state = eqx.nn.make_with_state(
        lambda: nn.Sequential([nn.Dense(p=2, q=2, n=2, key=key), nn.BatchNorm(2, 2)])
    )()
    return Trained(model, *jax.tree.flatten(state))


@pytest.mark.parametrize(
    "build",
    [
        lambda key: nn.Mamba(2, 2, 2, state=3, key=key),
        lambda key: nn.MatrixScan(2, 2, 2, key=key),
        with_batch_norm,
    ],
    ids=["Mamba", "MatrixScan", "BatchNorm"],
)
def test_the_count_of_scans_and_statistics_is_that_of_xla_within_5_percent(build):
    model, shape = eqx.filter_eval_shape(build, KEY), (3, 4, 2, 2, 2)
    report = check(model, shape, verbose=False)
    assert ratios(report, model, shape, compiled=False)[:2] == pytest.approx([1, 1], rel=0.05)


def test_a_sum_with_zero_and_a_product_with_one_have_none():
    assert counted(lambda x: 1.0 * (x + 0.0) - 0.0, (4,)) == 0
    assert counted(lambda x: 0.0 - (x + 1.0) * 0.0, (4,)) == 3 * 4


def test_a_product_has_two_operations_for_each_multiply_add():
    assert counted(lambda a, b: jnp.einsum("bij,bjk->bik", a, b), (7, 2, 3), (7, 3, 5)) == 2 * 7 * 2 * 3 * 5


def test_of_a_convolution_what_meets_the_padding_is_left_out():
    def convolve(x, w):
        return jax.lax.conv_general_dilated(x, w, (1,), "SAME")

    # Of 5 places and 3 taps, the first and the last meet the padding once.
    assert counted(convolve, (1, 2, 5), (4, 2, 3)) == 2 * (5 * 3 - 2) * 2 * 4


def test_a_loop_counts_as_often_as_it_runs_and_a_condition_by_its_dearest_branch():
    def loop(x):
        return jax.lax.scan(lambda x, _: (jax.lax.fori_loop(0, 3, lambda _, x: 2.5 * x, x), None), x, None, length=7)[0]

    # Besides 4 products, a turn of the inner loop has the sum of its counter.
    assert counted(loop, (4,)) == 7 * 3 * (4 + 1)
    branches = [lambda x: x, lambda x: x * x + x, lambda x: 2.5 * x]
    # The index is made an integer, and kept within the branches.
    assert counted(lambda i, x: jax.lax.switch(i.astype(int), branches, x), (), (4,)) == 4 + 4 + 2
    assert counted(lambda x: jax.lax.while_loop(lambda x: x[0] < 9.5, lambda x: x + 1.5, x), (4,)) == 4 + 1


def test_a_factorisation_has_the_operations_of_the_textbook():
    assert counted(lambda x: jax.lax.linalg.lu(x)[0], (5, 6, 6)) == 5 * 2 * 6**3 // 3
    assert counted(lambda x: jax.lax.linalg.eigh(x, symmetrize_input=False)[1], (2, 3, 3)) == 2 * 9 * 27
    assert counted(lambda a, b: jax.lax.linalg.triangular_solve(a, b, left_side=True), (3, 3), (3, 5)) == 3 * 3 * 5


def test_moving_entries_about_has_none():
    assert counted(lambda x: jnp.concatenate([x.T.reshape(-1), x[0]])[::-1], (3, 4)) == 0
