"""How ``check`` finds the directory that it tries to write into."""

from __future__ import annotations

import pytest

from traffic_aggr.restate.probes import _parent


@pytest.mark.parametrize(
    ("directory", "above"),
    [
        ("/a/b", "/a"),
        ("/a", "/"),
        ("hdfs://nn:8020/a/b", "hdfs://nn:8020/a"),
        ("hdfs://nn:8020/a", "hdfs://nn:8020/"),
        ("hdfs:///a", "hdfs:///"),
        ("file:/a", "file:/"),
    ],
)
def test_the_way_up_ends_at_the_root_of_the_file_system(directory: str, above: str) -> None:
    assert _parent(directory) == above
