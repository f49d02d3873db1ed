"""The blind listening page on a real server: requests of a browser, of slow clients, and of intruders."""

import http.client
import json
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from support.signals import speechlike

from voicemill.flows.listening import server as server_module
from voicemill.flows.listening.ballot import Ballot, pair_of
from voicemill.flows.listening.server import BallotServer, byte_range
from voicemill.model.audio.loudness_meter import Meter
from voicemill.storage.errors import ConfigError
from voicemill.storage.store import Store
from voicemill.storage.units import RATE
from voicemill.storage.voices import votes
from voicemill.storage.voices.votes import Vote

ABOUT = ("anna", 3, 7, "e" * 64)
LENGTHS = {"a": 1.0, "b": 1.5}
"""Entry -> length of its sounds, seconds: by it a test tells the entries apart."""


def ballot_of(store: Store, sentences: int = 4, seed: int = 1) -> Ballot:
    pairs = [
        pair_of(
            f"utterance-{n}", f"Sentence {n} <b>.", "en", speechlike(LENGTHS["a"], n), speechlike(LENGTHS["b"], n) * 0.1
        )
        for n in range(sentences)
    ]
    keep = lambda vote: votes.append(store, vote)  # noqa: E731
    return Ballot(pairs, ABOUT, keep, lambda: "2025-01-01T00:00:00+00:00", np.random.default_rng(seed))


def named(answer: http.client.HTTPResponse) -> dict[str, str]:
    """Headers of an answer, their names in title case."""
    return {name.title(): value for name, value in answer.getheaders()}


