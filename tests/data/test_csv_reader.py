"""CSV files read by a schema."""

import itertools

import jax
import numpy as np
import pytest

from matrinox.data import CsvColumn, CsvFile, CsvSchema, FillWith, StreamLoader, fit_csv, read_csv

TEXT = "age,city,height,paid\n30,Bern,1.5,yes\n40, Aarau ,,no\n50,Bern,-2e-1,yes\n"


@pytest.fixture
def written(tmp_path):
    """Writes text to a file of that name."""

    def write(text, name="data.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_rows_become_numbers_and_one_hots_worked_out_by_hand(written):
    path = written(TEXT)
    data = read_csv(path, fit_csv(path, target="paid", missing={"height": "mean"}))
    fill = np.float32((1.5 - 0.2) / 2)
    assert data.inputs.tolist() == [[30, 0, 1, 1.5], [40, 1, 0, fill], [50, 0, 1, np.float32(-0.2)]]
    assert data.targets.tolist() == [1, 0, 1]
    assert (data.inputs.dtype, data.targets.dtype, data.name) == (np.float32, np.int32, "data")


def test_targets_have_the_type_of_their_column_and_need_not_be(written):
    path = written(TEXT)
    missing = {"height": FillWith(0)}
    assert read_csv(path, fit_csv(path, missing=missing)).targets is None
    assert read_csv(path, fit_csv(path, missing=missing, target="age")).targets.dtype == np.int32
    floats = read_csv(path, fit_csv(path, missing=missing, target="age", types={"age": "float"}), name="ages")
    assert (floats.targets.dtype, floats.targets.tolist(), floats.name) == (np.float32, [[30], [40], [50]], "ages")


def test_ids_alone_are_integers_and_beside_numbers_are_numbers(written):
    path = written("a,b,y\nu,7,1\nv,8,0\n")
    ids = read_csv(path, fit_csv(path, types={"b": "category"}, encoding="id", target="y"))
    assert (ids.inputs.dtype, ids.inputs.tolist()) == (np.int32, [[0, 0], [1, 1]])
    both = read_csv(path, fit_csv(path, encoding={"a": "id"}, target="y"))
    assert (both.inputs.dtype, both.inputs.tolist()) == (np.float32, [[0, 7], [1, 8]])


def test_another_file_is_read_by_the_tables_and_fills_of_the_first(written):
    schema = fit_csv(written(TEXT), target="paid", missing={"age": "median", "city": "most-frequent", "height": "mean"})
    test = read_csv(written("age,city,height,paid\n,,,no\n7,Aarau,1,no\n", "test.csv"), schema)
    assert test.inputs.tolist() == [[40, 0, 1, np.float32(0.65)], [7, 1, 0, 1]]
    assert test.targets.tolist() == [0, 0]


def test_a_field_that_the_schema_does_not_know_is_named_by_file_line_and_column(written):
    schema = fit_csv(written(TEXT), target="paid", missing={"height": "mean"})
    for row, due in (
        (
            "30,Berne,1,no",
            r"test\.csv, line 3, column 'city': 'Berne' is not among the categories Aarau, Bern: did you",
        ),
        ("3o,Bern,1,no", r"test\.csv, line 3, column 'age': '3o' is not an integer of 32 bits: mend the field"),
        (",Bern,1,no", r"test\.csv, line 3, column 'age': the field is missing: mend the row or"),
        ("30,Bern,1,", r"test\.csv, line 3, column 'paid': the field is missing"),
        ("30,Bern,1,no,5", r"test\.csv, line 3: the row has 5 fields and there are 4 columns: mend the row"),
    ):
        with pytest.raises(ValueError, match=due):
            read_csv(written(f"age,city,height,paid\n1,Bern,1,no\n{row}\n", "test.csv"), schema)


def test_another_header_is_refused_by_the_first_column_that_differs(written):
    schema = fit_csv(written(TEXT), missing={"height": "mean"})
    for header, found in (("age,town,height,paid", "'town'"), ("age", "None")):
        with pytest.raises(ValueError, match=f"line 1: column 2 is called {found} and in the schema 'city': bring the"):
            CsvFile(written(f"{header}\n", "test.csv"), schema)


def test_a_file_without_the_column_of_the_target_has_the_same_inputs(written):
    schema = fit_csv(written("age,paid,city\n30,yes,Bern\n40,no,Aarau\n"), target="paid")
    path = written("age,city\n40,Aarau\n", "new.csv")
    with pytest.raises(
        ValueError, match=r"new\.csv, line 1: the column 'paid' of the target is missing: .*_target\(\)"
    ):
        read_csv(path, schema)
    data = read_csv(path, schema.without_target())
    assert (data.inputs.tolist(), data.targets) == ([[40, 1, 0]], None)
    assert schema.without_target().features == schema.features
    assert schema.without_target().without_target() == schema.without_target()


def test_a_file_without_rows_is_no_data_set(written):
    schema = CsvSchema((CsvColumn("a", "float"),))
    for text in ("", "a\n"):
        with pytest.raises(ValueError, match="has no rows: give a file with one at least"):
            read_csv(written(text), schema)
        assert len(CsvFile(written(text), schema)) == 0


@pytest.fixture
def long(written):
    """A file of 1000 rows, of which every third takes two lines."""
    rows = (f'{i},"a\nb",{i % 7}' if i % 3 == 0 else f"{i},c,{i % 7}" for i in range(1000))
    path = written("x,text,y\n" + "\n".join(rows))
    return CsvFile(path, fit_csv(path, target="y"))


def test_a_stream_of_a_file_begins_at_any_row(long):
    assert len(long) == 1000
    whole = read_csv(long._path, long.schema)
    for first in (0, 1, 255, 256, 700, 999, 1000):
        inputs = [inputs for inputs, _ in long.blocks(first)]
        assert np.array_equal(np.concatenate(inputs) if inputs else np.zeros((0, 3)), whole.inputs[first:])


def test_a_loader_streams_a_file_shuffled_and_from_any_position(long):
    loader = StreamLoader(long, 100, key=jax.random.key(0), buffer=300)
    batches = list(itertools.islice(loader.batches(), 12))
    rows = np.concatenate([inputs[:, 0] for inputs, _ in batches[:10]])
    assert sorted(rows.tolist()) == list(range(1000))
    for first in (3, 11):
        inputs, targets = next(loader.batches(first))
        assert np.array_equal(inputs, batches[first][0])
        assert np.array_equal(targets, inputs[:, 0] % 7)


def test_fingerprint_sees_the_file_and_the_schema(long, written):
    same = CsvFile(long._path, long.schema, name="another name")
    other = CsvFile(long._path, fit_csv(long._path, target="y", encoding="id"))
    changed = CsvFile(written(long._path.read_text() + "\n7,c,7", "more.csv"), long.schema)
    assert same.fingerprint() == long.fingerprint()
    assert len({long.fingerprint(), other.fingerprint(), changed.fingerprint()}) == 3
