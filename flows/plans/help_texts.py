"""Help texts of the options that a command and a flow share; imports nothing, so that `--help` can use them."""

INBOX = "Folder or fsspec URL of the recordings"
STORE = "Folder of the store"
CONFIG = "A TOML file, or a shipped config: default, production"
CONSENT = "Reason that stands in for the consent of every speaker; it is recorded"
TRAINING_CONFIG = "A TOML file, or a shipped training config: default, few-shot, tiny"
TEST_VERSION = "Corpus version of the test set; 0 = the latest"
THREADS = "CPU threads for synthesis; 0 = torch's default"
