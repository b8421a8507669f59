import brainstate
import equinox as eqx
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.transforms import grad, hvp, jacfwd, jvp, vjp


class Scorer(eqx.Module):
    weight: jax.Array
    bias: jax.Array
    activation: object

    def __call__(self, x, *, scale=1.0):
        return {"scores": self.activation(self.weight @ x + self.bias) * scale, "name": "scorer"}

    def loss(self, x, y):
        return jnp.sum((self(x)["scores"] - y) ** 2)


@pytest.fixture
def scorer(x64):
    weight = jnp.array([[0.3, -0.5], [0.2, 0.9], [-0.7, 0.4]])
    return Scorer(weight, jnp.array([0.1, -0.2, 0.3]), jnp.tanh)


X, Y = np.array([0.5, -1.5]), np.array([0.1, 0.2, 0.3])
TANGENT = np.array([[1.0, -2.0], [0.5, 0.25], [3.0, -1.0]])
COTANGENTS = {"scores": np.array([1.0, -2.0, 0.5]), "name": None}


def scores_of(weight, x):
    return jnp.tanh(weight @ x + jnp.array([0.1, -0.2, 0.3]))


def close(ours, theirs):
    def leaves_close(x, y):
        assert x == y if isinstance(y, str) else np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-15) is None

    jax.tree.map(leaves_close, ours, theirs)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)


def with_aux(func):
    return lambda *args: (func(*args), {"name": "aux", "sum": jnp.sum(args[0])})


@pytest.mark.parametrize("return_value", [True, False], ids=["value", "no_value"])
@pytest.mark.parametrize("has_aux", [False, True], ids=["plain", "has_aux"])
@pytest.mark.parametrize("selected", ["arg", "var", "both"])
def test_products_equal_those_of_jax_in_every_return_structure(selected, has_aux, return_value, scorer):
    """The rows and columns of the table of returns, for `vjp`, `jvp` and `hvp`."""
    options = {
        "arg": {"argnums": np.int32(0)},
        "var": {"grad_states": "weight"},
        "both": {"grad_states": "weight", "argnums": 0},
    }[selected]

    def chosen(var, arg):
        return {"arg": arg, "var": {"weight": var}, "both": ({"weight": var}, arg)}[selected]

    def behind(*parts):
        parts += ({"name": "aux", "sum": X.sum()},) if has_aux else ()
        return parts if len(parts) > 1 else parts[0]

    def ours(transform, func, *args):
        func = with_aux(func) if has_aux else func
        return transform(func, *args, **options, has_aux=has_aux, return_value=return_value)

    def scores(x):
        return scorer(x)["scores"]

    def loss(weight, x):
        return jnp.sum((scores_of(weight, x) - Y) ** 2)

    value, pull = jax.vjp(scores_of, scorer.weight, X)
    c, first = COTANGENTS["scores"], (value,) if return_value else ()
    pulled = jax.tree.map(lambda part: part(c) if callable(part) else part, ours(vjp, scores, X), is_leaf=callable)
    close(pulled, behind(*first, chosen(*pull(c))))

    tangents = chosen(TANGENT, X)
    along = (TANGENT if selected != "arg" else 0 * TANGENT, X if selected != "var" else 0 * X)
    product = jax.jvp(scores_of, (scorer.weight, X), along)[1]
    close(ours(jvp, scores, (X,), tangents), behind(*first, product))

    product = jax.jvp(jax.grad(loss, argnums=(0, 1)), (scorer.weight, X), along)[1]
    last = (loss(scorer.weight, X),) if return_value else ()
    close(ours(hvp, lambda x: scorer.loss(x, Y), (X,), tangents), behind(chosen(*product), *last))


def test_hvp_is_the_hessian_times_the_vector(scorer):
    def loss(weight, x):
        return jnp.sum((scores_of(weight, x) - Y) ** 2)

    blocks = jax.hessian(loss, argnums=(0, 1))(scorer.weight, jnp.asarray(X))
    by_weight = jnp.tensordot(blocks[0][0], TANGENT, 2) + blocks[0][1] @ X
    by_x = jnp.tensordot(blocks[1][0], TANGENT, 2) + blocks[1][1] @ X
    close(
        hvp(scorer.loss, (X, Y), ({"weight": TANGENT}, X), grad_states="weight", argnums=0),
        ({"weight": by_weight}, by_x),
    )
    close(hvp(loss, (scorer.weight, X), (TANGENT, X)), (by_weight, by_x))
    assert hvp(loss, (scorer.weight, X), (None, X))[0] is None
    close(hvp(loss, (scorer.weight, X), (None, X))[1], blocks[1][1] @ X)


