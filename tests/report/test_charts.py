import re

import pytest

from ganatomy.experiments.dissection import Dissection
from ganatomy.report.html import concept_charts, layer_charts
from ganatomy.report.palette import category_colours, concept_colours
from ganatomy.report.svg import svg


def test_every_concept_has_a_bar_with_its_count_and_colour(dissection: Dissection) -> None:
    text = "".join(svg(chart) for _, chart in concept_charts(dissection))
    found = dissection.concepts[dissection.concepts.units_matched > 0]
    assert len(found) >= 5
    for row in found.itertuples():
        others = row.units_matched - row.units_labelled
        note = f"{row.units_labelled} + {others}" if others else f"{row.units_labelled}"
        assert f'href="#concept={row.concept}"' in text
        assert f">{note}</text>" in text
        assert concept_colours(dissection.vocabulary)[row.concept, row.category] in text


def test_categories_share_one_scale(dissection: Dissection) -> None:
    text = "".join(svg(chart) for _, chart in concept_charts(dissection))
    widths = [float(w) for w in re.findall(r'<rect x="27.00%" width="([\d.]+)%"', text)]
    matched = dissection.concepts.units_labelled
    assert max(widths) / min(widths) == pytest.approx(matched.max() / matched[matched > 0].min(), rel=1e-3)


def test_layers_show_their_counts(dissection: Dissection) -> None:
    units, concepts, mean = (svg(chart) for _, chart in layer_charts(dissection))
    for row in dissection.by_layer.itertuples():
        assert f">{row.matched} of {row.units}</text>" in units
        assert f">{row.concepts}</text>" in concepts
        assert f">{row.mean_iou:.3f}</text>" in mean
        assert f'width="{52 * row.units / dissection.by_layer.units.max():.2f}%"' in units, (
            "the track is the whole layer"
        )
        for category, colour in category_colours(dissection.vocabulary).items():
            n = getattr(row, category)
            assert (f"{row.layer}: {n} units match a concept of kind {category}" in units) == (n > 0)
            assert colour in units
