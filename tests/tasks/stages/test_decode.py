"""decode: every kind of file ends in a stated outcome, and what comes out is what went in."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from voicemill.storage.corpus.artifacts import BLOCK, ArtifactMeta, ArtifactWriter
from voicemill.storage.keys import file_digest
from voicemill.storage.outcomes import Failure, LostStretch, Outcome, Reason
from voicemill.storage.records import Batch, Decoded, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.stage import Audio, Inputs
from voicemill.tasks.stages.decode import Settings, decode, run

FORMATS = Path(__file__).resolve().parents[4] / "shared" / "speech" / "formats"

KEPT = Outcome.KEPT
EXPECTED: dict[str, tuple[Outcome | Reason, int]] = {
    "1320_00000.mp3": (KEPT, 159840),
    "16000_test01_20s.wav": (KEPT, 767998),
    "48000_test01_20s.wav": (KEPT, 767999),
    "8000_test01_20s.wav": (KEPT, 768000),
    "LJ001-0001.mp3": (KEPT, 308960),
    "almost_silent.wav": (KEPT, 19984),
    "audio-mono-8-bit-44100Hz.wav": (KEPT, 87838),
    "audio-stereo-32-bit-44100Hz.wav": (KEPT, 87838),
    "audio_1.opus": (KEPT, 1920000),
    "bad.wav": (Reason.DAMAGED, 0),
    "bus.opus": (KEPT, 24455),
    "chan3.2chan.wav": (KEPT, 667887),
    "chan3.sph": (KEPT, 667887),
    "cold_corpus_24bit.wav": (KEPT, 822962),
    "cold_corpus_32bit_float.wav": (KEPT, 822962),
    "common_voice_en_22058264.mp3": (KEPT, 131328),
    "de_rhasspy-0004.webm": (KEPT, 218672),
    "digital_silence.wav": (KEPT, 19984),
    "dummy.mp3": (KEPT, 34560),
    "ej-fra.m4a": (KEPT, 1092267),
    "english2.g712.wav": (KEPT, 1209244),
    "evil.wav": (Reason.DAMAGED, 0),
    "goforward.raw": (Reason.NOT_AUDIO, 0),
    "mono.empty.wav": (Reason.EMPTY, 0),
    "mono.invalid.wav": (Reason.TRUNCATED, 0),
    "mono.zero.wav": (Reason.NO_SAMPLES, 0),
    "mono_float64.wav": (KEPT, 16),
    "ms_adpcm.wav": (KEPT, 2599419),
    "multichannel_test.wav": (KEPT, 32000),
    "null.wav": (Reason.NO_SAMPLES, 0),
    "p001.aac": (KEPT, 288299),
    "p001.flac": (Reason.TRUNCATED, 287840),
    "p001.mp3": (KEPT, 288426),
    "p001.ogg": (KEPT, 287840),
    "p001.webm": (KEPT, 288438),
    "signed_24bit.wav": (KEPT, 36343),
    "stereo.mp3": (KEPT, 32000),
    "stereo.opus": (KEPT, 32172),
    "stereo.sph": (KEPT, 32000),
    "stereo_16bit.wav": (KEPT, 35666),
    "stereo_24bit.WAV": (KEPT, 35666),
    "testing.m4a": (KEPT, 102539),
    "too-short.wav": (KEPT, 8916),
    "whatstheweatherlike-mulaw.wav": (KEPT, 64960),
    "zeros.wav": (KEPT, 64000),
}


def upload_of(path: Path) -> Upload:
    return Upload(file_digest(path), "anna", path.name, path.stat().st_size)


def decoded(path: Path, settings: Settings | None = None) -> tuple[Decoded, NDArray[np.float32]]:
    *audio, row = decode(path, upload_of(path), settings or Settings())
    assert isinstance(row, Decoded)
    return row, np.concatenate([np.empty(0, np.float32), *(a.wave for a in audio if isinstance(a, Audio))])


def tone(seconds: float, rate: int, channels: int = 1) -> NDArray[np.float64]:
    time = np.arange(round(seconds * rate)) / rate
    return np.stack([0.4 * np.sin(2 * np.pi * (300 + 200 * c) * time) for c in range(channels)], axis=1)


@pytest.mark.realdata
@pytest.mark.skipif(not FORMATS.is_dir(), reason="no ../shared/speech")
def test_every_file_of_formats_ends_in_its_stated_outcome(capfd: pytest.CaptureFixture[str]) -> None:
    files = sorted(path for path in FORMATS.iterdir() if path.name != "metadata.csv")
    found = {}
    for path in files:
        row, wave = decoded(path)
        found[path.name] = (Reason(row.reason) if row.reason else row.outcome, row.samples)
        assert all(0 <= part.start < part.stop <= row.samples for part in row.lost)
        if row.outcome is not KEPT or row.reason:
            assert row.detail
        if row.outcome is KEPT:
            assert len(wave) == row.samples
            assert row.pcm == hashlib.sha256(wave.astype("<f4").tobytes()).hexdigest()
    assert found == EXPECTED
    assert capfd.readouterr().err == ""


WIDTHS = [
    ("WAV", "PCM_U8", 8e-3),
    ("WAV", "PCM_16", 4e-5),
    ("WAV", "PCM_24", 1e-6),
    ("WAV", "PCM_32", 1e-6),
    ("WAV", "FLOAT", 1e-6),
    ("WAV", "DOUBLE", 1e-6),
    ("WAV", "ULAW", 2e-2),
    ("WAV", "ALAW", 2e-2),
    ("WAV", "IMA_ADPCM", 5e-2),
    ("WAV", "MS_ADPCM", 5e-2),
    ("WAV", "GSM610", None),
    ("WAVEX", "PCM_24", 1e-6),
    ("RF64", "PCM_16", 4e-5),
    ("W64", "PCM_16", 4e-5),
    ("AIFF", "PCM_16", 4e-5),
    ("AU", "ULAW", 2e-2),
    ("CAF", "PCM_16", 4e-5),
    ("NIST", "PCM_16", 4e-5),
    ("NIST", "ULAW", 2e-2),
    ("FLAC", "PCM_16", 4e-5),
    ("FLAC", "PCM_24", 1e-6),
    ("OGG", "VORBIS", 5e-2),
]


@pytest.mark.parametrize(("container", "subtype", "tolerance"), WIDTHS)
def test_every_width_gives_the_samples_that_were_written(
    tmp_path: Path, container: str, subtype: str, tolerance: float | None
) -> None:
    path = tmp_path / "AUDIO.BIN"
    wave = tone(1.0, RATE)
    soundfile.write(path, wave, RATE, format=container, subtype=subtype)
    row, out = decoded(path)
    assert (row.outcome, row.rate, row.channels) == (KEPT, RATE, 1)
    if tolerance is None:
        assert abs(row.samples - RATE) < 400
        assert np.corrcoef(out[:31_000], wave[:31_000, 0])[0, 1] > 0.95
    else:
        assert np.sqrt(np.mean((out[:RATE] - wave[:, 0]) ** 2)) < tolerance
        assert RATE <= row.samples < RATE + 2048 if "ADPCM" in subtype else row.samples == RATE


LIBAV = [("mp3", "libmp3lame"), ("ogg", "libopus"), ("webm", "libopus"), ("mp4", "aac"), ("adts", "aac")]


@pytest.mark.parametrize(("container", "codec"), LIBAV)
def test_compressed_stereo_keeps_its_length_and_its_sound(tmp_path: Path, container: str, codec: str) -> None:
    import av

    path = tmp_path / "voice.WAV"  # the name says nothing
    wave = tone(2.0, 48_000, 2)
    with av.open(path, "w", format=container) as out:
        stream = out.add_stream(codec, rate=48_000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            (wave * 32767).astype(np.int16).reshape(1, -1), format="s16", layout="stereo"
        )
        frame.rate = 48_000
        resampler = av.AudioResampler(stream.codec_context.format, "stereo", 48_000, stream.codec_context.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    row, got = decoded(path)
    assert (row.outcome, row.rate, row.channels) == (KEPT, 48_000, 2)
    assert abs(row.samples - 2 * RATE) < 0.06 * RATE
    mixed = np.abs(np.fft.rfft(got[8000 : 8000 + RATE]))
    assert set(np.argsort(mixed)[-2:]) == {300, 500}


@pytest.mark.parametrize("channels", [2, 3, 8])
def test_channels_are_averaged(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "many.wav"
    wave = tone(0.5, RATE, channels)
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    row, out = decoded(path)
    assert row.channels == channels
    np.testing.assert_allclose(out, wave.mean(axis=1), atol=1e-6)


def test_float_samples_beyond_full_scale_stay(tmp_path: Path) -> None:
    path = tmp_path / "hot.wav"
    soundfile.write(path, tone(0.1, RATE) * 5, RATE, subtype="FLOAT")
    assert np.abs(decoded(path)[1]).max() > 1.9


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_lost(tmp_path: Path, bad: float) -> None:
    path = tmp_path / "bad.wav"
    wave = tone(0.1, RATE)
    wave[100:110] = bad
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    row, out = decoded(path)
    assert (row.outcome, row.reason, row.samples) == (KEPT, Reason.DAMAGED, 3200)
    assert row.lost == (LostStretch(100, 110, "samples that are no numbers"),)
    assert np.isfinite(out).all()


@pytest.mark.parametrize(
    ("container", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16"), ("NIST", "PCM_16")]
)
def test_a_file_cut_off_keeps_what_is_there_and_says_what_is_missing(
    tmp_path: Path, container: str, subtype: str
) -> None:
    path = tmp_path / "cut"
    rng = np.random.default_rng(0)
    soundfile.write(path, rng.uniform(-0.5, 0.5, 4 * 16_000), 16_000, format=container, subtype=subtype)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    row, _ = decoded(path)
    assert (row.outcome, row.reason) == (KEPT, Reason.TRUNCATED)
    assert "its header" in row.detail
    assert 2.7 * RATE < row.samples <= 3 * RATE + 10_000


def test_a_hole_in_the_middle_loses_its_frames_alone(tmp_path: Path) -> None:
    path = tmp_path / "hole.flac"
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 20 * RATE)
    soundfile.write(path, wave, RATE)
    data = bytearray(path.read_bytes())
    data[len(data) // 4 : len(data) // 4 + 300] = bytes(300)
    path.write_bytes(data)
    row, out = decoded(path)
    assert (row.outcome, row.reason, row.samples) == (KEPT, Reason.DAMAGED, 20 * RATE)
    (part,) = row.lost
    assert part.start <= 5 * RATE <= part.stop
    assert part.stop - part.start <= 2 * 4608
    np.testing.assert_allclose(out[: part.start], wave[: part.start], atol=4e-5)
    np.testing.assert_allclose(out[part.stop :], wave[part.stop :], atol=4e-5)


HEADER = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\0\0\0\0"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"Please call Stella.\n" * 400, Reason.NOT_AUDIO),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/hostname\n", Reason.NOT_AUDIO),
        (b"ffconcat version 1.0\nfile '/etc/hostname'\n", Reason.NOT_AUDIO),
        (np.random.default_rng(1).bytes(30_000), Reason.NOT_AUDIO),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), Reason.NOT_AUDIO),
        (HEADER, Reason.NO_SAMPLES),
        (HEADER[:22], Reason.TRUNCATED),
        (b"fLaC" + bytes(10), Reason.DAMAGED),
    ],
)
def test_what_is_not_audio_is_said_to_be_not(tmp_path: Path, data: bytes, reason: Reason) -> None:
    path = tmp_path / "voice.wav"
    path.write_bytes(data)
    row, wave = decoded(path)
    assert (row.outcome, row.reason, row.samples, len(wave)) == (Outcome.CORRUPT, reason, 0, 0)


def test_a_streamed_wav_states_no_length_and_lacks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pipe.wav"
    path.write_bytes(HEADER[:-4] + b"\xff\xff\xff\xff" + bytes(32_000))
    row, _ = decoded(path)
    assert (row.outcome, row.samples) == (KEPT, RATE)


def test_digital_silence_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "nothing.wav"
    soundfile.write(path, np.zeros(16_000), 16_000)
    row, wave = decoded(path)
    assert (row.outcome, row.samples) == (KEPT, RATE)
    assert not wave.any()


def test_the_limits_filter_before_anything_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(20 * 8000), 8000)
    row, wave = decoded(path, Settings(max_hours=10 / 3600))
    assert (row.outcome, row.reason, row.samples, len(wave)) == (Outcome.FILTERED, Reason.OVER_LONG, 20 * RATE, 0)
    row, wave = decoded(path, Settings(max_gb=1e-4))
    assert (row.outcome, row.reason, len(wave)) == (Outcome.FILTERED, Reason.OVER_LARGE, 0)
    assert decoded(path, Settings(max_hours=20 / 3600))[0].outcome is KEPT


def test_an_estimate_alone_never_filters_an_mp3(tmp_path: Path) -> None:
    path = tmp_path / "voice.mp3"
    soundfile.write(path, tone(12.0, 16_000)[:, 0], 16_000, format="MP3")
    row, wave = decoded(path, Settings(max_hours=10 / 3600))
    assert (row.outcome, row.reason, len(wave)) == (Outcome.FILTERED, Reason.OVER_LONG, 0)
    assert abs(row.samples - 12 * RATE) < 0.2 * RATE
    assert decoded(path, Settings(max_hours=13 / 3600))[0].outcome is KEPT


def test_one_bad_upload_ends_nothing(tmp_path: Path) -> None:
    good, changed, gone = (tmp_path / name for name in ("good.wav", "changed.wav", "gone.wav"))
    for path in (good, changed, gone):
        soundfile.write(path, tone(70.0, 8000) * (1 + len(path.name)) / 20, 8000)
    uploads = (upload_of(gone), upload_of(changed), upload_of(good))
    gone.unlink()
    changed.write_bytes(good.read_bytes())
    inputs = Inputs(Batch("b", 1, uploads))
    with ArtifactWriter(tmp_path / "out.arrow") as writer:
        rows, failures = [], []
        for record in run(inputs, Settings(), lambda upload: tmp_path / upload.path):
            if isinstance(record, Audio):
                writer.audio(record.upload, record.index, record.wave)
            else:
                (failures if isinstance(record, Failure) else rows).append(record)
        artifact = writer.finish(rows, Decoded, ArtifactMeta("decode", "key", tuple(failures)))
    assert [(f.upload, f.reason) for f in artifact.meta.failures] == [
        (u.sha256, Reason.UNREADABLE) for u in uploads[:2]
    ]
    assert "changed since it was scanned" in failures[1].error
    (row,) = artifact.rows(Decoded)
    assert (row.upload, row.samples) == (uploads[2].sha256, 70 * RATE)
    assert [block.samples for block in artifact.meta.blocks] == [BLOCK, 10 * RATE]
    with artifact.waves() as waves:
        assert hashlib.sha256(waves.read(row.upload).tobytes()).hexdigest() == row.pcm


MEMORY = """
import sys
from pathlib import Path
from voicemill.storage.corpus.artifacts import ArtifactMeta, ArtifactWriter
from voicemill.storage.keys import file_digest
from voicemill.storage.records import Batch, Decoded, Upload
from voicemill.tasks.stages.decode import Settings, run
from voicemill.tasks.contract.stage import Audio, Inputs
path = Path(sys.argv[1])
upload = Upload(file_digest(path), "anna", path.name, path.stat().st_size)
rows = []
with ArtifactWriter(path.with_suffix(".arrow")) as writer:
    for record in run(Inputs(Batch("b", 1, (upload,))), Settings(), lambda _: path):
        if isinstance(record, Audio):
            writer.audio(record.upload, record.index, record.wave)
        else:
            rows.append(record)
    writer.finish(rows, Decoded, ArtifactMeta("decode", "key"))