@pytest.mark.optimised
def test_hvp_costs_a_few_gradients_and_forms_no_hessian(scorer):
    size = 50
    weight = jnp.ones(size)

    def loss(weight):
        return jnp.sum(jnp.tanh(weight) ** 2) + jnp.sum(weight) ** 4

    def sizes(jaxpr):
        inner = [sub for eqn in jaxpr.eqns for sub in jax.extend.core.jaxprs_in_params(eqn.params)]
        return [v.aval.size for eqn in jaxpr.eqns for v in eqn.outvars] + [n for sub in inner for n in sizes(sub)]

    product = jax.make_jaxpr(lambda v: hvp(loss, (weight,), (v,)))(weight)
    assert max(sizes(product.jaxpr)) == size
    flops = [
        jax.jit(f).lower(weight).compile().cost_analysis()["flops"]
        for f in (grad(loss), lambda v: hvp(loss, (v,), (v,)))
    ]
    assert flops[1] < 6 * flops[0]


def test_a_model_may_be_taken_bound_or_called(scorer):
    seed = COTANGENTS["scores"]
    expected = jax.vjp(lambda weight: scores_of(weight, X), scorer.weight)[1](seed)[0]
    where = lambda model: model.weight  # noqa: E731
    close(vjp(scorer, X, grad_states=where)[1](COTANGENTS), expected)
    close(vjp(Scorer.__call__, scorer, X, grad_states=where)[1](COTANGENTS), expected)
    close(vjp(lambda model, x: model(x), scorer, X)[1](COTANGENTS).weight, expected)
    direction = eqx.tree_at(where, jax.tree.map(lambda leaf: None, scorer), TANGENT, is_leaf=lambda leaf: leaf is None)
    value, product = jvp(lambda model, x: model(x), (scorer, X), (direction, None))
    close(product, {"scores": jax.jvp(lambda w: scores_of(w, X), (scorer.weight,), (TANGENT,))[1], "name": None})
    assert value["name"] == "scorer"


def test_arguments_by_name_are_passed_on_and_differentiated(scorer):
    value, pull = vjp(scorer, X, argnames="scale", kwargs={"scale": 2.0})
    by_position, by_name = pull(COTANGENTS)
    assert by_position is None
    assert by_name["scale"] == pytest.approx(float(value["scores"] @ COTANGENTS["scores"]) / 2, rel=1e-14)
    product = jvp(scorer, (X,), (None, {"scale": 1.0}), argnames={"scale"}, kwargs={"scale": 2.0}, return_value=False)
    close(product["scores"], value["scores"] / 2)
    loss = lambda x, *, scale: scale**3 * jnp.sum(x)  # noqa: E731
    _, curved = hvp(loss, (X,), (None, {"scale": 1.0}), argnames="scale", kwargs={"scale": 2.0})
    assert curved["scale"] == pytest.approx(12.0 * X.sum(), rel=1e-14)


def test_keys_reach_the_layer():
    layer, x, key = nn.Dropout(0.5), jnp.ones((4, 2, 2)), jax.random.key(0)
    value, pull = vjp(layer, x, kwargs={"key": key})
    np.testing.assert_array_equal(value, layer(x, key=key))
    np.testing.assert_array_equal(pull(x), value)


def test_a_pullback_is_a_tree_that_leaves_a_compiled_function_and_is_mapped(scorer):
    value, pull = jax.jit(lambda x: vjp(scores_of, scorer.weight, x, argnums=1))(X)
    rows = jax.vmap(pull)(jnp.eye(3))
    close(rows, jacfwd(scores_of, argnums=1)(scorer.weight, X))
    close(jax.jit(lambda pull, c: pull(c))(pull, value), jax.vjp(scores_of, scorer.weight, X)[1](value)[1])


