import pytest

from matrinox.train import Evaluation, Round, report_line


def test_a_line_has_the_label_and_every_figure_with_four_digits():
    seen = Evaluation({"loss": 0.312749, "accuracy": 0.912})
    assert report_line("validation", seen) == "validation: loss 0.3127, accuracy 0.912"
    assert report_line("test", {"perplexity": 123456.0, "loss": float("nan")}) == "test: perplexity 1.235e+05, loss nan"
    assert str(seen) == "evaluation: loss 0.3127, accuracy 0.912"


def test_figures_before_stand_before_the_arrow():
    now = Round(step=9, loss=0.1, learning_rate=0.1, validation={"loss": 0.5, "r2": 0.75})
    before = Evaluation({"r2": -1.5, "loss": 2.0})
    assert report_line("diabetes", now.validation, before=before) == "diabetes: loss 2 → 0.5, r2 -1.5 → 0.75"


def test_figures_of_two_tasks_are_not_compared_and_none_is_no_line():
    with pytest.raises(ValueError, match=r"`before` \(of r2\) must be of loss, accuracy: use one task for both"):
        report_line("test", {"loss": 1.0, "accuracy": 1.0}, before={"r2": 0.0})
    with pytest.raises(ValueError, match="'test' has no figure, and must have one: evaluate the model"):
        report_line("test", {})
