"""The demo inbox: eight synthetic speakers in English, Mandarin and German, about a minute each.

The English speakers have recordings of half a minute, each with a transcript of the whole beside it (`.txt`) but for
one, which is left to the recogniser; the others have one file per sentence, listed in `metadata.csv`. Sentences are
separated by pauses and mixed with noise. The inbox also holds what real inboxes hold: a re-upload, a copy in another
format, a truncated file, an empty one, a text file named .wav, digital silence, a recording in the folder of another
speaker, one of two people, and a speaker who gave no consent.

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
from voicemill.flows.demo.speakers import VOICES, Voice
from voicemill.flows.demo.voice import RATE, Line, speak
from voicemill.storage.errors import InboxError
from voicemill.storage.outcomes import UploadState
from voicemill.storage.units import Seconds

Wave = NDArray[np.float32]


MINUTE: Seconds = 55.0
"""Least audio of a speaker."""
_SUFFIX = {"wav": ".wav", "flac": ".flac", "opus": ".opus", "stereo": ".wav"}


@dataclass(frozen=True)
class Sentence:
    """A sentence and its true position in its upload."""

    text: str
    start: Seconds
    stop: Seconds


@dataclass(frozen=True)
class DemoUpload:
    """A regular recording of the demo."""

    path: str
    """Relative to the inbox, forward slashes."""
    speaker: str
    language: str
    seconds: Seconds
    sentences: tuple[Sentence, ...]

    @property
    def text(self) -> str:
        """The transcript of the whole recording."""
        return ("" if self.language == "zh" else " ").join(sentence.text for sentence in self.sentences)


@dataclass(frozen=True)
class Specials:
    """Paths of the irregular files. A copy sorts after its original, so the original is the one that is prepared."""

    re_upload: str = "mei/01_again.wav"
    """A second upload of the bytes of `mei/01.wav`."""
    same_samples: str = "mei/02_copy.flac"
    """The samples of `mei/02.wav` as FLAC."""
    truncated: str = "alice/cut-short.wav"
    """A file whose header states twice the samples that follow."""
    not_audio: str = "brian/notes.wav"
    """A text file."""
    empty: str = "brian/upload-failed.wav"
    """An empty file."""
    silence: str = "ning/muted.wav"
    """Five seconds of zeros: a valid file, all of which the ledger counts as silence."""
    untranscribed: str = "brian/02.flac"
    """A recording without a transcript."""
    mislabelled: str = "alice/from-brian.wav"
    """Sentences of brian in the folder of alice, without a transcript."""
    two_voices: str = "clara sue/interview.wav"
    """Clara sue and then brian, without a pause between them and without a transcript."""


@dataclass(frozen=True)
class DemoCorpus:
    """The inbox that `synthesise` wrote, and the result that a refresh of it must have."""

    folder: Path
    speakers: tuple[str, ...]
    held: str
    """The speaker without consent."""
    uploads: tuple[DemoUpload, ...]
    """The regular recordings of all speakers."""
    specials: Specials
    states: dict[str, UploadState]
    """Path -> state after a refresh, for every audio file of the inbox."""


def synthesise(folder: Path, seed: int = 1) -> DemoCorpus:
    """Write the demo inbox and return its description.

    Args:
        folder: new or empty.
        seed: seed of the order of the sentences, the pauses and the noises.

    Raises:
        InboxError: the folder is not empty.
        VoicemillError: the extra `demo` is not installed.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InboxError(
            f"{folder} is not empty; the demo corpus needs a new folder: remove it (rm -r {folder}) or name another"
        )
    brian, clara = (next(voice for voice in VOICES if voice.name == name) for name in ("brian", "clara sue"))
    others = [
        (voice, text) for text, voice in zip(SENTENCES["en"], [brian] * 3 + [clara] * 2 + [brian] * 2, strict=False)
    ]
    regular = [(voice, text) for voice in VOICES for text in SENTENCES[voice.language]]
    waves = iter(speak([_line(voice, text) for voice, text in [*regular, *others]]))
    uploads: list[DemoUpload] = []
    for number, voice in enumerate(VOICES):
        texts = SENTENCES[voice.language]
        recordings = [(text, next(waves)) for text in texts]
        rng = np.random.default_rng([seed, number])
        shuffled = [recordings[i] for i in rng.permutation(len(recordings))]
        uploads += _record(folder, voice, shuffled, rng)
    specials = Specials()
    rng = np.random.default_rng([seed, len(VOICES) + 1])
    spoken = [(text, wave) for (_, text), wave in zip(others, waves, strict=True)]
    turns = np.concatenate([part for _, wave in spoken[3:] for part in (wave, np.zeros(RATE // 8, np.float32))])
    _write(folder, replace(brian, format="wav"), specials.mislabelled, spoken[:3], rng)
    _write(folder, replace(clara, format="wav"), specials.two_voices, [("", turns)], rng)
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
    """Add the upload of the next month and return it: half a minute of `brian`, with another noise."""
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


def _record(
    folder: Path, voice: Voice, sentences: list[tuple[str, Wave]], rng: np.random.Generator
) -> Iterator[DemoUpload]:
    """Write the uploads of one speaker, until they last a minute or no sentence remains."""
    per_file = (len(sentences) + 1) // 2 if voice.language == "en" else 1
    total = 0.0
    for number, at in enumerate(range(0, len(sentences), per_file), start=1):
        if total >= MINUTE:
            break
        path = f"{voice.name}/{number:02}{_SUFFIX[voice.format]}"
        upload = _write(folder, voice, path, sentences[at : at + per_file], rng)
        total += upload.seconds
        yield upload


def _write(
    folder: Path, voice: Voice, path: str, spoken: list[tuple[str, Wave]], rng: np.random.Generator
) -> DemoUpload:
    """Write one recording: sentences with pauses of 0.6 to 1.5 s before, between and after them, mixed with noise."""
    pauses = [round(seconds * RATE) for seconds in rng.uniform(0.6, 1.5, len(spoken) + 1)]
    parts: list[Wave] = [np.zeros(pauses[0], np.float32)]
    sentences, at = [], pauses[0]
    for (text, wave), pause in zip(spoken, pauses[1:], strict=True):
        sentences.append(Sentence(text, at / RATE, (at + len(wave)) / RATE))
        parts += [wave, np.zeros(pause, np.float32)]
        at += len(wave) + pause
    clean = np.concatenate(parts)
    rms = np.sqrt(np.mean(np.concatenate([wave for _, wave in spoken]) ** 2))
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
    """Noise, float64 [samples], RMS 1: white; pink (-3 dB per octave in power); 50 Hz mains hum with a little hiss."""
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
    """Encode float32 [samples], 48 kHz, as Ogg Opus. PyAV, because libsndfile numbers its streams at random."""
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
    for path in (specials.untranscribed, specials.mislabelled, specials.two_voices):
        (folder / path).with_suffix(".txt").unlink()
    soundfile.write(folder / specials.silence, np.zeros(5 * 16_000, np.int16), 16_000)


def _write_metadata(folder: Path, uploads: Iterable[DemoUpload], specials: Specials) -> None:
    """Write `metadata.csv`; the text of English files is left empty there, because it lies beside them."""
    rows = [(u.speaker, u.path, u.language, "" if u.language == "en" else u.text) for u in uploads]
    by_path = {row[1]: row for row in rows}
    for copy, original in ((specials.re_upload, "mei/01.wav"), (specials.same_samples, "mei/02.wav")):
        speaker, _, language, text = by_path[original]
        rows.append((speaker, copy, language, text))
    rows += [("alice", specials.mislabelled, "en", ""), ("clara sue", specials.two_voices, "en", "")]
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
        specials.mislabelled: UploadState.PREPARED,
        specials.two_voices: UploadState.PREPARED,
    }
