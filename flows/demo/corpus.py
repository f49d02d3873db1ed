"""An inbox to try voicemill with: eight synthetic speakers in English, Mandarin and German, about a minute each.

The English speakers have recordings of half a minute with a transcript of the whole beside each (`.txt`); the others
have one file a sentence, listed in `metadata.csv`. Between the sentences are pauses, under everything lies a noise,
and among the files is what an inbox holds in real life: a re-upload, a copy in another format, a truncated file, an
empty one, a text file called .wav, digital silence, and a speaker who gave no consent.

The same seed gives the same bytes (for one build of the codecs). It takes about 3 s.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voicemill.flows.demo.sentences import SENTENCES
from voicemill.flows.demo.voice import RATE, Line, speak
from voicemill.storage.errors import InboxError
from voicemill.storage.outcomes import UploadState
from voicemill.storage.units import Decibels, Seconds

Wave = NDArray[np.float32]


@dataclass(frozen=True)
class Voice:
    """One speaker of the demo."""

    name: str
    language: str
    voice: str
    rate: int
    pitch: int
    range: int
    level: Decibels
    """RMS of the speech, dB full scale: they differ, so that the loudness stage has work."""
    noise: str
    """`white`, `pink` or `hum`."""
    snr: Decibels
    format: str
    """`wav` (22.05 kHz, 16 bit), `flac`, `opus`, or `stereo` (wav, 44.1 kHz, two channels)."""
    consent: bool = True


VOICES = (
    Voice(
        name="alice",
        language="en",
        voice="en-us+f1",
        rate=155,
        pitch=55,
        range=60,
        level=-22.0,
        noise="white",
        snr=32.0,
        format="wav",
    ),
    Voice(
        name="brian",
        language="en",
        voice="en-us+m7",
        rate=150,
        pitch=40,
        range=50,
        level=-26.0,
        noise="pink",
        snr=28.0,
        format="flac",
    ),
    Voice(
        name="clara sue",
        language="en",
        voice="en-us+belinda",
        rate=160,
        pitch=50,
        range=65,
        level=-30.0,
        noise="white",
        snr=34.0,
        format="stereo",
    ),
    Voice(
        name="greta",
        language="de",
        voice="de+Annie",
        rate=150,
        pitch=50,
        range=55,
        level=-24.0,
        noise="hum",
        snr=27.0,
        format="flac",
    ),
    Voice(
        name="jürgen",
        language="de",
        voice="de+m1",
        rate=145,
        pitch=35,
        range=45,
        level=-28.0,
        noise="pink",
        snr=30.0,
        format="wav",
    ),
    Voice(
        name="mei",
        language="zh",
        voice="cmn+f4",
        rate=160,
        pitch=60,
        range=60,
        level=-20.0,
        noise="white",
        snr=26.0,
        format="wav",
    ),
    Voice(
        name="ning",
        language="zh",
        voice="cmn+m3",
        rate=165,
        pitch=40,
        range=50,
        level=-27.0,
        noise="pink",
        snr=33.0,
        format="opus",
    ),
    Voice(
        name="otto",
        language="de",
        voice="de+Michael",
        rate=155,
        pitch=45,
        range=50,
        level=-25.0,
        noise="hum",
        snr=31.0,
        format="flac",
        consent=False,
    ),
)

MINUTE: Seconds = 55.0
"""A speaker has at least this much."""
_SUFFIX = {"wav": ".wav", "flac": ".flac", "opus": ".opus", "stereo": ".wav"}


@dataclass(frozen=True)
class Sentence:
    """A sentence and where it truly stands in its upload."""

    text: str
    start: Seconds
    stop: Seconds


@dataclass(frozen=True)
class DemoUpload:
    """One recording of the demo."""

    path: str
    """Relative to the inbox, forward slashes."""
    speaker: str
    language: str
    seconds: Seconds
    sentences: tuple[Sentence, ...]

    @property
    def text(self) -> str:
        return ("" if self.language == "zh" else " ").join(sentence.text for sentence in self.sentences)


@dataclass(frozen=True)
class Specials:
    """The paths of the files that are not simply prepared. A copy sorts after its original, and the original stays."""

    re_upload: str = "mei/01_again.wav"
    """The bytes of `mei/01.wav` again."""
    same_samples: str = "mei/02_copy.flac"
    """The samples of `mei/02.wav` as FLAC."""
    truncated: str = "alice/cut-short.wav"
    """Its header states twice the samples that follow."""
    not_audio: str = "brian/notes.wav"
    """Text."""
    empty: str = "brian/upload-failed.wav"
    """No bytes."""
    silence: str = "ning/muted.wav"
    """Five seconds of zeros: a good file; its ledger says that all of it is silence."""


@dataclass(frozen=True)
class DemoCorpus:
    """What `synthesise` wrote."""

    folder: Path
    speakers: tuple[str, ...]
    held: str
    """The speaker without consent."""
    uploads: tuple[DemoUpload, ...]
    """The good recordings, of all speakers."""
    specials: Specials
    states: dict[str, UploadState]
    """Path -> state that a refresh must end with: one entry for every audio file of the inbox."""


def synthesise(folder: Path, seed: int = 1) -> DemoCorpus:
    """Write the demo inbox.

    Args:
        folder: new or empty.
        seed: of the order of the sentences, the pauses and the noises.

    Raises:
        InboxError: the folder is not empty.
        VoicemillError: the extra `demo` is not installed.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InboxError(f"{folder} is not empty; the demo corpus wants a folder of its own: remove it or name another")
    spoken = iter(speak([_line(voice, text) for voice in VOICES for text in SENTENCES[voice.language]]))
    uploads: list[DemoUpload] = []
    for number, voice in enumerate(VOICES):
        texts = SENTENCES[voice.language]
        said = [(text, next(spoken)) for text in texts]
        rng = np.random.default_rng([seed, number])
        said = [said[i] for i in rng.permutation(len(said))]
        uploads += _record(folder, voice, said, rng)
    specials = Specials()
    _write_specials(folder, specials)
    _write_metadata(folder, uploads, specials)
    consents = [(voice.name, "yes", "synthetic voice") for voice in VOICES if voice.consent]
    (folder / "consents.csv").write_text(_csv(("speaker", "consent", "note"), consents), encoding="utf-8")
    return DemoCorpus(
        folder=folder,
        speakers=tuple(voice.name for voice in VOICES),
        held=next(voice.name for voice in VOICES if not voice.consent),
        uploads=tuple(uploads),
        specials=specials,
        states=_states(uploads, specials),
    )


