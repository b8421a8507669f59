import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from beartype import beartype
from jaxtyping import Array, Float, Int, PyTree, jaxtyped

from matrinox.contract import AnyArray, ContractError, contract


@contract
class Affine(eqx.Module):
    weight: Float[Array, "q p n n"]
    bias: Float[Array, "q n n"] | None
    rate: float = 0.5

    @property
    def p(self):
        return self.weight.shape[-3]

    @property
    def n(self):
        return self.weight.shape[-1]

    def __call__(self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"]) -> Float[Array, "*batch q n n"]:
        y = jnp.einsum("qpak,...pkc->...qac", self.weight, x)
        return y if self.bias is None else y + self.bias

    def row(self, x: Float[AnyArray, "{self.p} {self.n}"]) -> Float[Array, ""]:
        return jnp.sum(jnp.asarray(x))

    @staticmethod
    def double(x: Float[AnyArray, "n n"]) -> Float[Array, "n n"]:
        return 2 * jnp.asarray(x)

    @classmethod
    def zeros(cls, n: int) -> "Affine":
        return cls(jnp.zeros((1, 1, n, n)), None)


@pytest.fixture
def affine() -> Affine:
    return Affine(jnp.ones((3, 2, 4, 4)), jnp.zeros((3, 4, 4)))


@pytest.fixture
def unchecked():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_contract_error_is_a_type_error_and_a_value_error():
    assert issubclass(ContractError, TypeError)
    assert issubclass(ContractError, ValueError)


@pytest.mark.parametrize("x", [np.zeros((2, 4, 4), np.float32), jnp.zeros((5, 2, 4, 4), jnp.bfloat16)])
def test_numpy_and_jax_arrays_pass(affine, x):
    assert affine(x).shape == (*x.shape[:-3], 3, 4, 4)


def test_fields_are_checked_in_one_scope_when_built():
    message = (
        r"^Affine got bias float32\[2, 4, 4\]; it takes \(q=3, n=4, n=4\): axis 0 is 2, q is 3. p and q are swapped"
    )
    with pytest.raises(ContractError, match=message):
        Affine(jnp.ones((3, 2, 4, 4)), jnp.zeros((2, 4, 4)))


def test_fields_are_checked_behind_a_custom_init():
    @contract
    class Custom(eqx.Module):
        weight: Float[Array, "p n n"]

        def __init__(self):
            self.weight = jnp.ones((2, 3, 4))

    with pytest.raises(ContractError, match=r"Custom got weight float32\[2, 3, 4\].*not square: 3×4"):
        Custom()


def test_every_field_is_checked_whatever_its_kind_and_however_it_is_annotated():
    @contract
    class Kinds(eqx.Module):
        tree: PyTree[Float[Array, "n n"]]
        count: int
        text: "str"

        def __init__(self, tree, count=1, text=""):
            self.tree, self.count, self.text = tree, count, text

    Kinds([jnp.ones((2, 2)), jnp.ones((2, 2))])
    with pytest.raises(ContractError, match=r"^Kinds got tree\[1\] float32\[2, 3\]; it takes \(n=2, n=2\)"):
        Kinds([jnp.ones((2, 2)), jnp.ones((2, 3))])
    with pytest.raises(ContractError, match=r"^Kinds got count as 'no' \(str\); it takes an int"):
        Kinds([], "no")
    with pytest.raises(ContractError, match=r"^Kinds got text as 3 \(int\); it takes a str"):
        Kinds([], 1, 3)


def test_inherited_fields_are_in_the_scope_of_the_subclass():
    @contract
    class Sub(Affine):
        extra: Float[Array, "q n n"]

        def __init__(self, extra):
            super().__init__(jnp.ones((3, 2, 4, 4)), None)
            self.extra = extra

    Sub(jnp.ones((3, 4, 4)))
    with pytest.raises(ContractError, match=r"^Sub got extra float32\[5, 7, 7\]; it takes \(q=3, n=4, n=4\)"):
        Sub(jnp.ones((5, 7, 7)))


def test_a_size_that_cannot_be_read_is_said_to_be_so(affine):
    with pytest.raises(ContractError, match=r"cannot be checked: '\{self.p\}' in its annotations cannot be read"):
        eqx.tree_at(lambda a: a.weight, affine, None)(np.zeros((2, 4, 4), np.float32))


def test_what_is_no_function_is_refused(affine):
    with pytest.raises(TypeError, match=r"`contract` got a Affine; it takes a function or an `eqx.Module` class"):
        contract(affine)


def test_a_users_own_check_init_still_runs():
    @contract
    class Positive(eqx.Module):
        weight: Float[Array, "n n"]

        def __check_init__(self):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        Positive(jnp.ones((2, 2)))
    with pytest.raises(ContractError):
        Positive(jnp.ones((2, 3)))


def test_a_subclass_is_checked_by_both_classes():
    @contract
    class Biased(Affine):
        extra: Float[Array, "p n n"] = eqx.field(default_factory=lambda: jnp.ones((1, 2, 3)))

    with pytest.raises(ContractError, match="Biased got extra"):
        Biased(jnp.ones((3, 2, 4, 4)), None)
    with pytest.raises(ContractError, match="got weight"):
        Biased(jnp.ones((3, 2, 4, 5)), None, extra=jnp.ones((2, 4, 4)))


def test_arguments_that_are_not_arrays_are_checked():
    with pytest.raises(ContractError, match=r"Affine got rate as 'high' \(str\); it takes a float"):
        Affine(jnp.ones((3, 2, 4, 4)), None, "high")


def test_an_int_passes_for_a_float_but_not_the_reverse():
    assert Affine(jnp.ones((3, 2, 4, 4)), None, 1).rate == 1
    with pytest.raises(ContractError, match=r"zeros got n as 2.0 \(float\); it takes an int"):
        Affine.zeros(2.0)


def test_a_cast_is_advised_only_to_what_is_taken():
    @contract
    def pick(index: Int[AnyArray, "b"]) -> Int[Array, "b"]:
        return jnp.asarray(index)

    with pytest.raises(ContractError) as caught:
        pick(np.zeros(2, np.uint32))
    assert str(caught.value) == "pick got index uint32[2]; it takes integer (b): its dtype is uint32."


def test_public_methods_are_checked(affine):
    with pytest.raises(ContractError, match=r"^Affine\(p=2, n=4\)\.row got x float32\[2, 5\]; it takes \(p=2, n=4\)"):
        affine.row(np.zeros((2, 5), np.float32))
    with pytest.raises(ContractError, match=r"^double got x"):
        Affine.double(np.zeros((2, 3)))
    with pytest.raises(ContractError, match=r"zeros got n as 'a'"):
        Affine.zeros("a")
    assert Affine.zeros(2).n == 2


def test_string_annotations_are_checked_too():
    namespace = {"contract": contract, "Float": Float, "AnyArray": AnyArray}
    source = "from __future__ import annotations\n@contract\ndef f(x: Float[AnyArray, 'n n']): return x"
    exec(source, namespace)
    with pytest.raises(ContractError, match="f got x"):
        namespace["f"](np.zeros((2, 3)))


def test_a_size_expression_over_fields_is_evaluated():
    @contract
    class Double(eqx.Module):
        p: int

        def __call__(self, x: Float[AnyArray, "2*{self.p} n n"]) -> Float[Array, "{self.p} n n"]:
            return jnp.asarray(x[::2])

    assert Double(3)(np.zeros((6, 2, 2))).shape == (3, 2, 2)
    with pytest.raises(ContractError, match=r"it takes \(2\*p=6, n, n\): axis 0 is 5, 2\*p is 6"):
        Double(3)(np.zeros((5, 2, 2)))


def test_edited_weights_change_what_is_taken(affine):
    wider = eqx.tree_at(lambda a: (a.weight, a.bias), affine, (jnp.ones((3, 5, 4, 4)), jnp.zeros((3, 4, 4))))
    assert wider(np.zeros((5, 4, 4), np.float32)).shape == (3, 4, 4)
    with pytest.raises(ContractError, match="axis -3 is 2, p is 5"):
        wider(np.zeros((2, 4, 4), np.float32))


def test_somebody_elses_check_inside_the_body_passes_through():
    @jaxtyped(typechecker=beartype)
    def theirs(x: Float[Array, "3"]):
        return x

    @contract
    def ours(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return theirs(x)

    with pytest.raises(jaxtyping.TypeCheckError, match="theirs") as caught:
        ours(jnp.ones(4))
    assert not isinstance(caught.value, ContractError)


def test_errors_of_the_body_pass_through_and_leave_no_trace(affine):
    @contract
    def fails(x: Float[AnyArray, "n"]) -> Float[Array, "n"]:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fails(np.ones(2))
    assert affine(np.zeros((2, 4, 4), np.float32)).shape == (3, 4, 4)


def test_a_recursive_function_is_checked_at_every_depth():
    @contract
    def shrink(x: Float[AnyArray, "n"]) -> Float[Array, "n"]:
        return jnp.asarray(x) if x.shape[0] < 3 else jnp.concatenate([shrink(x[1:]), jnp.ones(1)])

    assert shrink(np.ones(5)).shape == (5,)


def test_arguments_that_do_not_bind_are_pythons_own_error_with_the_callables_name(affine):
    with pytest.raises(TypeError, match=r"^Affine\(.*\): missing a required argument: 'x'$"):
        affine()
    with pytest.raises(TypeError, match=r"^Affine\(.*\): too many positional arguments: `x` can be given by place"):
        affine(np.ones(3), np.ones(3))
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'key': it takes x$"):
        affine(np.ones((2, 4, 4)), key=None)

    @contract
    def scaled(x: Float[AnyArray, "n"], by: float) -> Float[Array, "n"]:
        return jnp.asarray(x) * by

    with pytest.raises(TypeError, match=r"^scaled: missing a required argument: 'by'$"):
        scaled(np.ones(2))


def test_a_type_error_of_the_body_is_left_as_it_is():
    @contract
    def broken(x: Float[AnyArray, "n"]) -> Float[Array, "n"]:
        raise TypeError("of its own")

    with pytest.raises(TypeError, match=r"^of its own$"):
        broken(np.ones(2))


def test_classes_that_are_not_modules_are_refused():
    with pytest.raises(TypeError, match=r"got the class `Plain`; it takes an `eqx.Module`"):

        @contract
        class Plain:
            pass


def test_jaxtypings_switch_turns_the_checks_off(affine, unchecked):
    assert affine(np.zeros((7, 2, 4, 4), int)).shape == (7, 3, 4, 4)
    assert Affine(jnp.ones((3, 2)), None).bias is None


def test_the_lowered_program_is_the_same_with_checks_on_and_off(affine):
    def lowered():
        def loss(model, x):
            return jnp.sum(model(x) ** 2)

        return jax.jit(jax.grad(loss)).lower(eqx.filter(affine, eqx.is_array), jnp.ones((8, 2, 4, 4))).as_text()

    on = lowered()
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        off = lowered()
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert "stablehlo.dot_general" in on
    assert on == off
