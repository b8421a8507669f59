"""Evaluation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.data import DataSet, Loader
from matrinox.train import Classification, apply_model, evaluate

TASK = Classification()


class Pieces(Loader):
    """A data set in pieces of any size, as files might give them."""

    name, batch = "pieces", 1

    def __init__(self, data: DataSet, sizes: list[int]):
        self.bounds, self.data = np.cumsum([0, *sizes]), data

    def __len__(self):
        return 0

    def batches(self, first=0):
        return iter(())

    def once(self):
        for start, end in zip(self.bounds, self.bounds[1:], strict=False):
            yield np.asarray(self.data.inputs[start:end]), np.asarray(self.data.targets[start:end])

    def fingerprint(self):
        return self.data.fingerprint()


@pytest.fixture
def steep(linear):
    """Dropout of everything would leave the bias alone."""
    weight = jnp.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
    return eqx.tree_at(lambda model: model.weight, linear(2, 3, rate=0.99), weight)


def test_evaluation_is_in_inference_mode_and_counts_every_example(steep, blobs):
    """Chunks of 7 leave a rest of 6, and a loader's pieces are of any size."""
    logits = np.asarray(blobs.inputs, np.float64) @ np.asarray(steep.weight)
    normal = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    due = -normal[np.arange(90), np.asarray(blobs.targets)].mean()
    pieces = Pieces(blobs, [1, 50, 39])
    for seen in (*(evaluate(steep, blobs, TASK, batch=b, predictions=True) for b in (7, 90, 512)),
                 evaluate(steep, pieces, TASK, predictions=True)):  # fmt: skip
        assert seen.predictions.tolist() == logits.argmax(-1).tolist()
        assert seen.figures["accuracy"] == pytest.approx((logits.argmax(-1) == np.asarray(blobs.targets)).mean())
        assert seen.loss == pytest.approx(due, rel=1e-5)
    nothing_kept = evaluate(steep, pieces, TASK)
    assert (nothing_kept.predictions, nothing_kept.records) == (None, {})
    kept = evaluate(steep, pieces, TASK, records=True).records
    assert {name: each.tolist() for name, each in kept.items()} == {"classes": logits.argmax(-1).tolist()}


def test_evaluation_uses_running_statistics_and_leaves_them(blobs):
    model, state = eqx.nn.make_with_state(lambda: nn.Sequential([nn.Fold(n=1), nn.BatchNorm(p=2, n=1), nn.Trace()]))()
    _, state = model(blobs.inputs, state)
    quiet = eqx.nn.inference_mode(model)
    due, _ = quiet(blobs.inputs, state)
    outputs = apply_model(model, blobs.inputs, state=state, batch=50)
    assert np.allclose(outputs, due, atol=1e-6)
    seen = evaluate(model, DataSet(blobs.inputs, blobs.targets % 2), TASK, state=state, batch=50, predictions=True)
    assert seen.predictions.tolist() == np.asarray(due).argmax(-1).tolist()


def test_a_model_is_not_applied_to_nothing(linear):
    with pytest.raises(ValueError, match="`inputs` has 0 examples, which must be 1 or more"):
        apply_model(linear(2, 3), np.zeros((0, 2), np.float32))
    with pytest.raises(ValueError, match="`data` has 0 examples, which must be 1 or more"):
        evaluate(linear(2, 3), DataSet(np.zeros((0, 2), np.float32), np.zeros(0, int)), TASK)


@pytest.mark.parametrize("batch", [0, -3])
def test_a_model_is_not_applied_to_less_than_one_example_at_a_time(linear, blobs, batch):
    with pytest.raises(ValueError, match=rf"`batch` \(={batch}\) must be 1 or more: choose"):
        apply_model(linear(2, 3), np.zeros((4, 2), np.float32), batch=batch)
    with pytest.raises(ValueError, match=rf"`batch` \(={batch}\) must be 1 or more: choose"):
        evaluate(linear(2, 3), blobs, TASK, batch=batch)


def test_evaluate_refuses_what_is_no_examples(linear, blobs):
    with pytest.raises(ContractError, match=r"evaluate got data"):
        evaluate(linear(2, 3), blobs.inputs, TASK)


def test_a_model_without_a_key_is_called_without_one(blobs):
    weight = jax.random.normal(jax.random.key(0), (2, 3))
    assert apply_model(lambda x: x @ weight, blobs.inputs).shape == (90, 3)
    with pytest.raises(
        ValueError, match=r"`inputs` \(2,\) gave outputs \(3,\), which must be of as many examples: give"
    ):
        apply_model(lambda x: x @ weight, blobs.inputs[0])
