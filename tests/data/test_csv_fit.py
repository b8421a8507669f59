"""What the columns of a CSV file are, found in the file."""

import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import CsvColumn, FillWith, fit_csv


@pytest.fixture
def written(tmp_path):
    """Writes text to `data.csv`."""

    def write(text):
        path = tmp_path / "data.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


MIXED = "age,height,city,paid\n30,1.5,Bern,yes\n40,2,Aarau,no\n50,1e0,Bern,yes\n"


def test_types_are_those_of_all_fields_of_a_column(written):
    schema = fit_csv(written(MIXED), target="paid")
    assert schema.columns == (
        CsvColumn("age", "integer"),
        CsvColumn("height", "float"),
        CsvColumn("city", "category", ("Aarau", "Bern")),
        CsvColumn("paid", "category", ("no", "yes")),
    )
    assert schema.target == 3
    assert schema.features == ("age", "height", "city=Aarau", "city=Bern")
    assert schema.classes == ("no", "yes")
    # The last of a hundred fields decides as the first does.
    late = written("x\n" + "1\n" * 99 + "1.5\n")
    assert fit_csv(late).columns[0].kind == "float"


def test_types_that_are_given_hold(written):
    types = {"age": "category", "height": "skip", "city": "category"}
    schema = fit_csv(written(MIXED), types=types, encoding={"city": "id"}, target=-1)
    assert [column.kind for column in schema.columns] == ["category", "skip", "category", "category"]
    assert schema.features == ("age=30", "age=40", "age=50", "city")


def test_a_file_without_a_header_has_columns_by_number(written):
    schema = fit_csv(written("1;x\n2;y\n"), header=False, delimiter=";", target=0, types={"0": "float"})
    assert [(column.name, column.kind) for column in schema.columns] == [("0", "float"), ("1", "category")]
    assert fit_csv(written("1;x\n2;y\n"), header=False, delimiter=";", target="1").target == 1


HOLES = "a,b,c,y\n1,1,u,0\n,5,,1\n3,NA,v,0\n8,5,v,1\n100,9,w,1\n"


@pytest.mark.parametrize(
    ("policy", "fills"),
    [
        ("mean", [28.0, 5.0]),
        ("median", [5.5, 5.0]),
        ("most-frequent", [1.0, 5.0]),
        (FillWith(7), [7.0, 7.0]),
    ],
    ids=["mean", "median", "most-frequent", "value"],
)
def test_what_missing_numbers_count_as_is_fitted(written, policy, fills):
    schema = fit_csv(written(HOLES), missing={"a": policy, "b": policy, "c": "most-frequent"}, target="y")
    assert [column.fill for column in schema.columns] == [*fills, "v", None]


def test_what_missing_fields_count_as_is_fitted_on_the_training_rows_alone(written):
    schema = fit_csv(
        written(HOLES), missing={"a": "mean", "b": "mean", "c": FillWith("none")}, rows=np.array([0, 2, 3])
    )
    assert [column.fill for column in schema.columns] == [4.0, 3.0, "none", None]
    assert schema.columns[2].categories == ("none", "u", "v", "w")
    everywhere = fit_csv(written(HOLES), missing="most-frequent", rows=np.array([4]), target="y")
    assert [column.fill for column in everywhere.columns] == [100.0, 9.0, "w", None]


def test_one_value_for_all_is_for_the_columns_that_it_can_be_of(written):
    path = written("a,b,c\n,u,1\n3,v,2\n")
    assert [column.fill for column in fit_csv(path, missing=FillWith(0), target="c").columns] == [0.0, None, None]
    with pytest.raises(ValueError, match=r"line 2, column 'a': the field is missing"):
        fit_csv(path, missing=FillWith("none"))


def test_a_missing_field_is_refused_where_nothing_is_said_of_it(written):
    with pytest.raises(ValueError, match=r"data\.csv, line 3, column 'a': the field is missing: mend the row or, for"):
        fit_csv(written(HOLES))
    # A mean is for numbers: categories stay as they are, and so does a target.
    with pytest.raises(ValueError, match=r"line 3, column 'c': the field is missing"):
        fit_csv(written(HOLES), missing="mean")
    with pytest.raises(ValueError, match=r"line 3, column 'y': the field is missing"):
        fit_csv(written("x,y\n1,2\n3,\n"), missing="mean", target="y")


