"""An archive of recordings classified in parts, by this process or by the workers of a Ray cluster.

The list of records is written first, each part of it becomes one file of results, and what has been done is known by
the files. `engine.py` alone imports Ray. Reading and classifying are `ecoscale.sources`' and `ecoscale.inference`'s.
"""
