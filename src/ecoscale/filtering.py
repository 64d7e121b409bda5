"""Resampling and the zero-phase high-pass as matrix products: `scipy.signal`'s results to float rounding.

A recording of ten seconds takes a sixth of scipy's time, and `scipy.signal` need not be imported, which takes longer
than reading and classifying one ECG.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 32
"""Samples that one product makes, about: of more, most of the matrix would be zeros."""

BLOCKS_TOGETHER = 64
"""Blocks whose states are one product of what enters them."""

SMALL_PRODUCT = 2**18
"""Multiplications in one call of BLAS: more are shared among OpenBLAS's threads, which costs more than it gives here,
and takes the processor from those that read and classify."""

SAMPLES_AT_ONCE = 24000
"""Samples that are filtered together: more of them leave the processor's cache, which takes a third more time."""


def resample(signal: NDArray[np.float32], up: int, down: int) -> NDArray[np.float32]:
    """Signals `(channels, samples)` at `up / down` of their rate, in lowest terms, anti-aliased.

    It is `scipy.signal.resample_poly(signal, up, down, axis=1, padtype="line")` with its default filter: beyond its
    ends a signal goes on as the line through its first and last sample.
    """
    kernel, reach = _polyphase(up, down)
    n_outputs = -(-signal.shape[1] * up // down)
    per_block = kernel.shape[1]
    hop = per_block // up * down
    n_blocks = -(-n_outputs // per_block)
    # A block takes its own inputs and some of the next block's: two products, and no input is copied for either.
    own, next_ones = kernel[:hop], kernel[hop:]
    inputs = _extended_by_line(signal, reach, (n_blocks + 1) * hop)[:, : (n_blocks + 1) * hop]
    inputs = inputs.reshape(len(signal), n_blocks + 1, hop)
    made = np.empty((len(signal), n_blocks, per_block), np.float32)
    _product(inputs[:, :-1], own, made)
    rest = np.empty_like(made)
    _product(inputs[:, 1:, : len(next_ones)], next_ones, rest)
    made += rest
    return made.reshape(len(signal), -1)[:, :n_outputs]


def _product(blocks: NDArray[np.floating], matrix: NDArray[np.floating], made: NDArray[np.floating]) -> None:
    """`made[:] = blocks @ matrix`, `(channels, blocks, samples)`, by this thread alone."""
    at_once = max(1, SMALL_PRODUCT // matrix.size)
    for first in range(0, blocks.shape[1], at_once):
        part = slice(first, first + at_once)
        np.matmul(blocks[:, part], matrix, out=made[:, part])


def _extended_by_line(signal: NDArray[np.float32], before: int, length: int) -> NDArray[np.float32]:
    """`length` samples of a signal that begins after `before` of them."""
    n_channels, n_samples = signal.shape
    extended = np.empty((n_channels, max(length, before + n_samples)), np.float32)
    extended[:, before : before + n_samples] = signal
    first, last = signal[:, :1], signal[:, -1:]
    slope = (last - first) / np.float32(max(1, n_samples - 1))
    extended[:, :before] = first - slope * np.arange(before, 0, -1, dtype=np.float32)
    after = extended.shape[1] - before - n_samples
    extended[:, before + n_samples :] = last + slope * np.arange(1, after + 1, dtype=np.float32)
    return extended


@lru_cache(maxsize=4)
def _polyphase(up: int, down: int) -> tuple[NDArray[np.float32], int]:
    """What makes a block of outputs `(inputs, outputs)`, and how many inputs before the first output it takes.

    The inputs are at most two blocks' own.
    """
    taps = anti_aliasing_filter(up, down)
    half = len(taps) // 2
    reach = half // up
    shared = reach + 1 + (half + (up - 1) * down) // up - down
    periods = max(1, BLOCK // up, -(-shared // down))
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
    """Signals `(channels, samples)` through a Butterworth high-pass of second order, forwards and backwards.

    It is `scipy.signal.sosfiltfilt(..., padtype="even", padlen=extension)` in float64: the signal is mirrored at its
    ends by `extension` samples, fewer than it has. `corner` and `rate` are in Hz.
    """
    n_channels, n_samples = signal.shape
    filtered = np.empty((n_channels, n_samples), np.float32)
    both_ways = _both_ways(corner, rate)
    at_once = max(1, SAMPLES_AT_ONCE // (n_samples + 2 * extension))
    for first in range(0, n_channels, at_once):
        _filter(signal[first : first + at_once], extension, both_ways, filtered[first : first + at_once])
    return filtered


class _BothWays(NamedTuple):
    """A recursive filter forwards and then backwards, by blocks; all is multiplied from the right.

    A block's outputs are a product of its own samples and of two states of two numbers: `forward`, left by the blocks
    before it, and `backward`, left by the pass backwards over those after it. All of both passes in one: what the
    first makes is never written down.
    """

    outputs: NDArray[np.float64]
    """`(BLOCK + 4, BLOCK)`: the outputs, of a block's samples, its forward and its backward state."""
    leaves: NDArray[np.float64]
    """`(BLOCK, 4)`: the forward and the backward state that its samples leave."""
    turns: NDArray[np.float64]
    """`(2, 2)`: the backward state that its forward state leaves."""
    states: NDArray[np.float64]
    """`(2 * BLOCKS_TOGETHER, 2 * BLOCKS_TOGETHER)`: the state before each block, of what entered before it."""
    step: NDArray[np.float64]
    """`(2, 2)`: a state one block later."""
    last: NDArray[np.float64]
    """`(BLOCK + 2)`: the last output of the first pass, of the last block's samples and its forward state."""
    rest: NDArray[np.float64]
    """`(2)`: the state in which a constant 1 leaves nothing behind: its answer is zero from the first sample."""


def _filter(signal: NDArray[np.float32], extension: int, both_ways: _BothWays, filtered: NDArray[np.float32]) -> None:
    n_channels, n_samples = signal.shape
    n_extended = n_samples + 2 * extension
    n_blocks = -(-n_extended // BLOCK)
    # Whole blocks: at rest before the first sample, and up to the last, where the second pass begins.
    begin = n_blocks * BLOCK - n_extended + extension
    extended = np.empty((n_channels, n_blocks * BLOCK))
    extended[:, begin : begin + n_samples] = signal
    extended[:, begin - extension : begin] = signal[:, extension:0:-1]
    extended[:, begin + n_samples :] = signal[:, -2 : -2 - extension : -1]
    origin = signal[:, extension : extension + 1].astype(np.float64)
    extended[:, : begin - extension] = origin

    blocks = np.empty((n_channels, n_blocks, BLOCK + 4))
    np.subtract(extended.reshape(n_channels, n_blocks, BLOCK), origin[..., None], out=blocks[..., :BLOCK])
    left = np.empty((n_channels, n_blocks, 4))
    _product(blocks[..., :BLOCK], both_ways.leaves, left)
    entering = np.zeros((n_channels, n_blocks, 2))
    entering[:, 1:] = left[:, :-1, :2]
    forward = _states(entering, both_ways)
    blocks[..., BLOCK : BLOCK + 2] = forward
    entering[:, 0] = np.multiply.outer(blocks[:, -1, : BLOCK + 2] @ both_ways.last, both_ways.rest)
    entering[:, 1:] = (left[..., 2:] + forward @ both_ways.turns)[:, :0:-1]
    blocks[..., BLOCK + 2 :] = _states(entering, both_ways)[:, ::-1]

    first = begin // BLOCK
    inner = blocks[:, first : -(-(begin + n_samples) // BLOCK)]
    made = np.empty((n_channels, inner.shape[1], BLOCK))
    _product(inner, both_ways.outputs, made)
    filtered[:] = made.reshape(n_channels, -1)[:, begin - first * BLOCK :][:, :n_samples]


def _states(entering: NDArray[np.float64], both_ways: _BothWays) -> NDArray[np.float64]:
    """The state before each block, `(channels, blocks, 2)`, of what enters before it."""
    n_channels, n_blocks, _ = entering.shape
    states = np.empty_like(entering)
    for first in range(0, n_blocks, BLOCKS_TOGETHER):
        part = entering[:, first : first + BLOCKS_TOGETHER].reshape(n_channels, -1)
        if first:
            part[:, :2] += states[:, first - 1] @ both_ways.step
        made = part @ both_ways.states[: part.shape[1], : part.shape[1]]
        states[:, first : first + BLOCKS_TOGETHER] = made.reshape(n_channels, -1, 2)
    return states


@lru_cache(maxsize=8)
def _both_ways(corner: float, rate: float) -> _BothWays:
    """The Butterworth high-pass; its state is that of the direct form II, transposed."""
    b, a = butterworth_highpass(corner, rate)
    advance = np.array([[-a[1], 1.0], [-a[2], 0.0]])
    entry = np.array([b[1] - a[1] * b[0], b[2] - a[2] * b[0]])
    powers = [np.eye(2)]
    for _ in range(BLOCK):
        powers.append(advance @ powers[-1])
    impulse = np.array([b[0], *((power @ entry)[0] for power in powers[: BLOCK - 1])])
    lag = np.arange(BLOCK) - np.arange(BLOCK)[:, None]
    # One pass: a block's answer to itself, its answer to a state, the state it leaves, and a state a block later.
    response = np.where(lag >= 0, impulse[np.maximum(lag, 0)], 0.0)
    from_state = np.array([power[0] for power in powers[:BLOCK]]).T
    to_state = np.array([power @ entry for power in powers[BLOCK - 1 :: -1]])
    step = powers[BLOCK].T
    # The same backwards.
    response_back, from_state_back, to_state_back = response[::-1, ::-1], from_state[:, ::-1], to_state[::-1]
    steps = [np.eye(2)]
    for _ in range(BLOCKS_TOGETHER - 1):
        steps.append(steps[-1] @ step)
    none = np.zeros((2, 2))
    return _BothWays(
        outputs=np.vstack((response @ response_back, from_state @ response_back, from_state_back)),
        leaves=np.hstack((to_state, response @ to_state_back)),
        turns=from_state @ to_state_back,
        states=np.block(
            [
                [steps[after - before] if after >= before else none for after in range(BLOCKS_TOGETHER)]
                for before in range(BLOCKS_TOGETHER)
            ]
        ),
        step=step,
        last=np.concatenate((response[:, -1], from_state[:, -1])),
        rest=np.array([-b[0], b[2]]),
    )


def butterworth_highpass(corner: float, rate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numerator and denominator of the Butterworth high-pass of second order, by the bilinear transform."""
    warped = np.tan(np.pi * corner / rate)
    scale = 1 + np.sqrt(2) * warped + warped**2
    numerator = np.array([1.0, -2.0, 1.0]) / scale
    return numerator, np.array([1.0, 2 * (warped**2 - 1) / scale, (1 - np.sqrt(2) * warped + warped**2) / scale])
