"""Display of a training: curves of any losses, and a log that no output floods."""

import base64
import math
import re
import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st

from voicemill.flows.display.curves import HEIGHT, POINTS, WIDTH, image, sparkline, thinned
from voicemill.flows.display.training import LINES_PER_S, LONGEST, RunLog, TrainingBoard, total
from voicemill.model.training.engine.run import Progress

losses = st.lists(st.tuples(st.integers(0, 10**6), st.floats(allow_nan=True, width=32)), max_size=600).map(sorted)


def drawn(markdown: str) -> ElementTree.Element:
    found = re.fullmatch(r"!\[losses by step\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert found
    return ElementTree.fromstring(base64.b64decode(found[1]))


def numbers(element: ElementTree.Element) -> list[float]:
    return [float(value) for value in re.findall(r"-?[\d.]+(?:e[+-]?\d+)?", element.get("points", ""))]


@given(st.dictionaries(st.text(min_size=1, max_size=9).filter(str.isprintable), losses, min_size=1, max_size=7))
def test_any_losses_can_be_drawn(series: dict[str, list[tuple[int, float]]]) -> None:
    """Every point lies within its plot, values that are not finite are left out, and the picture stays small."""
    svg = drawn(image(series))
    for line in svg.iter("{http://www.w3.org/2000/svg}polyline"):
        places = numbers(line)
        assert all(0 <= x <= WIDTH for x in places[::2])
        assert all(0 <= y <= HEIGHT for y in places[1::2])
        assert len(places) <= 2 * POINTS


def test_the_picture_shows_the_curve() -> None:
    series = {"loss": [(step, 100.0 / step) for step in range(1, 1001)], "validation/loss": [(500, 1.0), (1000, 0.5)]}
    svg = drawn(image(series))
    (line,) = svg.iter("{http://www.w3.org/2000/svg}polyline")
    falling = numbers(line)[1::2]
    assert falling == sorted(falling)  # down the page
    assert len(list(svg.iter("{http://www.w3.org/2000/svg}circle"))) == 2
    assert "step 1000" in "".join(svg.itertext())


@given(losses, st.integers(1, 200))
def test_thinning_keeps_the_mean_and_the_end(points: list[tuple[int, float]], most: int) -> None:
    sound = [(step, value) for step, value in points if math.isfinite(value)]
    few = thinned(points, most)
    assert len(few) <= most
    assert [step for step, _ in few][-1:] == [step for step, _ in sound][-1:]
    if sound and len(sound) % max(1, -(-len(sound) // most)) == 0:
        mean = math.fsum(value / len(sound) for _, value in sound)
        size = max(abs(value) for _, value in sound)
        assert math.isclose(math.fsum(value / len(few) for _, value in few), mean, rel_tol=1e-9, abs_tol=1e-9 * size)


def test_the_sparkline_shows_the_curve() -> None:
    assert sparkline([(n, 8.0 - n) for n in range(8)]) == "█▇▆▅▄▃▂▁"
    assert sparkline([]) == sparkline([(1, math.nan)]) == ""
    assert sparkline([(1, 2.0), (2, 2.0)]) == "▁▁"


def step(number: int, **terms: float) -> Progress:
    return Progress(
        step=number, steps=100, losses=terms, rate=1e-3, examples_per_s=4.0, audio_per_s=10.0, seconds=float(number)
    )


def test_the_table_has_first_lowest_and_last_values() -> None:
    now = 0.0
    shown: list[int] = []
    board = TrainingBoard("s2 · finetune", clock=lambda: now)
    board.show = lambda: shown.append(board.latest.step)  # type: ignore[method-assign,union-attr]
    for number, mel in ((1, 3.0), (2, 1.0), (3, 2.0)):
        board.add(step(number, mel=mel, kl=0.5, **({"validation/mel": 1.5} if number == 3 else {})))
    assert [
        {name: row[name] for name in ("loss", "first", "lowest", "last", "validation")} for row in board.table()
    ] == [
        {"loss": "loss", "first": 3.5, "lowest": 1.5, "last": 2.5, "validation": ""},
        {"loss": "mel", "first": 3.0, "lowest": 1.0, "last": 2.0, "validation": 1.5},
        {"loss": "kl", "first": 0.5, "lowest": 0.5, "last": 0.5, "validation": ""},
    ]
    assert board.describe().startswith("loss 2.5 █▁▅, step 3 of 100, 4 examples/s")


def test_the_total_is_the_term_loss_or_the_sum() -> None:
    assert total(step(1, mel=2.0, kl=1.0, **{"validation/mel": 9.0})) == 3.0
    assert total(step(1, mel=2.0, kl=1.0, loss=7.0)) == 7.0


@given(st.lists(st.floats(0, 0.4), max_size=300))
def test_output_never_floods_the_log_and_every_line_is_counted(waits: list[float]) -> None:
    now = 0.0
    said: list[tuple[float, str]] = []
    log = RunLog(lambda line: said.append((now, line)), clock=lambda: now)
    for number, wait in enumerate(waits):
        now += wait
        log(f"line {number}")
    log.close()
    lines = [line for _, line in said if line.startswith("line ")]
    left_out = [int(line.split()[1]) for _, line in said if line.startswith("...")]
    assert len(lines) + sum(left_out) == len(waits)
    assert lines[:LINES_PER_S] == [f"line {n}" for n in range(min(LINES_PER_S, len(waits)))]
    assert len(lines) <= LINES_PER_S * (now + 1) + 1 + 1e-6
    assert lines[-1:] == [f"line {number}" for number in range(len(waits))][-1:]
    assert lines == sorted(lines, key=lambda line: int(line.split()[1]))


def test_a_long_line_is_cut() -> None:
    said: list[str] = []
    RunLog(said.append)("x" * 9999)
    assert said == ["x" * LONGEST]
