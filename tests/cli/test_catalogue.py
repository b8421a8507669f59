"""`matrinox list` and `matrinox show`."""

from matrinox import cli, zoo


def test_list_shows_every_model_with_what_its_card_says(capsys):
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    for name in zoo.list_models():
        card = zoo.card(name)
        line = next(line for line in out.splitlines() if name in line)
        for shown in (card.architecture, f"{card.parameters:,}", f"{card.figures.test_accuracy_mean:.2%}"):
            assert shown in line


def test_show_tells_what_the_card_holds(capsys):
    assert cli.main(["show", "cnn-digits"]) == 0
    out = capsys.readouterr().out
    card = zoo.card("cnn-digits")
    for shown in (
        card.summary,
        card.limits,
        card.weights.sha256,
        "over seeds 0, 1, 2, 3, 4",
        "Classification, label_smoothing 0.1",
        "AdamW, learning_rate 0.006",
        "by class, 10% validation, 20% test, seed 0",
    ):
        assert shown in out
