"""An inbox that is watched: what arrives is classified once, its report is written, and the file put away.

A crash at any moment loses nothing: a file leaves the inbox when its results are in place and the journal says so.
"""

from ecoscale.watching.watcher import Watcher, WatchOptions

__all__ = ["WatchOptions", "Watcher"]
