"""`voicemill ab` from end to end: served, played in a browser, voted on, interrupted, counted."""

import json
import re
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.prefect_server import CHROMIUM, driven
from support.refreshed_store import RefreshedStore
from support.voice_entries import add_entry

from voicemill.storage.store import Store
from voicemill.storage.voices import votes

pytestmark = pytest.mark.slow


def post(address: str, path: str, **body: str) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_votes_are_taken_and_counted(cli: Any, refreshed: RefreshedStore, tmp_path: Path) -> None:
    store = Store.open(refreshed.copy_to(tmp_path).store)
    for prefix in ("tiny.model.", "other.model."):
        add_entry(store, tmp_path, "ann", prefix)
    said = ("--text", "One sentence more.", "--text", "And another one.")
    pair = ("ab", "--store", store.root, "--a", 1, "--b", 2)
    assert "no votes yet" in cli(*pair, "--result").out
    process = cli.start(*pair, *said, "--json")
    try:
        lines = iter(process.stderr.readline, "")
        address = next(found[0] for line in lines if (found := re.search(r"http://127.0.0.1:\d+/\S+/", line)))
        shown = post(address, "begin", listener="one")
        for trial in shown["trials"]:
            post(address, "vote", session=shown["session"], trial=trial["key"], choice="left")
        if CHROMIUM:
            answers = driven(address, LISTEN, tmp_path / "profile")
            assert answers[:3] == [False, "", 3]  # no vote before both were heard
    finally:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    found = json.loads(out)
    kept = votes.history(store, "ann", 1, 2)
    mine = [vote for vote in kept if vote.listener == "one"]
    assert [vote.choice for vote in mine] == [vote.left for vote in mine]
    assert len(mine) == len(shown["trials"]) == 3
    assert found["entries"] == {"a": 1, "b": 2}
    assert found["a"] + found["b"] + found["same"] == len(votes.latest_votes(kept))
    if CHROMIUM:
        assert [vote.choice for vote in kept if vote.listener == "browser"] == ["same"] * 3
    turned = cli(*pair[:3], "--a", 2, "--b", 1, "--result", "--json").json
    assert (turned["a"], turned["b"]) == (found["b"], found["a"])
    assert "95 % interval" in cli(*pair, "--result").out


def test_hostile_names_and_texts_stay_text(cli: Any, refreshed: RefreshedStore, tmp_path: Path) -> None:
    """A sentence, a listener and an entry's config that are markup: nothing of it becomes an element, or runs."""
    store = Store.open(refreshed.copy_to(tmp_path).store)
    for prefix in ("tiny.model.", "<img src=x onerror=alert(1)>.model."):
        add_entry(store, tmp_path, "ann", prefix)
    pair = ("ab", "--store", store.root, "--a", 1, "--b", 2)
    process = cli.start(*pair, "--text", f"Read {MARKUP} aloud.", "--json")
    try:
        lines = iter(process.stderr.readline, "")
        address = next(found[0] for line in lines if (found := re.search(r"http://127.0.0.1:\d+/\S+/", line)))
        shown = post(address, "begin", listener=MARKUP)
        assert any(MARKUP in trial["text"] for trial in shown["trials"])
        for trial in shown["trials"]:
            post(address, "vote", session=shown["session"], trial=trial["key"], choice="left")
        if CHROMIUM:
            answers = driven(address, LISTEN.replace('"browser"', json.dumps(MARKUP)), tmp_path / "profile")
            assert answers[:2] == [False, ""]
            assert answers[3:] == ["Which one is better?", 0, 1]  # title, images, scripts of the page
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert {vote.listener for vote in votes.history(store, "ann", 1, 2)} == {MARKUP[:60]}
    assert "95 % interval" in cli(*pair, "--result").out


MARKUP = """<img src=x onerror="document.title='x'"><script>1</script>"""
LISTEN = """
(async () => {
  const at = id => document.getElementById(id);
  const wait = ms => new Promise(done => setTimeout(done, ms));
  for (let turn = 0; turn < 300 && !at("begin"); turn++) await wait(100);
  at("listener").value = "browser";
  at("begin").click();
  const closed = new Map(), voted = new Set();  // by pair: whether its vote was closed when it was first shown
  for (let turn = 0; turn < 600 && at("end").hidden; turn++) {
    await wait(100);
    const pair = at("count").textContent;
    if (at("trial").hidden || voted.has(pair)) continue;  // a vote may take longer than a turn to be stored
    const same = document.querySelector("[data-choice=same]");
    if (!closed.has(pair)) closed.set(pair, same.disabled);
    if (same.disabled) {
      for (const side of ["left", "right"]) await at(side).play();
    } else {
      same.click();
      voted.add(pair);
    }
  }
  const shut = [...closed.values()].filter(Boolean).length;
  const elements = [document.images.length, document.scripts.length];
  return [at("end").hidden, at("error").textContent, shut, document.title, ...elements];
})()
"""
"""Script of a listener who gives a name, plays both sounds of each pair and votes for no difference."""
