"""Charts: the same bytes from the same frame, names as plain text, a message in words."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from aiops_analysis.presentation import charts
from aiops_analysis.presentation.series import sparkline
from aiops_analysis.presentation.style import CHART, CHART_MARKS, DARK, GRAPHICS, HEAT, LIGHT, PAIRS, contrast
from tests import frames, report_kinds

ROOT = Path(__file__).resolve().parents[1]
DIGESTS = """
import hashlib
from tests import frames, test_charts
for picture in test_charts.drawn(frames.calm()):
    print(hashlib.sha256(picture.svg.encode()).hexdigest())
"""


def drawn(recs) -> list[charts.Picture]:
    return [
        charts.overprovision_by_namespace(frames.namespaces(recs)),
        charts.before_after(recs, currency="USD"),
        charts.under_provisioned(recs),
        charts.completeness(frames.day_rows()),
        charts.week_profile(report_kinds.profile()),
    ]


def python(code: str, seed: str) -> list[str]:
    env = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "MPLBACKEND": "pdf", "HOME": str(Path.home())}
    return subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True, timeout=120).stdout.split()


def test_f59_svg_is_the_same_in_every_process() -> None:
    first = python(DIGESTS, "1")
    assert len(set(first)) == 5
    assert first == python(DIGESTS, "2")
    assert first == [hashlib.sha256(picture.svg.encode()).hexdigest() for picture in drawn(frames.calm())]


def test_importing_charts_is_light_and_drawing_leaves_no_global_state() -> None:
    code = "import sys, aiops_analysis.presentation.tables; print('matplotlib' in sys.modules)"
    assert python(code, "0") == ["False"]
    code = (
        "import sys; from tests import frames, test_charts; import matplotlib as m; a = dict(m.rcParams); test_charts.drawn(frames.calm())"
    )
    assert python(f"{code}; print('matplotlib.pyplot' in sys.modules, dict(m.rcParams) == a)", "0") == ["False", "True"]


def test_pictures_share_no_id_and_every_reference_has_its_target() -> None:
    pictures = [*drawn(frames.calm()), *drawn(frames.many())]
    every: list[str] = []
    for picture in pictures:
        ids = re.findall(r' id="([^"]+)"', picture.svg)
        assert len(ids) == len(set(ids))
        assert set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)", picture.svg)) <= {(one, "") for one in ids} | {("", one) for one in ids}
        every += ids
    every = [one for picture in {p.svg for p in pictures} for one in re.findall(r' id="([^"]+)"', picture)]
    assert len(every) == len(set(every)) > 0


@pytest.mark.parametrize("picture", drawn(frames.calm()), ids=lambda p: p.alt[:12])
def test_a_picture_has_role_description_light_card_and_no_style_for_the_page(picture: charts.Picture) -> None:
    root = ET.fromstring(picture.svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == picture.alt
    assert f"fill: {CHART['card']}" in picture.svg[:900]
    assert "<style" not in picture.svg
    data, about = picture._repr_mimebundle_()
    assert data == {"image/svg+xml": picture.svg, "text/plain": picture.alt}
    assert about == {"image/svg+xml": {"alt": picture.alt}}


def test_the_message_of_over_provisioning_is_computed_from_the_frame() -> None:
    # cpu: requests 2 x (0.5 + 0.2 + 0.1 + 0.5) = 2.6 with a P95 (newcomer has none), P95 2 x (0.05 + 0.045 + 0.19 + 0.33) = 1.23
    # 1 - 1.23/2.6 = 52.7 %; todo: 1 - 0.095/0.7 = 86.4 %
    # memory: requests 2 x (1024 + 256 + 512) = 3584 MiB = 3.5 GiB, P95 2 x (170 + 250 + 340) = 1520 MiB; 1 - 1520/3584 = 57.6 %
    alt = charts.overprovision_by_namespace(frames.namespaces(frames.calm())).alt.replace("\xa0", " ")
    assert "CPU: 53 % of 2.6 cores" in alt
    assert "Memory: 58 % of 3.5 GiB" in alt
    assert alt.endswith("largest share: 86 % of CPU in todo.")


def test_the_message_of_before_and_after() -> None:
    alt = charts.before_after(frames.calm(), currency="USD").alt.replace("\xa0", " ")
    # 18.00 + 4.50 + 4.50
    assert alt == "Requests to lower. 3 rows, together 27.00 USD a month on paper; the largest is backend/app in todo, CPU 500m → 100m."


def test_the_message_of_completeness() -> None:
    # 6 metrics x 28 days; 2 days with holes, 6 missing; (168 - 6 - 2 + 2 x 0.875) / 168 = 96.3 %
    alt = charts.completeness(frames.day_rows()).alt.replace("\xa0", " ")
    assert alt == "Measured days by metric. 160 of 168 metric days are whole, 6 are not stored; completeness 96 %."


def test_f41_hostile_names_are_cut_plain_text() -> None:
    for picture in drawn(frames.hostile())[:3]:
        root = ET.fromstring(picture.svg)  # well-formed
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags <= {"svg", "g", "path", "text", "defs", "clipPath", "rect", "pattern", "use"}
        assert not [key for element in root.iter() for key in element.attrib if key.startswith("on")]
        assert all(len(text) < 80 for element in root.iter() if (text := element.text or ""))
    words = "".join(picture.svg for picture in drawn(frames.hostile())[:3])
    assert "$a_{" in words  # not read as mathematics
    assert "&lt;script&gt;wi" in words


def test_x12_mathematics_is_never_read() -> None:
    name = r"$\frac{1}{0}$"
    recs = frames.recommendations([frames.recommendation(name, namespace=name, container=name)])
    assert name in charts.overprovision_by_namespace(frames.namespaces(recs)).svg


def test_f23_nothing_to_show_is_said() -> None:
    recs = frames.calm().iloc[:0]
    for picture in (charts.before_after(recs), charts.under_provisioned(recs)):
        assert "Nothing to show." in picture.svg
        assert "None in this window" in picture.alt
    assert charts.overprovision_by_namespace(frames.namespaces(frames.calm()).iloc[:0]).alt.endswith("No request is known.")


def test_many_namespaces_are_cut_and_the_chart_says_so() -> None:
    rows = [frames.recommendation(namespace=f"team-{place:02d}", paper=float(place)) for place in range(20)]
    svg = charts.overprovision_by_namespace(frames.namespaces(frames.recommendations(rows))).svg
    assert "team-19" in svg
    assert "team-07" not in svg  # twelve are shown: 19 down to 8
    assert "8 more namespaces are in the table" in svg


def test_a_sparkline_leaves_gaps_and_draws_the_request() -> None:
    nan = float("nan")
    root = ET.fromstring(sparkline([1.0, 2.0, nan, 4.0], 4.0, 'P95 "a" & b'))
    lines = [element.get("points") for element in root.iter() if element.tag.endswith("polyline")]
    # 96 x 24, edges of 2: x = 2, 32.67, 63.33, 94; y = 22 - v/4 x 20
    assert lines == ["2.0,17.0 32.7,12.0", "94.0,2.0 94.0,2.0"]
    assert root.get("aria-label") == 'P95 "a" & b'
    (request,) = [element for element in root.iter() if element.tag.endswith("line") and not element.tag.endswith("polyline")]
    assert request.get("y1") == "2.0"
    assert "polyline" not in sparkline([nan, nan])
    assert "polyline" not in sparkline([])


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_keeps_its_contrast(palette: dict[str, str]) -> None:
    assert {
        pair: contrast(palette[pair[0]], palette[pair[1]]) for pair in PAIRS if contrast(palette[pair[0]], palette[pair[1]]) < 4.5
    } == {}
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_that_mean_something_keep_their_contrast(palette: dict[str, str]) -> None:
    assert {pair for pair in GRAPHICS if contrast(palette[pair[0]], palette[pair[1]]) < 3} == set()


def test_every_colour_that_the_page_gives_to_text_or_lines_is_checked() -> None:
    sheet = (ROOT / "aiops_analysis/presentation/templates/aiops/report.css").read_text(encoding="utf-8")
    inks = set(re.findall(r"[{;]\s*color: var\(--(\w+)\)", sheet))
    grounds = set(re.findall(r"background: var\(--(\w+)\)", sheet))
    assert inks == {"ink", "quiet", "link", "good", "warn", "bad"}
    assert grounds == {"page", "panel"}
    assert {(ink, ground) for ink in inks for ground in grounds} <= set(PAIRS)
    assert set(re.findall(r"opacity: (\S+);", sheet)) == {"1", ".5"}  # paler text has no contrast of its own; .5 is the axis


def test_colours_in_charts_keep_their_contrast() -> None:
    assert min(contrast(CHART[ink], CHART["card"]) for ink in ("ink", "quiet")) >= 4.5
    assert min(contrast(CHART[mark], CHART["card"]) for mark in CHART_MARKS) >= 3
    assert min(contrast(ink, ground) for ground, ink in HEAT) >= 4.5
    steps = [contrast(ground, CHART["card"]) for ground, _ in HEAT]
    assert steps == sorted(steps)  # more is darker, in print and for colour-blind readers too


def test_charts_do_not_change_their_frame() -> None:
    recs, days = frames.calm(), frames.day_rows()
    spaces = frames.namespaces(recs)
    before = recs.copy(deep=True), days.copy(deep=True), spaces.copy(deep=True)
    drawn(recs)
    charts.overprovision_by_namespace(spaces)
    charts.completeness(days)
    for now, then in zip((recs, days, spaces), before, strict=True):
        assert now.equals(then)


def test_the_message_of_requests_to_raise_names_the_largest_step_first() -> None:
    # checkout 0.4/0.1 = 4 times, search 512/256 = 2 times; from nothing is no factor and comes last
    unset = frames.recommendation("unset", now=frames.NAN, then=0.1, change="increase", paper=frames.NAN)
    recs = frames.recommendations([unset, *frames.calm().to_dict("records")])
    alt = charts.under_provisioned(recs).alt.replace("\xa0", " ")
    assert alt == (
        "Requests to raise. 3 rows (2 CPU, 1 Memory); checkout/app in shop, CPU 100m → 400m; "
        "search/app in shop, Memory 256 MiB → 512 MiB; unset/app in todo, CPU not set → 100m."
    )
