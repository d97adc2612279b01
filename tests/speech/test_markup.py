"""What of a text is spoken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.speech.markup import spoken

HOUR = "<speak>a<break time='1h'/>b</speak>"


def said(text: str) -> str:
    """Without the element around it; German is the only language there is."""
    found = spoken(text, lambda language: "de" if language.startswith("de") else "")
    assert found.startswith("<speak>") == found.endswith("</speak>") == bool(found)
    return found.removeprefix("<speak>").removesuffix("</speak>")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello & <you>", "Hello &amp; &lt;you&gt;"),
        ("Your code is 481903.", "Your code is 4 8 1 9 0 3."),
        ("In 12 days, 345 people", "In 12 days, 345 people"),
        ("--stdin -f /etc/passwd", "--stdin -f /etc/passwd"),
        ("[[he]] said", "  he   said"),
        ("a\x01b\x00c\ud800d\ue000e\nf", "a b c d e f"),
    ],
)
def test_plain_text_is_said_as_it_is(text: str, expected: str) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<speak>Hello</speak>", "Hello"),
        ("  <b>Hello <i>you</i></b>", "Hello you"),
        (HOUR, 'a<break time="10000ms"/>b'),
        ("<p>a<break time='250ms'/>b<break/>c<break strength='weak'/>d<break time='9' strength='x'/></p>",
         '<p>a<break time="250ms"/>b<break/>c<break strength="weak"/>d<break/></p>'),
        ("<s><say-as interpret-as='date'>2026</say-as> 2026</s>", "<s>2026 2 0 2 6</s>"),
        ("<s><say-as interpret-as='characters'>A1&amp;</say-as></s>", "<s>A 1 &amp;</s>"),
        ("<s><say-as interpret-as='telephone'>+1555</say-as></s>", "<s>+ 1 5 5 5</s>"),
        ("<s><sub alias='World Wide Web'>W<b>W</b>W</sub>.</s>", "<s>World Wide Web.</s>"),
        ("<s><prosody rate='9%' pitch='high'>a</prosody></s>", '<s><prosody rate="50%">a</prosody></s>'),
        ("<s><prosody rate='fast'>a</prosody><prosody rate='\"'>b</prosody></s>",
         '<s><prosody rate="fast">a</prosody>b</s>'),
        ("<s><voice name='/etc/passwd' xml:lang='de-AT'>a</voice><lang xml:lang='xx'>b</lang></s>",
         '<s><voice xml:lang="de">a</voice>b</s>'),
        ("<speak><audio src='/etc/passwd'>a</audio><mark name='x'/></speak>", "a"),
        ("<s:speak xmlns:s='x'><s:break time='1s'/>a</s:speak>", '<break time="1000ms"/>a'),
    ],
)  # fmt: skip
def test_of_markup_only_what_is_known_is_passed_on(text: str, expected: str) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<speak>Hello <b>you</speak> &amp; me", " Hello  you  &amp; me"),
        ("<3 you", "&lt;3 you"),
        ("<speak>&x; a</speak>", " &amp;x; a "),
        ('<!DOCTYPE s [<!ENTITY a "b">]><s>&a; c</s>', '&lt;!DOCTYPE s    &gt; &amp;a; c '),
    ],
)  # fmt: skip
def test_what_is_not_well_formed_is_said_without_its_tags(text: str, expected: str) -> None:
    assert said(text) == expected


@pytest.mark.parametrize("text", ["", "  ", "...", "\x00", "<speak/>", "<break time='1s'/>", "\U0001f600"])
def test_where_there_is_nothing_to_say_nothing_is_said(text: str) -> None:
    assert said(text) == ""


def test_elements_as_deep_as_a_text_can_be_are_no_trouble() -> None:
    assert said("<s>" * 5_000 + "a" + "</s>" * 5_000) == "<s>" * 5_000 + "a" + "</s>" * 5_000


@given(st.text(alphabet=st.sampled_from("<>/&;'\"=! abs0123456789[]\x00\x01\n") | st.characters(), max_size=60))
def test_whatever_is_written_what_is_passed_on_is_well_formed_and_ours(text: str) -> None:
    once = said(text)
    assert not set(once) & set("[]\x00\x01")
    if once:
        assert said(f"<speak>{once}</speak>") == once