def add_one_upload(folder: Path, seed: int = 2) -> DemoUpload:
    """Add one recording of a known speaker, as an upload of the next month: half a minute of `brian`, another noise."""
    voice = replace(next(voice for voice in VOICES if voice.name == "brian"), noise="white", snr=36.0, rate=170)
    rng = np.random.default_rng([seed, len(VOICES)])
    texts = [SENTENCES["en"][i] for i in rng.permutation(len(SENTENCES["en"]))[:7]]
    waves = speak([_line(voice, text) for text in texts])
    upload = _write(folder, voice, "brian/next-month.flac", list(zip(texts, waves, strict=True)), rng)
    with (folder / "metadata.csv").open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow((upload.speaker, upload.path, upload.language, ""))
    return upload


def _line(voice: Voice, text: str) -> Line:
    return Line(text=text, voice=voice.voice, rate=voice.rate, pitch=voice.pitch, range=voice.range)


def _record(folder: Path, voice: Voice, said: list[tuple[str, Wave]], rng: np.random.Generator) -> Iterator[DemoUpload]:
    """The uploads of one speaker: until a minute is full, or everything is said."""
    per_file = (len(said) + 1) // 2 if voice.language == "en" else 1
    total = 0.0
    for number, at in enumerate(range(0, len(said), per_file), start=1):
        if total >= MINUTE:
            break
        path = f"{voice.name}/{number:02}{_SUFFIX[voice.format]}"
        upload = _write(folder, voice, path, said[at : at + per_file], rng)
        total += upload.seconds
        yield upload


def _write(folder: Path, voice: Voice, path: str, said: list[tuple[str, Wave]], rng: np.random.Generator) -> DemoUpload:
    """One recording: sentences with pauses of 0.6-1.5 s before, between and after them, and the noise over all."""
    pauses = [round(seconds * RATE) for seconds in rng.uniform(0.6, 1.5, len(said) + 1)]
    parts: list[Wave] = [np.zeros(pauses[0], np.float32)]
    sentences, at = [], pauses[0]
    for (text, wave), pause in zip(said, pauses[1:], strict=True):
        sentences.append(Sentence(text, at / RATE, (at + len(wave)) / RATE))
        parts += [wave, np.zeros(pause, np.float32)]
        at += len(wave) + pause
    clean = np.concatenate(parts)
    rms = np.sqrt(np.mean(np.concatenate([wave for _, wave in said]) ** 2))
    level = 10 ** (voice.level / 20)
    noisy = clean * (level / rms) + _noise(voice.noise, len(clean), rng) * (level * 10 ** (-voice.snr / 20))
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    _encode(target, noisy.astype(np.float32), voice.format)
    upload = DemoUpload(
        path=path, speaker=voice.name, language=voice.language, seconds=len(noisy) / RATE, sentences=tuple(sentences)
    )
    if voice.language == "en":
        target.with_suffix(".txt").write_text(upload.text + "\n", encoding="utf-8")
    return upload


