"""A block of which anything is kept is kept whole: each visible character, in ten scripts."""

import itertools
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resiliparse.parse.html import HTMLTree, NodeType

from pipeline.reading.encodings import text_of
from pipeline.reading.html import declared_codec
from pipeline.reading.main_text import main_text

SCRIPTS = {
    "latin": "Ärger über naïve Öfen, né à l’été; ¿qué? 5° ½ ß. çà et là, zł €3 §7",
    "chinese": "芦苇不生长在沙漠里，价格为五元。比去年降了两元！“好”、（是）：㐀𠮷《江》",
    "japanese": "水車は川の上にある。カ゛ラス、ー々〆と「粉」を挽く・朝ﾊﾝが好きです！",
    "korean": "물레방아는 강 위에 있다. 값은 오 원이고 ‘좋다’고 한다. ㄱㅏ 한글!",
    "arabic": "الطاحونة على النهر، لا تنمو في الصحراء؛ هل تعرف؟ مُحَمَّدٌ ٥٠٪ ـ و",
    "hebrew": "הטחנה על הנהר, לא בַּמִּדְבָּר; ש״ח 5 ־ מה? ׳א׳ ו",
    "thai": "กังหันน้ำอยู่ริมแม่น้ำ ๆ ไม่เติบโตในทะเลทราย ราคา ๕ บาท ฯลฯ ก็ ดี",
    "devanagari": "पनचक्की नदी पर है। मूल्य ५ रुपये, क्या हाँ? ॐ न त्र ऽ व",
    "cyrillic": "Мельница стоит у реки, но не в пустыне: ёж – «да»? Цена 5 ₽ № я́ и",
    "greek": "Ο μύλος είναι στο ποτάμι· όχι στην έρημο; «ναι» ώρα ἀρχῇ ή",
    "marks": "cafe\u0301 o\u0308 👍🏽 👩‍👩‍👧 🇨🇳 ❤️ ☃ … — • ¶ Å",
}
OPENINGS = (
    "b", "i", "em", "strong", "u", "s", "mark", "small", "code", "kbd", "sub", "sup", "q", "cite",
    "abbr", "span", "font", "time", "label", 'a href="/x"', 'a rel="author"', 'a rel="tag"',
    'a class="next"', 'a class="share" id="email"', 'span class="logo"', 'span class="follow"',
    'span itemprop="author"', 'span aria-expanded="false"', 'time datetime="2026"', "button",
    "custom-word", 'a class="permalink" title="a > b"', "span style=color:red class=ad",
)  # fmt: skip
BLOCKS = (
    "<p>{}</p>", "<p class=x>{}</p>", "<div>{}</div>", "<h2>{}</h2>", "<blockquote>{}</blockquote>",
    "<ul><li>{}</li><li>{}</li></ul>", "<ol><li>{}<li>{}</ol>", "<dl><dt>{}<dd>{}</dl>",
    "<table><tr><th>{}</th><td>{}</td></tr><tr><td>{}<td>{}</table>",
    "<details open><summary>{}</summary><p>{}</p></details>",
    '<ul class="to-do-list"><li><div class="checkbox"></div> <span class=to-do>{}</span></li></ul>',
    "<ul><li><input type=checkbox> {}</li><li><label><input type=checkbox> {}</label></li></ul>",
    "<ul><li><p>{}</p><ul><li>{}</li></ul></li></ul>",
    "<figure><figcaption>{}</figcaption></figure>",
    "<section><p>{}<p>{}</section>", "<p>{}<br>{}</p>",
)  # fmt: skip
RUBY = "<ruby>{}<rp>(</rp><rt>{}</rt><rp>)</rp></ruby>"


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@st.composite
def inline(draw: st.DrawFn, script: str) -> tuple[str, str]:
    """Return the markup and the text of a paragraph: pieces of one to nine characters, marked."""
    sample = SCRIPTS[script]
    markup, text, at = [], [], 0
    while at < len(sample):
        piece = sample[at : at + draw(st.integers(1, 9))]
        at += len(piece)
        form = draw(st.integers(0, 9))
        as_markup = escaped(piece)
        if form == 0:
            as_markup = "".join(f"&#{ord(character)};" for character in piece)
        if form in (1, 2, 3, 4, 5):
            opening = draw(st.sampled_from(OPENINGS))
            as_markup = f"<{opening}>{as_markup}</{opening.split()[0]}>"
            if opening.startswith("a ") and piece.strip() == "¶":
                piece = ""  # the sign of a link to where one is, as manuals have it
        elif form == 6:
            as_markup = RUBY.format(as_markup, "か")
            piece = f"{piece}(か)"
        elif form == 7:
            as_markup = f"<!-- x -->{as_markup}<wbr><img alt=nothing src=x>"
        markup.append(as_markup)
        text.append(piece)
    lead = "Lead: "  # text that is no part of an element, as a sentence has it
    return lead + "".join(markup), lead + "".join(text)


