"""Resampling and the zero-phase high-pass as matrix products: `scipy.signal`'s results to float rounding.

A recording of ten seconds takes a third of scipy's time, and `scipy.signal` need not be imported, which takes longer
than reading and classifying one ECG.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 32
"""Samples that one product makes, about: of more, most of the matrix would be zeros."""

SMALL_PRODUCT = 2**18
"""Multiplications in one call of BLAS: more are shared among OpenBLAS's threads, which costs more than it gives here,
and takes the processor from those that read and classify."""

SAMPLES_AT_ONCE = 12_000
"""Samples that are filtered together: more of them leave the processor's cache, which takes a third more time."""


def resample(signal: NDArray[np.float32], up: int, down: int) -> NDArray[np.float32]:
    """Signals `(leads, samples)` at `up / down` of their rate, in lowest terms, anti-aliased.

    It is `scipy.signal.resample_poly(signal, up, down, axis=1, padtype="line")` with its default filter: beyond its
    ends a signal goes on as the line through its first and last sample.
    """
    kernel, reach = _polyphase(up, down)
    n_outputs = -(-signal.shape[1] * up // down)
    width, per_block = kernel.shape
    hop = per_block // up * down
    n_blocks = -(-n_outputs // per_block)
    extended = _extended_by_line(signal, reach, hop * (n_blocks - 1) + width)
    blocks = sliding_window_view(extended, width, axis=1)[:, ::hop]
    made = np.empty((len(signal), n_blocks, per_block), np.float32)
    for lead, outputs in zip(blocks, made, strict=True):
        _product(np.ascontiguousarray(lead), kernel, outputs)
    return made.reshape(len(signal), -1)[:, :n_outputs]


def _product(rows: NDArray[np.floating], matrix: NDArray[np.floating], made: NDArray[np.floating]) -> None:
    """`made[:] = rows @ matrix`, by this thread alone."""
    at_once = max(1, SMALL_PRODUCT // matrix.size)
    for first in range(0, len(rows), at_once):
        np.matmul(rows[first : first + at_once], matrix, out=made[first : first + at_once])


def _extended_by_line(signal: NDArray[np.float32], before: int, length: int) -> NDArray[np.float32]:
    """`length` samples of a signal that begins after `before` of them."""
    n_leads, n_samples = signal.shape
    extended = np.empty((n_leads, max(length, before + n_samples)), np.float32)
    extended[:, before : before + n_samples] = signal
    first, last = signal[:, :1], signal[:, -1:]
    slope = (last - first) / np.float32(max(1, n_samples - 1))
    extended[:, :before] = first - slope * np.arange(before, 0, -1, dtype=np.float32)
    after = extended.shape[1] - before - n_samples
    extended[:, before + n_samples :] = last + slope * np.arange(1, after + 1, dtype=np.float32)
    return extended


@lru_cache(maxsize=4)
def _polyphase(up: int, down: int) -> tuple[NDArray[np.float32], int]:
    """What makes a block of outputs `(inputs, outputs)`, and how many inputs before the first output it takes."""
    taps = anti_aliasing_filter(up, down)
    half = len(taps) // 2
    reach = half // up
    periods = max(1, BLOCK // up)
    inputs = np.arange(-reach, (periods - 1) * down + (half + (up - 1) * down) // up + 1)
    outputs = np.arange(periods * up)
    tap = half + outputs * down - inputs[:, None] * up
    within = (tap >= 0) & (tap < len(taps))
    return np.where(within, up * taps[np.where(within, tap, 0)], np.float32(0)), reach


@lru_cache(maxsize=4)
def anti_aliasing_filter(up: int, down: int) -> NDArray[np.float32]:
    """The filter that `scipy.signal.resample_poly` designs by default: a windowed sinc, Kaiser's window with beta 5."""
    largest = max(up, down)
    half = 10 * largest
    taps = np.sinc(np.arange(-half, half + 1) / largest) * np.kaiser(2 * half + 1, 5.0)
    return (taps / taps.sum()).astype(np.float32)


def highpass(signal: NDArray[np.float32], corner: float, rate: float, extension: int) -> NDArray[np.float32]:
    """Signals `(leads, samples)` through a Butterworth high-pass of second order, forwards and backwards.

    It is `scipy.signal.sosfiltfilt(..., padtype="even", padlen=extension)` in float64: the signal is mirrored at its
    ends by `extension` samples, fewer than it has. `corner` and `rate` are in Hz.
    """
    n_leads, n_samples = signal.shape
    filtered = np.empty((n_leads, n_samples), np.float32)
    at_once = max(1, SAMPLES_AT_ONCE // (n_samples + 2 * extension))
    for first in range(0, n_leads, at_once):
        leads = signal[first : first + at_once]
        made = np.concatenate((leads[:, extension:0:-1], leads, leads[:, -2 : -2 - extension : -1]), axis=1)
        for _ in range(2):
            # From rest about the first sample: to what does not change, the filter's answer is zero.
            made = _recursive(made, made[:, :1], *_recursion(corner, rate))[:, ::-1]
        filtered[first : first + at_once] = made[:, extension : extension + n_samples]
    return filtered


def _recursive(
    signal: NDArray[np.floating],
    rest: NDArray[np.floating],
    response: NDArray[np.float64],
    to_state: NDArray[np.float64],
    from_state: NDArray[np.float64],
    step: NDArray[np.float64],
) -> NDArray[np.float64]:
    """A recursive filter by blocks: each is a product of its own samples and of the state that was left to it."""
    n_leads, n_samples = signal.shape
    n_blocks = -(-n_samples // BLOCK)
    blocks = np.empty((n_leads, n_blocks * BLOCK))
    blocks[:, n_samples:] = 0
    np.subtract(signal, rest, out=blocks[:, :n_samples], dtype=np.float64)
    blocks = blocks.reshape(-1, BLOCK)
    states = np.ascontiguousarray((blocks @ to_state).reshape(n_leads, n_blocks, 2).swapaxes(0, 1))
    # The state after each block, from those after one, two, four, ... blocks.
    reach = 1
    while reach < n_blocks:
        states[reach:] += (states[:-reach].reshape(-1, 2) @ step).reshape(-1, n_leads, 2)
        step, reach = step @ step, 2 * reach
    before = np.zeros((n_leads, n_blocks, 2))
    before[:, 1:] = states[:-1].swapaxes(0, 1)
    made = np.empty_like(blocks)
    _product(blocks, response, made)
    made += np.matmul(before.reshape(-1, 2), from_state, out=blocks)
    return made.reshape(n_leads, -1)[:, :n_samples]


@lru_cache(maxsize=8)
def _recursion(corner: float, rate: float) -> tuple[NDArray[np.float64], ...]:
    """A block's answer to itself, the state it leaves, the answer to a state, and that state a block later.

    All are multiplied from the right. The state is that of the direct form II, transposed.
    """
    b, a = butterworth_highpass(corner, rate)
    advance = np.array([[-a[1], 1.0], [-a[2], 0.0]])
    entry = np.array([b[1] - a[1] * b[0], b[2] - a[2] * b[0]])
    powers = [np.eye(2)]
    for _ in range(BLOCK):
        powers.append(advance @ powers[-1])
    impulse = np.array([b[0], *((power @ entry)[0] for power in powers[: BLOCK - 1])])
    lag = np.arange(BLOCK) - np.arange(BLOCK)[:, None]
    response = np.where(lag >= 0, impulse[np.maximum(lag, 0)], 0.0)
    to_state = np.array([power @ entry for power in powers[BLOCK - 1 :: -1]])
    from_state = np.array([power[0] for power in powers[:BLOCK]]).T
    return response, to_state, np.ascontiguousarray(from_state), powers[BLOCK].T


def butterworth_highpass(corner: float, rate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numerator and denominator of the Butterworth high-pass of second order, by the bilinear transform."""
    warped = np.tan(np.pi * corner / rate)
    scale = 1 + np.sqrt(2) * warped + warped**2
    numerator = np.array([1.0, -2.0, 1.0]) / scale
    return numerator, np.array([1.0, 2 * (warped**2 - 1) / scale, (1 - np.sqrt(2) * warped + warped**2) / scale])
