import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError

KEYS = jax.random.split(jax.random.key(0), 4)
TOKENS = jax.random.randint(KEYS[3], (2, 6), 0, 5)


def embedding(p=2, n=2):
    return nn.Embedding(vocabulary=5, p=p, n=n, key=KEYS[0])


def recurrent(p=2, q=2, n=2):
    return nn.Recurrent(nn.RNNCell(p, q, n, key=KEYS[1], initializer=drawn))


def test_logits_equal_float64_numpy_tied_and_untied():
    table = embedding()
    rows = np.asarray(table.weight, np.float64)
    h = np.tanh(rows[np.asarray(TOKENS)])
    tied = nn.LanguageModel(table, nn.Tanh())
    np.testing.assert_allclose(tied(TOKENS), np.einsum("btpij,vpij->btv", h, rows) / np.sqrt(8), rtol=1e-5, atol=1e-6)
    head = nn.FlattenLinear(p=2, features=5, n=2, key=KEYS[2])
    untied = nn.LanguageModel(table, nn.Tanh(), head)
    expected = np.einsum("btpij,vpij->btv", h, np.asarray(head.weight, np.float64))
    np.testing.assert_allclose(untied(TOKENS), expected, rtol=1e-5, atol=1e-6)


def test_tied_logits_have_variance_1_at_first():
    model = nn.LanguageModel(nn.Embedding(vocabulary=2000, p=4, n=3, key=KEYS[0]), eqx.nn.Identity())
    logits = np.asarray(model(jnp.arange(2000)))
    others = logits[~np.eye(2000, dtype=bool)]
    np.testing.assert_allclose(np.var(others), 1, rtol=0.05)
    # That of the token itself, where it is handed on, is the norm of its row.
    np.testing.assert_allclose(np.diag(logits).mean(), 6, rtol=0.05)


def test_distributions_over_the_tokens_give_what_their_ids_give():
    model = nn.LanguageModel(embedding(), recurrent())
    np.testing.assert_allclose(model(jax.nn.one_hot(TOKENS, 5)), model(TOKENS), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("head", [None, "head"])
def test_steps_equal_the_whole(head):
    head = head and nn.FlattenLinear(p=2, features=5, n=2, key=KEYS[2])
    model = nn.LanguageModel(embedding(), recurrent(), head)
    cache, first = model.step(model.initial_cache(6, (2,)), TOKENS[:, :4])
    _, second = model.step(cache, TOKENS[:, 4:])
    whole = model(TOKENS)
    np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), whole, rtol=1e-5, atol=1e-6)
    assert np.abs(model(TOKENS[:, -1:])[:, 0] - whole[:, -1]).max() > 1e-2


def test_the_gradient_of_a_tied_table_is_that_of_both_uses():
    model = nn.LanguageModel(embedding(), nn.Tanh())
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)

    def loss(arrays, head):
        model = eqx.combine(arrays, rest)
        h = jnp.tanh(model.embedding(TOKENS))
        return jnp.sum(jnp.sin(eqx.tree_at(lambda e: e.weight, model.embedding, head).attend(h) / np.sqrt(8)))

    apart = jax.grad(loss, argnums=(0, 1))(arrays, model.embedding.weight)
    tied = jax.grad(lambda arrays: jnp.sum(jnp.sin(eqx.combine(arrays, rest)(TOKENS))))(arrays)
    np.testing.assert_allclose(tied.embedding.weight, apart[0].embedding.weight + apart[1], rtol=1e-4, atol=1e-5)


def test_joints_are_refused_when_built():
    with pytest.raises(ContractError, match=r"body: Recurrent.* takes .*p=3.*, but embedding: Embedding.*axis -3 is 2"):
        nn.LanguageModel(embedding(), recurrent(p=3))
    with pytest.raises(ContractError, match=r"^head: FlattenLinear.* takes .*, but body: .* axis -3 is 2, p is 3"):
        nn.LanguageModel(embedding(), recurrent(), nn.FlattenLinear(p=3, features=5, n=2, key=KEYS[2]))
    message = r"^embedding: Embedding.* reads out what it gives, but body: .*: axis -3 is 4, not 2\. Give a `head`"
    with pytest.raises(ContractError, match=message):
        nn.LanguageModel(embedding(), recurrent(q=4))
    with pytest.raises(TypeError, match=r"`body` \(=Tanh\) must not be a class"):
        nn.LanguageModel(embedding(), nn.Tanh)


def test_an_id_outside_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="5"):
        nn.LanguageModel(embedding(), nn.Tanh())(jnp.array([5]))


def test_a_body_that_cannot_step_is_refused_with_its_path():
    model = nn.LanguageModel(embedding(), nn.Sequential([nn.Conv1d(2, 2, 2, 1, key=KEYS[1])]))
    with pytest.raises(TypeError, match=r"^body\.layers\[0\]: Conv1d.* cannot step"):
        model.initial_cache(4)
