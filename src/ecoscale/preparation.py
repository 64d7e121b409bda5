"""From a signal to what a network reads: the same frozen object prepares training data and a user's file.

It travels inside the bundle, so that nothing has to be remembered: rate, window, channels and units, filter, scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from ecoscale.ecg import ECG, LEADS, LIMB_LEADS, UNIT
from ecoscale.filtering import highpass
from ecoscale.signal import Signal
from ecoscale.units import plain_unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

REVISION = "0.1.0"
"""The version of ecoscale since which the same ECG and preparation give the same input. Prepared stores depend on it:
raise it with every change to the arithmetic below."""

Positive = Annotated[float, Field(gt=0)]


class Preparation(BaseModel):
    """How a signal becomes the network's input; by default, how an ECG does.

    Order of the steps: channels selected (limb leads of an ECG derived where they are missing), voltages brought to the
    units stated, gaps filled, resampled, high-pass filtered, cut into windows or padded to one, then
    `(signal - mean) / scale`.

    `leads` may stand for `channels` on input: the canonical leads of an ECG, in mV. So a preparation of ECGs is
    written too, as before there were other signals: what was written then can be read, and digests stay the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rate: Annotated[float, Field(gt=0, description="samples per second of the network's input, Hz")] = 100.0
    window: Annotated[int, Field(ge=1, description="samples that the network reads at once")] = 1000
    channels: Annotated[
        tuple[str, ...],
        Field(min_length=1, description="channels, by default the leads of an ECG, in the network's order"),
    ] = LEADS
    units: Annotated[
        tuple[str, ...],
        Field(
            validate_default=True,
            description="one for all channels, or one a channel; of an ECG's leads mV, unless stated",
        ),
    ] = (UNIT,)
    highpass: Annotated[float | None, Field(gt=0, description="corner of the zero-phase high-pass, Hz")] = 0.5
    overlap: Annotated[float, Field(ge=0, lt=1, description="smallest overlap of windows of a long record")] = 0.0
    mean: Annotated[
        float | tuple[float, ...], Field(description="subtracted, in the units: one number, or one a channel")
    ] = 0.0
    scale: Annotated[
        Positive | tuple[Positive, ...],
        Field(description="divided by, in the units: one number for all records and channels, or one a channel"),
    ] = 1.0

    @model_validator(mode="before")
    @classmethod
    def _leads_are_channels(cls, content: Any) -> Any:
        if not isinstance(content, dict) or "leads" not in content:
            return content
        if stated := {"channels", "units"} & content.keys():
            raise ValueError(f"leads are channels in mV: leave out either leads or {' and '.join(sorted(stated))}")
        content = {"channels" if key == "leads" else key: value for key, value in content.items()}
        leads = content["channels"]
        if isinstance(leads, list | tuple) and (unknown := [lead for lead in leads if lead not in LEADS]):
            raise ValueError(
                f"leads: unknown lead {', '.join(map(str, unknown))}; the names are {', '.join(LEADS)} (channels of "
                "other signals are named under channels, with their units)"
            )
        return content

    @field_validator("units", mode="before")
    @classmethod
    def _one_or_each(cls, units: Any) -> Any:
        return (units,) if isinstance(units, str) else units

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        n_channels = len(self.channels)
        if "units" not in self.model_fields_set and (others := [name for name in self.channels if name not in LEADS]):
            raise ValueError(
                f"the units of channels {', '.join(others)} are not stated: give units, one for all or each"
            )
        units = tuple(map(plain_unit, self.units))
        if len(units) not in (1, n_channels):
            raise ValueError(f"{len(units)} units for {n_channels} channels; expected one for all or one a channel")
        units *= n_channels // len(units)
        object.__setattr__(self, "units", units)
        if len(set(self.channels)) != n_channels:
            raise ValueError(f"a {'lead' if self.is_ecg else 'channel'} is named twice in {', '.join(self.channels)}")
        if not all(self.channels):
            raise ValueError("a channel has no name")
        for name, value in (("mean", self.mean), ("scale", self.scale)):
            if isinstance(value, tuple) and len(value) != n_channels:
                raise ValueError(f"{name} has {len(value)} numbers for {n_channels} channels; expected one or as many")
        if self.highpass is not None and self.highpass >= self.rate / 2:
            raise ValueError(f"highpass is {self.highpass:g} Hz; expected less than half the rate of {self.rate:g} Hz")
        return self

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content = handler(self)
        if not self.is_ecg:
            return content
        return {"leads" if key == "channels" else key: value for key, value in content.items() if key != "units"}

    @property
    def is_ecg(self) -> bool:
        """Whether it is of ECGs: all its channels are leads, in mV. Otherwise names and units are the user's own."""
        return set(self.units) == {UNIT} and set(self.channels) <= set(LEADS)

    @property
    def leads(self) -> tuple[str, ...]:
        """The channels of an ECG."""
        return self.channels

    @property
    def n_channels(self) -> int:
        """Rows of the network's input."""
        return len(self.channels)

    @property
    def fewer_leads(self) -> bool:
        """Whether it needs fewer leads than the twelve: a bundle for a watch reads what a watch writes."""
        return set(self.channels) != set(LEADS)

    @property
    def seconds(self) -> float:
        """Length of the window in seconds."""
        return self.window / self.rate

    def conform(self, signal: Signal) -> NDArray[np.float32]:
        """The whole record as `(channels, samples)`: channels in order, in `units`, without gaps, at `rate`, filtered.

        Raises `ChannelError` naming channels that are missing (of an ECG, and cannot be derived), `SignalError` where
        a unit is another that cannot be converted.
        """
        if isinstance(signal, ECG) and any(lead in LIMB_LEADS and lead not in signal.leads for lead in self.channels):
            signal = signal.derive_limb_leads()
        samples = signal.select(self.channels).in_units(self.units).resample(self.rate).fill_gaps().signal
        if self.highpass is None:
            return samples
        # Extended far enough for the filter to settle, and by the mirrored signal: where a record ends inside a QRS,
        # the point reflection that scipy takes by default moves the baseline by up to 3.4 mV, the mirror by 0.7 mV.
        extension = min(int(2 * self.rate / self.highpass), samples.shape[1] - 1)
        return highpass(samples, self.highpass, self.rate, extension)

    def signal_of(self, samples: NDArray[np.floating], **about: Any) -> Signal:
        """What `conform` made, `(channels, samples)`, as a signal again: an ECG where it is one."""
        if self.is_ecg:
            return ECG(samples, self.rate, self.channels, **about)
        return Signal(samples, self.rate, self.channels, self.units, **about)

    def starts(self, n_samples: int) -> NDArray[np.int64]:
        """First sample of each window over a record of `n_samples` at `rate`; the windows cover all of it evenly."""
        surplus = n_samples - self.window
        if surplus <= 0:
            return np.zeros(1, dtype=np.int64)
        hop = max(1, int(self.window * (1 - self.overlap)))
        return np.linspace(0, surplus, int(np.ceil(surplus / hop)) + 1).round().astype(np.int64)

    def pad(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(channels, samples)` filled up on both sides to one window; unchanged if it is long enough.

        An ECG with zeros, any other signal with each channel's mean: a zero may be far from all that it measures.
        """
        if signal.shape[1] >= self.window:
            return signal
        padded = np.zeros((len(signal), self.window), dtype=signal.dtype)
        if not self.is_ecg:
            padded[:] = signal.mean(axis=1, keepdims=True)
        padded[:, self.within_padding(signal.shape[1])] = signal
        return padded

    def within_padding(self, n_samples: int) -> slice:
        """Where in a window the samples of a shorter record lie; all of them for one that is long enough."""
        before = max(0, self.window - n_samples) // 2
        return slice(before, before + n_samples)

    def differences(self, other: Preparation) -> dict[str, tuple[Any, Any]]:
        """Where signals that were made by the one, before scaling, are not the other's: both values, by key.

        `mean`, `scale` and `overlap` come later and do not matter.
        """
        names = [name for name in type(self).model_fields if name not in ("mean", "scale", "overlap")]
        values = {name: (getattr(self, name), getattr(other, name)) for name in names}
        both = self.is_ecg and other.is_ecg
        return {
            "leads" if name == "channels" and both else name: pair
            for name, pair in values.items()
            if pair[0] != pair[1]
        }

    def standardise(self, signal: NDArray[np.floating]) -> NDArray[np.float32]:
        """`(signal - mean) / scale` of `(..., channels, samples)`, from the units to what the network reads."""
        mean, scale = (by_channel(value) for value in (self.mean, self.scale))
        return ((np.asarray(signal, dtype=np.float32) - mean) / scale).astype(np.float32)

    def windows(self, signal: Signal) -> NDArray[np.float32]:
        """The network's input: `(windows, channels, window)`."""
        whole = self.conform(signal)
        standard = self.standardise(self.pad(whole))
        return np.stack([standard[:, start : start + self.window] for start in self.starts(whole.shape[1])])

    def warnings(self, signal: Signal) -> tuple[str, ...]:
        """What the preparation adds to or takes from this record, each as `code: explanation`."""
        found = []
        if signal.duration < 0.95 * self.seconds:
            found.append(
                f"padded: {signal.duration:.2f} s of signal in a window of {self.seconds:g} s; the rest is "
                + ("zeros" if self.is_ecg else "each channel's mean")
            )
        if signal.rate < 0.8 * self.rate:
            found.append(
                f"low_rate: sampled at {signal.rate:g} Hz, below the {self.rate:g} Hz that the network was trained on"
            )
        return tuple(found)


def by_channel(value: float | tuple[float, ...]) -> float | NDArray[np.float32]:
    """A `mean` or `scale` as what `(..., channels, samples)` is computed with: one number, or `(channels, 1)`."""
    return np.array(value, dtype=np.float32)[:, None] if isinstance(value, tuple) else value
