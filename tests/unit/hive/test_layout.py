"""Places and row formats."""

from __future__ import annotations

import pytest

from traffic_aggr.hive.layout import (
    PARQUET_SERDE,
    TEXT_SERDE,
    Directories,
    RowFormat,
    normal,
    run_directory,
    text_hazards,
)


def text(**properties: str) -> RowFormat:
    """Delimited text; ``_`` in a property's name stands for a dot."""
    named = {name.replace("_", "."): value for name, value in properties.items()}
    return RowFormat(TEXT_SERDE, "in", "out", named)


@pytest.mark.parametrize(
    ("properties", "characters"),
    [
        pytest.param({"field_delim": ";"}, ";\n\r", id="the delimiter of production"),
        pytest.param({"field_delim": ";", "serialization_format": ";"}, ";\n\r", id="as Hive stores it"),
        pytest.param({"field_delim": "|", "serialization_format": ","}, "|\n\r", id="field.delim counts first"),
        pytest.param({"serialization_format": ","}, ",\n\r", id="serialization.format alone"),
        pytest.param({"serialization_format": "1"}, "\x01\n\r", id="a number is a byte"),
        pytest.param({"field_delim": "59"}, ";\n\r", id="a number of two digits is a byte"),
        pytest.param({"field_delim": "-2"}, "\xfe\n\r", id="a negative byte"),
        pytest.param({}, "\x01\n\r", id="no property at all"),
        pytest.param({"field_delim": "\t"}, "\t\n\r", id="a tabulator"),
        pytest.param({"field_delim": "||"}, "|\n\r", id="only the first character counts"),
        pytest.param({"field_delim": ";", "escape_delim": "\\"}, "\n\r", id="escaped, line ends not"),
        pytest.param(
            {"field_delim": ";", "escape_delim": "\\", "serialization_escape_crlf": "true"}, "", id="all escaped"
        ),
        pytest.param({"field_delim": ";", "serialization_escape_crlf": "true"}, ";\n\r", id="nothing to escape with"),
    ],
)
def test_hazardous_characters_of_a_text_table(properties: dict[str, str], characters: str) -> None:
    assert set(text_hazards([text(**properties)]).characters) == set(characters)


@pytest.mark.parametrize(
    ("properties", "markers"),
    [
        pytest.param({}, (r"\N",), id="Hive's own"),
        pytest.param({"serialization_null_format": ""}, ("",), id="the empty string"),
        pytest.param({"serialization_null_format": "NULL"}, ("NULL",), id="a word"),
        pytest.param({"escape_delim": "\\"}, (), id="a marker with the escape in it is safe"),
        pytest.param({"escape_delim": "\\", "serialization_null_format": "NULL"}, ("NULL",), id="a word is not"),
    ],
)
def test_hazardous_values_of_a_text_table(properties: dict[str, str], markers: tuple[str, ...]) -> None:
    assert text_hazards([text(**properties)]).null_markers == markers


def test_hazards_of_several_tables_are_those_of_each() -> None:
    found = text_hazards([text(field_delim=";"), text(field_delim=",", serialization_null_format="-")])
    assert set(found.characters) == set(";,\n\r")
    assert found.null_markers == (r"\N", "-")


def test_parquet_has_no_hazards() -> None:
    found = text_hazards([RowFormat(PARQUET_SERDE, "", "")])
    assert (found.characters, found.null_markers) == ("", ())


@pytest.mark.parametrize(
    ("spelling", "place"),
    [
        ("/data/final", "file:/data/final"),
        ("file:/data/final", "file:/data/final"),
        ("file:///data/final", "file:/data/final"),
        ("file:///data/final/", "file:/data/final"),
        ("/data/final//", "file:/data/final"),
        ("hdfs://nameservice1/data/final/", "hdfs://nameservice1/data/final"),
        ("hdfs://nameservice1/data/final", "hdfs://nameservice1/data/final"),
        ("s3a://bucket/final/", "s3a://bucket/final"),
        ("file:///data//other/../final/.", "file:/data/final"),
        ("hdfs://nameservice1//data/./final", "hdfs://nameservice1/data/final"),
        ("hdfs://nameservice1/", "hdfs://nameservice1"),
    ],
)
def test_each_directory_has_one_spelling(spelling: str, place: str) -> None:
    assert normal(spelling) == place
    assert normal(place) == place


def test_the_same_path_on_two_file_systems_is_two_places() -> None:
    assert normal("hdfs://a/final") != normal("hdfs://b/final") != normal("/final")


def test_a_run_works_in_a_hidden_directory_under_the_table() -> None:
    assert run_directory("hdfs://a/final/", "RUN") == run_directory("hdfs://a/final", "RUN")
    assert run_directory("hdfs://a/final", "RUN") == "hdfs://a/final/.traffic_aggr/RUN"


@pytest.mark.parametrize(
    ("location", "overlaps", "holds"),
    [
        ("hdfs://ns/data/final", True, True),
        ("hdfs://NN1:8020/data/final/", True, True),
        ("viewfs://cluster/data/final", True, True),
        ("hdfs:///data//final", True, True),
        ("hdfs://nn1/data", True, True),
        ("hdfs://nn1/", True, True),
        ("hdfs://nn1/data/final/day=1", True, False),
        ("hdfs://ns/data/final2", False, False),
        ("hdfs://ns/data/fin", False, False),
        ("hdfs://ns/final", False, False),
    ],
)
def test_directories_overlap_by_their_paths(location: str, overlaps: bool, holds: bool) -> None:
    used = Directories(["hdfs://ns/data/final"])
    assert (used.overlap(location), used.are_in(location)) == (overlaps, holds)
    assert not Directories([]).overlap(location)
