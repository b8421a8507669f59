"""`matrinox list` and `matrinox show`."""

import dataclasses

import pytest

from matrinox import cli, zoo


def lines_of(out: str) -> dict[str, str]:
    """The table's lines by the name in their first cell."""
    return {line.split()[1]: line for line in out.splitlines() if line.startswith("│")}


def test_list_shows_every_model_with_what_its_card_says(capsys):
    assert cli.main(["list"]) == 0
    lines = lines_of(capsys.readouterr().out)
    assert tuple(lines) == zoo.list_models()
    for name, line in lines.items():
        row = zoo.entry(name)
        for shown in (row.family, row.data.name, f"{row.parameters:,}", row.recipe.task.headline.replace("_", " ")):
            assert shown in line
        if (row.folder / "card.toml").exists():
            card = zoo.card(name)
            shown = f"{card.metric.spelt(card.figures.test_mean)} ± {card.metric.spelt(card.figures.test_spread)}"
        else:
            shown = "not run"
        assert shown in line


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["cnn*"], {"pattern": "cnn*"}),
        (["--family", "mlp", "--n", "4"], {"family": "mlp", "n": 4}),
        (["--task", "classification", "--max-params", "9000", "--pretrained"],
         {"task": "classification", "max_params": 9000, "pretrained": True}),
    ],
)  # fmt: skip
def test_list_shows_those_that_are_as_asked(words, asked, capsys):
    assert cli.main(["list", *words]) == 0
    assert tuple(lines_of(capsys.readouterr().out)) == zoo.list_models(**asked)
    assert 0 < len(zoo.list_models(**asked)) < len(zoo.list_models())


def test_list_names_the_nearest_of_an_unknown_family(refused):
    status, err = refused("list", "--family", "cn")
    assert (status, "did you mean 'cnn'?" in err) == (2, True)


def test_show_tells_what_the_card_holds(capsys):
    assert cli.main(["show", "cnn-digits"]) == 0
    out = capsys.readouterr().out
    card = zoo.card("cnn-digits")
    for shown in (
        *(card.summary, card.use, card.limits, card.source, card.weights.sha256, card.data["split"]),
        "float32 (…, 8, 8, 1), from 0 to 1 in training",
        "float32 (…, 10): logits",
        f"{card.flops:,} for an example",
        f"{card.weights.bytes:,} bytes",
        f"over seeds {', '.join(map(str, card.figures.seeds))}",
        f"at least {card.metric.goal:.2%}: {'reached' if card.metric.reached else 'not reached'}",
        f"{card.curve['validation_accuracy'][0]:.2%} at {card.curve['step'][0]}",
        "Classification, label_smoothing",
        "AdamW, learning_rate",
    ):
        assert shown in out


def test_every_word_of_a_card_is_shown(capsys):
    """But for the names of fields."""
    assert cli.main(["show", "cnn-digits"]) == 0
    out = capsys.readouterr().out
    card = dataclasses.asdict(zoo.card("cnn-digits"))

    def words(table) -> list[str]:
        nested = table.values() if isinstance(table, dict) else table if isinstance(table, tuple | list) else ()
        return [table] if isinstance(table, str) else [word for each in nested for word in words(each)]

    hashes = {*card.pop("weights")["data_sha256"].values(), card.pop("recipe_sha256")}
    assert [word for word in words(card) if word not in out and word not in hashes] == []
