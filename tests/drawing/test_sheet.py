import re
import warnings
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.drawing import LAYOUTS, draw_ecg, figure_svg, save_figure
from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import EcoscaleError, LeadError, SignalError

RATE = 500


def beats(seconds=10.0, leads=LEADS, rate=RATE, record="beats"):
    """A millivolt-high triangle every second, 40 ms wide, the same in each lead."""
    times = np.arange(round(seconds * rate)) / rate
    wave = np.clip(1 - np.abs(times % 1 - 0.5) / 0.02, 0, None)
    return ECG(np.tile(wave, (len(leads), 1)), rate, leads, record=record)


def lines(figure, label):
    return [line.get_xydata() for line in figure.axes[0].lines if line.get_label() == label]


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def size_in_mm(figure):
    return figure.get_size_inches() * 25.4


def test_a_millimetre_of_the_axes_is_a_millimetre_of_paper():
    figure = draw_ecg(beats())
    axes = figure.axes[0]
    corners = axes.transData.transform([(0, 0), (10, 10)]) / figure.dpi * 25.4
    assert np.allclose(corners[1] - corners[0], 10)
    assert np.allclose(size_in_mm(figure), [axes.get_xlim()[1], axes.get_ylim()[1]])


@pytest.mark.parametrize(("speed", "gain"), [(25, 10), (50, 20), (12.5, 5)])
def test_a_second_and_a_millivolt_have_the_length_that_the_paper_says(speed, gain):
    (trace,) = lines(draw_ecg(beats(), layout="12x1", speed=speed, gain=gain), "V1")
    x, y = trace.T
    assert (RATE * (x[1] - x[0])) == pytest.approx(speed)
    assert np.ptp(x) == pytest.approx(speed * (10 - 1 / RATE))
    assert np.ptp(y) == pytest.approx(gain)
    peaks = x[y > y.max() - 1e-6]
    assert np.allclose(np.diff(peaks), speed)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_lead_is_drawn_and_named(layout):
    figure = draw_ecg(beats(), layout=layout)
    assert set(LEADS) <= set(texts(figure))
    assert all(lines(figure, lead) for lead in LEADS)


def test_the_standard_sheet_has_four_columns_in_time_above_a_rhythm_strip():
    figure = draw_ecg(beats())
    strip = lines(figure, "II")[1]
    assert np.ptp(strip[:, 0]) == pytest.approx(250 - 25 / RATE)
    left = strip[0, 0]
    for column, lead in enumerate(("III", "aVF", "V3", "V6")):
        (trace,) = lines(figure, lead)
        assert trace[0, 0] - left == pytest.approx(62.5 * column)
        # The last column ends with the last sample, one step before the end.
        assert np.ptp(trace[:, 0]) == pytest.approx(62.5, abs=26 / RATE)
    assert size_in_mm(figure)[0] <= 279.4  # Letter, across
    assert size_in_mm(figure)[1] <= 210  # A4


def test_another_rhythm_lead_takes_the_strip():
    figure = draw_ecg(beats(), rhythm_lead="V1")
    assert len(lines(figure, "V1")) == 2
    assert len(lines(figure, "II")) == 1


@pytest.mark.parametrize(("layout", "rows"), [("3x4+1", 4), ("6x2", 6), ("12x1", 12)])
def test_each_row_begins_with_a_pulse_of_one_millivolt_and_a_fifth_of_a_second(layout, rows):
    pulses = lines(draw_ecg(beats(), layout=layout), "calibration")
    assert len(pulses) == rows
    for x, y in (pulse.T for pulse in pulses):
        high = y == y.max()
        assert np.ptp(y) == pytest.approx(10)
        assert np.ptp(x[high]) == pytest.approx(5)


def test_the_baseline_of_each_row_lies_on_a_bold_line():
    figure = draw_ecg(beats())
    floor = min(patch.get_path().vertices[:, 1].min() for patch in figure.axes[0].patches)
    for pulse in lines(figure, "calibration"):
        assert (pulse[0, 1] - floor) % 5 == pytest.approx(0, abs=1e-9)


def test_missing_samples_are_a_gap():
    ecg = beats()
    signal = ecg.signal.copy()
    signal[1, 1000:1500] = np.nan
    signal[1, 3000] = np.inf
    trace = lines(draw_ecg(ECG(signal, RATE)), "II")[1]
    assert np.flatnonzero(np.isnan(trace[:, 1])).tolist() == [*range(1000, 1500), 3000]


