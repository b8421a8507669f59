import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import DataSet, RowLoader
from matrinox.train import LanguageModelling, evaluate

PAD = 0


def draw():
    rng = np.random.default_rng(0)
    logits, tokens = rng.normal(size=(5, 7, 4)).astype(np.float32), rng.integers(1, 4, (5, 7))
    tokens[1, 5:] = tokens[4, 2:] = PAD
    return logits, tokens


def test_figures_of_a_loader_are_those_of_all_tokens_at_once():
    """Three minibatches of texts of different lengths, the last one smaller, in NumPy on the whole."""
    logits, tokens = draw()
    task = LanguageModelling(ignored=PAD, characters_per_token=3.5)
    seen = evaluate(lambda x: x, RowLoader(DataSet(jnp.asarray(logits), jnp.asarray(tokens)), batch=2, key=None), task)
    kept, wide = tokens != PAD, logits.astype(np.float64)
    log_odds = (wide - np.log(np.exp(wide).sum(-1, keepdims=True)))[kept]
    nats = -log_odds[np.arange(kept.sum()), tokens[kept]].mean()
    assert seen.figures == pytest.approx(
        {
            "loss": nats,
            "accuracy": (log_odds.argmax(-1) == tokens[kept]).mean(),
            "nats_per_token": nats,
            "perplexity": np.exp(nats),
            "bits_per_token": nats / np.log(2),
            "bits_per_character": nats / np.log(2) / 3.5,
        },
        rel=1e-6,
    )
    assert float(task.loss(logits, tokens)) == pytest.approx(nats, rel=1e-6)


def test_the_headline_is_made_anew_of_the_nats_and_tokens_kept_of_each_text():
    logits, tokens = draw()
    task = LanguageModelling(0.1, ignored=PAD)
    data = RowLoader(DataSet(jnp.asarray(logits), jnp.asarray(tokens)), batch=2, key=None)
    seen = evaluate(lambda x: x, data, task, records=True)
    assert (task.headline, task.ascending) == ("nats_per_token", False)
    assert {name: kept.shape for name, kept in seen.records.items()} == {"nats": (5,), "tokens": (5,)}
    assert seen.records["tokens"].tolist() == (tokens != PAD).sum(-1).tolist()
    assert task.headline_of(seen.records, None) == pytest.approx(seen.figures["nats_per_token"], rel=1e-6)


def test_smoothing_and_weights_are_lowered_and_change_no_other_figure():
    logits, tokens = draw()
    plain, smooth = LanguageModelling(), LanguageModelling(0.1, class_weights=(1.0, 2.0, 3.0, 4.0))
    without, changed = (task.report(task.tally(logits, tokens)) for task in (plain, smooth))
    assert changed.pop("loss") == pytest.approx(float(smooth.loss(logits, tokens)), rel=1e-6)
    assert without.pop("loss") == pytest.approx(float(plain.loss(logits, tokens)), rel=1e-6)
    assert changed == without
    assert "bits_per_character" not in without


def test_a_model_that_knows_nothing_is_undecided_among_all_tokens():
    task = LanguageModelling(characters_per_token=1)
    figures = task.report(task.tally(jnp.zeros((2, 3, 8)), jnp.ones((2, 3), int)))
    assert (figures["perplexity"], figures["bits_per_character"]) == pytest.approx((8, 3), rel=1e-6)
    hopeless = task.report(task.tally(jnp.array([[[1e6, 0.0]]]), jnp.ones((1, 1), int)))
    assert hopeless["perplexity"] == np.inf


def test_what_is_no_text_is_refused():
    for targets in (jnp.ones((2, 3, 8)), jnp.ones((2, 4), int)):
        with pytest.raises(ContractError, match="targets"):
            LanguageModelling().tally(jnp.zeros((2, 3, 8)), targets)
    with pytest.raises(ValueError, match=r"`characters_per_token` \(=0\.0\) must be above 0 and finite: divide"):
        LanguageModelling(characters_per_token=0.0)
    with pytest.raises(ValueError, match=r"`label_smoothing` \(=1\.0\) must be from 0 to below 1"):
        LanguageModelling(1.0)
