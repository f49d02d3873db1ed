"""Options that several commands have."""

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")]
InboxOption = Annotated[str, typer.Option(help="Folder or fsspec url of the recordings.")]
StoreOption = Annotated[str, typer.Option(help="Folder of the store.")]
ConfigOption = Annotated[str, typer.Option("--config", help="A TOML file, or a shipped config: default, production.")]
ConsentOption = Annotated[str, typer.Option(help="A reason that stands for all speakers' consent.")]

# -- of trainings

TrainingConfigOption = Annotated[str, typer.Option(help="A TOML file, or a shipped config: default, few-shot, tiny.")]
PhaseOption = Annotated[
    list[str] | None,
    typer.Option(help="Of the training config; may be given again. Default: finetune, without speaker pretrain."),
]
TargetOption = Annotated[list[str] | None, typer.Option(help="Whose voice it becomes; may be given again.")]
NameOption = Annotated[str, typer.Option(help="Its name; the speaker's if left out.")]

# -- of voices

VoiceOption = Annotated[str, typer.Option(help="Name of the voice; the only one of the store if left out.")]
TestVersionOption = Annotated[int, typer.Option(min=0, help="Corpus version of the test set; 0 = the latest.")]
SentencesOption = Annotated[int, typer.Option(min=1, max=500, help="Of the test set, at most.")]
TextOption = Annotated[list[str] | None, typer.Option(help="A sentence of your own; may be given again.")]
SpeakerEncoderOption = Annotated[
    str, typer.Option(help="Knows voices: an x-vector network, hub id or folder; light: that of a light voice.")
]
RecogniserOption = Annotated[
    str, typer.Option(help="faster-whisper model, hub id or folder; corpus: the one that made the corpus.")
]
OpinionOption = Annotated[str, typer.Option(help="MOS predictor: TorchScript file, or folder of transformers.")]
ThreadsOption = Annotated[int, typer.Option(min=0, help="Of the CPU while speaking; 0 = as many as torch takes.")]
