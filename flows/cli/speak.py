"""`voicemill speak`: synthesise a text in the voice of a reference recording, or in the voice that is shipped."""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voicemill.flows.cli.options import JsonOption, RetiredOption
from voicemill.flows.cli.running import plain_warnings, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from voicemill.flows.plans.speak import VoiceSource
    from voicemill.model.speaking.pieces import Piece, Speech
    from voicemill.model.voices.opening import AnyVoice
    from voicemill.storage.corpus.artifacts import Wave

Device = Literal["auto", "cpu", "cuda"]


def speak(
    text: Annotated[str, typer.Option(help="Text to speak; @FILE reads it from a file")],
    out: Annotated[str, typer.Option(help=".wav, .flac or .ogg file; - writes 16-bit samples at 32 kHz to stdout")],
    reference: Annotated[
        list[Path] | None,
        typer.Option(help="Recording of the voice, 3 to 10 s; repeatable. A light voice of one speaker needs none"),
    ] = None,
    store: Annotated[str, typer.Option(help="Voice: folder of a store that has it")] = "",
    voice: Annotated[str, typer.Option(help="Name of the voice in the store. Default: its only one")] = "",
    kind: Annotated[str, typer.Option(help="Lane in the store: trained, student, light or compressed")] = "",
    number: Annotated[int, typer.Option(min=0, help="Entry in the store; 0 = the champion, else the newest")] = 0,
    allow_retired: RetiredOption = False,
    s1: Annotated[Path | None, typer.Option(help="Or: checkpoint of s1, .ckpt of GPT-SoVITS or ours")] = None,
    s2: Annotated[
        Path | None, typer.Option(help="With --s1: checkpoint of s2, .pth of GPT-SoVITS v2, v2Pro, v2ProPlus, or ours")
    ] = None,
    light: Annotated[Path | None, typer.Option(help="Or: file of a light voice")] = None,
    onnx: Annotated[Path | None, typer.Option(help="Or: folder of ONNX graphs made by voicemill compress")] = None,
    engine: Annotated[
        Literal["auto", "torch", "onnx"], typer.Option(help="Runtime of the networks; auto: torch where possible")
    ] = "auto",
    reference_text: Annotated[str, typer.Option(help="Transcript of the first reference")] = "",
    reference_language: Annotated[str, typer.Option(help="Language of the reference. Default: as --language")] = "",
    language: Annotated[str, typer.Option(help="zh, en, ja, ko, yue (each with English words) or auto")] = "auto",
    content: Annotated[
        str,
        typer.Option(help="Content encoder of s2: hub id, folder or whisper-3-cmvn, mfcc-cmvn. Default: what s2 names"),
    ] = "",
    adapter: Annotated[
        list[Path] | None, typer.Option(help="Folder of an adapter of s1 or s2; repeatable, once for each")
    ] = None,
    bert: Annotated[
        str, typer.Option(help="Hub id or folder of chinese-roberta-wwm-ext-large. Default: zeros instead of features")
    ] = "",
    speaker_embedding: Annotated[
        list[Path] | None, typer.Option(help="v2Pro: .npy [1, 20480] of ERes2NetV2, one for each reference")
    ] = None,
    speed: Annotated[float, typer.Option(help="Speaking rate, 0.25 to 4; 2 = twice as fast")] = 1.0,
    noise_scale: Annotated[float, typer.Option(help="Variation of the sound, 0 to 2")] = 0.5,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same speech")] = 0,
    top_k: Annotated[int, typer.Option(help="Sample among the k likeliest codes; 1 = greedy, 0 = all")] = 15,
    top_p: Annotated[float, typer.Option(help="Sample among the codes that hold this share of probability")] = 1.0,
    temperature: Annotated[float, typer.Option(help="Sampling temperature; higher is more varied")] = 1.0,
    repetition_penalty: Annotated[float, typer.Option(help="Penalty on repeated codes; 1 = none")] = 1.35,
    pause: Annotated[
        float, typer.Option(help="Silence after each piece of the text, seconds; [pause:0.5s] in the text sets one")
    ] = 0.3,
    split: Annotated[
        Literal["sentence", "punctuation", "none"],
        typer.Option(help="Where the text is cut into pieces: after sentences, after commas too, or nowhere"),
    ] = "sentence",
    sentences: Annotated[int, typer.Option(help="Sentences in a piece, as far as they fit into --longest")] = 1,
    longest: Annotated[int, typer.Option(help="Longest piece, characters; not with --split none")] = 120,
    stream: Annotated[bool, typer.Option("--stream", help="Write sound as soon as it is synthesised")] = False,
    look_ahead: Annotated[
        float | None,
        typer.Option(
            help="Start the sound while s1 still speaks: s2 reads this many seconds ahead, 0 to 10, such as .32"
        ),
    ] = None,
    times: Annotated[
        Literal["pieces", "words", "characters"],
        typer.Option(help="Times in --json and --srt; words: English, Chinese, German; characters: estimated in words"),
    ] = "pieces",
    srt: Annotated[Path | None, typer.Option(help="Write subtitles, one for each of --times")] = None,
    precision: Annotated[
        str,
        typer.Option(help="auto, float32, bfloat16 or int8 (fastest on most CPUs, rougher); with ONNX also float16"),
    ] = "auto",
    device: Annotated[Device, typer.Option(help="auto, cpu or cuda")] = "auto",
    watermark: Annotated[int, typer.Option(help="Payload of the inaudible watermark, 0 to 65535")] = 0,
    no_watermark: Annotated[bool, typer.Option("--no-watermark", help="Leave the watermark out")] = False,
    as_json: JsonOption = False,
) -> None:
    """Synthesise a text in the voice of a recording.

    The voice comes from a store (--store), or from files (--s1 and --s2, --light, --onnx). The result is marked as
    AI-generated, in its metadata and by an inaudible watermark.
    """
    from voicemill.flows.plans.speak import VoiceChoice, source_of
    from voicemill.model.s1.generate import Sampling
    from voicemill.model.speaking.options import SpeakOptions
    from voicemill.model.speaking.pieces import Speech
    from voicemill.model.speaking.voice import Voice
    from voicemill.model.text.sentences import Cutting
    from voicemill.model.voices.opening import open_voice
    from voicemill.storage.errors import ConfigError

    plain_warnings()
    options = SpeakOptions(
        language=language,
        speed=speed,
        noise_scale=noise_scale,
        seed=seed,
        sampling=Sampling(top_k, top_p, temperature, repetition_penalty),
        cutting=Cutting(longest=longest, method=split, sentences=sentences),
        pause_s=pause,
        look_ahead_s=look_ahead,
        watermark=None if no_watermark else watermark,
    )
    sentence = _text(text)
    _check_output(out)
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
    how = {"content": content or source.content, "bert": bert, "precision": precision}
    began = time.perf_counter()
    speaking: AnyVoice
    if adapter:
        speaking = _adapted(source, adapter, engine, device, how)
    else:
        speaking = open_voice(source.weights, **how, device=device, engine=engine)
    recordings, spoken_language = [str(path) for path in reference or []], reference_language or language
    if speaker_embedding:
        if not isinstance(speaking, Voice):
            raise ConfigError("--speaker-embedding is for s2 of v2Pro: a light voice embeds the recording itself")
        embeddings = [_embedding(path) for path in speaker_embedding]
        like = speaking.reference(recordings, reference_text, spoken_language, embeddings)
    else:
        like = speaking.reference(recordings, reference_text, spoken_language)
    loaded = time.perf_counter()
    result: dict[str, object]
    if stream or out == "-":
        chunks = speaking.stream(sentence, like, options)
        first, wave = _stream(chunks, out, loaded)
        speech, result = Speech(wave, chunks.pieces), {"first_audio_s": round(first, 3)}
    else:
        from voicemill.storage.voices.notice import write_speech

        speech, result = speaking.speak(sentence, like, options), {}
        write_speech(out, speech.wave, speech.rate)
    _warn(speech.pieces)
    took, load, seconds = time.perf_counter() - loaded, loaded - began, speech.seconds
    result |= {"entry": source.entry, "pieces": _timed(speech, language, times, srt)}
    result |= {"out": out, "seconds": round(seconds, 3), "load_s": round(load, 2), "speak_s": round(took, 2)}
    result["real_time_factor"] = round(took / seconds, 3)
    terminal = sys.stderr if out == "-" else sys.stdout
    if as_json:
        print_json(result, file=terminal)
        return
    pace = f"{seconds:.2f} s of speech in {took:.2f} s ({took / seconds:.2f} of real time), loaded in {load:.1f} s"
    print(f"{out}: {pace}", file=terminal)


