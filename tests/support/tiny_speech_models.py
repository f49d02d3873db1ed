"""Recognisers, aligners and content encoders with random weights, in the files of real models."""

import json
from pathlib import Path
from typing import Any

ENCODER_DIMS = 32
ENCODER_SIZES: dict[str, Any] = {
    "hidden_size": ENCODER_DIMS,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
"""Sizes of HuBERT and Wav2Vec2."""
LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]


def tiny_encoder(folder: Path, kind: str = "Hubert", **changes: Any) -> Path:
    """Folder of a content encoder, the transformers model `kind`, with random weights; `changes` to its config."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**(ENCODER_SIZES | changes))
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    return folder


def tiny_ctc(folder: Path, norm: str) -> Path:
    """Folder of a Wav2Vec2ForCTC with random weights and its files, as on the hub. `norm`: group or layer."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2ForCTC

    torch.manual_seed(1)
    config = Wav2Vec2Config(
        **ENCODER_SIZES,
        vocab_size=len(LETTERS),
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
        conv_bias=norm == "layer",
        initializer_range=0.3,
        pad_token_id=0,
    )
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({char: number for number, char in enumerate(LETTERS)}))
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    described = {"do_normalize": norm == "layer", "feature_size": 1, "sampling_rate": 16000, "padding_value": 0.0}
    described |= {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "return_attention_mask": norm == "layer"}
    (folder / "preprocessor_config.json").write_text(json.dumps(described))
    return folder


def tiny_whisper(folder: Path) -> Path:
    """Folder of a multilingual faster-whisper of the words w0, w1, ...; its output depends on its input alone."""
    import torch
    from ctranslate2.converters import TransformersConverter
    from faster_whisper.tokenizer import _LANGUAGE_CODES
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        PreTrainedTokenizerFast,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
    )

    codes = _LANGUAGE_CODES[:99]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(f"Ġw{number}" for number in range(50257 - len(alphabet)))]
    tasks = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
    special = [f"<|{name}|>" for name in ["endoftext", "startoftranscript", *codes, *tasks]]
    stamps = [f"<|{number * 0.02:.2f}|>" for number in range(1501)]
    vocabulary = {token: number for number, token in enumerate([*words, *special, *stamps])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    source = folder / "source"
    end = vocabulary["<|endoftext|>"]
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(source)
    config = WhisperConfig(
        vocab_size=len(vocabulary),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_mel_bins=80,
        init_std=0.6,
        decoder_start_token_id=end + 1,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    model.generation_config.lang_to_id = {f"<|{code}|>": end + 2 + number for number, code in enumerate(codes)}
    model.generation_config.begin_suppress_tokens = [end]
    model.generation_config.alignment_heads = [[0, 0]]
    model.save_pretrained(source)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(source)
    target = folder / "whisper"
    files = ["tokenizer.json", "preprocessor_config.json"]
    TransformersConverter(str(source), copy_files=files).convert(str(target))
    return target
