"""Labels and colours come from the catalogue; a figure is written completely or not at all."""

from dataclasses import replace

import pytest
from matplotlib import pyplot

from omnilearn.data.catalogue import CATALOGUE, TOP
from omnilearn.errors import UserError
from omnilearn.plotting.style import (
    OTHER_COLOURS,
    class_style,
    figure,
    model_colour,
    require_drawable,
    sample_title,
)


def test_the_classes_of_a_dataset_have_distinct_colours():
    for spec in CATALOGUE.values():
        styles = [class_style(spec, name) for name in spec.class_names]
        assert len({style["color"] for style in styles}) == spec.num_classes
    assert class_style(TOP, "top")["label"] == r"$t\to bqq'$"


def test_an_unknown_class_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match="QCD, top"):
        class_style(TOP, "gluon")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"latex": "$H_$"},
            r"'latex' of the class top is '\$H_\$'; expected .* dataset\.json of top",
        ),
        ({"latex": r"$\ttbar$"}, "'latex' of the class top"),
        ({"colour": "tomato red"}, "'colour' of the class top is 'tomato red'"),
    ],
)
def test_what_matplotlib_cannot_draw_is_refused_in_a_sentence(change, message):
    background, signal = TOP.labels
    with pytest.raises(UserError, match=message):
        require_drawable(replace(TOP, labels=(background, replace(signal, **change))))
    with pytest.raises(UserError, match="'title' is"):
        require_drawable(replace(TOP, title="$H_$"))
    for spec in CATALOGUE.values():
        require_drawable(spec)
    require_drawable(replace(TOP, title="worth 5$"))


def test_a_known_model_has_one_colour_and_others_take_colours_by_position():
    assert model_colour("OmniLearn", 0) == model_colour("OmniLearn", 5)
    assert [model_colour("ParT", i) for i in range(len(OTHER_COLOURS))] == list(OTHER_COLOURS)


def test_a_failed_drawing_leaves_no_file(tmp_path):
    with pytest.raises(RuntimeError), figure(tmp_path / "broken"):
        raise RuntimeError("drawing failed")
    assert list(tmp_path.iterdir()) == []


def test_figures_do_not_stay_open(tmp_path):
    with figure(tmp_path / "line.v1") as axes:
        axes.plot([0, 1], [0, 1])
    assert pyplot.get_fignums() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["line.v1.pdf", "line.v1.png"]


@pytest.mark.parametrize(
    ("origin", "size", "text"),
    [
        ("simulated", 10_000, "Top tagging\nsimulated, 10 000 test jets"),
        ("public", None, "Top tagging\npublic"),
        (None, 5, "Top tagging\n5 test jets"),
        (None, None, "Top tagging"),
    ],
)
def test_the_title_of_a_legend_has_the_sample_its_origin_and_its_size(origin, size, text):
    assert sample_title("Top tagging", origin, size, "test jets") == text
