"""What the columns of a CSV file mean, as plain data."""

import pytest

from matrinox.data import CsvColumn, CsvSchema

COLUMNS = (
    CsvColumn("age", "integer", fill=3.5),
    CsvColumn("city", "category", ("Aarau", "Zürich"), fill="Aarau"),
    CsvColumn("code", "category", ("7", "8"), encoding="id"),
    CsvColumn("note", "skip"),
    CsvColumn("kind", "category", ("cat", "dog")),
)


def test_features_are_named_by_column_and_category():
    schema = CsvSchema(COLUMNS, target=4)
    assert schema.features == ("age", "city=Aarau", "city=Zürich", "code")
    assert schema.classes == ("cat", "dog")
    assert CsvSchema(COLUMNS).classes == ()
    assert CsvSchema(COLUMNS).features[-2:] == ("kind=cat", "kind=dog")


def test_a_schema_survives_being_written():
    schema = CsvSchema(COLUMNS, target=4, header=False, delimiter="\t", missing_words=("", "NA"))
    assert CsvSchema.parse(schema.dump()) == schema


def test_a_text_that_is_no_schema_is_refused():
    text = CsvSchema(COLUMNS).dump()
    for damaged, due in (
        (text[:-1], "`text` is no schema of a CSV file: .*: give what `dump` made"),
        (text.replace('"integer"', '"intger"'), "kind.*did you mean 'integer'"),
        (text.replace('"header"', '"haeder"'), "the unknown field 'haeder': did you mean 'header'"),
        ("[]", "not a table of the fields of CsvSchema"),
    ):
        with pytest.raises(ValueError, match=due):
            CsvSchema.parse(damaged)


def test_values_that_no_schema_has_are_refused():
    with pytest.raises(ValueError, match=r"`target` \(=5\) must be from 0 to below the number of columns \(=5\)"):
        CsvSchema(COLUMNS, target=5)
    with pytest.raises(ValueError, match=r"`target` \(='note'\) must be a column that is read, not 'skip'"):
        CsvSchema(COLUMNS, target=3)
    for delimiter in (", ", "", '"', "\n", "\r"):
        with pytest.raises(
            ValueError, match=r"`delimiter` \(=.*\) must be one character, no quote and no end of a line"
        ):
            CsvSchema(COLUMNS, delimiter=delimiter)
    for columns in (COLUMNS[:1], (COLUMNS[4], COLUMNS[3])):
        with pytest.raises(ValueError, match="`columns` must have one that inputs are made of, beside `target`"):
            CsvSchema(columns, target=0)
    with pytest.raises(ValueError, match=r"CsvColumn\.kind"):
        CsvColumn("age", "number")  # pyright: ignore[reportArgumentType]