def test_what_is_left_out_of_tangents_and_cotangents_is_zero():
    def f(x):
        return {"product": x["a"] * x["b"], "sum": x["a"] + x["b"], "count": jnp.array(3), "name": "f"}

    x = {"a": jnp.array(2.0), "b": jnp.array(5.0), "n": 4}
    _, product = jvp(f, (x,), ({"a": 1.0, "b": None, "n": None},))
    assert product == {"product": 5.0, "sum": 1.0, "count": None, "name": None}
    _, pull = vjp(f, x)
    assert pull({"product": 1.0, "sum": None, "count": None, "name": None}) == {"a": 5.0, "b": 2.0, "n": None}


def test_holomorphic_products_are_of_complex_functions():
    z = jnp.array(1.0 + 2.0j)
    assert jvp(lambda z: z**3, (z,), (1.0j,), holomorphic=True)[1] == pytest.approx(complex(3 * z**2 * 1j))
    assert vjp(lambda z: z**3, z, holomorphic=True)[1](1.0) == pytest.approx(complex(3 * z**2))
    assert hvp(lambda z: z**3, (z,), (1.0j,), holomorphic=True)[0] == pytest.approx(complex(6 * z * 1j))
    with pytest.raises(TypeError, match="`jvp` with `holomorphic=True` takes complex inputs and got"):
        jvp(lambda x: x**3, (1.0,), (1.0,), holomorphic=True)
    with pytest.raises(
        TypeError, match=r"`vjp` with `holomorphic=True` takes a function to complex values, and .* float32"
    ):
        vjp(jnp.abs, z, holomorphic=True)


def test_selected_states_are_checked_unless_that_is_turned_off(scorer):
    with pytest.raises(ValueError, match="`grad_states` of Scorer, which has weight, bias, activation"):
        vjp(scorer, X, grad_states="weigth")
    value, product = jvp(scorer, (X,), {}, grad_states="weigth", check_states=False)
    assert not jnp.any(product["scores"])
    close(value["scores"], scorer(X)["scores"])


@pytest.mark.parametrize(
    ("tangents", "message"),
    [
        (X, r"`tangents` of `jvp` must be a tuple of one for each of 1 primals, and is float64\[2\]: write `None`"),
        ((X, X), "`tangents` of `jvp` must be a tuple of one for each of 1 primals, and is 2: write"),
        ((None,), "`tangents` of `jvp` must not all be `None`: give one for a primal that moves"),
    ],
)
def test_tangents_that_are_not_one_for_each_primal_are_refused(tangents, message):
    with pytest.raises(ValueError, match=message):
        jvp(jnp.sin, (X,), tangents)


def test_primals_that_are_no_sequence_are_refused():
    with pytest.raises(ContractError, match=r"jvp got primals as float64\[2\]; it takes a Sequence"):
        jvp(jnp.sin, X, (X,))


def test_hvp_of_no_scalar_is_refused():
    with pytest.raises(ValueError, match=r"`hvp` takes a function whose value is a scalar, and .* returned float32"):
        hvp(jnp.sin, (jnp.ones(2),), (jnp.ones(2),))


def test_a_function_without_auxiliary_data_is_refused_where_they_are_said_to_be():
    with pytest.raises(TypeError, match="`has_aux=True` takes a function that returns \\(value, aux\\)"):
        vjp(jnp.sin, X, has_aux=True)


def test_vjp_and_jvp_return_what_those_of_brainstate_do(x64):
    weight, x = jnp.array([[0.5, -1.0], [2.0, 0.25]]), jnp.array([1.0, 3.0])
    state = brainstate.ParamState(weight)
    module = Scorer(weight, jnp.zeros(2), jnp.tanh)

    def theirs(x):
        return jnp.tanh(state.value @ x)

    def ours(x):
        return module(x)["scores"]

    value, pull = brainstate.transform.vjp(theirs, x, grad_states=[state])
    our_value, our_pull = vjp(ours, x, grad_states=[lambda model: model.weight], argnums=0)
    assert eqx.tree_equal((our_value, our_pull(value)), (value, pull(value)), rtol=1e-12)
    assert eqx.tree_equal(vjp(ours, x)[1](value), brainstate.transform.vjp(theirs, x)[1](value), rtol=1e-12)
    assert eqx.tree_equal(jvp(ours, (x,), (x,)), brainstate.transform.jvp(theirs, (x,), (x,)), rtol=1e-12)
