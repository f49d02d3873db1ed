"""The report: its numbers equal those of the tables, and no name or text can break the page."""

import base64
import io
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import factories as f

from voicemill.flows.report import collect, content, drawing, examples, growth, plots
from voicemill.flows.report import page as report
from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.outcomes import Failure, Outcome, Reason, UploadState
from voicemill.storage.records import Word
from voicemill.storage.store import Store
from voicemill.storage.units import RATE
from voicemill.tasks.publishing.publish import Settings, publish
from voicemill.tasks.stages import denoise, loudness, screen
from voicemill.tasks.stages import slice as slice_

VOID = {"meta", "br", "link", "img", "hr", "input"}
HOSTILE = '</td><script>alert("1")</script>$x_1$ & \'李'


class Page(HTMLParser):
    """Parser that requires every element to be closed and collects tables by id: rows of (text, value of <data>)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: Counter[str] = Counter()
        self.links: list[str] = []
        self.text: list[str] = []
        self.tables: dict[str, list[list[tuple[str, float | None]]]] = {}
        self._rows: list[list[tuple[str, float | None]]] | None = None
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements[tag] += 1
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]
        assert not any(name.startswith("on") for name in found)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self._rows = self.tables.setdefault(found.get("id") or "", [])
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in ("td", "th") and self._rows is not None:
            self._rows[-1].append(("", None))
        elif tag == "data" and self._rows is not None and self._rows and self._rows[-1]:
            self._rows[-1][-1] = (self._rows[-1][-1][0], float(found["value"] or "nan"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "table":
            self._rows = None

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._rows and self._rows[-1] and ("td" in self.open or "th" in self.open):
            text, value = self._rows[-1][-1]
            self._rows[-1][-1] = (text + data, value)

    def body(self, table: str) -> list[list[tuple[str, float | None]]]:
        """Rows of a table without its head."""
        return self.tables[table][1:]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def publish_version(
    store: Store,
    batches: Sequence[Any],
    change: Callable[[f.Made], None] | None = None,
    others: Sequence[UploadRow] = (),
    config: dict[str, Any] | None = None,
    created: str = f.WHEN,
) -> None:
    """Publish like `factories.corpus`, with uploads outside batches, a config and a date."""
    made = {batch.id: f.shards(store, batch, change) for batch in batches}
    rows = [row for batch in batches for row in f.upload_rows(store, batch, made[batch.id][1])]
    version = publish(
        store,
        uploads=[*rows, *others],
        shards=made,
        recipe=f.RECIPE,
        config=config or {"loudness": {"target_lufs": -23.0}, "screen": {"min_entropy": 2.6, "max_entropy": 4.5}},
        feature_tables=f.FEATURE_TABLES,
        created=created,
        settings=Settings(),
        force=True,
    )
    assert version is not None


def held(speaker: str, number: int = 0, seconds: float = 12.5) -> UploadRow:
    sha256 = f.upload(speaker, number, seconds).sha256
    return UploadRow(
        sha256=sha256,
        speaker=speaker,
        path=f"{speaker}/{number}.wav",
        size=100,
        codec="pcm",
        rate=RATE,
        channels=1,
        samples=0,
        seconds=seconds,
        language="en",
        consent="",
        state=UploadState.HELD,
        reason="",
        detail="",
        batch="",
        batch_number=0,
        pcm="",
    )


def mixed(store: Store) -> None:
    """Publish a version with every outcome but corrupt, a held speaker, several languages and a limited peak."""
    ann, bob, eve = f.upload("ann", text="hello there"), f.upload("bob", seconds=9.0), f.upload("eve", seconds=5.0)
    zhe = f.upload("哲", 3, text="你 好 世界")

    def change(made: f.Made) -> None:
        verdict = {"outcome": Outcome.FILTERED, "reason": "entropy_high", "score": 5.5, "threshold": 4.5}
        made.change("screen", bob.sha256, 0, **verdict)
        made.change("loudness", ann.sha256, 1, bound="peak", after=-25.0)
        made.drop("f0", eve.sha256)
        made.failures["f0"] += [Failure(eve.sha256, "RuntimeError: <no> memory")]
        for index in (0, 1):
            made.change("align", zhe.sha256, index, language="zh")

    publish_version(store, [f.make_batch(1, ann, bob, eve, zhe)], change, [held("una"), held("una", 1)])


def test_numbers_equal_those_of_the_ledger(store: Store) -> None:
    mixed(store)
    page = Page(report.write(store).read_text("utf-8"))
    corpus = CorpusVersion.open(store)
    parts: dict[tuple[str, str], int] = defaultdict(int)
    kept: dict[str, int] = defaultdict(int)
    whole: dict[str, int] = defaultdict(int)
    for row in corpus.ledger().to_pylist():
        samples = row["stop"] - row["start"]
        parts[row["outcome"], row["reason"].replace("_", " ")] += samples
        whole[row["speaker"]] += samples
        kept[row["speaker"]] += samples if row["outcome"] == "kept" else 0
    shown = page.body("outcomes")
    assert {(row[0][0], row[1][0]): row[3][1] for row in shown[:-1]} == {k: n / RATE for k, n in parts.items()}
    assert {outcome for outcome, _ in parts} == {"kept", "silence", "filtered", "failed"}
    assert shown[-1][1][1] == sum(parts.values()) / RATE
    speakers = {row[0][0]: row for row in page.body("speakers")}
    assert {name: row[4][1] for name, row in speakers.items() if name != "una"} == {
        name: kept[name] / RATE for name in ("ann", "bob", "eve", "哲")
    }
    assert {name: row[3][1] for name, row in speakers.items()} == {n: whole[n] / RATE for n in speakers}
    assert [row[6][0] for row in page.body("speakers")] == [str(n) for n in (2, 2, 1, 0, 0)]
    states = {row[0][0]: (int(row[2][0]), row[3][1]) for row in page.body("states")}
    assert states == {"prepared": (3, 21.0), "held": (2, 25.0), "failed": (1, 5.0)}
    text = "".join(page.text)
    assert "the true-peak limit reduced the gain of 1 of 5 utterances" in text
    assert "Filtered: 0 below the band, 1 above it" in text
    languages = {row[0][0]: row[1][1] for row in page.body("languages")}
    assert sum(languages.values()) == pytest.approx(corpus.version.counts.seconds["kept"])
    assert languages["zh"] == pytest.approx(kept["哲"] / RATE)


def test_the_content_agrees_with_the_counts_of_the_version(store: Store) -> None:
    mixed(store)
    corpus = CorpusVersion.open(store)
    found, counts = collect.collect_content(corpus), corpus.version.counts
    assert {outcome.value: seconds for outcome, seconds in found.outcomes.items()} == counts.seconds
    assert found.utterances == counts.utterances
    assert {state.value: len(rows) for state, rows in found.uploads.items()} == counts.uploads
    assert found.kept == pytest.approx(counts.hours * 3600)


def test_held_speakers_have_their_consent_command(store: Store) -> None:
    name = "O'Neil & $(rm -r x)"
    publish_version(store, [f.make_batch(1, f.upload("ann"))], others=[held(name)])
    (row,) = collect.collect_content(CorpusVersion.open(store)).held
    assert row.command == f"""voicemill consent grant --speaker 'O'"'"'Neil & $(rm -r x)' --store {store.root}"""
    assert row.command in "".join(Page(report.write(store).read_text("utf-8")).text)


def test_hostile_names_and_texts_stay_text(store: Store) -> None:
    bad = f.upload(HOSTILE, text=HOSTILE)
    worse = f.upload("@speaker0@", 2, text="@speaker0@")

    def change(made: f.Made) -> None:
        made.change("align", bad.sha256, 0, language=HOSTILE)
        made.failures["mel"].append(Failure(bad.sha256, HOSTILE, 1))
        made.drop("mel", bad.sha256, 1)

    publish_version(store, [f.make_batch(1, bad, worse)], change, [held(HOSTILE, 5)], {HOSTILE: {HOSTILE: HOSTILE}})
    html = report.write(store).read_text("utf-8")
    page = Page(html)
    assert page.elements["script"] == 0
    assert "<script" not in html.lower()
    assert HOSTILE in [row[0][0] for row in page.body("speakers")]
    assert HOSTILE in [row[1][0] for row in page.body("settings")]
    words = set(page.text)
    assert {drawing.clipped(word, 24) for word in HOSTILE.split()} <= words
    assert {drawing.clipped(HOSTILE, 15), "@speaker0@"} <= words


def test_the_page_loads_nothing(store: Store) -> None:
    mixed(store)
    html = report.write(store).read_text("utf-8")
    page = Page(html)
    assert page.links
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    assert not page.elements.keys() & {"script", "link", "iframe", "object", "embed"}
    assert "@import" not in html
    assert not re.findall(r"url\((?!#)", html)


def test_plots_use_the_colours_of_the_page(store: Store) -> None:
    mixed(store)
    html = report.write(store).read_text("utf-8")
    assert not re.findall(r"#010203|#040506|#070809|#0a0b0c|#0d0e0f|DejaVu", html)
    for ink in ("ink", "muted", "grid", "paper", "line", "font"):
        assert html.count(f"--{ink}:") >= 1
        assert f"var(--{ink})" in html


def test_an_empty_version(store: Store) -> None:
    publish_version(store, [])
    page = Page(report.write(store).read_text("utf-8"))
    assert page.body("outcomes")[0][0][0] == "The ledger has no rows."
    assert page.body("speakers") == [[("No speakers.", None)]]


def test_a_version_of_held_and_silent_uploads_only(store: Store) -> None:
    ann = f.upload("ann")

    def change(made: f.Made) -> None:
        for index in (0, 1):
            made.change("loudness", ann.sha256, index, outcome=Outcome.FILTERED, reason="too_quiet", before=-120.0)

    publish_version(store, [f.make_batch(1, ann)], change, [held("una")])
    page = Page(report.write(store).read_text("utf-8"))
    assert {row[1][0] for row in page.body("outcomes")} >= {"no speech", "too quiet"}
    assert page.elements["image"] == 0


@pytest.mark.parametrize("state", list(UploadState))
def test_every_state_of_an_upload_has_a_meaning(store: Store, state: UploadState) -> None:
    named, older = Reason.UNREADABLE, "a reason of an older program"
    rows = [replace(held("una", n), state=state, reason=reason) for n, reason in enumerate(("", named, older))]
    publish_version(store, [], others=rows)
    shown = {row[1][0]: (row[0][0], row[4][0]) for row in Page(report.write(store).read_text("utf-8")).body("states")}
    own = content.MEANING[state]
    assert own
    assert shown == {"": (state, own), named: (state, named.meaning), older: (state, own)}


def test_same_version_same_bytes(store: Store) -> None:
    mixed(store)
    first = report.write(store).read_bytes()
    assert report.write(store, 1).read_bytes() == first


def test_latest_is_the_highest_number(store: Store) -> None:
    assert report.latest(store) == ""
    batches = [f.make_batch(1, f.upload("ann"))]
    publish_version(store, batches)
    path = report.write(store)
    assert report.latest(store) == str(path)
    for number in (2, 10):
        (store.reports / f"version-{number}.html").write_text("")
    (store.reports / "version-x.html").write_text("")
    assert report.latest(store) == str(store.reports / "version-10.html")


def test_growth_and_changed_settings_over_versions(store: Store) -> None:
    batches = [f.make_batch(n + 1, f.upload(f"speaker {n}")) for n in range(3)]
    start = datetime(2025, 1, 1, tzinfo=UTC)
    for number in (1, 2, 3):
        config = {"loudness": {"target_lufs": -20.0 - number, "measure": "upload"}}
        when = (start + timedelta(days=30 * (number - 1))).isoformat()
        publish_version(store, batches[:number], config=config, created=when)
    old = Page(report.write(store, 2).read_text("utf-8"))
    assert "Corpus version 2" in old.text
    text = "".join(Page(report.write(store).read_text("utf-8")).text)
    assert "Version 2, 30 days earlier, had 2 speakers; this version has 3: +50 %." in text
    assert re.search(r"loudness\.target_lufs\s*-23.0\s*was -22.0", text)
    assert "loudness.measure" not in text
    found = collect.collect_content(CorpusVersion.open(store))
    assert growth.aim(found.history, start + timedelta(days=growth.MONTH_DAYS)) == pytest.approx(1.2)
    assert growth.aim(found.history, start + timedelta(days=12 * growth.MONTH_DAYS)) == pytest.approx(1.2**12)
    assert "target: +20 % a month" in plots.growth(found)
    close = [replace(version, created=f.WHEN) for version in found.history]
    assert "target for the first month" in plots.growth(replace(found, history=close))


@pytest.mark.parametrize("many", [1, 100_000])
def test_plots_stay_small_for_any_number_of_utterances(store: Store, many: int) -> None:
    mixed(store)
    found = collect.collect_content(CorpusVersion.open(store))
    random = np.random.default_rng(0)
    voices = {f"speaker {n}": random.lognormal(5, 0.3, many // 200 + 1) for n in range(200)}
    values = {name: random.normal(0, 10, many) for name in ("before", "after", "snr_db", "entropy")}
    measures = replace(found.measures, seconds=random.gamma(3, 2, many), f0_by_speaker=voices, **values)
    speakers = [
        content.Speaker(
            name=name,
            uploads=1,
            seconds=60.0,
            kept=60.0,
            utterances=10,
            languages=("en",),
            f0_median=200.0,
            with_text=9,
            aligned=8,
        )
        for name in voices
    ]
    found = replace(found, measures=measures, speakers=speakers)
    sizes = {name: len(svg) for name, svg in report.pictures(found).items()}
    assert sizes.keys() == {"outcomes", "durations", "loudness", "entropy", "snr", "pitch", "languages", "growth"}
    assert max(sizes.values()) < 100_000
    assert found.utterances == many


def test_bounds_are_settings_that_exist() -> None:
    stages = {"loudness": loudness, "screen": screen, "denoise": denoise, "slice": slice_}
    for section, name in collect.BOUNDS.values():
        assert name in stages[section].Settings.model_fields  # type: ignore[attr-defined]
    assert collect.BOUNDS.keys() == content.Bounds.__annotations__.keys()


def test_examples_are_of_several_languages_and_speakers(store: Store) -> None:
    names = [("ann", "en"), ("bob", "en"), ("cid", "de"), ("dan", "zh"), ("eve", "en")]
    uploads = {f.upload(name, seconds=9.0, text="a b c"): language for name, language in names}

    def change(made: f.Made) -> None:
        for u, language in uploads.items():
            for index in (0, 1):
                made.change("align", u.sha256, index, language=language)
        made.change("align", next(iter(uploads)).sha256, 0, status="failed", words=())

    publish_version(store, [f.make_batch(1, *uploads)], change)
    corpus = CorpusVersion.open(store)
    found = examples.examples(corpus)
    assert [e.language for e in found] == ["en", "de", "zh", "en"]
    assert len({e.speaker for e in found}) == 4
    assert all(e.alignment == "aligned" and len(e.words) == 3 for e in found)
    rows = {row["id"]: row for row in corpus.features("mel").to_pylist()}
    for example in found:
        raw = base64.b64decode(example.image.removeprefix("data:image/png;base64,"))
        assert Image.open(io.BytesIO(raw)).size == (rows[example.id]["frames"], rows[example.id]["dims"])


def test_a_spectrogram_is_upright_and_bright_where_loud() -> None:
    mel = np.full((50, 128), -11.5, np.float32)
    mel[:25, :20] = 2.0
    raw = base64.b64decode(examples.picture(mel).removeprefix("data:image/png;base64,"))
    image = np.asarray(Image.open(io.BytesIO(raw)).convert("L"))
    assert image[120, 5] > 200
    assert max(image[120, 40], image[10, 5], image[10, 40]) < 20


@given(st.lists(st.tuples(st.text(min_size=1, max_size=30), st.integers(1, RATE)), max_size=40), st.floats(0.5, 8))
def test_words_of_a_row_never_run_into_each_other(given_words: list[tuple[str, int]], shown: float) -> None:
    at, words = 1000, []
    for text, length in given_words:
        words.append(Word(text, at, at + length, 0.5))
        at += length
    labels, rows = examples.place_words(words, 1000, shown)
    assert len(labels) == sum((word.start - 1000) / RATE < shown for word in words)
    assert rows == len({label.row for label in labels})
    for row in range(rows):
        mine = [label for label in labels if label.row == row]
        for one, other in pairwise(mine):
            assert other.x - one.x >= examples.FONT * 0.6 * len(one.text)
    assert all(0 <= label.left <= label.right <= examples.WIDTH for label in labels)


def test_a_contour_has_a_line_for_each_voiced_stretch() -> None:
    f0 = np.array([0, 100, 200, 0, 0, 400, 0, 50, 50, 50], np.float32)
    lines = [[tuple(map(float, p.split(","))) for p in line.split()] for line in examples.contour(f0)]
    assert [len(line) for line in lines] == [2, 3]
    assert lines[0][0][0] == pytest.approx(1.5 * examples.WIDTH / 10)
    assert lines[0][0][1] > lines[0][1][1], "a higher tone stands higher"


@given(st.text(max_size=40), st.integers(2, 20))
def test_clipped_names_fit(text: str, width: int) -> None:
    short = drawing.clipped(text, width)
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]) and len(short) <= width + 1)


@given(st.lists(st.floats(-200, 200), min_size=1, max_size=50), st.sampled_from([0.1, 0.25, 1.0, 2.0]))
def test_bins_hold_every_value(values: list[float], step: float) -> None:
    edges = drawing.bin_edges([np.array(values)], step, 8)
    assert edges[0] <= min(values)
    assert max(values) <= edges[-1]
    assert 9 <= len(edges) <= 65
    assert np.histogram(values, edges)[0].sum() == len(values)


def test_formats() -> None:
    assert [report.duration(s) for s in (0, 12.34, 61, 3599.6, 11_520)] == [
        "0.0 s",
        "12.3 s",
        "1 min 01 s",
        "1 h 00 min",
        "3 h 12 min",
    ]
    assert [report.share(part, 1000) for part in (0, 0.1, 5, 1000)] == ["0 %", "< 0.1 %", "0.5 %", "100 %"]
    assert [report.setting(value) for value in (True, "a", 1.5, None)] == ["true", '"a"', "1.5", "None"]
    assert math.isclose(drawing.unit_of(7200)[0], 3600)
