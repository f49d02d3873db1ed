"""Commands about the watermark and the notice that synthesised speech carries."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from voicemill.flows.cli.options import JsonOption
from voicemill.flows.cli.running import print_json

watermark = typer.Typer(help="Detect speech synthesised by voicemill.", no_args_is_help=True)


@watermark.command("check")
def check(
    file: Annotated[str, typer.Argument(help="Audio file of any format")],
    key: Annotated[str, typer.Option(help="Key that the watermark was made with")] = "voicemill",
    as_json: JsonOption = False,
) -> None:
    """Look for the watermark and the AI notice in an audio file."""
    import numpy as np

    from voicemill.model.audio.watermark import Settings, detect
    from voicemill.storage.audio.reading import open_audio, read_samples
    from voicemill.storage.errors import ConfigError
    from voicemill.storage.units import RATE
    from voicemill.storage.voices.notice import read_notice

    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"{file} is not a file: expected the path of an audio file")
    with open_audio(path) as source:
        wave = np.concatenate(list(read_samples(source)))
    detection, notice = detect(wave, RATE, Settings(key=key)), read_notice(path)
    synthetic = notice is not None and notice.synthetic
    if as_json:
        result = {"file": file, "watermark": asdict(detection), "notice": asdict(notice) if notice else None}
        print_json(result | {"synthetic": detection.present or synthetic})
        return
    score = f"score {detection.score:.1f}, threshold {detection.threshold:.1f}"
    if detection.present:
        span = f"{detection.start:.1f} s to {detection.stop:.1f} s"
        print(f"watermark: found in {span}, id {detection.payload} ({score})")
    else:
        print(f"watermark: not found ({score})")
    print(f"notice: {notice.comment}" if notice and synthetic else "notice: none in its metadata")
