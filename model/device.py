"""Choice of device and precision of a model, with its reason, in one function."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from voicemill.storage.errors import ConfigError

DeviceChoice = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Placement:
    """Device, dtype of autocast on it (float32 = no autocast), and the reason for both."""

    device: torch.device
    dtype: torch.dtype
    reason: str


def place(device: DeviceChoice = "auto", precision: Precision = "auto") -> Placement:
    """Choose device and dtype.

    "auto": the first CUDA GPU if there is one, else the CPU. bfloat16 where the hardware multiplies it (GPUs of compute
    capability 8 and up; CPUs with avx512_bf16 or amx_bf16), float16 on older GPUs, float32 on the other CPUs, where
    emulated bfloat16 is slower than float32.

    Raises:
        ConfigError: "cuda" on a machine without a CUDA GPU, or float16 on a CPU.
    """
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ConfigError(
            "device = 'cuda', but torch sees no CUDA GPU here: install its driver, or set device = 'auto'"
        )
    chosen = "cuda" if has_cuda and device != "cpu" else "cpu"
    why = f"{chosen} as the setting says" if device != "auto" else ("a GPU is there" if has_cuda else "no GPU here")
    if precision != "auto":
        if chosen == "cpu" and precision == "float16":
            raise ConfigError("precision = 'float16' needs a GPU: set 'auto', 'float32' or 'bfloat16'")
        return Placement(torch.device(chosen), getattr(torch, precision), f"{why}; {precision} as the setting says")
    if chosen == "cuda":
        major, minor = torch.cuda.get_device_capability()
        dtype = torch.bfloat16 if major >= 8 else torch.float16
        return Placement(torch.device("cuda"), dtype, f"{why}; {dtype} on compute capability {major}.{minor}")
    if flag := bf16_flag():
        return Placement(torch.device("cpu"), torch.bfloat16, f"{why}; bfloat16, the CPU has {flag}")
    return Placement(torch.device("cpu"), torch.float32, f"{why}; float32, the CPU has no bfloat16 instructions")


def bf16_flag() -> str:
    """Instruction set of the CPU that multiplies bfloat16 ("amx_bf16", "avx512_bf16" or "bf16"), or ""."""
    return first_flag("amx_bf16", "avx512_bf16", "bf16")


def convolves_bf16_faster() -> bool:
    """Whether this CPU computes convolutions in bfloat16 faster than in float32.

    AMX does, and avx512_bf16 of AMD does, in half the time. An Intel Xeon whose hypervisor hides AMX has avx512_bf16
    too, and takes 1.3 to 1.8 times as long with it (kernels 3 to 11, 16 to 256 channels).
    """
    return bool(first_flag("amx_bf16", "bf16") or (first_flag("avx512_bf16") and first_flag("AuthenticAMD")))


def first_flag(*candidates: str) -> str:
    """First of these instruction sets that the CPU has, by its name in Linux, or "". The name of its maker is one."""
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux
        return ""
    return next((flag for flag in candidates if flag in words), "")


def is_wrong_on_amx(channels: int, taps: int) -> bool:
    """Whether a bfloat16 convolution over time of this size gives wrong numbers on CPUs with AMX.

    `channels`: input channels of one group; `taps`: length of the kernel, dilation 1. oneDNN 3.7 (torch 2.8) packs
    fewer than 16 channels and the taps into blocks of 32 products, and is wrong, without an error, where they fill two
    or more blocks to the last product: cosine to float64 0.0 to 0.8. Measured on a Xeon for 1 to 17 channels and 1 to
    129 taps: all sizes of this rule are wrong, no other is; odd kernels never are. It holds for the input gradient of a
    transposed convolution too, with its output channels. On AVX-512 alone every size is right.
    """
    return channels < 16 and channels % 2 == 0 and channels * taps > 32 and channels * taps % 32 == 0


def can_pack() -> bool:
    """Whether this torch has oneDNN, and the operators of convolutions with packed weights and fused activations."""
    operators = ("_convolution_pointwise_", "_reorder_convolution_weight")
    return bool(torch.backends.mkldnn.is_available()) and all(hasattr(torch.ops.mkldnn, name) for name in operators)
