"""The processes of a training, one for each device: what they compute in, and how they agree.

Several processes are a process group of torch (gloo on CPUs, NCCL on GPUs), which meets by a file and talks over the
loopback interface. Autocast and the scaler of float16 are torch's own. Lightning Fabric did this before: it adds 6 s of
imports to each process and a TCP server on all interfaces.

Each rank adds up its gradients alone; they are averaged when every rank has reported that its backward passes are done.
torch's DistributedDataParallel averages within the last backward pass instead, which hides the transfer, but there a
rank that runs out of memory leaves the others waiting for its gradients until the process group gives up. The networks
here are small: 41 M gradients of float32 are 165 MB a step.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from voicemill.model.device import place
from voicemill.model.settings.training import LoopSettings
from voicemill.model.training.engine.start_ranks import COUNT, MEETING, RANK

BUCKET = 1 << 24
"""Gradients sent at once: 64 MB of float32, the memory needed beside the gradients themselves."""


class Ranks:
    """This process among the others. Alone, every agreement is the value of this process.

    Raises ConfigError where the precision does not fit the device.
    """

    def __init__(self, settings: LoopSettings) -> None:
        placed = place(precision=settings.precision)
        self.reason, self.dtype = placed.reason, placed.dtype
        self.world, self.rank = int(os.environ.get(COUNT, "1")), int(os.environ.get(RANK, "0"))
        self.device = torch.device("cuda", self.rank) if placed.device.type == "cuda" else placed.device
        if self.world > 1:
            _join(self.device, self.world, self.rank)
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32 for what stays float32, as GPT-SoVITS
        self.scaler = torch.amp.GradScaler(self.device.type) if self.dtype == torch.float16 else None
        """Scaler of the losses; float16 alone needs one."""

    @property
    def first(self) -> bool:
        """Whether this is rank 0, the one that writes."""
        return self.rank == 0

    def put(self, module: nn.Module) -> None:
        """Move a module to the device, with the weights of rank 0. Its forward then computes in the precision of the
        training and returns float32.

        The module stays what it is: no wrapper, the same keys.
        """
        module.to(self.device)
        if self.world > 1:
            for tensor in [*module.parameters(), *module.buffers()]:
                distributed.broadcast(tensor.data, 0)
        if self.dtype != torch.float32:
            entered: list[torch.autocast] = []

            def enter(*_: Any) -> None:
                entered.append(torch.autocast(self.device.type, dtype=self.dtype))
                entered[-1].__enter__()

            def leave(_module: nn.Module, _given: Any, result: Any) -> Any:
                entered.pop().__exit__(None, None, None)
                return _float32(result)

            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave, always_call=True)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a scalar loss to those of its parameters, scaled where float16 needs it."""
        (self.scaler.scale(loss) if self.scaler else loss).backward()

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """Return for each flag whether it is set on any rank."""
        if self.world == 1:
            return list(flags)
        values = torch.tensor([float(flag) for flag in flags], device=self.device)
        distributed.all_reduce(values, distributed.ReduceOp.MAX)
        return [bool(value) for value in values.tolist()]

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of float [n] over ranks, the same bits on each."""
        if self.world > 1:
            values = values.clone()
            distributed.all_reduce(values)
            values = values / self.world
        return values

    def mean_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Average the gradients over ranks, in place. A parameter without a gradient on every rank keeps none, as in a
        single process."""
        if self.world == 1:
            return
        known = self.any([parameter.grad is not None for parameter in parameters])
        gradients: list[Tensor] = []
        for parameter, has in zip(parameters, known, strict=True):
            if has:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            distributed.all_reduce(flat)
            flat /= self.world
            for gradient, part in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
                gradient.copy_(part.view_as(gradient))

    def gather(self, value: Any) -> list[Any]:
        """Return the value of every rank, in their order; anything that pickle takes."""
        if self.world == 1:
            return [value]
        gathered: list[Any] = [None] * self.world
        distributed.all_gather_object(gathered, value)
        return gathered

    def broadcast(self, value: Any) -> Any:
        """Return the value of rank 0."""
        if self.world == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, 0, device=self.device)
        return values[0]

    def wait(self) -> None:
        """Wait until every rank is here."""
        if self.world > 1:
            distributed.barrier(device_ids=[self.rank] if self.device.type == "cuda" else None)

    def step(self, optimiser: Optimizer, parameters: Sequence[nn.Parameter], clip: float) -> float:
        """Clip the gradients of one module to a norm and update it; returns the norm before clipping.

        Nothing is updated where the norm is not finite; the scaler of float16 then lowers its scale.
        """
        if self.scaler:
            self.scaler.unscale_(optimiser)
        owned = [parameter for parameter in parameters if parameter.grad is not None]
        gradients = [parameter.grad for parameter in owned]
        norm = float(torch.nn.utils.get_total_norm(gradients)) if owned else 0.0
        if clip and math.isfinite(norm):
            torch.nn.utils.clip_grads_with_norm_(owned, clip, torch.tensor(norm, device=self.device))
        if self.scaler:
            self.scaler.step(optimiser)  # looks at the gradients itself
            self.scaler.update()
        elif math.isfinite(norm):
            optimiser.step()
        return norm


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out. CUDA has a type for it; on CPUs and in libraries only the text
    tells."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    messages = ("can't allocate memory", "not enough memory", "std::bad_alloc", "_STATUS_ALLOC_FAILED", "out of memory")
    return isinstance(error, RuntimeError) and any(message in str(error) for message in messages)


def free_memory() -> None:
    """Release the memory that a failed attempt held."""
    import gc

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _join(device: torch.device, count: int, rank: int) -> None:
    """Make the process group with the other ranks of this machine."""
    for library in ("GLOO", "NCCL"):
        os.environ.setdefault(f"{library}_SOCKET_IFNAME", "lo")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // count))
    store = distributed.FileStore(os.environ[MEETING], count)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count)


def _buckets(gradients: Sequence[Tensor]) -> list[list[Tensor]]:
    buckets: list[list[Tensor]] = []
    room = 0
    for gradient in gradients:
        if gradient.numel() > room or not buckets or buckets[-1][0].dtype != gradient.dtype:
            buckets.append([])
            room = BUCKET
        buckets[-1].append(gradient)
        room -= gradient.numel()
    return buckets


def _float32(value: Any) -> Any:
    """The result of a forward with its tensors of low precision as float32."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _float32(getattr(value, field.name)) for field in fields(value)})
    if isinstance(value, dict):
        return {key: _float32(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_float32, value))
    if isinstance(value, list | tuple):
        return type(value)(map(_float32, value))
    return value
