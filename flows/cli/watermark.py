"""Commands about the watermark that synthesised speech carries."""

import json
from pathlib import Path
from typing import Annotated

import typer

from voicemill.flows.cli.options import JsonOption

watermark = typer.Typer(help="The watermark and notice of synthesised speech.", no_args_is_help=True)


@watermark.command("check")
def check(
    file: Annotated[str, typer.Argument(help="A sound file of any format.")],
    key: Annotated[str, typer.Option(help="The key it was marked with.")] = "voicemill",
    as_json: JsonOption = False,
) -> None:
    """Look for the watermark in a sound file and for the notice in its metadata."""
    from dataclasses import asdict

    import numpy as np

    from voicemill.model.audio.watermark import Settings, detect
    from voicemill.storage.audio.reading import opened, samples_of
    from voicemill.storage.errors import ConfigError
    from voicemill.storage.units import RATE
    from voicemill.storage.voices.notice import read_notice

    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"{file} is not a file: give the path of a sound file")
    with opened(path) as source:
        wave = np.concatenate(list(samples_of(source)))
    found, notice = detect(wave, RATE, Settings(key=key)), read_notice(path)
    synthetic = notice is not None and notice.synthetic
    if as_json:
        said = {"file": file, "watermark": asdict(found), "notice": asdict(notice) if notice else None}
        print(json.dumps(said | {"synthetic": found.present or synthetic}, ensure_ascii=False))
        return
    at = f"score {found.score:.1f}, threshold {found.threshold:.1f}"
    if found.present:
        print(f"watermark: found in {found.start:.1f} s to {found.stop:.1f} s, id {found.payload} ({at})")
    else:
        print(f"watermark: not found ({at})")
    print(f"notice: {notice.comment}" if notice and synthetic else "notice: its metadata do not say AI-generated")
