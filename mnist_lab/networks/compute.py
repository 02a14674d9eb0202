"""Where and at what precision the networks compute, and the one way to ask them for logits."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_lab.data.mnist import normalise, to_unit
from mnist_lab.environment import DEVICES, asked_device
from mnist_lab.errors import RequestError, TrainingError

if TYPE_CHECKING:  # models.py imports this module
    from mnist_lab.networks.models import DigitNet

_Network = TypeVar("_Network", bound=nn.Module)
MOST_JOBS = 61 if sys.platform == "win32" else 256  # Windows can't wait for more processes than that
_MEMORY_EACH = 1 << 30  # bytes allowed for each training in a process of its own; most need two thirds of that
BATCH_SIZE = 256  # images per step of prediction: few enough that the activations stay in the processor's cache
_ON_CARD = 4096  # the same on a graphics card: enough to occupy it


@dataclass(frozen=True)
class Compute:
    """Where the networks run."""

    device: torch.device  # cpu, cuda or mps
    low_precision: torch.dtype | None  # 16 bits for convolutions and matrix products; None: float32 throughout
    hardware: str  # for people, e.g. "CPU"
    channels_last: bool = True  # all channels of a pixel side by side in memory, which convolutions prefer
    remark: str = ""  # for the user, if the choice may be surprising

    @property
    def name(self) -> str:
        """For people, with the threads that torch computes with at present: ``CPU, 2 threads, bfloat16``."""
        parts, threads = [self.hardware], torch.get_num_threads()
        if self.device.type == "cpu":
            parts.append(f"{threads} thread{'s' if threads > 1 else ''}")
        if self.low_precision is not None:
            parts.append(str(self.low_precision).removeprefix("torch."))
        return ", ".join(parts)

    def autocast(self) -> AbstractContextManager[object]:
        """Run the operations that tolerate it in the lower precision (weights and sums stay float32)."""
        if self.low_precision is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.low_precision)

    def wait(self) -> None:
        """Until the device has done all that it was told to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def place(self, model: _Network) -> _Network:
        """Move a network to the device and into its memory layout."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return model.to(self.device, memory_format=layout)  # type: ignore[call-overload, no-any-return]


class Replayed:
    """A step that a CUDA device replays from a graph: launching its kernels one by one takes longer than they do.

    The step may read and write nothing but tensors that stay where they are, and those it is given: (B, ...) each. Its
    first calls run as they are, which lets libraries prepare themselves; then it is recorded. Batches of another size
    than the first are never replayed. What a replay returns is overwritten by the next one.
    """

    _WARM_UP = 3  # calls

    def __init__(self, step: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], device: torch.device) -> None:
        self._step = step
        # Gradients are summed up on the stream on which they first were, so the first calls are made on the graph's.
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._calls = 0
        self._inputs: tuple[Tensor, Tensor]
        self._outputs: tuple[Tensor, Tensor]

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if not self._calls:
            self._inputs = images.clone(), labels.clone()
        self._calls += 1
        if images.shape != self._inputs[0].shape or self._calls <= self._WARM_UP:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                found = self._step(images, labels)
            torch.cuda.current_stream().wait_stream(self._stream)
            return found
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._outputs = self._step(*self._inputs)
        for held, given in zip(self._inputs, (images, labels), strict=True):
            held.copy_(given)
        self._graph.replay()
        return self._outputs


def choose_compute() -> Compute:
    """Where this process computes: on the device that was asked for, or else on the best that works."""
    return compute_on(asked_device() or "auto")


@cache
def compute_on(name: str) -> Compute:
    """One of :data:`DEVICES`, auto for the first that works; ``RequestError`` if it is not there, or does not work."""
    if name not in DEVICES:
        raise RequestError(f"there is no device {name!r}", f"choose one of {', '.join(DEVICES)}")
    there = devices_here()
    if name not in ("auto", *there):
        remedy = f"choose one of those that are there with --device: auto, {', '.join(there)}"
        raise RequestError(f"torch {torch.__version__} finds no {name} device here", remedy)
    remark = ""
    for device in [device for device in there if name in ("auto", device) and device != "cpu"]:
        trouble = _trouble_with(torch.device(device))
        if not trouble:
            return _graphics_card(torch.device(device))
        if name == device:
            raise RequestError(f"the {name} device can't be used ({trouble})", "give --device cpu, or omit --device")
        remark = f"computing on the CPU: the {device} device can't be used ({trouble})"
    low = torch.bfloat16 if _cpu_has_bfloat16() else None
    _keep_freed_memory()
    return Compute(torch.device("cpu"), low, "CPU", remark=remark)


def devices_here() -> list[str]:
    """The devices that torch finds on this machine, the fastest first."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [name for name, is_there in there.items() if is_there]


def _graphics_card(device: torch.device) -> Compute:
    if device.type == "cuda":
        low = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
        return Compute(device, low, torch.cuda.get_device_name())
    return Compute(device, None, "Apple GPU (MPS)", _layouts_agree(device))


def _trouble_with(device: torch.device) -> str:
    """Why a device can't be used, found out by trying: it may be older or newer than anything torch was built for."""
    try:
        with warnings.catch_warnings(action="ignore"):  # torch says the same, in many lines
            _try_convolution(device)
    except RuntimeError as error:
        return textwrap.shorten(str(error).partition("\n")[0], 120, placeholder=" ...")
    return ""


