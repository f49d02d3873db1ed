"""Help texts of the options that a command and a flow share, each written once.

Imports nothing: `voicemill --help` must not import pydantic, and the options of a flow must not import typer.
"""

STORE = "Folder of the store"
INBOX = "Folder or fsspec URL of the recordings"
CONFIG = "TOML file, or a shipped config: default, plain, production"
LANGUAGE = "Language of uploads that state none, by code or name; takes the place of scan.default_language"
CONSENT = "Reason that stands in for the consent of every speaker without a record; it is recorded"
WAIT = "Wait for another refresh of the store to end instead of failing"
CHECK = "Check every file of the store first, and refuse to begin on a damaged one"
FORCE_PUBLISH = "Publish even if the circuit breaker refuses"

# -- trainings

TRAINING_CONFIG = "TOML file, or a shipped training config: default, few-shot, tiny"
PHASES = "Phase of the training config; repeatable, in order. Default: finetune with a speaker, else pretrain"
SPEAKERS = "Speaker whose voice is trained; repeatable. Default: all speakers, no target"
NEW_VOICE = "Name of the new voice. Default: the speaker's, or base without a speaker"
START_S1 = "Checkpoint that s1 starts from. Default: the config's"
START_S2 = "Checkpoint that s2 starts from. Default: the config's"
START_DISCRIMINATOR = "Checkpoint of the discriminators. Default: the config's"
START_LIGHT = "Light system that a phase of the light system starts from. Default: the config's"

# -- students

TEACHER = "Trained entry that teaches; 0 = the champion, else the newest"
STUDENTS = "Students: full (small s1 and s2), light (the light system), or both; those that the config has phases for"
TEACHER_VERSION = "Corpus version; 0 = the teacher's, or the latest if a speaker of that one was forgotten"
LANE_TO_COMPRESS = "Lane. Default: student, else trained, else light"
ENTRY_TO_COMPRESS = "Number of the entry; 0 = the champion of the lane, else its newest"
COMPRESSED_PRECISION = "Weights: int8 (linear layers and LSTMs; the rest float16), float16, or float32 (export only)"
COMPARED_SENTENCES = "Test sentences synthesised before and after, to compare"

# -- voices

VOICE = "Name of the voice. Default: the only one in the store"
ALLOW_RETIRED = "Allow a retired entry"
TEST_VERSION = "Corpus version of the test set; 0 = the latest"
CHALLENGER = "Entry to promote; 0 = the newest that is not retired"
GATE_CONFIG = f"{TRAINING_CONFIG}; its section [gate] decides"
FORCE_PROMOTION = "Reason to promote without evaluation; the voice's history records it"
ENGINE = "Inference engine; auto: torch if the entry has weights for it, else onnx"
PRECISION = "Precision of the inference, as voicemill speak --precision"
THREADS = "CPU threads for synthesis; 0 = torch's default"
LISTENED = "Sentences with sound on the report page"
SAMPLE_TEXT = "Text that every champion speaks at the end"
