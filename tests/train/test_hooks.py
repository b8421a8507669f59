"""Hooks."""

from dataclasses import fields

import pytest

from matrinox.train import Hooks, Round

NAMES = [each.name for each in fields(Hooks)]


def test_the_hooks_of_a_sum_are_called_in_turn_and_those_of_nothing_not_at_all():
    heard = []
    first = Hooks(on_step=lambda step: heard.append(("first", step)), on_round=lambda *told: heard.append(told))
    second = Hooks(on_step=lambda step: heard.append(("second", step)))
    both = Hooks() + first + second + Hooks()
    both.on_step(1)
    both.on_round("model", 2)
    both.on_finish(3)
    assert heard == [("first", 1), ("second", 1), ("model", 2)]
    assert [name for name in NAMES if both.listens(name)] == ["on_step", "on_round"]
    assert not any(Hooks().listens(name) for name in NAMES)


def test_a_hook_that_there_is_not_is_told_with_the_nearest():
    with pytest.raises(TypeError, match=r"^Hooks: got an .* argument 'on_epoch': did you mean 'on_epoch_end'\?$"):
        Hooks(on_epoch=print)  # pyright: ignore[reportCallIssue]


def test_hooks_are_added_to_hooks_alone():
    with pytest.raises(TypeError):
        Hooks() + (lambda step: None)


def test_a_hook_that_is_not_callable_is_refused():
    with pytest.raises(TypeError, match=r"`on_step` \(=3\) must be callable: give a function of what it is told"):
        Hooks(on_step=3)


def test_better_is_a_lower_validation_loss_and_without_one_the_later_round():
    def seen(loss):
        return Round(1, 0.0, 0.0, {"loss": loss, "accuracy": 0.5})

    assert seen(1.0).beats(None)
    assert seen(0.9).beats(seen(1.0))
    assert not seen(1.0).beats(seen(1.0))
    assert Round(2, 5.0, 0.0).beats(Round(1, 0.0, 0.0))


def test_a_validation_loss_that_is_not_finite_is_beaten_by_any_that_is_and_beats_none():
    nan, one = (Round(1, 0.0, 0.0, {"loss": loss}) for loss in (float("nan"), 1.0))
    assert one.beats(nan)
    assert not nan.beats(one)
    assert not nan.beats(nan)
    for sign in (1, -1):
        infinite = Round(1, 0.0, 0.0, {"loss": sign * float("inf")})
        assert one.beats(infinite)
        assert not infinite.beats(one)
