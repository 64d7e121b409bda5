"""Kernel sets and the arithmetic of the receptive fields that they give.

A stack of layers, each a set of parallel kernel lengths, realises the receptive field a + b + ... - (layers - 1) for
every choice of one length a layer.

- **Primes** (Omni-Scale CNN, Tang et al. 2022, arXiv 2002.10061, section 3): 1 and the primes up to p twice, then
  {1, 2}. By Goldbach's conjecture two primes reach every even number up to a bound, and {1, 2} the odd ones. How far
  the coverage goes without a gap is computed here, never assumed.
- **Radix** (ours): layers are the digits of a mixed-radix number system. With factors m, n, q the layers {1..m},
  {1, 1+m, ..., 1+(n-1)m}, {1, 1+mn, ..., 1+(q-1)mn} realise every receptive field from 1 to mnq exactly once, since
  a + b + c - 2 = 1 + i + jm + kmn for digits i < m, j < n, k < q, and every number below mnq has one such expansion.
  Lengths of one layer are 1 apart by a common step, so all but the first digit can be dilated: j + 1 taps that are m
  samples apart reach as far as 1 + jm taps side by side.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise, permutations
from typing import TYPE_CHECKING

from ecoscale.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PAIR = (1, 2)
"""The last layer of a stack of prime kernels, which reaches the odd receptive fields."""


def prime_kernels(largest: int) -> tuple[int, ...]:
    """1 and the primes up to and including `largest` (samples)."""
    if largest < 1:
        raise ModelError(f"largest kernel {largest}: a kernel has at least one sample")
    return tuple(k for k in range(1, largest + 1) if all(k % d for d in range(2, int(k**0.5) + 1)))


def stage_kernels(required_receptive_field: int, strides: Iterable[int]) -> tuple[tuple[int, ...], ...]:
    """Prime kernels for each stage, capped to the scale still required after down-sampling.

    The rule is our reading of Kang et al. 2025, whose text states the principle without numbers: a stage with total
    stride S takes 1 and the primes p with 2p <= R / S, for a required receptive field of R input samples.
    R = 512 (1.28 s at 400 Hz) and strides 8, 16, 32, 64 give largest kernels 31, 13, 7, 3.
    """
    _check_required(required_receptive_field)
    return tuple(prime_kernels(max(1, required_receptive_field // (2 * stride))) for stride in strides)


def required_receptive_field(kernel_sizes: Sequence[Sequence[int]], strides: Sequence[int]) -> int:
    """The smallest required receptive field, in input samples, for which `stage_kernels` gives these kernel lists.

    Raises `ModelError` if the rule gives them for none.
    """
    asked = tuple(tuple(kernels) for kernels in kernel_sizes)
    if len(asked) != len(strides) or not all(asked):
        raise ModelError(f"{len(asked)} kernel lists for {len(strides)} strides; expected one for each, none empty")
    required = max(
        (2 * stride * kernels[-1] for kernels, stride in zip(asked, strides, strict=True) if kernels[-1] > 1), default=1
    )
    if (given := stage_kernels(required, strides)) != asked:
        raise ModelError(
            f"the cap rule gives {given} for {required} samples and never {asked}, so these are not its kernel lists"
        )
    return required


@cache
def covering_primes(required: int) -> tuple[int, ...]:
    """1 and the primes up to the smallest with which a published block covers 1 to `required` samples without a gap."""
    _check_required(required)
    largest = max(1, required // 2)
    while gap_free_coverage(prime_layers(prime_kernels(largest))) < required:
        largest += 1
    return prime_kernels(largest)


def prime_layers(kernels: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """The three layers of a published block: the kernels twice, then {1, 2}."""
    return (tuple(kernels), tuple(kernels), PAIR)


@cache
def radix_kernels(
    required: int, n_layers: int = 3, *, channels: int = 64, dilated: bool = False, depthwise: bool = False
) -> tuple[tuple[int, ...], ...]:
    """Kernel lengths for each layer that realise every receptive field from 1 to `required` samples, most cheaply.

    Every choice of factors and every order of the digits among the layers is compared by `block_weights` for a block of
    `channels`; the top digit stops where `required` is reached. Ours; see the module docstring.
    """
    _check_required(required)
    if n_layers < 1:
        raise ModelError(f"{n_layers} layers: expected at least one")

    def rank(layers: tuple[tuple[int, ...], ...]) -> tuple:
        cost = block_weights(layers, channels, dilated=dilated, depthwise=depthwise)
        return cost, math.prod(map(len, layers)), layers

    best: tuple | None = None
    for factors in _factors(required, n_layers):
        # The 1x1 convolution after the layer with the most kernels alone may cost more than the best block so far.
        widest = channels // 2 * max(factors)
        if best is None or widest * min(widest // 2, channels) <= best[0]:
            ranks = map(rank, permutations(_digits(factors)))
            best = min(ranks) if best is None else min(best, *ranks)
    assert best is not None
    return best[-1]


def radix_stage_kernels(
    required_receptive_field: int,
    strides: Iterable[int],
    *,
    width: int = 64,
    dilated: bool = False,
    depthwise: bool = False,
) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """`radix_kernels` for each stage: in its own samples, all receptive fields up to the required one, rounded up.

    `width` is the first stage's number of channels, which each later stage doubles.
    """
    _check_required(required_receptive_field)
    return tuple(
        radix_kernels(
            -(-required_receptive_field // stride),
            channels=width * 2**stage,
            dilated=dilated,
            depthwise=depthwise,
        )
        for stage, stride in enumerate(strides)
    )


def _factors(required: int, n_digits: int) -> Iterator[tuple[int, ...]]:
    """Mixed-radix factors, lowest digit first, whose product reaches `required`; the top digit goes no further.

    Digits that are not needed have the factor 1 and come last.
    """
    if n_digits == 1 or required == 1:
        yield (required, *(1,) * (n_digits - 1))
        return
    for lowest in range(2, required + 1):
        for others in _factors(-(-required // lowest), n_digits - 1):
            yield (lowest, *others)


def _digits(factors: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """The layer of each digit: `{1, 1 + place, 1 + 2 place, ...}`."""
    places = [math.prod(factors[:digit]) for digit in range(len(factors))]
    return tuple(
        tuple(1 + value * place for value in range(factor)) for factor, place in zip(factors, places, strict=True)
    )


def common_step(kernels: Iterable[int]) -> int:
    """The largest step such that every length is 1 plus a multiple of it: the dilation that a layer allows."""
    return math.gcd(*(kernel - 1 for kernel in kernels)) or 1


def taps(kernels: Iterable[int], *, dilated: bool = False) -> tuple[int, ...]:
    """Weights that each kernel has for a pair of channels: its length, or fewer where it is dilated."""
    kernels = tuple(kernels)
    step = common_step(kernels) if dilated else 1
    return tuple((kernel - 1) // step + 1 for kernel in kernels)


def branch_groups(in_channels: int, channels: int, *, depthwise: bool) -> int:
    """Groups of a branch's convolution: as many as the channels allow where it is depthwise, else one."""
    return math.gcd(in_channels, channels) if depthwise else 1


