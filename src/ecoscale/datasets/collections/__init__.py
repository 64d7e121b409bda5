"""The collections, one module each: its docstring states source, licence, counts, label provenance, folds and traps.

`ecoscale datasets describe NAME` prints it. What several share lies beside them; the contract is
`ecoscale.datasets.collection`.
"""
