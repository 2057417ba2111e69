"""What is put back into the main text of a page, and what is not."""

import pytest

from pipeline.reading.main_text import main_text, with_gaps

FIRST = "The miller opens the sluice at dawn, and the wheel begins to turn."
LAST = "清晨，磨坊主人打开水闸，河水推动木轮，磨盘慢慢转动起来。"
TABLE = ["Grain\tSacks", "Rye\t3", "Wheat\t5"]
PROSE = "Rye is ground twice, because its husk is tougher than that of wheat."
LINKS = ["Most read", "Ten mills to visit", "Why rivers freeze"]


def gap(lines: list[str]) -> str:
    everything = "\n".join(["Home", FIRST, "", *lines, "", LAST, "© 2024"])
    return with_gaps(f"{FIRST}\n\n{LAST}", everything)


def test_a_table_between_kept_lines_is_put_back():
    assert gap(TABLE) == "\n".join([FIRST, "", *TABLE, "", LAST])


def test_running_text_between_kept_lines_is_put_back():
    assert PROSE in gap([PROSE])


def test_link_lists_and_what_surrounds_the_text_stay_out():
    assert gap(LINKS) == f"{FIRST}\n\n{LAST}"


def test_a_gap_as_long_as_an_article_stays_out():
    assert gap([PROSE] * 200) == f"{FIRST}\n\n{LAST}"


def test_a_text_that_is_not_part_of_the_page_is_left_as_it_is():
    text = f"{FIRST}\nnot there\n{LAST}"
    assert with_gaps(text, f"{FIRST}\n{PROSE}\n{LAST}") == text


def test_a_page_without_main_content_gives_all_of_its_text():
    text, title = main_text(f"<title> 磨坊  </title><nav>{FIRST}</nav>")
    assert (text.strip(), title) == (FIRST, "磨坊")


def test_a_body_that_a_script_would_show_is_the_text():
    body = (
        f'<div id="js" class="rich" style="visibility: hidden; opacity: 0"><p>{LAST * 4}</p></div>'
    )
    text, _ = main_text(f"<body><h1>磨坊</h1>{body}<div class=foot>© 2026</div></body>")
    assert "磨坊" in text
    assert LAST * 4 in text


@pytest.mark.parametrize(
    "article",
    [
        "<article><p>{p}</p><ul><li>Rye</li><li>Wheat</li></ul><p>{p}</p></article>",
        "<main><h1>Grain</h1><ul><li>Rye</li><li>Wheat</li></ul></main>",
        "<body><div><p>{p}</p><ul><li>Rye</li><li>Wheat</li></ul></div></body>",
        "<body><div><p>{p} Read on:</p><ul><li><a>Rye</a><li><a>Wheat</a></ul></div></body>",
        "<main><p>{p}</p><ul><li><details><summary>Rye</summary>Wheat</details></ul></main>",
    ],
)
def test_lists_of_an_article_are_part_of_it(article):
    text, _ = main_text(article.format(p=FIRST))
    assert "Rye" in text
    assert "Wheat" in text


def test_menus_and_alternative_texts_stay_out():
    menu = "<ul><li><a href=/>Home</a></li><li><a href=/n>News</a></li></ul>"
    page = f"<body><div>{menu}</div><article><p>{FIRST}<img alt=sunrise></p></article></body>"
    assert main_text(page)[0] == FIRST


def test_text_deeper_than_any_browser_goes_is_kept():
    markup = "<div>" * 5000 + FIRST + "</div>" * 5000 + f"<p>{LAST}</p>"
    text, _ = main_text(markup)
    assert FIRST in text
    assert LAST in text


def test_a_page_with_the_mark_in_it_keeps_it():
    text, _ = main_text(f"<p>{FIRST}\ufdd0<b>不</b>{LAST}</p>")
    assert text == f"{FIRST}\ufdd0不{LAST}"