@st.composite
def articles(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Return a page and the texts of its blocks."""
    blocks, texts = [], []
    for _ in range(draw(st.integers(1, 4))):
        form = draw(st.sampled_from(BLOCKS))
        parts = [
            draw(inline(draw(st.sampled_from(sorted(SCRIPTS))))) for _ in range(form.count("{}"))
        ]
        blocks.append(form.format(*(markup for markup, _ in parts)))
        texts += [text for _, text in parts]
    return "".join(blocks), texts


def squeezed(text: str) -> str:
    return "".join(text.split())


PROSE = "<p>The miller opens the sluice at dawn, and the wheel of the old mill begins to turn.</p>"
FRAMES = (
    "<html><head><title>T</title></head><body><nav><a href=/>Home</a></nav><article>{}</article>",
    "<body><div id=content><div class='post-body'>" + PROSE + "{}</div></div></body>",
    "<main>" + PROSE + "{}</main><footer>© 2026</footer>",
    "<table><tr><td>" + PROSE + "{}</td></tr></table>",
)


@settings(max_examples=150)
@given(articles(), st.sampled_from(FRAMES))
def test_every_visible_character_of_an_articles_blocks_comes_through(article, frame):
    markup, texts = article
    found = squeezed(main_text(frame.format(markup))[0])
    for text in texts:
        assert squeezed(text) in found


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_character_alone_in_bold_stays_where_it_was(script):
    text = SCRIPTS[script]
    marked = "".join(f"<b>{escaped(c)}</b>" if i % 2 else escaped(c) for i, c in enumerate(text))
    assert squeezed(text) in squeezed(main_text(f"<article><p>{marked}</p></article>")[0])


def blocks_of(page: HTMLTree) -> Iterator[list[str]]:
    """Yield the text nodes of each run of inline markup, as the document tree has them."""
    inline_tags = {opening.split()[0] for opening in OPENINGS} - {"label", "button"}
    pieces: list[str] = []
    stack = [page.body]
    while stack:
        node = stack.pop()
        if node is None:
            yield pieces
            pieces = []
        elif node.type == NodeType.TEXT:
            pieces.append(node.value)
        elif node.type == NodeType.ELEMENT and node.tag not in ("script", "style", "noscript"):
            children = list(node.child_nodes)[::-1]
            if node.tag in inline_tags and not hides(node):
                stack += children
            else:
                stack += [None, *children, None]
        elif node.type == NodeType.ELEMENT:
            yield pieces
            pieces = []
    yield pieces


def hides(node) -> bool:
    marks = f"{node.getattr('class') or ''} {node.getattr('style') or ''}"
    return any(
        (
            "hidden" in node.attrs,
            node.getattr("aria-hidden") == "true",
            any(word in marks for word in ("hidden", "none", "invisible", "nocontent")),
        )
    )


def test_blocks_of_real_pages_are_kept_whole_or_left_out_whole(shared_data):
    whole = cut = 0
    with tarfile.open(shared_data / "web_html.tar.gz") as tar:
        members = (member for member in tar if member.isfile() and member.size < 200_000)
        for member in itertools.islice(members, 0, None, 4):
            page = tar.extractfile(member).read()
            markup = text_of(page, declared=declared_codec(page))[0]
            found = squeezed(main_text(markup)[0])
            for pieces in blocks_of(HTMLTree.parse(markup)):
                text = squeezed("".join(pieces))
                longest = max(map(squeezed, pieces), key=len, default="")
                if len(longest) < 25 or longest not in found:
                    continue
                whole += text in found
                cut += text not in found
    assert whole > 1000
    assert cut <= 0.004 * whole  # their words stand elsewhere in the text, as in a title
