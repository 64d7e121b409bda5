"""Training networks with Lightning: recipes, data, augmentation, losses, runs.

Metrics do not live here (`ecoscale.evaluation`), nor does anything that a user of a trained network needs.
"""

from ecoscale.training.distributed import is_first_process
from ecoscale.training.drafting import Draft, draft_recipe, own_name
from ecoscale.training.recipe import Recipe, load_recipe
from ecoscale.training.run import Run, rank_of, train

__all__ = ["Draft", "Recipe", "Run", "draft_recipe", "is_first_process", "load_recipe", "own_name", "rank_of", "train"]