def _noise(kind: str, samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise [samples] of RMS 1: white; pink (power falls by 3 dB an octave); mains hum of 50 Hz in a little hiss."""
    noise = rng.standard_normal(samples)
    if kind == "pink":
        spectrum = np.fft.rfft(noise)
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        spectrum[0] = 0
        noise = np.fft.irfft(spectrum, samples)
    elif kind == "hum":
        time = np.arange(samples) / RATE
        phases = rng.uniform(0, 2 * np.pi, 6)
        noise *= 0.1
        for k, phase in enumerate(phases, start=1):
            noise += np.sin(2 * np.pi * 50 * k * time + phase) / k
    return noise / np.float64(np.sqrt(np.mean(noise**2)))


def _encode(path: Path, wave: Wave, form: str) -> None:
    """Write float32 [samples] at `RATE` in one of the formats of `Voice.format`."""
    import soundfile
    import soxr

    if form == "opus":
        path.write_bytes(_opus(soxr.resample(wave, RATE, 48_000)))
    elif form == "stereo":
        left = soxr.resample(wave, RATE, 44_100)
        soundfile.write(path, np.stack([left, 0.7 * left], axis=1), 44_100, subtype="PCM_16")
    else:
        soundfile.write(path, wave, RATE, subtype="PCM_16")


def _opus(wave: Wave) -> bytes:
    """Ogg Opus of float32 [samples] at 48 kHz. Through PyAV: libsndfile numbers its streams at random."""
    import av

    sink = io.BytesIO()
    with av.open(sink, "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[np.newaxis], format="flt", layout="mono")
        frame.sample_rate = 48_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return sink.getvalue()


def _write_specials(folder: Path, specials: Specials) -> None:
    import soundfile

    (folder / specials.re_upload).write_bytes((folder / "mei/01.wav").read_bytes())
    samples, rate = soundfile.read(folder / "mei/02.wav", dtype="int16")
    soundfile.write(folder / specials.same_samples, samples, rate, subtype="PCM_16")
    whole = (folder / "alice/01.wav").read_bytes()
    (folder / specials.truncated).write_bytes(whole[: 44 + (len(whole) - 44) // 4 * 2])
    (folder / specials.not_audio).write_text("Call the studio about the second microphone.\n")
    (folder / specials.empty).write_bytes(b"")
    soundfile.write(folder / specials.silence, np.zeros(5 * 16_000, np.int16), 16_000)


def _write_metadata(folder: Path, uploads: Iterable[DemoUpload], specials: Specials) -> None:
    """`metadata.csv`: the text where a file is a sentence; of English files, whose text lies beside, the language."""
    rows = [(u.speaker, u.path, u.language, "" if u.language == "en" else u.text) for u in uploads]
    known = {path: row for row in rows for path in [row[1]]}
    for copy, original in ((specials.re_upload, "mei/01.wav"), (specials.same_samples, "mei/02.wav")):
        speaker, _, language, text = known[original]
        rows.append((speaker, copy, language, text))
    text = _csv(("speaker", "file", "language", "text"), rows)
    (folder / "metadata.csv").write_text(text, encoding="utf-8")


def _csv(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows([header, *rows])
    return sink.getvalue()


def _states(uploads: Iterable[DemoUpload], specials: Specials) -> dict[str, UploadState]:
    consent = {voice.name: voice.consent for voice in VOICES}
    states = {u.path: UploadState.PREPARED if consent[u.speaker] else UploadState.HELD for u in uploads}
    return states | {
        specials.re_upload: UploadState.DUPLICATE,
        specials.same_samples: UploadState.DUPLICATE,
        specials.truncated: UploadState.CORRUPT,
        specials.not_audio: UploadState.CORRUPT,
        specials.empty: UploadState.CORRUPT,
        specials.silence: UploadState.PREPARED,
    }
