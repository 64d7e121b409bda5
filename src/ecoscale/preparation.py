"""From an ECG to what a network reads: the same frozen object prepares training data and a user's file.

It travels inside the bundle, so that nothing has to be remembered: rate, window, lead order, filter, scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ecoscale.ecg import ECG, LEADS, LIMB_LEADS
from ecoscale.filtering import highpass

if TYPE_CHECKING:
    from numpy.typing import NDArray

REVISION = "0.1.0"
"""The version of ecoscale since which the same ECG and preparation give the same input. Prepared stores depend on it:
raise it with every change to the arithmetic below."""


class Preparation(BaseModel):
    """How an ECG becomes the network's input.

    Order of the steps: leads selected (limb leads derived where they are missing), gaps filled, resampled, high-pass
    filtered, cut into windows or padded to one, then `(mV - mean) / scale`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rate: Annotated[float, Field(gt=0, description="samples per second of the network's input, Hz")] = 100.0
    window: Annotated[int, Field(ge=64, description="samples that the network reads at once")] = 1000
    leads: Annotated[tuple[str, ...], Field(min_length=1, description="leads, in the network's order")] = LEADS
    highpass: Annotated[float | None, Field(gt=0, description="corner of the zero-phase high-pass, Hz")] = 0.5
    overlap: Annotated[float, Field(ge=0, lt=1, description="smallest overlap of windows of a long record")] = 0.0
    mean: Annotated[float, Field(description="subtracted, mV")] = 0.0
    scale: Annotated[float, Field(gt=0, description="divided by, mV: one number for all records and leads")] = 1.0

    @field_validator("leads")
    @classmethod
    def _canonical(cls, leads: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [lead for lead in leads if lead not in LEADS]:
            raise ValueError(f"unknown lead {', '.join(unknown)}; the names are {', '.join(LEADS)}")
        if len(set(leads)) != len(leads):
            raise ValueError("a lead is named twice")
        return leads

    @model_validator(mode="after")
    def _corner_below_nyquist(self) -> Self:
        if self.highpass is not None and self.highpass >= self.rate / 2:
            raise ValueError(f"highpass is {self.highpass:g} Hz; expected less than half the rate of {self.rate:g} Hz")
        return self

    @property
    def n_leads(self) -> int:
        """Rows of the network's input."""
        return len(self.leads)

    @property
    def fewer_leads(self) -> bool:
        """Whether it needs fewer leads than the twelve: a bundle for a watch reads what a watch writes."""
        return set(self.leads) != set(LEADS)

    @property
    def seconds(self) -> float:
        """Length of the window in seconds."""
        return self.window / self.rate

    def conform(self, ecg: ECG) -> NDArray[np.float32]:
        """The whole record as `(leads, samples)` in mV: leads in order, without gaps, at `rate`, filtered.

        Raises `LeadError` naming leads that are missing and cannot be derived.
        """
        if any(lead in LIMB_LEADS and lead not in ecg.leads for lead in self.leads):
            ecg = ecg.derive_limb_leads()
        signal = ecg.select(self.leads).resample(self.rate).fill_gaps().signal
        if self.highpass is None:
            return signal
        # Extended far enough for the filter to settle, and by the mirrored signal: where a record ends inside a QRS,
        # the point reflection that scipy takes by default moves the baseline by up to 3.4 mV, the mirror by 0.7 mV.
        extension = min(int(2 * self.rate / self.highpass), signal.shape[1] - 1)
        return highpass(signal, self.highpass, self.rate, extension)

    def starts(self, n_samples: int) -> NDArray[np.int64]:
        """First sample of each window over a record of `n_samples` at `rate`; the windows cover all of it evenly."""
        surplus = n_samples - self.window
        if surplus <= 0:
            return np.zeros(1, dtype=np.int64)
        hop = max(1, int(self.window * (1 - self.overlap)))
        return np.linspace(0, surplus, int(np.ceil(surplus / hop)) + 1).round().astype(np.int64)

    def pad(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(leads, samples)` with zeros on both sides, up to one window; unchanged if it is long enough."""
        if signal.shape[1] >= self.window:
            return signal
        padded = np.zeros((len(signal), self.window), dtype=signal.dtype)
        padded[:, self.within_padding(signal.shape[1])] = signal
        return padded

    def within_padding(self, n_samples: int) -> slice:
        """Where in a window the samples of a shorter record lie; all of them for one that is long enough."""
        before = max(0, self.window - n_samples) // 2
        return slice(before, before + n_samples)

    def differences(self, other: Preparation) -> dict[str, tuple[Any, Any]]:
        """Where signals in mV that were made by the one are not the other's: both values, by key.

        `mean`, `scale` and `overlap` come later and do not matter.
        """
        ours, theirs = (each.model_dump(exclude={"mean", "scale", "overlap"}) for each in (self, other))
        return {key: (ours[key], theirs[key]) for key in ours if ours[key] != theirs[key]}

    def standardise(self, signal: NDArray[np.floating]) -> NDArray[np.float32]:
        """`(signal - mean) / scale`, mV to the network's units."""
        return ((np.asarray(signal, dtype=np.float32) - self.mean) / self.scale).astype(np.float32)

    def windows(self, ecg: ECG) -> NDArray[np.float32]:
        """The network's input: `(windows, leads, window)`."""
        signal = self.conform(ecg)
        standard = self.standardise(self.pad(signal))
        return np.stack([standard[:, start : start + self.window] for start in self.starts(signal.shape[1])])

    def warnings(self, ecg: ECG) -> tuple[str, ...]:
        """What the preparation adds to or takes from this record, each as `code: explanation`."""
        found = []
        if ecg.duration < 0.95 * self.seconds:
            found.append(f"padded: {ecg.duration:.2f} s of signal in a window of {self.seconds:g} s; the rest is zeros")
        if ecg.rate < 0.8 * self.rate:
            found.append(
                f"low_rate: sampled at {ecg.rate:g} Hz, below the {self.rate:g} Hz that the network was trained on"
            )
        return tuple(found)