@dataclass
class Browser:
    """Sends requests to the server; `path` follows the secret."""

    server: BallotServer

    def __call__(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, token: str = "", **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            sent = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
            content = raw if raw is not None else None if body is None else json.dumps(body).encode()
            connection.request(method, f"/{token or self.server.token}/{path}", content, sent)
            answer = connection.getresponse()
            return answer.status, answer.read(), named(answer)
        finally:
            connection.close()

    def begin(self, listener: str = "lis") -> Any:
        status, body, _ = self("POST", "begin", {"listener": listener})
        assert status == 200
        return json.loads(body)

    def seconds(self, key: str) -> float:
        status, body, _ = self("GET", f"sound/{key}")
        assert status == 200
        return float(soundfile.info(BytesIO(body)).duration)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def browser(store: Store) -> Iterator[Browser]:
    with served(ballot_of(store)) as browser:
        yield browser


@contextmanager
def served(ballot: Ballot) -> Iterator[Browser]:
    with BallotServer(ballot) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Browser(server)
        server.shutdown()
        thread.join()


def test_votes_reach_the_store_under_the_entry_that_was_heard(browser: Browser, store: Store) -> None:
    """A listener who always prefers the shorter sound votes for entry a, whichever side it is on."""
    shown = browser.begin("  Lis\nbeth ")
    for trial in shown["trials"]:
        lengths = {side: browser.seconds(trial[side]) for side in ("left", "right")}
        assert sorted(lengths.values()) == pytest.approx(sorted(LENGTHS.values()), abs=0.01)
        choice = min(lengths, key=lambda side: lengths[side])
        status, _, _ = browser("POST", "vote", {"session": shown["session"], "trial": trial["key"], "choice": choice})
        assert status == 200
    found = votes.history(store, "anna", 3, 7)
    assert [vote.choice for vote in found] == ["a"] * 4
    assert [vote.order for vote in found] == [0, 1, 2, 3]
    assert {vote.sentence for vote in found} == {f"utterance-{n}" for n in range(4)}
    assert {(vote.listener, vote.testset) for vote in found} == {("Lis beth", "e" * 64)}


def test_nothing_that_a_listener_gets_tells_the_entries_apart(browser: Browser) -> None:
    page = browser("GET", "")[1].decode()
    shown = browser.begin()
    text = page + json.dumps(shown)
    for secret in ("anna", "0003", "0007", "eeeee", "utterance"):
        assert secret not in text
    keys = [trial[side] for trial in shown["trials"] for side in ("left", "right")]
    assert len(set(keys)) == len(keys) == 8
    assert {len(key) for key in keys} == {22}
    sounds = [soundfile.SoundFile(BytesIO(browser("GET", f"sound/{key}")[1])) for key in keys]
    assert len({(sound.comment, sound.software, sound.title, sound.artist) for sound in sounds}) == 1
    for sound in sounds:
        sound.close()


def test_both_sounds_are_equally_loud() -> None:
    wave = speechlike(2.0)
    pair = pair_of("s", "t", "en", wave * np.float32(0.9 / np.abs(wave).max()), wave * np.float32(0.02))
    levels = []
    for sound in pair.sounds.values():
        meter = Meter()
        meter.push(soundfile.read(BytesIO(sound), dtype="float32")[0])
        levels.append(meter.integrated())
    assert levels[0] == pytest.approx(levels[1], abs=0.1)
    silent = pair_of("s", "t", "en", np.zeros(RATE, np.float32), wave)
    assert soundfile.read(BytesIO(silent.sounds["a"]))[0].max() == 0


def test_order_and_sides_are_even_over_listeners(store: Store) -> None:
    ballot = ballot_of(store)
    orders, lefts = Counter[str](), Counter[str]()
    for number in range(100):
        shown = ballot.begin(str(number))
        orders[shown["trials"][0]["text"]] += 1
        for trial in shown["trials"]:
            ballot.vote(shown["session"], trial["key"], "left")
    for vote in votes.history(store, "anna", 3, 7):
        lefts[vote.choice] += 1
        assert vote.choice == vote.left
    assert len(orders) == 4
    assert all(3 <= count <= 47 for count in orders.values())  # 25 expected, 5 standard deviations
    assert abs(lefts["a"] - 200) < 50


def test_other_hosts_tokens_paths_and_origins_are_refused(browser: Browser, store: Store) -> None:
    shown = browser.begin()
    vote = {"session": shown["session"], "trial": shown["trials"][0]["key"], "choice": "left"}
    assert browser("GET", "", Host="evil.example")[0] == 421
    assert browser("GET", "", Host=f"evil.example:{browser.server.port}")[0] == 421
    assert browser("GET", "", Host=f"localhost:{browser.server.port}")[0] == 200
    assert browser("GET", "", token="guess")[0] == 404
    for path in ("../../etc/passwd", "sound/../../etc/passwd", "sound/%2e%2e/x", "sound/", "x", "vote", "begin"):
        assert browser("GET", path)[0] == 404
    assert browser("POST", "vote", vote, Origin="http://evil.example")[0] == 403
    assert browser("POST", "vote", vote, Content_Type="text/plain")[0] == 415
    assert browser("POST", "vote", vote, token="guess")[0] == 404
    assert browser("POST", "vote", raw=b"x" * 5000)[0] == 413
    for raw in (b"{", b"[]", b"[" * 4000, b"\xff"):
        assert browser("POST", "vote", raw=raw)[0] == 400
    for wrong in ({"choice": "a"}, {"trial": "x"}, {"session": "x"}, {"session": {}}):
        assert browser("POST", "vote", vote | wrong)[0] == 400
    assert votes.history(store, "anna", 3, 7) == []
    origin = f"http://127.0.0.1:{browser.server.port}"
    assert browser("POST", "vote", vote, Origin=origin)[0] == 200
    assert len(votes.history(store, "anna", 3, 7)) == 1


def test_the_page_may_load_nothing_from_elsewhere(browser: Browser) -> None:
    status, body, headers = browser("GET", "")
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert body.decode().count(f'nonce="{nonce}"') == 2
    assert browser("GET", "")[2]["Content-Security-Policy"] != policy  # a new one each time
    assert headers["Referrer-Policy"] == "no-referrer"
    assert browser.server.address.startswith("http://127.0.0.1:")
    with pytest.raises(ConnectionRefusedError):  # a server on all interfaces would answer
        socket.create_connection(("127.0.0.2", browser.server.port), 5).close()


def test_nothing_to_compare_and_too_many_listeners_are_said(store: Store) -> None:
    with pytest.raises(ConfigError, match="nothing to compare"):
        Ballot([], ABOUT, lambda vote: None, str, np.random.default_rng())
    ballot = ballot_of(store, 1)
    for _ in range(1000):
        ballot.begin("")
    with pytest.raises(ConfigError, match="listeners have begun"):
        ballot.begin("")


def test_a_vote_that_cannot_be_stored_is_not_counted(store: Store) -> None:
    def full(vote: Vote) -> None:
        raise OSError(28, "no space left on device")

    pair = pair_of("s", "t", "en", speechlike(1.0), speechlike(1.0))
    ballot = Ballot([pair], ABOUT, full, lambda: "2025", np.random.default_rng(0))
    with served(ballot) as browser:
        shown = browser.begin()
        vote = {"session": shown["session"], "trial": shown["trials"][0]["key"], "choice": "same"}
        status, body, _ = browser("POST", "vote", vote)
    assert (status, b"no space left" in body, ballot.votes) == (507, True, 0)


def test_a_browser_gets_the_parts_of_a_sound_that_it_asks_for(browser: Browser) -> None:
    """Parts join to the whole; Safari asks for two bytes first and plays nothing from a server without ranges."""
    path = f"sound/{browser.begin()['trials'][0]['left']}"
    status, whole, headers = browser("GET", path)
    size = len(whole)
    assert (status, headers["Accept-Ranges"], headers["Content-Length"]) == (200, "bytes", str(size))
    pieces = b""
    for first, last in ((0, 1), (2, 999), (1000, size + 5)):
        status, body, headers = browser("GET", path, Range=f"bytes={first}-{last}")
        end = min(last, size - 1)
        assert (status, headers["Content-Range"]) == (206, f"bytes {first}-{end}/{size}")
        assert (headers["Content-Length"], headers["Content-Type"]) == (str(len(body)), "audio/flac")
        assert headers["Accept-Ranges"] == "bytes"
        pieces += body
    assert pieces == whole
    assert browser("GET", path, Range="bytes=1000-")[:2] == (206, whole[1000:])
    assert browser("GET", path, Range="bytes=-700")[:2] == (206, whole[-700:])
    for beyond in (f"bytes={size}-", f"bytes={size}-{size + 1}", "bytes=-0", "bytes=" + "9" * 5000 + "-"):
        status, body, headers = browser("GET", path, Range=beyond)
        assert (status, body, headers["Content-Range"]) == (416, b"", f"bytes */{size}")
    for left_aside in ("bytes=0-1,5-9", "bytes=9-5", "bytes=-", "lines=0-1", "bytes 0-1", "bytes=٣-٤"):
        found = browser("GET", path, Range=left_aside.encode("utf-8").decode("latin-1"))
        assert found[:2] == (200, whole)
    assert browser("GET", path, Range="bytes=0-1", If_Range='"x"')[:2] == (200, whole)


def test_a_browser_that_leaves_midway_is_no_error(browser: Browser, capfd: pytest.CaptureFixture[str]) -> None:
    sound = browser.begin()["trials"][0]["left"]
    before = threading.active_count()
    for turn in range(20):
        host = "x" if turn % 2 else f"127.0.0.1:{browser.server.port}"
        with socket.create_connection(("127.0.0.1", browser.server.port)) as connection:
            connection.sendall(f"GET /{browser.server.token}/sound/{sound} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert browser.seconds(sound) > 0
    assert capfd.readouterr().err == ""


def test_slow_clients_keep_no_listener_away_and_are_cut_off(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """600 connections: half send nothing, half a header that never ends."""
    monkeypatch.setattr(server_module, "TIMEOUT", 1.0)
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", browser.server.port))) for _ in range(600)]
        for connection in slow[::2]:
            connection.sendall(f"GET /{browser.server.token}/ HTTP/1.1\r\nHost: x\r\nX: ".encode())
        assert browser("GET", "")[0] == 200
        ends, open_ = select.poll(), {connection.fileno(): connection for connection in slow}
        for number in open_:
            ends.register(number, select.POLLIN)  # readable at its end
        end = time.monotonic() + 30
        while open_ and time.monotonic() < end:
            for number, _ in ends.poll(200):
                ends.unregister(number)
                del open_[number]
            for connection in set(open_.values()).intersection(slow[::2]):
                with suppress(ConnectionError):
                    connection.sendall(b"x")
        assert not open_
    assert capfd.readouterr().err == ""


def test_too_many_connections_are_refused_and_the_server_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS", 3)
    with served(ballot_of(store, 1)) as browser:
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(socket.create_connection(("127.0.0.1", browser.server.port)))
            assert browser("GET", "")[0] == 503
        until(lambda: browser("GET", "")[0] == 200)
    assert capfd.readouterr().err == ""


def until(condition: Callable[[], bool], limit: float = 10.0) -> None:
    end = time.monotonic() + limit
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_a_browser_may_ask_for_the_headers_alone(browser: Browser) -> None:
    """HEAD answers as GET does, errors too, and the connection serves the next request."""
    sound = f"sound/{browser.begin()['trials'][0]['left']}"
    connection = http.client.HTTPConnection("127.0.0.1", browser.server.port, timeout=30)
    for path, headers, status in (
        ("", {}, 200),
        (sound, {}, 200),
        (sound, {"Range": "bytes=0-1"}, 200),
        ("x", {}, 404),
    ):
        of = {}
        for method in ("HEAD", "GET"):
            sent = headers if method == "HEAD" else {}
            connection.request(method, f"/{browser.server.token}/{path}", headers=sent)
            answer = connection.getresponse()
            body, of[method] = answer.read(), named(answer)
            assert answer.status == status
            assert bool(body) == (method == "GET")
        assert of["HEAD"]["Content-Length"] == of["GET"]["Content-Length"] == str(len(body))
        assert of["HEAD"].get("Accept-Ranges") == ("bytes" if path == sound else None)
    connection.close()


@given(st.integers(1, 50), st.none() | st.integers(0, 60), st.none() | st.integers(0, 60))
def test_a_range_is_what_the_standard_says(size: int, first: int | None, last: int | None) -> None:
    """The range is compared with the definition, byte by byte."""
    said = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    found = byte_range(said, size)
    if (first is None and last is None) or (first is not None and last is not None and last < first):
        assert found is None
        return
    if first is None:
        wanted = [n for n in range(size) if n >= size - (last or 0)]
    else:
        wanted = [n for n in range(size) if first <= n and (last is None or n <= last)]
    assert found is not None
    assert list(found) == wanted