def _timed(speech: "Speech", language: str, times: str, subtitles: Path | None) -> list[dict[str, object]]:
    """Records of the pieces with their words or characters, for --json; writes the subtitles."""
    from voicemill.model.speaking.times import Timed, character_times, srt, word_times

    pieces: list[dict[str, object]] = [asdict(piece) for piece in speech.pieces]
    cues = [Timed(piece.text, piece.start, piece.stop) for piece in speech.pieces]
    if times != "pieces":
        words = word_times(speech, language)
        parts = words if times == "words" else tuple(character_times(own) for own in words)
        pieces = [piece | {times: [asdict(part) for part in own]} for piece, own in zip(pieces, parts, strict=True)]
        cues = [cue for own, piece in zip(parts, cues, strict=True) for cue in own or (piece,)]
        if not all(words):
            print("voicemill: a piece without word times: see --times in model/README.md", file=sys.stderr)
    if subtitles:
        subtitles.write_text(srt(cues), encoding="utf-8")
    return pieces


def _adapted(
    source: "VoiceSource", adapters: list[Path], engine: str, device: Device, how: dict[str, str]
) -> "AnyVoice":
    """A voice of s1 and s2 under torch with adapters on its weights.

    Raises:
        ConfigError: the voice or the engine has no such weights.
    """
    from voicemill.model.speaking.loading import load_voice
    from voicemill.storage.errors import ConfigError

    if not {"s1", "s2"} <= source.weights.keys():
        present = " and ".join(source.weights)
        raise ConfigError(f"--adapter changes the weights of s1 and s2, and this voice has {present}: leave it out")
    if engine == "onnx":
        raise ConfigError("--adapter changes the weights of s1 and s2 under torch: leave it or --engine onnx out")
    return load_voice(source.weights["s1"], source.weights["s2"], **how, device=device, adapters=adapters)