def test_a_missing_lead_is_an_empty_panel_with_its_name():
    figure = draw_ecg(beats(leads=("I", "II", "V1")))
    assert set(LEADS) <= set(texts(figure))
    assert not lines(figure, "V5")
    assert texts(figure).count("not recorded") == 9


def test_a_lead_without_any_number_says_so():
    signal = beats().signal.copy()
    signal[7] = np.nan
    assert texts(draw_ecg(ECG(signal, RATE))).count("no signal") == 1


def test_a_short_recording_shows_every_lead_and_leaves_the_rest_blank():
    figure = draw_ecg(beats(seconds=7.3))
    strip = lines(figure, "II")[1]
    assert np.ptp(strip[:, 0]) == pytest.approx(
        7.3 * 25, abs=26 / RATE
    )  # the last sample begins one step before the end
    assert all(np.ptp(lines(figure, lead)[0][:, 0]) > 44 for lead in LEADS)
    assert size_in_mm(figure)[0] == pytest.approx(size_in_mm(draw_ecg(beats()))[0])
    assert "25 mm/s · 10 mm/mV · 500 Hz · 0 to 7.3 s of 7.3 s" in texts(figure)


def test_a_recording_of_one_sample_is_drawn():
    assert "V6" in texts(draw_ecg(beats(seconds=1 / RATE)))


def test_a_long_recording_is_drawn_from_the_start_that_was_asked_for():
    ecg = beats(seconds=60)
    figure = draw_ecg(ecg, start=33.25)
    x, y = lines(figure, "II")[1].T
    assert np.ptp(x) == pytest.approx(250)
    first_peak = x[np.argmax(y)] - x[0]
    assert first_peak == pytest.approx(0.25 * 25)
    assert any("33.25 to 43.25 s of 60 s" in text for text in texts(figure))


def test_rows_move_apart_for_tall_waves_so_that_none_runs_into_another():
    signal = beats().signal.copy()
    signal[7] *= -4  # V2, above V3
    figure = draw_ecg(ECG(signal, RATE))
    (upper,), (lower,) = lines(figure, "V2"), lines(figure, "V3")
    assert upper[:, 1].min() > lower[:, 1].max()
    assert np.ptp(upper[:, 1]) == pytest.approx(40)


def test_what_no_sheet_can_hold_is_cut_and_said():
    signal = beats().signal.copy()
    signal[10] *= 30
    figure = draw_ecg(ECG(signal, RATE))
    assert any("V5 reaches 30 mV" in text for text in texts(figure))
    assert "cut off" in texts(figure)
    assert size_in_mm(figure)[1] < 300


def test_a_large_offset_is_taken_off_and_said():
    signal = beats().signal.copy()
    signal[6] += 3
    figure = draw_ecg(ECG(signal, RATE))
    (trace,) = lines(figure, "V1")
    (neighbour,) = lines(figure, "V4")
    assert np.median(trace[:, 1]) == pytest.approx(np.median(neighbour[:, 1]), abs=1e-6)
    assert any("V1 +3 mV" in text for text in texts(figure))


def test_the_name_of_the_record_is_the_title_unless_another_is_given():
    assert texts(draw_ecg(beats())).count("beats") == 1
    assert "Bed 4" in texts(draw_ecg(beats(), title="Bed 4"))
    assert "beats" not in texts(draw_ecg(beats(), title=""))


