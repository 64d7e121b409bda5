"""Looks for kernel lists that are cheaper than radix kernels under the same guarantee: every receptive field to n.

    python studies/kernel_search.py

For each stage of EcoScale-Net (n = 64, 32, 16, 8 for 512 input samples) it compares, by the weights of a block of 64
channels: primes as published, radix kernels, and what simulated annealing finds among all lists with the same coverage,
for three layers and for two layers before {1, 2}; with dense, dilated, and dilated depthwise branches. n = 8 with three
dense layers is searched whole. Prints Markdown. A few minutes on one core.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random

from ecoscale.models.kernels import (
    PAIR,
    block_weights,
    gap_free_coverage,
    prime_kernels,
    prime_layers,
    radix_kernels,
)

CHANNELS = 64
FORMS = {"dense": {}, "dilated": {"dilated": True}, "depthwise": {"dilated": True, "depthwise": True}}
UNIT = (CHANNELS // 2) ** 2


def missing(layers: tuple[tuple[int, ...], ...], n: int) -> int:
    """How many of the receptive fields 1..n the layers lack."""
    reached = 1
    for kernels in layers:
        reached = sum_of_shifts(reached, kernels)
    return n - (reached & ((1 << n) - 1)).bit_count()


def sum_of_shifts(reached: int, kernels: tuple[int, ...]) -> int:
    """Receptive fields (bit k stands for k + 1) after one more layer."""
    out = 0
    for kernel in kernels:
        out |= reached << (kernel - 1)
    return out


def anneal(n: int, free: int, fixed: tuple[tuple[int, ...], ...], form: dict, seed: int, steps: int):
    """The cheapest complete layers that one annealing run meets: `free` layers before the `fixed` ones."""
    draw = random.Random(seed)

    def cost(layers):
        return block_weights((*layers, *fixed), CHANNELS, **form) / UNIT

    # From radix kernels; with {1, 2} fixed, from those of half the length.
    layers = radix_kernels(n if not fixed else -(-n // 2), free, **form)
    best, best_cost = None, math.inf
    energy = cost(layers) + 20 * missing((*layers, *fixed), n)
    for step in range(steps):
        heat = 8 * (1 - step / steps) + 0.02
        which = draw.randrange(free)
        own = set(layers[which])
        move = draw.random()
        if move < 0.4 and len(own) > 1:
            own.discard(draw.choice(sorted(own)))
        if move < 0.2 or move >= 0.4:
            own.add(draw.randint(1, n))
        if move > 0.8 and len(own) > 1:
            own.discard(draw.choice(sorted(own)))
        proposal = tuple(tuple(sorted(own)) if i == which else layer for i, layer in enumerate(layers))
        lacking = missing((*proposal, *fixed), n)
        paid = cost(proposal)
        new = paid + 20 * lacking
        if new <= energy or draw.random() < math.exp((energy - new) / heat):
            layers, energy = proposal, new
            if not lacking and paid < best_cost:
                best, best_cost = (*layers, *fixed), paid
    return best, best_cost


def exhaustive(n: int, form: dict):
    """The cheapest of all three lists from 1..n that cover 1..n; feasible for n = 8."""
    lists = [(1, *rest) for size in range(n) for rest in itertools.combinations(range(2, n + 1), size)]
    best, best_cost = None, math.inf
    for first in lists:
        for second in lists:
            if block_weights((first, second, (1,)), CHANNELS, **form) / UNIT >= best_cost:
                continue
            for third in lists:
                paid = block_weights((first, second, third), CHANNELS, **form) / UNIT
                if paid < best_cost and not missing((first, second, third), n):
                    best, best_cost = (first, second, third), paid
    return best, best_cost


def show(layers) -> str:
    """Layers in words."""
    return " \\| ".join(" ".join(map(str, layer)) for layer in layers)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4, help="annealing runs for each cell")
    parser.add_argument("--steps", type=int, default=40_000, help="steps of a run")
    options = parser.parse_args()
    print("| n | branches | kernels | weights of a block, in (C/2)^2 | covers 1 to | layers |")
    print("|--:|---|---|--:|--:|---|")
    for n, largest in ((64, 31), (32, 13), (16, 7), (8, 3)):
        for form, flags in FORMS.items():
            rows = [(f"radix, {layers} layers", radix_kernels(n, layers, **flags)) for layers in (2, 3, 4, 5)]
            if form == "dense":
                rows.insert(0, ("primes, as published", prime_layers(prime_kernels(largest))))
            for name, free, fixed in (("search, three layers", 3, ()), ("search, two layers and {1, 2}", 2, (PAIR,))):
                found = [anneal(n, free, fixed, flags, seed, options.steps) for seed in range(options.runs)]
                rows.append((name, min(found, key=lambda each: each[1])[0]))
            if n == 8 and form == "dense":
                rows.append(("all lists, three layers", exhaustive(n, flags)[0]))
            for name, layers in rows:
                weights = block_weights(layers, CHANNELS, **flags) / UNIT
                print(
                    f"| {n} | {form} | {name} | {weights:.1f} | {gap_free_coverage(layers)} | {show(layers)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
