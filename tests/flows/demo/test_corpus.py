"""The demo corpus: eight speakers, a minute each, and the same bytes for the same seed."""

import csv
import hashlib
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voicemill.flows.demo.corpus import MINUTE, DemoCorpus, add_one_upload, synthesise
from voicemill.flows.demo.sentences import SENTENCES
from voicemill.flows.demo.speakers import VOICES
from voicemill.flows.demo.voice import Line, speak
from voicemill.model.embedded import SPEAKER
from voicemill.model.speaker.comparison import Vectors, unit, voice_change
from voicemill.model.speaker.encoder import Encoder
from voicemill.storage.errors import InboxError, VoicemillError
from voicemill.storage.outcomes import UploadState
from voicemill.tasks.stages.speaker import Settings

pytest.importorskip("espeakng_loader", reason="the extra `demo` is not installed")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> DemoCorpus:
    return synthesise(tmp_path_factory.mktemp("demo") / "inbox")


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_same_bytes_other_seed_others(corpus: DemoCorpus, tmp_path: Path) -> None:
    again = synthesise(tmp_path / "again")
    assert again.uploads == corpus.uploads
    assert digests(again.folder) == digests(corpus.folder)
    other = synthesise(tmp_path / "other", seed=7)
    fixed = {"consents.csv", *(getattr(corpus.specials, name) for name in ("not_audio", "empty", "silence"))}
    before, after = digests(corpus.folder), digests(other.folder)
    assert {path for path in before.keys() & after.keys() if before[path] == after[path]} == fixed


def test_eight_speakers_in_three_languages_of_about_a_minute(corpus: DemoCorpus) -> None:
    seconds: dict[str, float] = defaultdict(float)
    for upload in corpus.uploads:
        seconds[upload.speaker] += upload.seconds
    assert sorted(seconds) == sorted(corpus.speakers)
    assert len(corpus.speakers) == 8
    assert {voice.language for voice in VOICES} == {"en", "zh", "de"}
    assert all(MINUTE <= total <= 90 for total in seconds.values()), dict(seconds)


def test_files_are_as_long_as_said_and_not_clipped(corpus: DemoCorpus) -> None:
    formats = set()
    for upload in corpus.uploads:
        wave, rate = soundfile.read(corpus.folder / upload.path, dtype="float32", always_2d=True)
        info = soundfile.info(corpus.folder / upload.path)
        formats.add((info.format, info.subtype, rate, info.channels))
        assert len(wave) / rate == pytest.approx(upload.seconds, abs=0.03)
        assert np.abs(wave).max() < 0.99
    assert formats == {
        ("WAV", "PCM_16", 22_050, 1),
        ("WAV", "PCM_16", 44_100, 2),
        ("FLAC", "PCM_16", 22_050, 1),
        ("OGG", "OPUS", 48_000, 1),
    }


def test_sentences_stand_where_they_say_and_pauses_between(corpus: DemoCorpus) -> None:
    """Speech is at least 15 dB louder than the pauses, and every pause lasts 0.6 to 1.5 s."""
    for upload in corpus.uploads:
        wave, rate = soundfile.read(corpus.folder / upload.path, dtype="float32", always_2d=True)
        edges = [
            0.0,
            *(edge for sentence in upload.sentences for edge in (sentence.start, sentence.stop)),
            upload.seconds,
        ]
        gaps = [b - a for a, b in zip(edges[::2], edges[1::2], strict=True)]
        assert all(0.599 <= gap <= 1.501 for gap in gaps), (upload.path, gaps)
        speech = np.concatenate([wave[round(s.start * rate) : round(s.stop * rate), 0] for s in upload.sentences])
        collar = 0.1  # the codec smears a little
        pause = np.concatenate(
            [
                wave[round((a + collar) * rate) : round((b - collar) * rate), 0]
                for a, b in zip(edges[::2], edges[1::2], strict=True)
            ]
        )
        assert 10 * np.log10(np.mean(speech**2) / np.mean(pause**2)) > 15, upload.path


