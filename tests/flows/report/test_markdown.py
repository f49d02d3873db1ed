"""Text from outside in Markdown: shown as it is, never a link, an image, a heading or a cell of its own."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.flows.report import markdown
from voicemill.flows.report.markdown import Markup, code, link, name, plain, table, text

J = markdown.JOINER


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Anna Müller-Lüdenscheidt", "Anna Müller-Lüdenscheidt"),
        ("no_speech, 3.5 % (of 2)", "no_speech, 3.5 % (of 2)"),
        ("![i](http://e.example/a.png)", rf"!\[i\](http:{J}//e.example/a.png)"),
        ("[x](javascript:alert(1))", r"\[x\](javascript:alert(1))"),
        ("see https://e.example", f"see https:{J}//e.example"),
        ("www.e.example", f"www{J}.e.example"),
        ("a@e.example", f"a@{J}e.example"),
        ("<img src=x>", r"\<img src=x>"),
        ("&lt;b", r"\&lt;b"),
        ("*a* _b_ ~c~ `d`", r"\*a\* \_b\_ \~c\~ \`d\`"),
        ("# head", r"\# head"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("---", r"\---"),
        ("a\nb\r\nc\u2028d", "a b c d"),
        ("\u202eabc\x07\x1b[31m", r"abc\[31m"),
        ("a | b", "a | b"),
    ],
)
def test_text_is_shown_as_it_is(given: str, expected: str) -> None:
    assert text(given) == expected
    assert text(text(given)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [("a", "`a`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("http://e.example", "`http://e.example`"), ("", "` `")],
)
def test_code_keeps_its_fence(given: str, expected: str) -> None:
    assert code(given) == expected


def test_a_link_leads_to_a_page_of_ours_or_nowhere() -> None:
    assert link("run", "http://127.0.0.1:4200/v2/runs/flow-run/1") == "[run](http://127.0.0.1:4200/v2/runs/flow-run/1)"
    assert link("[x]", "javascript:alert(1)") == r"\[x\]"
    assert link("run", "http://a/b)![](http://c") == "run"


def test_a_cell_stays_a_cell() -> None:
    rows = [("a | b", code("c | d"), Markup("**e**"), 5)]
    assert table(("x", "y", "z", "n"), rows).splitlines()[2] == r"| a \| b | `c \| d` | **e** | 5 |"


def test_a_name_is_one_line_of_bounded_length() -> None:
    assert name("a\n\u202eb" + "c" * 300) == "a b" + "c" * 196 + "…"


@given(st.text(alphabet="ab_*`[]()<>|\\~&#-+=.:/@!\n 1w;", max_size=40))
def test_no_mark_is_left_open(value: str) -> None:
    shown = text(value)
    assert "\n" not in shown
    unescaped = re.sub(r"\\[^a-z0-9\s]", "·", shown)
    assert not re.search(r"[\\`*\[\]<~]", unescaped)
    assert not re.search(r"://|www\.|@\w", unescaped)
    assert plain(shown) == " ".join(value.split())
    for cell in (value, code(value)):
        _, _, row = table(("a",), [(cell,)]).splitlines()
        assert re.sub(r"\\.", "", row).count("|") == 2
