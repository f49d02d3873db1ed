"""The eight synthetic speakers of the demo corpus: voices of espeak-ng and the conditions they are recorded in."""

from dataclasses import dataclass

from voicemill.storage.units import Decibels


@dataclass(frozen=True)
class Voice:
    """A synthetic speaker of the demo, with the recording conditions of its uploads."""

    name: str
    language: str
    voice: str
    rate: int
    pitch: int
    range: int
    level: Decibels
    """RMS of the speech, dB full scale. Speakers differ, so that the loudness stage changes something."""
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
