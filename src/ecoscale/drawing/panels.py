"""Rows of panels: which samples each lead's panel shows, how far rows must stand apart, and the drawing of a panel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ecoscale.drawing.paper import ALERT_INK, FADED_INK, INK, draw_line, whole_squares, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ecoscale.ecg import ECG

LABEL_HEIGHT = 8.0
LARGEST_EXCURSION = 50.0
# A lead rests near 0 mV; a median beyond this is the amplifier's offset and would only push the trace off its row.
LARGEST_OFFSET_MILLIVOLT = 1.0

NOT_RECORDED, NO_SIGNAL, CUT_OFF = "not recorded", "no signal", "cut off"


@dataclass(frozen=True, eq=False)
class Panel:
    """One lead's stretch of one row: millimetres from the start of the row, and above its baseline."""

    lead: str
    left: float
    width: float
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    remark: str = ""

    @property
    def label_bottom(self) -> float:
        """Height of the lead's name: above whatever the trace does beneath it."""
        under = self.y[(self.x < self.left + 9) & np.isfinite(self.y)]
        return max(LABEL_HEIGHT, float(under.max()) + 1.5) if under.size else LABEL_HEIGHT


def signal_window(ecg: ECG, start: float, stop: float) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Seconds since `start`, and each lead's millivolts at them; NaN where a sample is missing."""
    first = int(np.ceil(start * ecg.rate - 1e-6))
    last = int(np.floor(stop * ecg.rate + 1e-6))
    signal = ecg.signal[:, first : last + 1].astype(np.float64)
    signal[~np.isfinite(signal)] = np.nan
    return (first + np.arange(signal.shape[1])) / ecg.rate - start, dict(zip(ecg.leads, signal, strict=True))


def without_offset(shown: dict[str, NDArray[np.float64]]) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """The leads with large constant offsets taken off, and the note that says so."""
    medians = {lead: float(np.nanmedian(row)) for lead, row in shown.items() if np.isfinite(row).any()}
    offsets = {lead: median for lead, median in medians.items() if abs(median) > LARGEST_OFFSET_MILLIVOLT}
    if not offsets:
        return shown, []
    told = ", ".join(f"{lead} {offset:+.3g} mV" for lead, offset in offsets.items())
    note = f"Constant offset taken off to keep the trace on its row: {told}."
    return {lead: row - offsets.get(lead, 0.0) for lead, row in shown.items()}, [note]


def panel_of(
    shown: dict[str, NDArray[np.float64]],
    seconds: NDArray[np.float64],
    lead: str,
    offset: float,
    length: float,
    speed: float,
    gain: float,
) -> Panel:
    """A lead's stretch of `length` seconds from `offset` seconds into the sheet, both ends included."""
    if lead not in shown:
        return Panel(lead, offset * speed, length * speed, np.empty(0), np.empty(0), NOT_RECORDED)
    inside = (seconds >= offset - 1e-6) & (seconds <= offset + length + 1e-6)
    values = shown[lead][inside]
    remark = "" if np.isfinite(values).any() else NO_SIGNAL
    return Panel(lead, offset * speed, length * speed, seconds[inside] * speed, values * gain, remark)


def cut_to_fit(rows: list[list[Panel]], gain: float) -> tuple[list[list[Panel]], list[str]]:
    """Panels cut at the largest excursion that a sheet can hold, and the note that names them."""
    largest: dict[str, float] = {}
    kept = []
    for row in rows:
        kept.append([])
        for panel in row:
            excursion = float(np.nanmax(np.abs(panel.y), initial=0))
            if excursion > LARGEST_EXCURSION:
                largest[panel.lead] = max(largest.get(panel.lead, 0), excursion / gain)
                panel = replace(panel, y=np.clip(panel.y, -LARGEST_EXCURSION, LARGEST_EXCURSION), remark=CUT_OFF)
            kept[-1].append(panel)
    if not largest:
        return kept, []
    told = ", ".join(f"{lead} reaches {value:.3g} mV" for lead, value in largest.items())
    return kept, [f"Cut off at {LARGEST_EXCURSION / gain:g} mV, beyond which the trace is not shown: {told}."]


def lowest_of(row: Sequence[Panel]) -> float:
    """The lowest point of a row's traces, in mm above its baseline."""
    return min((float(np.nanmin(panel.y, initial=0)) for panel in row if panel.y.size), default=0.0)


def row_spaces(
    rows: Sequence[Sequence[Panel]],
    floors: Sequence[float | None],
    gain: float,
    pitch: float,
    lead_in: float,
    width: float,
) -> list[float]:
    """Millimetres above each row's baseline, up to the one before, and below the last; whole bold squares.

    Rows move apart only where something stands above something: each is measured in steps of 5 mm along the paper.
    `floors` says how far down a row reaches over its whole width, where more than traces is drawn in it.
    """
    tops = np.zeros((len(rows), int(width / 5) + 1))
    bottoms = np.full_like(tops, -3.0)
    tops[:, : int(lead_in / 5)] = gain
    for row, floor, top, bottom in zip(rows, floors, tops, bottoms, strict=True):
        for panel in row:
            name = int((lead_in + panel.left) / 5)
            top[name : name + 3] = np.maximum(top[name : name + 3], panel.label_bottom + 4)
            seen = np.isfinite(panel.y)
            steps = ((lead_in + panel.x[seen]) / 5).astype(int)
            np.maximum.at(top, steps, panel.y[seen])
            np.minimum.at(bottom, steps, panel.y[seen])
        if floor is not None:
            np.minimum(bottom, floor, out=bottom)
    spaces = [whole_squares(tops[0].max() + 2)]
    for top, bottom in zip(tops[1:], bottoms[:-1], strict=True):
        spaces.append(max(pitch, whole_squares((top - bottom).max() + 1)))
    return [*spaces, whole_squares(max(10.0, 2 - bottoms[-1].min()))]


def draw_panel(axes: Axes, panel: Panel, left: float, baseline: float) -> None:
    """A panel's trace, its name and its remark, and the mark that separates it from the one before."""
    x = left + panel.left
    if panel.left > 0:
        ticks = [baseline - 6, baseline - 3, np.nan, baseline + 3, baseline + 6]
        draw_line(axes, [x] * 5, ticks, "separator")
    if panel.x.size:
        draw_line(axes, left + panel.x, baseline + panel.y, panel.lead)
    y = baseline + panel.label_bottom
    absent = panel.remark in (NOT_RECORDED, NO_SIGNAL)
    write(axes, x + 1.2, y, panel.lead, 3.7, weight="bold", color=FADED_INK if absent else INK)
    if panel.remark and panel.width > 30:
        aside = x + 3 + 3.2 * len(panel.lead)
        write(axes, aside, y, panel.remark, 2.7, color=FADED_INK if absent else ALERT_INK)
