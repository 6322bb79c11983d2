"""CSV: types, headers, quotes, bad rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.spec_inputs import CsvInput

from .reading import opened, read_all


def write(folder: Path, text: str | bytes, name: str = "a.csv") -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


class TestTypes:
    def test_are_told_by_the_first_rows(self, tmp_path: Path) -> None:
        path = write(tmp_path, "i,f,s,b,d,n\n1,1.5,x,true,2026-01-02,\n2,2,y,false,2026-01-03,\n")
        schema = opened(CsvInput(path=path)).schema()
        kinds = [pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.date32(), pa.string()]
        assert schema == pa.schema(list(zip("ifsbdn", kinds, strict=True)))

    def test_a_job_tells_them_better(self, tmp_path: Path) -> None:
        path = write(tmp_path, "zip,x\n01234,1\n99999,2\n")
        source = opened(CsvInput(path=path, types={"zip": "string", "x": "float32"}))
        assert source.schema() == pa.schema([("zip", pa.string()), ("x", pa.float32())])
        assert read_all(source).good[0] == {"zip": "01234", "x": 1.0}

    def test_rows_that_are_not_looked_at_do_not_tell(self, tmp_path: Path) -> None:
        path = write(tmp_path, "x\n1\n2\n3.5\n")
        found = read_all(opened(CsvInput(path=path, infer_rows=2)))
        assert found.marked == [{"x": 1}, {"x": 2}, b"3.5"]
        text = found.bad[0].error.message
        assert "column 'x'" in text
        assert "int64" in text
        assert "3.5" in text

    def test_bad_rows_tell_nothing(self, tmp_path: Path) -> None:
        path = write(tmp_path, b"x,y\n1,2\n1,2,3\n\xff,4\n5,6\n")
        found = read_all(opened(CsvInput(path=path)))
        assert found.marked == [{"x": 1, "y": 2}, b"1,2,3", b"\xff,4", {"x": 5, "y": 6}]

    @pytest.mark.parametrize(
        ("types", "message"),
        [
            ({"x": "flaot64"}, "types.x: unknown type 'flaot64', did you mean 'float64'"),
            ({"x": "list<float32>"}, "types.x: a value of CSV is no list"),
        ],
    )
    def test_one_that_is_not_known(self, types: dict[str, str], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            opened(CsvInput(path="a.csv", types=types))

    def test_one_of_a_column_that_is_not_there(self, tmp_path: Path) -> None:
        path = write(tmp_path, "price\n1\n")
        source = opened(CsvInput(path=path, types={"prize": "float32"}))
        with pytest.raises(JobInputError, match=r"a\.csv: no column 'prize'.*mean 'price'"):
            source.schema()

    def test_what_stands_for_nothing(self, tmp_path: Path) -> None:
        path = write(tmp_path, "x,s\n1,-\n-,b\n")
        found = read_all(opened(CsvInput(path=path, null_values=("-",))))
        assert found.good == [{"x": 1, "s": "-"}, {"x": None, "s": "b"}]


class TestHeader:
    def test_columns_are_found_by_name_in_each_file(self, tmp_path: Path) -> None:
        write(tmp_path, "a,b\n1,x\n", "1.csv")
        write(tmp_path, "extra,b,a\n9,y,2\n", "2.csv")
        found = read_all(opened(CsvInput(path=str(tmp_path))))
        assert found.good == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]

    def test_a_column_is_missing_in_the_37th_file(self, tmp_path: Path) -> None:
        for number in range(40):
            header = "a,c" if number == 36 else "a,b"
            write(tmp_path, f"{header}\n1,2\n", f"{number:02}.csv")
        source = opened(CsvInput(path=str(tmp_path)))
        splits = list(source.plan())
        assert len(splits) == 40
        for split in splits:
            if "36.csv" in split.source:
                with pytest.raises(JobInputError, match=r"36\.csv: column 'b' is missing"):
                    list(source.read(split, 10, 1000))
            else:
                assert len(list(source.read(split, 10, 1000))) == 1

    def test_a_column_is_there_twice(self, tmp_path: Path) -> None:
        source = opened(CsvInput(path=write(tmp_path, "a,a\n1,2\n")))
        with pytest.raises(JobInputError, match="two columns are called 'a'"):
            source.schema()

    def test_there_is_none(self, tmp_path: Path) -> None:
        path = write(tmp_path, "1,x\n2,y\n")
        assert read_all(opened(CsvInput(path=path, header=False))).good == [
            {"f0": 1, "f1": "x"},
            {"f0": 2, "f1": "y"},
        ]
        named = opened(CsvInput(path=path, header=False, column_names=("n", "s")))
        assert read_all(named.only(["s"])).good == [{"s": "x"}, {"s": "y"}]

    def test_a_mark_of_byte_order_and_empty_lines_before_it(self, tmp_path: Path) -> None:
        path = write(tmp_path, b"\xef\xbb\xbf\r\n\r\na,b\r\n1,2\r\n\r\n3,4\r\n")
        for split_rows in (1, 2, 1000):
            found = read_all(opened(CsvInput(path=path), split_rows))
            assert found.marked == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]

    def test_it_is_all_there_is(self, tmp_path: Path) -> None:
        source = opened(CsvInput(path=write(tmp_path, "a,b\n")))
        assert source.schema() == pa.schema([("a", pa.string()), ("b", pa.string())])
        assert read_all(source).marked == []


class TestQuotes:
    def test_values_with_delimiters(self, tmp_path: Path) -> None:
        path = write(tmp_path, 'a;b\n"x;1";"say ""hi"""\n')
        found = read_all(opened(CsvInput(path=path, delimiter=";")))
        assert found.good == [{"a": "x;1", "b": 'say "hi"'}]

    def test_one_that_stays_open_is_bad_wherever_it_stands(self, tmp_path: Path) -> None:
        for position in range(3):
            rows = ["1,x", "2,y", "3,z"]
            rows[position] = '7,"open'
            found = read_all(opened(CsvInput(path=write(tmp_path, "\n".join(["a,b", *rows])))))
            assert [isinstance(one, bytes) for one in found.marked] == [
                number == position for number in range(3)
            ]
            assert found.bad[0].raw == b'7,"open'

    def test_newlines_in_values_have_to_be_announced(self, tmp_path: Path) -> None:
        path = write(tmp_path, 'a,b\n1,"x\ny"\n2,z\n')
        assert read_all(opened(CsvInput(path=path))).marked == [b'1,"x', b'y"', {"a": 2, "b": "z"}]
        source = opened(CsvInput(path=path, newlines_in_values=True), split_rows=1)
        assert len(list(source.plan())) == 1
        assert read_all(source).good == [{"a": 1, "b": "x\ny"}, {"a": 2, "b": "z"}]

    def test_bad_rows_among_values_with_newlines(self, tmp_path: Path) -> None:
        path = write(tmp_path, 'a,b\n1,"x\ny"\nno,"\n"\n3\n4,"\n\n"\n')
        source = opened(CsvInput(path=path, newlines_in_values=True, types={"a": "int64"}))
        found = read_all(source)
        expected = [{"a": 1, "b": "x\ny"}, b'no,"\n"', b"3", {"a": 4, "b": "\n\n"}]
        assert found.marked == expected

    def test_there_are_none(self, tmp_path: Path) -> None:
        path = write(tmp_path, 'a,b\n1,"x\n2,y"\n')
        found = read_all(opened(CsvInput(path=path, quote="")))
        assert found.good == [{"a": 1, "b": '"x'}, {"a": 2, "b": 'y"'}]

    @pytest.mark.parametrize("name", ["delimiter", "quote"])
    def test_what_cannot_be_one(self, name: str) -> None:
        with pytest.raises(ConfigError, match=f"input: {name}: expected one ASCII character"):
            opened(CsvInput(path="a", **{name: "§"}))