# ru_maxrss would count the memory of the parent that started us
peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]
print(rows[0].samples, rows[0].outcome, int(peak) / 1e6)
"""


@pytest.mark.slow
def test_three_hours_peak_under_one_and_a_half_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "three_hours.flac"
    minute = np.random.default_rng(0).normal(0, 0.05, (60 * 24_000, 2)).astype(np.float32)
    with soundfile.SoundFile(path, "w", 24_000, 2, subtype="PCM_16") as out:
        for _ in range(180):
            out.write(minute)
    run = subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True)
    samples, outcome, gigabytes = run.stdout.split()
    assert (int(samples), outcome) == (3 * 3600 * RATE, "kept")
    assert float(gigabytes) < 1.5
    assert run.stderr == ""


def silent_flac(path: Path, hours: float, click: bool = False) -> Path:
    """FLAC at 8 kHz of digital silence; `click`: one loud sample at its end."""
    with soundfile.SoundFile(path, "w", 8000, 1, format="FLAC", subtype="PCM_16") as file:
        block = np.zeros(8000 * 60, np.int16)
        for _ in range(round(hours * 60)):
            file.write(block)
        if click:
            block[-1] = 20_000
            file.write(block)
    return path


def rows_of(path: Path, **limits: float) -> tuple[Decoded, int]:
    """Row of a file, and the bytes of samples that are stored for it."""
    seconds = soundfile.info(path).duration if path.stat().st_size else 0.0
    upload = Upload(file_digest(path), "ann", path.name, path.stat().st_size, seconds=seconds)
    *audio, row = decode(path, upload, Settings(**limits))
    assert isinstance(row, Decoded)
    return row, sum(record.wave.nbytes for record in audio if isinstance(record, Audio))


def test_silence_of_hours_leaves_no_samples(tmp_path: Path) -> None:
    """89 kB of FLAC were 0.5 GB of float32: read to its end first, and then refused."""
    path = silent_flac(tmp_path / "silence.flac", 1.0)
    assert path.stat().st_size < 100_000
    row, stored = rows_of(path)
    assert (row.outcome, row.reason) == (Outcome.FILTERED, Reason.TOO_QUIET.value)
    assert row.samples == 3600 * RATE
    assert stored < 257 * path.stat().st_size + BLOCK * 4
    click, stored = rows_of(silent_flac(tmp_path / "click.flac", 0.2, click=True))
    assert (click.outcome, stored) == (KEPT, click.samples * 4)
    assert click.samples == 13 * 60 * RATE


@pytest.mark.parametrize("damage", ["cut", "length"])
def test_refused_files_of_hours_leave_few_samples(tmp_path: Path, damage: str) -> None:
    path = silent_flac(tmp_path / "bad.flac", 1.0)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        del data[-500:]
    else:
        data[18:26] = bytes([data[18], data[19], data[20], data[21] & 0xF0, 0, 0, 0, 0])  # no length is stated
    path.write_bytes(data)
    row, stored = rows_of(path, max_hours=0.5) if damage == "length" else rows_of(path)
    assert row.reason == (Reason.OVER_LONG if damage == "length" else Reason.TOO_QUIET)
    assert stored < 257 * len(data) + BLOCK * 4
