"""Guards of recognised text: each can refuse, ordinary sentences pass."""

import pytest

from voicemill.model.speech.guards import Limits, Refusal, compression, refusal, repeated, repeats_itself
from voicemill.storage.outcomes import Reason

SENTENCE = "There is iron, they say, in all our blood, and a grain or two perhaps is good."


@pytest.mark.parametrize(
    ("text", "seconds", "score", "no_speech", "reason"),
    [
        (SENTENCE, 5.0, -0.2, 0.1, None),
        ("No, no, no, I will not.", 2.0, -0.2, 0.1, None),
        ("Beep! Beep! Beep!", 5.0, -0.67, 0.59, Reason.REPEATED_TEXT),
        ("1 2 3 4", 5.0, -0.48, 0.2, Reason.TEXT_TOO_SHORT),
        ("", 5.0, -0.2, 0.1, Reason.NO_WORDS),
        (" ... !", 5.0, -0.2, 0.1, Reason.NO_WORDS),
        (SENTENCE, 5.0, -0.2, 0.61, Reason.DOUBTFUL_SPEECH),
        (SENTENCE, 5.0, -1.01, 0.1, Reason.DOUBTFUL_TEXT),
        ("book " * 200, 60.0, -0.1, 0.1, Reason.REPEATED_TEXT),
        ("ten of clubs ten of clubs ten of clubs", 5.0, -0.1, 0.1, Reason.REPEATED_TEXT),
        (SENTENCE, 2.0, -0.2, 0.1, Reason.TEXT_TOO_LONG),
    ],
)
def test_which_guard_refuses(text: str, seconds: float, score: float, no_speech: float, reason: Reason | None) -> None:
    refused = refusal(text, seconds, score, no_speech, Limits())
    assert (refused.reason if refused else None) == reason


def test_a_refusal_names_its_value_and_limit() -> None:
    assert refusal(SENTENCE, 5.0, -1.5, 0.1, Limits()) == Refusal(Reason.DOUBTFUL_TEXT, -1.5, -1.0)
    assert refusal(SENTENCE, 5.0, -1.5, 0.1, Limits(min_score=-2.0)) is None


def test_repetition() -> None:
    assert compression(SENTENCE) < 1.2 < 2.4 < compression("book " * 200)
    assert repeated(["a", "b", "c", "d"]) == 0.0
    assert repeated(
        ["so", "he", "went", "on", "and", "on", "and", "on", "and", "on", "to", "the", "end"]
    ) == pytest.approx(7 / 13)
    assert repeated(["Go,", "go!", "GO", "go", "go", "go", "now"]) == pytest.approx(6 / 7)
    assert [repeats_itself(text.split()) for text in (SENTENCE, "no no", "He did that. He did that.")] == [
        False,
        False,
        True,
    ]