def _warn(pieces: "Sequence[Piece]") -> None:
    """Report pieces that were cut, and characters that were left out."""
    from voicemill.model.s1.generate import Stop

    for piece in pieces:
        if piece.ended == Stop.LIMIT.value:
            print(
                f"voicemill: {piece.text[:60]!r} did not end by itself and was cut after {piece.codes / 25:.0f} s: "
                "try another --seed, a clearer reference, or give its transcript with --reference-text",
                file=sys.stderr,
            )
        if piece.unknown:
            print(f"voicemill: {piece.text[:60]!r}: left out: {' '.join(piece.unknown)}", file=sys.stderr)


def _stream(chunks: "Iterator[Wave]", out: str, began: float) -> tuple[float, "Wave"]:
    """Write chunks as they come; returns seconds until the first one, and all of them joined."""
    import numpy as np

    from voicemill.storage.units import RATE
    from voicemill.storage.voices.notice import write_blocks

    first = 0.0
    written: list[Wave] = []

    def timed() -> "Iterator[Wave]":
        nonlocal first
        for chunk in chunks:
            first = first or time.perf_counter() - began
            written.append(chunk)
            yield chunk

    if out != "-":
        write_blocks(Path(out), timed(), RATE)
        return first, np.concatenate(written)
    for chunk in timed():
        sys.stdout.buffer.write((np.clip(chunk, -1, 1) * 32767).astype("<i2").tobytes())
        sys.stdout.buffer.flush()
    return first, np.concatenate(written)


def _text(text: str) -> str:
    """The text itself, or that of the file which @FILE names."""
    from voicemill.storage.errors import ConfigError

    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--text {text}: {text[1:]} cannot be read as UTF-8 text: {error}") from error


def _check_output(out: str) -> None:
    """Reject an output that cannot be written, before the models are loaded."""
    from voicemill.storage.errors import ConfigError
    from voicemill.storage.voices.notice import FORMATS

    if out == "-":
        return
    if Path(out).suffix.lower() not in FORMATS:
        raise ConfigError(f"--out {out}: speech is written as {', '.join(FORMATS)}, or as samples to -")
    folder = Path(out).absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {folder}: mkdir -p it first")


def _embedding(path: Path) -> "Tensor":
    """Speaker embedding, float32 [1, 20480], from a .npy file."""
    import numpy as np
    import torch

    from voicemill.storage.errors import ConfigError

    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"--speaker-embedding {path}: not a .npy file: {error}") from error
    if values.size != 20480:
        raise ConfigError(f"--speaker-embedding {path}: shape {values.shape}, expected [1, 20480] of ERes2NetV2")
    return torch.from_numpy(values.astype(np.float32).reshape(1, -1))
