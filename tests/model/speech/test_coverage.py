"""Speech that no word covers: pauses that fit badly or are full of phones, and words stretched over other speech."""

from voicemill.model.speech.coverage import LONGEST, Part, uncovered


def part(start: int, stop: int, score: float, phones: int = 0, spoken: float = 0.0) -> Part:
    return Part(start=start, stop=stop, score=score, phones=phones, spoken=spoken)


def test_pauses_and_stretched_words() -> None:
    parts = [
        part(0, 20, 0.9),
        part(20, 60, 0.3, 3),
        part(60, 160, 0.3),
        part(160, 260, 0.3, 2),
        part(260, 400, 0.9, 2),
        part(400, 420, 0.5),
    ]
    assert list(uncovered(parts)) == [(60, 160), (160 + 2 * LONGEST, 260), (400, 420)]
    assert list(uncovered([])) == []


def test_a_long_pause_in_which_somebody_speaks() -> None:
    full, short, breath = part(0, 60, 0.9, 0, 0.5), part(60, 119, 0.9, 0, 1.0), part(119, 300, 0.9, 0, 0.4)
    assert list(uncovered([full, short, breath])) == [(0, 60)]