def test_a_policy_that_a_column_cannot_have_is_refused(written):
    with pytest.raises(ValueError, match=r"`missing` of 'c' \(='mean'\) must be .*: a category has no mean"):
        fit_csv(written(HOLES), missing={"a": "mean", "b": "mean", "c": "mean"})
    with pytest.raises(ValueError, match=r"`missing` of 'y' \(='mean'\) must be 'refuse': a target that is missing"):
        fit_csv(written(HOLES), missing={"a": "mean", "b": "mean", "c": "most-frequent", "y": "mean"}, target="y")
    for value, column, due in ((1.0, "c", "text, the name"), ("u", "a", "a number"), (1e39, "a", "a number")):
        with pytest.raises(ValueError, match=rf"`missing` of '{column}' \(=FillWith\(.*\)\) must be {due}"):
            fit_csv(written(HOLES), missing={"a": "mean", "b": "mean", "c": "most-frequent", column: FillWith(value)})
    with pytest.raises(
        ValueError, match=r"column 'a' has no value in the training rows to fit `missing` \(='mean'\) on"
    ):
        fit_csv(written(HOLES), missing={"a": "mean", "b": "mean", "c": FillWith("-")}, rows=np.array([1]))


def test_a_column_of_numbers_and_words_is_refused_until_its_type_is_given(written):
    path = written("x,code\n1,7\n1o,8\n2,A1\n")
    with pytest.raises(
        ValueError, match=r"line 3, column 'x': '1o' is no number of 32 bits, and 2 other fields are: mend it.*types"
    ):
        fit_csv(path)
    assert fit_csv(path, types={"x": "skip", "code": "category"}).columns[1].categories == ("7", "8", "A1")
    with pytest.raises(ValueError, match=r"line 3, column 'x': '1o' is not a number of 32 bits: mend the field"):
        fit_csv(path, types={"x": "float"})
    with pytest.raises(ValueError, match=r"line 2, column 'x': '0\.5' is not an integer of 32 bits: mend the field"):
        fit_csv(written("x\n0.5\n1e999\n"), types={"x": "integer"})


@pytest.mark.parametrize("word", ["1_000", "inf", "0x1F", "1e999", "1e39", "١", "--1"])
def test_what_is_no_number_of_32_bits_in_plain_digits_is_a_word(written, word):
    with pytest.raises(ValueError, match=r"line 3, column 'x': .* is no number"):
        fit_csv(written(f"x\n1\n{word}\n"))


def test_an_integer_beyond_32_bits_is_a_float(written):
    assert fit_csv(written("x,y\n2147483648,2147483647\n")).columns[0].kind == "float"
    assert fit_csv(written("x,y\n2147483648,2147483647\n")).columns[1].kind == "integer"


def test_a_row_of_another_number_of_fields_is_named_by_its_line(written):
    path = written('a,b\n1,"two\nlines"\n\n3\n')
    with pytest.raises(
        ValueError, match=r"data\.csv, line 5: the row has 1 field and there are 2 columns: mend the row"
    ):
        fit_csv(path)


def test_a_name_that_no_column_has_names_the_nearest(written):
    path = written(MIXED)
    for options in ({"target": "payd"}, {"types": {"payd": "skip"}}, {"missing": {"payd": "mean"}}):
        with pytest.raises(ValueError, match=r"\(='payd'\) must be a column of .*, age, .*: did you mean 'paid'\?"):
            fit_csv(path, **options)
    with pytest.raises(ValueError, match=r"`target` \(=4\) must be from -4 to below the number of columns \(=4\)"):
        fit_csv(path, target=4)


def test_files_without_what_it_takes_are_refused(written):
    with pytest.raises(ValueError, match="is empty: give a file with one row"):
        fit_csv(written("\n"))
    with pytest.raises(ValueError, match="has a header and no rows"):
        fit_csv(written("a,b\n"))
    with pytest.raises(ValueError, match=r"line 1: 2 columns are called 'a': give each a name of its own"):
        fit_csv(written("a,b,a\n1,2,3\n"))
    with pytest.raises(ValueError, match=r"column 'b' has no value: leave it out, by types=\{'b': 'skip'\}"):
        fit_csv(written("a,b\n1,\n"))
    with pytest.raises(ValueError, match=r"column 'a' has more than `max_categories` \(=2\) categories: leave it out"):
        fit_csv(written("a\nx\ny\nz\n"), max_categories=2)


def test_rows_and_options_of_another_kind_are_refused(written):
    with pytest.raises(IndexError, match="`rows` holds 5, and there are 5 examples"):
        fit_csv(written(HOLES), missing="most-frequent", rows=np.array([5]))
    with pytest.raises(ContractError, match="missing"):
        fit_csv(written(HOLES), missing="average")  # pyright: ignore[reportArgumentType]