def _try_convolution(device: torch.device) -> None:
    weight = torch.ones(1, 1, 3, 3, device=device, requires_grad=True)
    (gradient,) = torch.autograd.grad(F.conv2d(torch.ones(1, 1, 4, 4, device=device), weight).sum(), weight)
    gradient.cpu()  # waits for the device, which reports its errors late


def _layouts_agree(device: torch.device) -> bool:
    """Whether a device computes the same gradients in both memory layouts.

    In channels_last, batch normalisation on Apple's GPU has wrong ones, or fails, in releases of torch up to 2026
    (https://github.com/pytorch/pytorch/issues/175189).
    """
    try:
        usual, other = (_batch_norm_gradients(device, to) for to in (torch.contiguous_format, torch.channels_last))
    except RuntimeError:
        return False
    return all(torch.allclose(a, b, rtol=1e-3, atol=1e-3) for a, b in zip(usual, other, strict=True))


def _batch_norm_gradients(device: torch.device, layout: torch.memory_format) -> list[Tensor]:
    """Of a small batch normalisation, for its input, its weight and its bias, on the CPU."""
    values, pull = torch.linspace(-2, 2, 2 * 96).sin().view(2, 2, 3, 4, 4).to(device)  # two batches (2, 3, 4, 4)
    images = values.contiguous(memory_format=layout).requires_grad_()
    norm = nn.BatchNorm2d(3).to(device)
    pull = pull.contiguous(memory_format=layout)
    return [gradient.cpu() for gradient in torch.autograd.grad(norm(images), (images, norm.weight, norm.bias), pull)]


@contextmanager
def computing_with(threads: int | None) -> Iterator[None]:
    """Compute with this many threads, None for as many as now; another number changes the last bits of every sum."""
    with ExitStack() as stack:
        if threads is not None:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(threads)
        yield


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """A network in evaluation mode; afterwards each layer is in the mode that it was found in, even on an error."""
    modes = [(layer, layer.training) for layer in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


def predict_logits(model: nn.Module, images: Tensor, compute: Compute) -> Tensor:
    """Ask a network in evaluation mode, as validation, testing, drawing and saliency all do.

    The images are (N, 1, 28, 28), white ink on black, uint8 0..255 or float 0..1; the network takes them normalised.
    The logits are (N, 10), float32 on the CPU. ``TrainingError`` if one is not finite, which weights that are far too
    large can cause although they are finite themselves.
    """
    found = _in_batches(model, model, images, compute)
    require_finite(found)
    return found


def require_finite(answers: Tensor) -> None:
    """``TrainingError`` if one of a network's answers is infinite or not a number."""
    if not answers.isfinite().all():
        remedy = "train one with a smaller --learning-rate"
        raise TrainingError("the network's answers are no longer finite numbers", remedy)


def predict_hidden(model: DigitNet, images: Tensor, compute: Compute) -> Tensor:
    """The activations of a network's hidden units, (N, H) float32 on the CPU; images as for :func:`predict_logits`."""
    return _in_batches(model, model.hidden, images, compute)


def predict_features(model: DigitNet, images: Tensor, compute: Compute) -> tuple[Tensor, ...]:
    """What the last two blocks and the hidden units make of images, (N, D) each, float32 on the CPU.

    Of the last block but one, it is the means over as many fields as the last one has; (N, 0) if there is only one.
    """

    def ask(batch: Tensor) -> Tensor:
        maps = [batch]
        for block in model.blocks:
            maps.append(block(maps[-1]))
        before = [F.adaptive_avg_pool2d(each, maps[-1].shape[-1]).flatten(1) for each in maps[1:-1][-1:]]
        return torch.cat([*before, maps[-1].flatten(1), model.classifier[:-1](maps[-1])], dim=1)

    weights = model.classifier[1].weight  # (H, D)
    assert isinstance(weights, Tensor)
    found, (units, features) = _in_batches(model, ask, images, compute), weights.shape
    return found.tensor_split((-units - features, -units), dim=1)


@torch.inference_mode()
def _in_batches(model: nn.Module, ask: Callable[[Tensor], Tensor], images: Tensor, compute: Compute) -> Tensor:
    with evaluating(model), compute.autocast():
        size = BATCH_SIZE if compute.device.type == "cpu" else _ON_CARD
        batches = torch.split(images, size)  # (B, 1, 28, 28)
        found = [ask(normalise(to_unit(batch.to(compute.device)))).float() for batch in batches]
    return torch.cat(found).cpu()  # which waits for the device: only once


def _cpu_has_bfloat16() -> bool:  # in hardware: emulated, it would be slower than float32
    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(probe is not None and probe() for probe in probes)


def _keep_freed_memory() -> None:
    """Ask glibc to keep freed memory for the next batch: returning it to the system costs up to a fifth of the time."""
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):  # other C libraries don't know the call, and do without
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>
            ctypes.CDLL(None).mallopt(parameter, 1 << 30)


def default_jobs() -> int:
    """How many trainings at once are fastest: one per core, each with one thread; fewer with little memory.

    On two cores, two trainings side by side took 0.93 of the time that one after the other takes with two threads.
    """
    if choose_compute().device.type != "cpu":
        return 1  # a graphics card serves one training at a time
    memory = MOST_JOBS * _MEMORY_EACH
    with suppress(AttributeError, ValueError, OSError):  # a system that doesn't say
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(available_cores(), memory // _MEMORY_EACH, MOST_JOBS))


def available_cores() -> int:
    """The cores that this program may use: fewer than there are where a container or an affinity limits it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no container, or one without a limit
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, cores)
