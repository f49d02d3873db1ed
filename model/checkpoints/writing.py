"""Writing of checkpoints: our own `.safetensors`, and the small files that GPT-SoVITS loads.

Both appear under their name only when complete: written beside it, flushed to the disk, then renamed.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicemill.model.checkpoints.checkpoint import FORMAT, MARKERS, METADATA, Checkpoint, check, plain
from voicemill.model.checkpoints.layout import POSTERIOR, VERSIONS, Kind
from voicemill.storage.errors import CheckpointError
from voicemill.storage.files import whole_file

if TYPE_CHECKING:
    from torch import Tensor


def write(path: Path | str, checkpoint: Checkpoint) -> Checkpoint:
    """Write our own form: every tensor bit for bit, with kind, version, config, info and lineage in the header.

    Returns the checkpoint as `read` would. Raises CheckpointError where config or lineage hold types outside JSON.
    """
    from safetensors.torch import save_file

    path = Path(path)
    about = {
        "format": FORMAT,
        "kind": checkpoint.kind,
        "version": checkpoint.version,
        "config": plain(checkpoint.config, path),
        "info": checkpoint.info,
        "lineage": plain(checkpoint.lineage, path),
    }
    # clones: safetensors refuses tensors that share memory, and views of one storage do
    weights = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in checkpoint.weights.items()}
    with whole_file(path, durable=True, parents=False) as temporary:
        save_file(weights, temporary, {METADATA: json.dumps(about, ensure_ascii=False)})
    return replace(
        checkpoint, weights=weights, config=about["config"], lineage=about["lineage"], form="own", source=path
    )


def write_official(path: Path | str, checkpoint: Checkpoint, info: str = "") -> None:
    """Write the small file of GPT-SoVITS: float16, without the posterior encoder, `config` a plain dictionary.

    The config is the official one of that kind and version with the checkpoint's own values over it, so that GPT-SoVITS
    can load a model that was never in an official file. `info`: replaces the checkpoint's, unless empty.

    Raises:
        CheckpointError: a tensor is missing, unknown, of another shape, or has a value that float16 cannot hold.
    """
    import torch

    path = Path(path)
    check(
        checkpoint.source,
        {k: tuple(v.shape) for k, v in checkpoint.weights.items()},
        checkpoint.kind,
        checkpoint.version,
    )
    prefix = "model." if checkpoint.kind == "s1" else ""
    weight = {prefix + key: _half(key, tensor) for key, tensor in checkpoint.weights.items() if not _training(key)}
    content: dict[str, Any] = {"weight": weight}
    if checkpoint.kind != "s2_discriminator":
        config = official_config(checkpoint.kind, checkpoint.version)
        content |= {"config": _overlay(config, plain(checkpoint.config, path)), "info": info or checkpoint.info}
    marker = {version: digits for digits, version in MARKERS.items()}.get(checkpoint.version)
    with whole_file(path, durable=True, parents=False) as temporary:
        torch.save(content, temporary)
        if marker and checkpoint.kind == "s2":
            with temporary.open("r+b") as file:
                file.write(marker.encode("ascii"))


def official_config(kind: Kind, version: str) -> dict[str, Any]:
    """Values that loading reads from the public configs s1longer-v2.yaml, s2.json, s2v2Pro.json, s2v2ProPlus.json."""
    if kind == "s1":
        model = {"vocab_size": 1025, "phoneme_vocab_size": 732, "embedding_dim": 512, "hidden_dim": 512, "head": 16}
        model |= {"linear_units": 2048, "n_layer": 24, "dropout": 0, "EOS": 1024, "random_bert": 0}
        data = {"max_eval_sample": 8, "max_sec": 54, "num_workers": 4, "pad_val": 1024}
        return {"model": model, "data": data, "inference": {"top_k": 15}}
    sizes = VERSIONS[version]
    train = {"segment_size": 20480, "learning_rate": 1e-4, "betas": [0.8, 0.99], "eps": 1e-9, "lr_decay": 0.999875}
    train |= {"c_mel": 45, "c_kl": 1.0, "text_low_lr_rate": 0.4, "seed": 1234, "fp16_run": True}
    audio: dict[str, Any] = {"sampling_rate": 32000, "filter_length": 2048, "hop_length": 640, "win_length": 2048}
    audio |= {"n_mel_channels": 128, "mel_fmin": 0.0, "mel_fmax": None, "max_wav_value": 32768.0}
    audio |= {"n_speakers": 300, "add_blank": True, "cleaned_text": True}
    net: dict[str, Any] = {"version": version, "inter_channels": 192, "hidden_channels": 192, "filter_channels": 768}
    net |= {"n_heads": 2, "n_layers": 6, "kernel_size": 3, "p_dropout": 0.0 if sizes.speaker else 0.1}
    net |= {"resblock": "1", "resblock_kernel_sizes": [3, 7, 11], "resblock_dilation_sizes": [[1, 3, 5]] * 3}
    net |= {"upsample_rates": [10, 8, 2, 2, 2], "upsample_kernel_sizes": list(sizes.kernels)}
    net |= {"upsample_initial_channel": sizes.top, "gin_channels": sizes.gin, "n_layers_q": 3}
    net |= {"use_spectral_norm": False, "semantic_frame_rate": "25hz", "freeze_quantizer": True}
    return {"train": train, "data": audio, "model": net, "content_module": "cnhubert"}


def _overlay(base: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Overwrite `base` with the values of `own`, dictionaries merged, and return it."""
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = _overlay(base[key], value) if both else value
    return base


def _training(key: str) -> bool:
    return key.startswith(POSTERIOR)


def _half(key: str, tensor: "Tensor") -> "Tensor":
    import torch

    half = tensor.detach().cpu().to(torch.float16).contiguous().clone()
    if not half.isfinite().all():
        top = tensor.abs().max().item()
        raise CheckpointError(f"{key} reaches {top:g}: float16 holds up to 65504, so GPT-SoVITS could not load it")
    return half