def test_an_unknown_layout_is_refused_by_name():
    with pytest.raises(EcoscaleError, match=r"'4x3'.*3x4\+1, 6x2, 12x1"):
        draw_ecg(beats(), layout="4x3")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rhythm_lead": "V7"}, LeadError, "'V7'"),
        ({"speed": 0}, EcoscaleError, "speed is 0 mm/s"),
        ({"gain": float("nan")}, EcoscaleError, "gain is nan mm/mV"),
        ({"start": 10}, SignalError, "cannot start at 10 s; the recording lasts 10 s"),
        ({"start": -1}, SignalError, "cannot start at -1 s"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(options, error, message):
    with pytest.raises(error, match=message):
        draw_ecg(beats(), **options)


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG\r\n"), (".pdf", b"%PDF-"), (".SVG", b"<?xml")])
def test_the_suffix_decides_the_format(tmp_path, suffix, magic):
    path = save_figure(draw_ecg(beats()), tmp_path / f"sheet{suffix}")
    assert path.read_bytes().startswith(magic)


def test_another_suffix_is_refused_by_name(tmp_path):
    with pytest.raises(EcoscaleError, match=r"\.gif; use \.png, \.svg or \.pdf"):
        save_figure(draw_ecg(beats()), tmp_path / "sheet.gif")
    assert not list(tmp_path.iterdir())


def svg_points(svg, number):
    """The absolute points of a path of the drawing, from its relative commands."""
    data = re.findall(r' d="([^"]*)"', svg)[number]
    points, position = [], np.zeros(2)
    for command, numbers in re.findall(r"([mlhvz])([^mlhvz]*)", data):
        values = [float(value) for value in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", numbers)]
        step = {"h": [*values, 0], "v": [0, *values], "z": [0, 0]}.get(command, values)
        position = position + step
        points.append(position)
    return np.array(points)


def test_an_svg_has_the_size_of_the_paper_and_its_trace_is_where_the_axes_say(tmp_path):
    figure = draw_ecg(beats())
    root = ElementTree.parse(save_figure(figure, tmp_path / "sheet.svg")).getroot()
    width, height = (float(root.attrib[key].removesuffix("pt")) / 72 * 25.4 for key in ("width", "height"))
    assert [width, height] == pytest.approx(size_in_mm(figure), abs=0.01)
    points = svg_points(figure_svg(figure), -1) / 72 * 25.4
    strip = lines(figure, "II")[1]
    assert points[:, 0].min() == pytest.approx(strip[:, 0].min(), abs=0.05)
    assert points[:, 0].max() == pytest.approx(strip[:, 0].max(), abs=0.05)
    assert np.ptp(points[:, 1]) == pytest.approx(10, abs=0.05)


def test_an_svg_is_compact_and_can_stand_in_a_page_beside_others():
    noise = np.random.default_rng(0).normal(scale=0.02, size=(12, 5000))
    svg = figure_svg(draw_ecg(ECG(beats().signal + noise, RATE)), description='Leads "I" & <II>')
    root = ElementTree.fromstring(svg)
    assert len(svg) < 150_000
    assert len(root.findall(".//{*}path")) < 40
    assert " id=" not in svg
    assert "<style" not in svg
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == 'Leads "I" & <II>'


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=20))
def test_any_title_makes_a_well_formed_svg_and_is_never_read_as_mathematics(title):
    svg = figure_svg(draw_ecg(beats(seconds=1, rate=50), title=f"{title} $x_1$ \\frac{{<"))
    shown = "".join(ElementTree.fromstring(svg).itertext())
    assert "$x_1$ \\frac{<" in shown


def test_a_name_is_written_as_it_is():
    name = 'exam.123456 d="M 1 2" id="x" <g> rotate(-0'
    root = ElementTree.fromstring(figure_svg(draw_ecg(beats(record=name))))
    assert name in [text.text for text in root.findall(".//{*}text")]


def test_drawing_leaves_the_settings_of_matplotlib_alone(tmp_path):
    with mpl.rc_context({"savefig.bbox": "tight"}):
        before = dict(mpl.rcParams)
        figure = draw_ecg(beats())
        for suffix in ("png", "svg", "pdf"):
            save_figure(figure, tmp_path / f"sheet.{suffix}")
        assert dict(mpl.rcParams) == before
    root = ElementTree.parse(tmp_path / "sheet.svg").getroot()
    assert float(root.attrib["width"].removesuffix("pt")) == pytest.approx(size_in_mm(figure)[0] / 25.4 * 72, abs=0.01)


def test_a_real_recording_fits_on_a_sheet(recordings, tmp_path):
    with warnings.catch_warnings():
        # wfdb 4.3 calls pandas in a way that pandas 3 will drop.
        warnings.simplefilter("ignore")
        import wfdb
    record = wfdb.rdrecord(str(recordings / "ptbxl-native" / "records500" / "00000" / "00001_hr"))
    names = {lead.upper(): lead for lead in LEADS}
    ecg = ECG(record.p_signal.T, record.fs, tuple(names[name.upper()] for name in record.sig_name))
    figure = draw_ecg(ecg)
    assert size_in_mm(figure)[1] < 210
    assert not any("off" in text for text in texts(figure))
    assert save_figure(figure, tmp_path / "sheet.svg").stat().st_size < 100_000