class TestBadRows:
    def test_each_with_what_was_read_and_why(self, tmp_path: Path) -> None:
        path = write(tmp_path, b"a,b\n1,x\n2\nno,y\n3,\xff\n4,z\n5,u\rv\n")
        found = read_all(opened(CsvInput(path=path, types={"a": "int64"})))
        assert found.marked == [
            {"a": 1, "b": "x"},
            b"2",
            b"no,y",
            b"3,\xff",
            {"a": 4, "b": "z"},
            b"5,u\rv",
        ]
        reasons = [one.error.message for one in found.bad]
        assert "Expected 2 columns, got 1" in reasons[0]
        assert "column 'a'" in reasons[1]
        assert "utf-8" in reasons[2]
        assert "carriage return" in reasons[3]

    def test_among_many(self, tmp_path: Path) -> None:
        rows = [f"{number},{number * 2}" for number in range(50_000)]
        bad = [0, 777, 30_000, 49_999]
        for number in bad:
            rows[number] = "broken"
        path = write(tmp_path, "\n".join(["a,b", *rows]) + "\n")
        found = read_all(opened(CsvInput(path=path, types={"a": "int64"}), 50_000), 10_000)
        assert [number for number, one in enumerate(found.marked) if one == b"broken"] == bad
        assert len(found.good) == 49_996
        assert found.good[1000] == {"a": 1002, "b": 2004}

    def test_a_value_of_a_column_that_nobody_wants_may_be_bad(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a,b\n1,2\n3,no\n")
        source = opened(CsvInput(path=path, types={"b": "int64"}))
        assert len(read_all(source).bad) == 1
        assert read_all(source.only(["a"])).good == [{"a": 1}, {"a": 3}]

    def test_a_row_that_is_too_long(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a\nx\n" + "y" * 200_000 + "\nz\n")
        found = read_all(opened(CsvInput(path=path, max_row_bytes=1000)))
        assert found.marked == [{"a": "x"}, b"y" * 65536, {"a": "z"}]
        assert "longer than 1000 bytes" in found.bad[0].error.message
