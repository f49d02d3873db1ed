"""`voicemill speak`: a text in the voice of a reference."""

import json
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voicemill.flows.cli.options import JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from voicemill.model.speaking.voice import Piece
    from voicemill.model.voices.opening import Speaking
    from voicemill.storage.corpus.artifacts import Wave

Device = Literal["auto", "cpu", "cuda"]


def speak(
    reference: Annotated[list[Path], typer.Option(help="A recording of the voice, 3 to 10 s; may be given again.")],
    text: Annotated[str, typer.Option(help="What to say; @FILE reads it from a file.")],
    out: Annotated[str, typer.Option(help=".wav, .flac or .ogg; - writes 16-bit samples at 32 kHz to the output.")],
    s1: Annotated[Path | None, typer.Option(help="Checkpoint of s1: .ckpt of GPT-SoVITS, or ours.")] = None,
    s2: Annotated[
        Path | None, typer.Option(help="Checkpoint of s2: .pth of GPT-SoVITS v2, v2Pro, v2ProPlus, or ours.")
    ] = None,
    light: Annotated[Path | None, typer.Option(help="Instead: file of a light system.")] = None,
    onnx: Annotated[Path | None, typer.Option(help="Instead: folder of ONNX graphs of `voicemill compress`.")] = None,
    store: Annotated[str, typer.Option(help="Instead: a store, whose voice speaks.")] = "",
    voice: Annotated[str, typer.Option(help="Of the store; its only one if left out.")] = "",
    kind: Annotated[str, typer.Option(help="Of the store: trained, student, light or compressed.")] = "",
    number: Annotated[int, typer.Option(min=0, help="Entry of the voice; 0 = champion, else newest.")] = 0,
    allow_retired: Annotated[bool, typer.Option("--allow-retired", help="Speak with a retired entry too.")] = False,
    engine: Annotated[
        Literal["auto", "torch", "onnx"], typer.Option(help="What computes the networks; auto: torch if it can.")
    ] = "auto",
    reference_text: Annotated[str, typer.Option(help="What the first recording says.")] = "",
    reference_language: Annotated[str, typer.Option(help="Its language; as --language if left out.")] = "",
    language: Annotated[str, typer.Option(help="zh, en, ja, ko, yue (each with English words) or auto.")] = "auto",
    content: Annotated[
        str, typer.Option(help="What s2 was trained with: a HuBERT by hub id or folder, or mfcc; empty: as s2 says.")
    ] = "",
    adapter: Annotated[
        list[Path] | None, typer.Option(help="Folder of an adapter, of s1 or s2; may be given for both.")
    ] = None,
    bert: Annotated[str, typer.Option(help="chinese-roberta-wwm-ext-large by hub id or folder; empty: zeros.")] = "",
    speaker_embedding: Annotated[
        list[Path] | None, typer.Option(help="v2Pro: .npy [1, 20480] of ERes2NetV2, one for each reference.")
    ] = None,
    speed: Annotated[float, typer.Option(help="Times as fast; 0.25 to 4.")] = 1.0,
    noise_scale: Annotated[float, typer.Option(help="Variation of the sound; 0 to 2.")] = 0.5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same speech.")] = 0,
    top_k: Annotated[int, typer.Option(help="Draw among so many codes; 1 = the likeliest, 0 = all.")] = 15,
    top_p: Annotated[float, typer.Option(help="Draw among the codes that make up this share.")] = 1.0,
    temperature: Annotated[float, typer.Option(help="Higher is more varied.")] = 1.0,
    repetition_penalty: Annotated[float, typer.Option(help="1 = none.")] = 1.35,
    pause: Annotated[float, typer.Option(help="Seconds of silence behind each piece of the text.")] = 0.3,
    stream: Annotated[bool, typer.Option("--stream", help="Write each piece as soon as it is there.")] = False,
    precision: Annotated[
        str, typer.Option(help="auto, float32, bfloat16 or int8 (fastest); onnx: float16 too.")
    ] = "auto",
    device: Annotated[Device, typer.Option(help="auto, cpu or cuda.")] = "auto",
    watermark: Annotated[int, typer.Option(help="Payload of the quiet watermark, 0 to 65535.")] = 0,
    no_watermark: Annotated[bool, typer.Option("--no-watermark", help="Leave the watermark out.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say a text in the voice of a recording. The file is marked as AI-generated: by metadata and a quiet watermark."""
    from voicemill.flows.plans.speak import VoiceChoice, source_of
    from voicemill.model.s1.generate import Sampling
    from voicemill.model.speaking.loading import load_voice
    from voicemill.model.speaking.options import SpeakOptions
    from voicemill.model.speaking.voice import Voice
    from voicemill.model.voices.opening import open_voice
    from voicemill.storage.errors import ConfigError

    warnings.formatwarning = lambda message, *_, **__: f"voicemill: {message}\n"
    options = SpeakOptions(
        language=language,
        speed=speed,
        noise_scale=noise_scale,
        seed=seed,
        sampling=Sampling(top_k, top_p, temperature, repetition_penalty),
        pause_s=pause,
        watermark=None if no_watermark else watermark,
    )
    line = _words(text)
    _writable(out)
    source = source_of(
        VoiceChoice(
            s1=s1,
            s2=s2,
            light=light,
            onnx=onnx,
            voice=voice,
            store=store,
            kind=kind,
            number=number,
            allow_retired=allow_retired,
        )
    )
    content = content or source.content
    began = time.perf_counter()
    speaking: Speaking
    if adapter:
        if not {"s1", "s2"} <= source.weights.keys():
            has = " and ".join(source.weights)
            raise ConfigError(
                f"--adapter adds to the weights of s1 and s2, and this voice has those of {has}: leave it out"
            )
        if engine == "onnx":
            raise ConfigError("--adapter adds to the weights of s1 and s2 under torch: leave it or --engine onnx out")
        files = source.weights["s1"], source.weights["s2"]
        speaking = load_voice(*files, content=content, bert=bert, precision=precision, device=device, adapters=adapter)
    else:
        how = {"content": content, "bert": bert, "precision": precision}
        speaking = open_voice(source.weights, **how, device=device, engine=engine)
    recordings, said_in = [str(path) for path in reference], reference_language or language
    if speaker_embedding:
        if not isinstance(speaking, Voice):
            raise ConfigError("--speaker-embedding is for s2 of v2Pro: a light voice hears the recording itself")
        embeddings = [_embedding(path) for path in speaker_embedding]
        like = speaking.reference(recordings, reference_text, said_in, embeddings)
    else:
        like = speaking.reference(recordings, reference_text, said_in)
    loaded = time.perf_counter()
    said: dict[str, object]
    if stream or out == "-":
        chunks = speaking.stream(line, like, options)
        first, seconds = _stream(chunks, out, loaded)
        pieces, said = chunks.pieces, {"first_audio_s": round(first, 3)}
    else:
        from voicemill.storage.voices.notice import write_speech

        speech = speaking.speak(line, like, options)
        write_speech(out, speech.wave, speech.rate)
        seconds, pieces, said = speech.seconds, speech.pieces, {}
    _complain(pieces)
    took, load = time.perf_counter() - loaded, loaded - began
    said |= {"entry": source.entry, "pieces": [asdict(piece) for piece in pieces]}
    said |= {"out": out, "seconds": round(seconds, 3), "load_s": round(load, 2), "speak_s": round(took, 2)}
    said["real_time_factor"] = round(took / seconds, 3)
    words = (
        f"{out}: {seconds:.2f} s of speech in {took:.2f} s ({took / seconds:.2f} of real time), loaded in {load:.1f} s"
    )
    print(json.dumps(said, ensure_ascii=False) if as_json else words, file=sys.stderr if out == "-" else sys.stdout)


def _complain(pieces: "Sequence[Piece]") -> None:
    """Say what a listener would wonder about."""
    from voicemill.model.s1.generate import Stop

    for piece in pieces:
        if piece.ended == Stop.LIMIT.value:
            print(
                f"voicemill: {piece.text[:60]!r} came to no end by itself and was cut after {piece.codes / 25:.0f} s: "
                "try another --seed, a clearer reference, or give its text with --reference-text",
                file=sys.stderr,
            )
        if piece.unknown:
            print(f"voicemill: {piece.text[:60]!r}: not said: {' '.join(piece.unknown)}", file=sys.stderr)


def _stream(chunks: "Iterator[Wave]", out: str, began: float) -> tuple[float, float]:
    """Write chunks as they come; seconds until the first one, and seconds of speech."""
    import numpy as np

    from voicemill.storage.units import RATE
    from voicemill.storage.voices.notice import write_blocks

    first = 0.0

    def followed() -> "Iterator[Wave]":
        nonlocal first
        for chunk in chunks:
            first = first or time.perf_counter() - began
            yield chunk

    if out != "-":
        count = write_blocks(Path(out), followed(), RATE)
        return first, count / RATE
    count = 0
    for chunk in followed():
        sys.stdout.buffer.write((np.clip(chunk, -1, 1) * 32767).astype("<i2").tobytes())
        sys.stdout.buffer.flush()
        count += len(chunk)
    return first, count / RATE


def _words(text: str) -> str:
    from voicemill.storage.errors import ConfigError

    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--text {text}: {text[1:]} cannot be read as UTF-8 text: {error}") from error


def _writable(out: str) -> None:
    """Refuse a name before the models are loaded for it."""
    from voicemill.storage.errors import ConfigError
    from voicemill.storage.voices.notice import FORMATS

    if out == "-":
        return
    if Path(out).suffix.lower() not in FORMATS:
        raise ConfigError(f"--out {out}: speech is written as {', '.join(FORMATS)}, or as samples to -")
    if not Path(out).absolute().parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {Path(out).absolute().parent}: mkdir -p it first")


def _embedding(path: Path) -> "Tensor":
    import numpy as np
    import torch

    from voicemill.storage.errors import ConfigError

    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"--speaker-embedding {path}: no .npy file that can be read: {error}") from error
    if found.size != 20480:
        raise ConfigError(f"--speaker-embedding {path}: shape {found.shape}, expected [1, 20480] of ERes2NetV2")
    return torch.from_numpy(found.astype(np.float32).reshape(1, -1))
