"""From a text to a model that writes: tokens, windows, training, generation."""

import jax
import numpy as np

from matrinox import nn, train
from matrinox.data import CharTokenizer, TokenWindows, generate, load_text, split_text

KEYS = jax.random.split(jax.random.key(0), 4)
TASK = train.LanguageModelling()


def language_model(vocabulary, p, n):
    embedding = nn.Embedding(vocabulary=vocabulary, p=p, n=n, key=KEYS[0])
    return nn.LanguageModel(embedding, nn.Recurrent(nn.GRUCell(p=p, q=p, n=n, key=KEYS[1])))


def fitted(model, data, steps, rate):
    recipe = train.Recipe(steps=steps, batch=32, task=TASK, optimiser=train.AdamW(rate, weight_decay=0.0))
    return train.fit(model, data, None, recipe, key=KEYS[2]).model


def test_a_model_learns_a_text_goes_on_with_it_and_stops():
    # From a letter on to "d", and stop: all that is left to chance is with which letter a text begins.
    tokenizer = CharTokenizer("abcd", special=("<stop>",))
    starts = np.random.default_rng(0).integers(0, 4, 600)
    tokens = np.concatenate([tokenizer.encode("abcd"[start:], stop=True) for start in starts])
    learnt, held = (TokenWindows(part, 14, stride=7) for part in split_text(tokens, validation=0.2))
    model = language_model(tokenizer.vocabulary, p=3, n=2)
    before = train.evaluate(model, held, TASK).loss
    model = fitted(model, learnt, 150, 0.03)
    after = train.evaluate(model, held, TASK).loss
    # A text has 3.5 tokens on average, of which one has ln 4 nats.
    least = np.log(4) / 3.5
    assert before > 1.5
    assert after < least + 0.1
    prompts = np.stack([tokenizer.encode(letter) for letter in "abcd"])
    written = generate(model, prompts, length=6, temperature=0, stop=tokenizer.stop)
    assert [tokenizer.decode(np.asarray(ids)) for ids in written] == ["bcd", "cd", "d", ""]
    assert np.argmax(written == tokenizer.stop, axis=1).tolist() == [3, 2, 1, 0]


def test_a_model_learns_the_letters_of_tinyshakespeare(published):
    text, rest = split_text(load_text("tinyshakespeare", download=False)[:20000], validation=0.2)
    tokenizer = CharTokenizer.fit(text, unknown=True)
    tokens, held = tokenizer.encode(text), tokenizer.encode(rest)
    model = language_model(tokenizer.vocabulary, p=8, n=2)
    windows = TokenWindows(held, 32, stride=32)
    before = train.evaluate(model, windows, TASK).loss
    model = fitted(model, TokenWindows(tokens, 32), 120, 0.02)
    after = train.evaluate(model, windows, TASK).loss
    shares = (np.bincount(tokens, minlength=tokenizer.vocabulary) + 1) / (len(tokens) + tokenizer.vocabulary)
    by_frequency = -np.log(shares[held]).mean()
    # It has learnt more than how often each letter comes.
    assert before > 4
    assert after < by_frequency - 0.4
    prompt = tokenizer.encode("First Citizen:\n")
    options = {"length": 60, "key": KEYS[3], "temperature": 0.8, "top_k": 20, "top_p": 0.95}
    written = generate(model, prompt, **options)
    np.testing.assert_array_equal(written, generate(model, prompt, cached=False, **options))
    assert " " in tokenizer.decode(np.asarray(written))
