"""Adam and AdamW."""

import jax
import optax
import pytest

from matrinox.train import Adam, AdamW, Constant


def test_adam_equals_optax(model, same_steps):
    found = Adam(0.01, b1=0.8, b2=0.9, eps=1e-4, clip=None, scheduler=Constant())
    same_steps(found.build(10), optax.adam(0.01, b1=0.8, b2=0.9, eps=1e-4), model)


def test_adamw_under_its_schedule_and_clip_equals_optax(model, same_steps):
    def decayed(parameters):
        names = jax.tree_util.tree_map_with_path(lambda path, _: jax.tree_util.keystr(path), parameters)
        return jax.tree.map(lambda name: name in (".layers[0].weight", ".layers[3].weight"), names)

    rate = optax.warmup_cosine_decay_schedule(0.0, 0.01, 1, 10)
    due = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=0.3, mask=decayed))
    same_steps(AdamW(0.01, weight_decay=0.3).build(10), due, model)


def test_adamw_decays_as_that_of_pytorch_where_nothing_is_said():
    assert AdamW().weight_decay == 0.01
    assert Adam().weight_decay == 0


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"b1": 1.0}, r"`b1` \(=1.0\) must be from 0 to below 1"),
        ({"b2": -0.1}, r"`b2` \(=-0.1\) must be from 0 to below 1"),
        ({"eps": 0.0}, r"`eps` \(=0.0\) must be positive and finite"),
        ({"eps": float("inf")}, r"`eps` \(=inf\) must be positive and finite"),
    ],
)
def test_settings_out_of_range_are_refused(setting, match):
    with pytest.raises(ValueError, match=match):
        AdamW(**setting)