def block_weights(
    layers: Sequence[Sequence[int]], channels: int, *, dilated: bool = False, depthwise: bool = False
) -> int:
    """Convolution weights of an EcoScale block of `channels` with these layers and an identity shortcut.

    This times the samples is the block's MACs. Every layer has `channels / 2` channels for each kernel, behind a 1x1
    convolution that halves what came before; one more leads back to `channels`.
    """
    half = channels // 2
    total, width = 0, channels
    for kernels in layers:
        narrow = width // 2
        inputs = narrow // branch_groups(narrow, half, depthwise=depthwise)
        total += width * narrow + inputs * half * sum(taps(kernels, dilated=dilated))
        width = half * len(kernels)
    return total + width * channels


def receptive_fields(layers: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Every receptive field, in samples, that a stack of parallel-kernel layers realises; ascending."""
    fields = {1}
    for kernels in layers:
        fields = {field + kernel - 1 for field in fields for kernel in kernels}
    return tuple(sorted(fields))


def gap_free_coverage(layers: Sequence[Sequence[int]]) -> int:
    """The largest n such that the stack realises every receptive field from 1 to n; 0 if it lacks 1."""
    fields = receptive_fields(layers)
    if fields[0] != 1:
        return 0
    return next((low for low, high in pairwise(fields) if high != low + 1), fields[-1])


def receptive_field_gaps(layers: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Receptive fields from 1 to the longest that the stack does not realise."""
    fields = receptive_fields(layers)
    return tuple(sorted(set(range(1, fields[-1] + 1)) - set(fields)))


def _check_required(required: int) -> None:
    if required < 1:
        raise ModelError(f"required receptive field {required}: expected at least one sample")
