"""The HTTP service: files in, findings out. `ecoscale serve` runs it.

What lives here knows HTTP, limits and batches; what an ECG is, how it is read and what it shows is said elsewhere.
Nothing that a client sends is kept after its answer, and nothing of it is logged.
"""
