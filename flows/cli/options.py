"""Options that several commands share; those that a flow takes as well are worded in `flows/plans/help_texts.py`."""

from typing import Annotated, Literal

import typer

from voicemill.flows.plans import help_texts

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON")]
OpenOption = Annotated[bool, typer.Option("--open", help="Open it in the browser")]

# -- the corpus

StoreOption = Annotated[str, typer.Option(help=help_texts.STORE)]
InboxOption = Annotated[str, typer.Option(help=help_texts.INBOX)]
ConfigOption = Annotated[str, typer.Option(help=help_texts.CONFIG)]
LanguageOption = Annotated[str, typer.Option(help=help_texts.LANGUAGE)]
ConsentOption = Annotated[str, typer.Option(help=help_texts.CONSENT)]
OwnerOption = Annotated[str, typer.Option(help="Speaker that the command is about: the person recorded")]
ServedStoreOption = Annotated[str | None, typer.Option(help="Folder of the store whose `voicemill up` is notified")]

# -- trainings

TrainingConfigOption = Annotated[str, typer.Option(help=help_texts.TRAINING_CONFIG)]
PhaseOption = Annotated[list[str] | None, typer.Option(help=help_texts.PHASES)]
TargetOption = Annotated[list[str] | None, typer.Option(help=help_texts.SPEAKERS)]
NewVoiceOption = Annotated[str, typer.Option(help=help_texts.NEW_VOICE)]
StudentsOption = Annotated[Literal["full", "light", "both"], typer.Option(help=help_texts.STUDENTS)]

# -- voices

VoiceOption = Annotated[str, typer.Option(help=help_texts.VOICE)]
RetiredOption = Annotated[bool, typer.Option("--allow-retired", help=help_texts.ALLOW_RETIRED)]
EngineOption = Annotated[Literal["auto", "torch", "onnx"], typer.Option(help=help_texts.ENGINE)]
