"""What is put back into the main text of a page, and what is not."""

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
