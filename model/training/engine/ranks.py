"""The processes of a training, one for each device: what they compute in, and how they agree.

Lightning Fabric starts the process group (gloo on CPUs, NCCL on GPUs), picks device and precision, and scales the
losses of float16. Each rank adds up its gradients alone; they are averaged when every rank has said that its backward
passes are done. torch's DistributedDataParallel averages within the last backward pass instead, which hides the
transfer, but there a rank that runs out of memory leaves the others waiting for its gradients until the process group
gives up. The networks here are small: 41 M gradients of float32 are 165 MB a step.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from voicemill.model.device import place
from voicemill.model.settings.training import LoopSettings

BUCKET = 1 << 24
"""Gradients sent at once: 64 MB of float32, what is needed besides the gradients themselves."""
_PRECISIONS: dict[torch.dtype, Any] = {
    torch.float32: "32-true",
    torch.bfloat16: "bf16-mixed",
    torch.float16: "16-mixed",
}


class Ranks:
    """This process among the others. Alone, every agreement is what this process says.

    Raises ConfigError where the precision does not fit the device.
    """

    def __init__(self, settings: LoopSettings) -> None:
        placed = place(precision=settings.precision)
        count = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # as torchrun says
        self.fabric = Fabric(
            accelerator=placed.device.type,
            devices=count,
            strategy=DDPStrategy() if count > 1 else "auto",
            precision=_PRECISIONS[placed.dtype],
        )
        self.fabric.launch()
        self.reason = placed.reason
        self.dtype = placed.dtype
        if placed.device.type == "cpu" and count > 1:  # torchrun gives each process one thread
            torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // count))
        if placed.device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32 for what stays float32, as GPT-SoVITS

    @property
    def device(self) -> torch.device:
        return self.fabric.device

    @property
    def rank(self) -> int:
        return int(self.fabric.global_rank)

    @property
    def world(self) -> int:
        return int(self.fabric.world_size)

    @property
    def first(self) -> bool:
        """The one that writes."""
        return self.rank == 0

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """Of float16."""
        return getattr(self.fabric.strategy.precision, "scaler", None)

    def put(self, module: nn.Module) -> None:
        """To the device, with the weights of rank 0; its forward computes in the precision and returns float32.

        The module stays what it is: no wrapper, the same keys.
        """
        self.fabric.to_device(module)
        if self.world > 1:
            for tensor in [*module.parameters(), *module.buffers()]:
                distributed.broadcast(tensor.data, 0)
        if self.dtype != torch.float32:
            entered: list[Any] = []

            def enter(*_: Any) -> None:
                entered.append(self.fabric.strategy.precision.forward_context())
                entered[-1].__enter__()

            def leave(_module: nn.Module, _given: Any, result: Any) -> Any:
                entered.pop().__exit__(None, None, None)
                return _float32(result)

            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave, always_call=True)

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """For each flag whether some rank has it."""
        if self.world == 1:
            return list(flags)
        seen = torch.tensor([float(flag) for flag in flags], device=self.device)
        distributed.all_reduce(seen, distributed.ReduceOp.MAX)
        return [bool(flag) for flag in seen.tolist()]

    def mean(self, values: Tensor) -> Tensor:
        """float [n] -> the mean over ranks, the same bits on each."""
        if self.world > 1:
            values = values.clone()
            distributed.all_reduce(values)
            values = values / self.world
        return values

    def mean_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """In place; a parameter that no rank has a gradient of keeps none, as in a single process."""
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
        """What each rank has, in their order; anything that pickle takes."""
        if self.world == 1:
            return [value]
        gathered: list[Any] = [None] * self.world
        distributed.all_gather_object(gathered, value)
        return gathered

    def given(self, value: Any) -> Any:
        """What rank 0 has."""
        return self.fabric.broadcast(value)

    def wait(self) -> None:
        """For all ranks."""
        self.fabric.barrier()

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
    """Whether an error says that memory ran out: CUDA's own type; on CPUs and in libraries only the text tells."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = ("can't allocate memory", "not enough memory", "std::bad_alloc", "_STATUS_ALLOC_FAILED", "out of memory")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in said)


def free() -> None:
    """Give back what a failed attempt held."""
    import gc

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _buckets(gradients: Sequence[Tensor]) -> list[list[Tensor]]:
    buckets: list[list[Tensor]] = []
    left = 0
    for gradient in gradients:
        if gradient.numel() > left or not buckets or buckets[-1][0].dtype != gradient.dtype:
            buckets.append([])
            left = BUCKET
        buckets[-1].append(gradient)
        left -= gradient.numel()
    return buckets


def _float32(value: Any) -> Any:
    """Tensors of low precision as float32, inside what a forward returns."""
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
