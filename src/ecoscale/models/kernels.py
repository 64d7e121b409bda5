"""Kernel sets and the arithmetic of the receptive fields that they give.

A stack of layers, each a set of parallel kernel lengths, realises the receptive field a + b + ... - (layers - 1) for
every choice of one length a layer. Omni-Scale CNN (Tang et al. 2022, arXiv 2002.10061, section 3) takes primes up to p
twice and then {1, 2}: by Goldbach's conjecture two primes reach every even number up to a bound, and {1, 2} the odd
ones. How far the coverage goes without a gap is computed here, never assumed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from ecoscale.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


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
    if required_receptive_field < 1:
        raise ModelError(f"required receptive field {required_receptive_field}: expected at least one sample")
    return tuple(prime_kernels(max(1, required_receptive_field // (2 * stride))) for stride in strides)


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
