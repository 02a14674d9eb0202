"""The one place that chooses where and in which precision the networks compute."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Compute:
    """Where the networks run.

    Attributes:
        device: cpu, cuda or mps.
        low_precision: the 16-bit type for convolutions and matrix products, or None for float32 throughout.
        hardware: for people, e.g. "CPU".
        channels_last: whether all channels of a pixel lie side by side in memory, which convolutions prefer.
    """

    device: torch.device
    low_precision: torch.dtype | None
    hardware: str
    channels_last: bool = True

    @property
    def name(self) -> str:
        """For people, with the threads that torch computes with just now: ``CPU, 2 threads, bfloat16``."""
        threads = [count_threads(torch.get_num_threads())] if self.device.type == "cpu" else []
        precision = [] if self.low_precision is None else [str(self.low_precision).removeprefix("torch.")]
        return ", ".join([self.hardware, *threads, *precision])

    def autocast(self) -> AbstractContextManager[object]:
        """Run the operations that bear it in the lower precision (weights and sums stay float32)."""
        if self.low_precision is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.low_precision)

    def place(self, model: Network) -> Network:
        """Move a network to the device and into its memory layout."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return model.to(self.device, memory_format=layout)  # type: ignore[call-overload, no-any-return]


@cache
def choose_compute() -> Compute:
    """CUDA where present, then Apple's MPS, then the CPU; 16 bits only where the processor has them natively."""
    if torch.cuda.is_available():
        low = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
        return Compute(torch.device("cuda"), low, torch.cuda.get_device_name())
    if torch.backends.mps.is_available():
        return Compute(torch.device("mps"), None, "Apple GPU (MPS)")
    low = torch.bfloat16 if cpu_has_bfloat16() else None
    keep_freed_memory()
    return Compute(torch.device("cpu"), low, "CPU")


def count_threads(count: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{count} thread" if count == 1 else f"{count} threads"


@contextmanager
def computing_with(threads: int | None) -> Iterator[None]:
    """Compute with so many threads of the processor; None leaves their number as it is.

    The threads share the terms of every sum among them, so with another number the last bits of a result differ.
    """
    if threads is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware; emulated, it would be slower than float32."""
    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(probe is not None and probe() for probe in probes)


def keep_freed_memory() -> None:
    """Ask glibc to keep freed memory for the next batch instead of returning it to the system.

    Every batch allocates and frees the same large tensors; returned and faulted in again page by page, they cost
    up to a fifth of the training time. Other C libraries don't know the call, and do without.
    """
    if platform.system() != "Linux":
        return
    trim_threshold, mmap_threshold, one_gigabyte = -1, -3, 1 << 30  # the names and numbers of <malloc.h>
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, one_gigabyte)
        libc.mallopt(mmap_threshold, one_gigabyte)
