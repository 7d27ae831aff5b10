"""The black boxes of the LHC Olympics: events without labels."""

import numpy as np
import pytest
from raw_dijets import raw_events, write

from preprocessing import lhco

BLACK_BOX, RAW = "events_LHCO2020_BlackBox1.h5", "events_anomalydetection_v2.h5"


@pytest.mark.parametrize("columns", [2100, 2101])
def test_a_black_box_has_all_events_and_labels_where_they_were_added(tmp_path, columns):
    table = raw_events()
    path = write(tmp_path / BLACK_BOX, table[:, :columns])
    assert [shard.sources for shard in lhco.shards(tmp_path)] == [(path,)]
    assert lhco.count(path) == len(table)
    (chunk,) = lhco.read(path)
    np.testing.assert_array_equal(chunk.label, table[:, 2100] if columns == 2101 else 0)


@pytest.mark.parametrize("other", [RAW, lhco.EXTRA, "events_LHCO2020_BlackBox2.h5"])
def test_a_black_box_beside_another_sample_is_refused(refused, tmp_path, other):
    for name in (BLACK_BOX, other):
        write(tmp_path / "raw" / name, raw_events(2)[:, :2100])
    message = refused("lhco")
    assert f"{BLACK_BOX} and {tmp_path / 'raw' / other} are different samples" in message
