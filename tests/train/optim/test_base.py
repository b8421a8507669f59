"""What all optimisers share."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from matrinox.contract import ContractError
from matrinox.train import SGD, Adam, AdamW, Constant, Cosine, Group, Lion, Momentum, Muon, Optimiser, StepDecay

EVERY = (SGD(), Momentum(), Adam(), AdamW(), Lion(), Muon())


@pytest.mark.parametrize("optimiser", EVERY, ids=[type(each).__name__ for each in EVERY])
def test_every_optimiser_has_the_schedule_of_its_scheduler_and_a_state_that_steps_keep_in_shape(optimiser, model):
    assert float(optimiser.schedule(10)(1)) == pytest.approx(optimiser.learning_rate)
    transformation, parameters = optimiser.build(10), eqx.filter(model, eqx.is_inexact_array)

    @eqx.filter_eval_shape
    def states():
        state = transformation.init(parameters)
        updates, after = transformation.update(parameters, state, parameters)
        return parameters, updates, state, after

    parameters, updates, before, after = states
    assert eqx.tree_equal(parameters, updates)
    assert eqx.tree_equal(before, after)


def test_a_step_is_the_rate_times_direction_and_decayed_weight(model):
    weight = np.asarray(model.layers[3].weight)
    optimiser = SGD(0.1, weight_decay=0.5, clip=None, scheduler=Constant()).build(10)
    parameters = eqx.filter(model, eqx.is_inexact_array)
    ones = jax.tree.map(jnp.ones_like, parameters)
    updates, _ = optimiser.update(ones, optimiser.init(parameters), parameters)
    np.testing.assert_allclose(updates.layers[3].weight, -0.1 * (1 + 0.5 * weight), rtol=1e-6)
    np.testing.assert_allclose(updates.layers[3].bias, -0.1, rtol=1e-6)


def test_a_large_gradient_counts_as_one_of_norm_clip_and_none_leaves_it():
    weight = {"w": jnp.zeros(2)}

    def step(gradient, **options):
        optimiser = SGD(1.0, scheduler=Constant(), **options).build(10)
        return optimiser.update({"w": jnp.array(gradient)}, optimiser.init(weight), weight)[0]["w"]

    np.testing.assert_allclose(step([300.0, 400.0], clip=2.0), [-1.2, -1.6], rtol=1e-6)
    np.testing.assert_array_equal(step([0.25, 0.5]), [-0.25, -0.5])
    np.testing.assert_array_equal(step([300.0, 400.0], clip=None), [-300.0, -400.0])


def test_a_scheduler_by_the_epoch_is_told_how_long_one_is(model):
    optimiser = SGD(1.0, clip=None, scheduler=StepDecay(every=1))
    weight = {"w": jnp.zeros(())}
    transformation = optimiser.build(4, steps_per_epoch=2)
    state, moved = transformation.init(weight), []
    for _ in range(4):
        updates, state = transformation.update({"w": jnp.ones(())}, state, weight)
        moved.append(float(updates["w"]))
    assert moved == pytest.approx([-1, -1, -0.1, -0.1])
    assert [float(optimiser.schedule(4, steps_per_epoch=2)(step)) for step in range(4)] == pytest.approx(
        [1, 1, 0.1, 0.1]
    )


def test_an_optimiser_of_your_own_says_its_direction_and_has_the_rest():
    @dataclass(frozen=True)
    class Sign(Optimiser):
        def direction(self):
            return optax.scale_by_sign()

    weight = {"w": jnp.array([2.0, -2.0])}
    transformation = Sign(0.5, weight_decay=0.1, scheduler=Constant()).build(1)
    updates, _ = transformation.update({"w": jnp.array([3.0, -0.1])}, transformation.init(weight), weight)
    np.testing.assert_allclose(updates["w"], [-0.5 * 1.2, 0.5 * 1.2], rtol=1e-6)


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"learning_rate": 0.0}, r"`learning_rate` \(=0.0\) must be positive and finite"),
        ({"learning_rate": float("nan")}, r"`learning_rate` \(=nan\) must be positive and finite"),
        ({"clip": -1.0}, r"`clip` \(=-1.0\) must be positive"),
        ({"weight_decay": -0.1}, r"`weight_decay` \(=-0.1\) must be 0 or more"),
        ({"learning_rate": "a"}, r"`AdamW.learning_rate` is 'a', not a number"),
        ({"clip": "a"}, r"`AdamW.clip` is 'a', not a number"),
        ({"scheduler": 0.1}, r"`scheduler` \(=0.1\) must be a schedule of matrinox.train: such as Cosine"),
        ({"scheduler": Cosine}, r"`scheduler` \(=<class .*Cosine'>\) must be a schedule"),
        ({"groups": ("**.bias",)}, r"`AdamW.groups\[0\]` is '\*\*.bias', not a table of the fields of Group"),
        ({"groups": None}, r"`AdamW.groups` is None, not a tuple"),
    ],
)
def test_settings_out_of_range_are_refused(setting, match):
    with pytest.raises(ValueError, match=match):
        AdamW(**setting)


def test_a_run_of_no_steps_is_refused():
    with pytest.raises(ValueError, match=r"`steps` \(=0\) must be at least 1"):
        AdamW().build(0)
    with pytest.raises(ContractError, match=r"build got steps.* 2\.5 .*it takes an int"):
        AdamW().build(2.5)  # pyright: ignore[reportArgumentType]


def test_an_update_without_the_parameters_is_refused():
    weight = {"w": jnp.zeros(2)}
    optimiser = SGD().build(10)
    with pytest.raises(ValueError, match=r"`params` \(=None\) must be given to `update`"):
        optimiser.update(weight, optimiser.init(weight))


def test_options_that_an_optimiser_or_a_schedule_does_not_have_are_told_with_the_nearest():
    for build, option, due in (
        (AdamW, "lr", "learning_rate"),
        (AdamW, "wd", "weight_decay"),
        (Cosine, "warm_up", "warmup"),
        (Group, "pattern_", "pattern"),
    ):
        with pytest.raises(TypeError, match=rf"^{build.__name__}: got an .* argument '{option}': did you mean '{due}'"):
            build(**{option: 1})


def test_groups_are_a_tuple_and_what_is_none_is_told_to_be_written_as_one():
    with pytest.raises(
        ValueError, match=r"`AdamW.groups` is \{.*'pattern': .*, not a tuple: write `\(…,\)` around one"
    ):
        AdamW(groups=Group("**"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"`AdamW.groups` is \[Group.*, so write it as a tuple"):
        AdamW(groups=[Group("**")])  # pyright: ignore[reportArgumentType]