def test_every_recording_but_one_has_its_text(corpus: DemoCorpus) -> None:
    with (corpus.folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    for upload in corpus.uploads:
        row = rows[upload.path]
        assert (row["speaker"], row["language"]) == (upload.speaker, upload.language)
        if upload.language == "en":
            assert row["text"] == ""
            beside = (corpus.folder / upload.path).with_suffix(".txt")
            if upload.path == corpus.specials.untranscribed:
                assert not beside.exists()
                continue
            text = beside.read_text(encoding="utf-8").strip()
        else:
            text = row["text"]
        assert text == upload.text
        assert all(sentence.text in SENTENCES[upload.language] for sentence in upload.sentences)
    assert all(len(set(sentences)) >= 10 for sentences in SENTENCES.values())


def test_specials_are_what_their_names_say(corpus: DemoCorpus) -> None:
    folder, specials = corpus.folder, corpus.specials
    assert (folder / specials.re_upload).read_bytes() == (folder / "mei/01.wav").read_bytes()
    copy, _ = soundfile.read(folder / specials.same_samples, dtype="int16")
    original, _ = soundfile.read(folder / "mei/02.wav", dtype="int16")
    assert np.array_equal(copy, original)
    assert (folder / specials.same_samples).read_bytes() != (folder / "mei/02.wav").read_bytes()
    whole, part = (folder / "alice/01.wav").read_bytes(), (folder / specials.truncated).read_bytes()
    assert whole.startswith(part)
    assert len(part) < 0.6 * len(whole)
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(folder / specials.not_audio)
    assert (folder / specials.empty).stat().st_size == 0
    for path in (specials.mislabelled, specials.two_voices):
        assert 5 < soundfile.info(folder / path).duration < 25
        assert not (folder / path).with_suffix(".txt").exists()
    silence, _ = soundfile.read(folder / specials.silence, dtype="int16")
    assert len(silence)
    assert not silence.any()


def test_states_cover_every_audio_file_and_consents_all_but_one(corpus: DemoCorpus) -> None:
    audio = {path for path in digests(corpus.folder) if Path(path).suffix in {".wav", ".flac", ".opus"}}
    assert set(corpus.states) == audio
    assert set(corpus.states.values()) == {
        UploadState.PREPARED,
        UploadState.HELD,
        UploadState.DUPLICATE,
        UploadState.CORRUPT,
    }
    assert all(
        (state is UploadState.HELD) == path.startswith(f"{corpus.held}/") for path, state in corpus.states.items()
    )
    with (corpus.folder / "consents.csv").open(encoding="utf-8", newline="") as file:
        granted = {row["speaker"] for row in csv.DictReader(file) if row["consent"] == "yes"}
    assert granted == set(corpus.speakers) - {corpus.held}


def test_one_more_upload_changes_nothing_else(corpus: DemoCorpus, tmp_path: Path) -> None:
    inbox = Path(shutil.copytree(corpus.folder, tmp_path / "inbox"))
    before = digests(inbox)
    added = add_one_upload(inbox)
    after = digests(inbox)
    assert {path for path in after if after[path] != before.get(path)} == {
        added.path,
        added.path.replace(".flac", ".txt"),
        "metadata.csv",
    }
    lines = (inbox / "metadata.csv").read_text(encoding="utf-8").splitlines()
    assert lines[-1] == f"{added.speaker},{added.path},en,"
    assert 20 < added.seconds < 60


def test_refuses_a_folder_with_files_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine.wav").write_bytes(b"precious")
    with pytest.raises(InboxError, match="not empty"):
        synthesise(tmp_path)
    assert (tmp_path / "mine.wav").read_bytes() == b"precious"


def test_an_unknown_voice_is_named() -> None:
    with pytest.raises(VoicemillError, match="no voice 'tlh-x-none'"):
        speak([Line("hello", "tlh-x-none")])


@pytest.mark.slow
def test_the_speaker_encoder_tells_the_voices_and_the_specials_apart(corpus: DemoCorpus) -> None:
    """espeak's voices are far enough apart: the mislabelled upload is brian's, and the interview changes its voice."""
    encoder, folder = Encoder.load(SPEAKER.path("pretrained.pt")), corpus.folder

    def windows(path: str) -> Vectors:
        wave, rate = soundfile.read(folder / path, dtype="float32", always_2d=True)
        return encoder.embed_windows([soxr.resample(wave[: 12 * rate, 0], rate, 16_000)])[0]

    first = {name: next(u.path for u in corpus.uploads if u.speaker == name) for name in corpus.speakers}
    voices = {name: unit(windows(path).mean(0)) for name, path in first.items()}
    settings = Settings()
    own, other = (float(unit(windows(corpus.specials.mislabelled).mean(0)) @ voices[n]) for n in ("brian", "alice"))
    assert own > 0.9 > 0.75 > other
    assert voice_change(windows(corpus.specials.two_voices)) > 2 * settings.max_change
    for name in ("alice", "brian", "clara sue"):
        assert voice_change(windows(first[name])) < settings.max_change
