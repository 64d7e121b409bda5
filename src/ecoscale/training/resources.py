"""What a run takes: the loader's share of the time, memory, and what the machine must have before it starts."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.profilers import Profiler

from ecoscale.errors import RecipeError

if TYPE_CHECKING:
    from pathlib import Path

    import lightning

    from ecoscale.training.distributed import Accelerator
    from ecoscale.training.recipe import Optimisation

_LOADER = "[_TrainingEpochLoop].train_dataloader_next"


class LoaderClock(Profiler):
    """Lightning's account of how long training waits for its next batch; of everything else it keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds, self.batches = 0.0, 0
        self._began = 0.0

    def start(self, action_name: str) -> None:
        """Start the clock."""
        if action_name == _LOADER:
            self._began = time.perf_counter()

    def stop(self, action_name: str) -> None:
        """Stop it."""
        if action_name == _LOADER:
            self.seconds += time.perf_counter() - self._began
            self.batches += 1


class Resources(Callback):
    """Writes what the training since its start or resumption took into a JSON file, after every epoch.

    `seconds_per_batch` and `loader_share` are of the training alone, without validation. `peak_memory` is of one
    process, in bytes: on a GPU what its tensors took at most, on a processor the process's largest resident set,
    memory-mapped signals included. `memory_per_batch` is what one batch keeps for the backward pass, in bytes, counted
    in the first.
    """

    def __init__(self, path: Path, clock: LoaderClock, processes: int) -> None:
        self.path, self.clock, self.processes = path, clock, processes
        self._training = 0.0
        self._began = 0.0
        self._kept: _KeptForBackward | None = None

    def on_train_start(self, *_: object, **__: object) -> None:
        """Forget a peak of before."""
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def on_train_epoch_start(self, *_: object, **__: object) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,  # noqa: ARG002
        pl_module: lightning.LightningModule,
        *_: object,
        **__: object,
    ) -> None:
        """Count what the first batch keeps."""
        if self._kept is None:
            self._kept = _KeptForBackward(pl_module)
            self._kept.__enter__()

    def on_before_backward(self, *_: object, **__: object) -> None:
        """It has kept all that it will."""
        if self._kept is not None:
            self._kept.close()

    def on_exception(self, *_: object, **__: object) -> None:
        """Stop counting where the first batch fails."""
        self.on_before_backward()

    def on_train_batch_end(self, *_: object, **__: object) -> None:
        """Add the batch's time and the wait for it."""
        now = time.perf_counter()
        self._training += now - self._began
        self._began = now

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the file, whole."""
        if not trainer.is_global_zero or not self.clock.batches:
            return
        content = {
            "device": pl_module.device.type,
            "processes": self.processes,
            "threads": torch.get_num_threads(),
            "batches": self.clock.batches,
            "seconds_per_batch": self._training / self.clock.batches,
            "loader_share": self.clock.seconds / self._training,
            "peak_memory": _peak_memory(pl_module.device),
            "memory_per_batch": None if self._kept is None else self._kept.bytes,
        }
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1))
        partial.replace(self.path)


class _KeptForBackward(torch.autograd.graph.saved_tensors_hooks):
    """Adds up the storages that operations keep for the backward pass, without the module's own."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__(self._pack, lambda tensor: tensor)
        own = (*module.parameters(), *module.buffers())
        self._counted = {tensor.untyped_storage().data_ptr() for tensor in own}
        self.bytes = 0
        self._open = True

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._counted:
            self._counted.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor

    def close(self) -> None:
        """Stop counting."""
        if self._open:
            self._open = False
            self.__exit__(None, None, None)


def _peak_memory(device: torch.device) -> int | None:
    """In bytes; none where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def refuse_what_the_machine_lacks(options: Optimisation, accelerator: Accelerator, devices: int) -> None:
    """Raise `RecipeError` for GPUs, bfloat16 units or a compiler that are asked for and not there.

    A processor without bfloat16 units computes in it all the same, slowly: that is only said.
    """
    gpus = torch.cuda.device_count()
    if accelerator == "gpu" and not (gpus or torch.backends.mps.is_available()):
        raise RecipeError("--accelerator gpu: no GPU that PyTorch can use is here; use --accelerator cpu")
    on_gpu = accelerator != "cpu" and gpus > 0
    if on_gpu and devices > gpus:
        raise RecipeError(f"--devices {devices}: this machine has {gpus} GPUs; ask for as many, or --accelerator cpu")
    if options.precision == "bf16":
        if on_gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise RecipeError(
                f"optimisation.precision: {torch.cuda.get_device_name()} does not compute in bfloat16; train with "
                "precision 32"
            )
        if not on_gpu and not _processor_has_bfloat16():
            logging.getLogger(__name__).warning(
                "this processor has no bfloat16 units: bf16 is likely slower here than precision 32"
            )
    if options.compile:
        try:
            with warnings.catch_warnings():
                # The compiler's own imports use what PyTorch deprecates.
                warnings.simplefilter("ignore", DeprecationWarning)
                torch.compile(torch.nn.functional.silu)(torch.zeros(2, device="cuda" if on_gpu else "cpu"))
        except Exception as error:
            raise RecipeError(
                "optimisation.compile: torch.compile does not work on this machine "
                f"({str(error).strip().splitlines()[0]}); it needs a C++ compiler (on a GPU, triton): install one, or "
                "train without"
            ) from error


def _processor_has_bfloat16() -> bool:
    capabilities: dict[str, Any] = dict(torch.cpu.get_capabilities()) if hasattr(torch.cpu, "get_capabilities") else {}
    if not capabilities:
        # An older PyTorch does not tell.
        return True
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16", "sve_bf16"))
