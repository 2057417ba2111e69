"""Inputs made to cost more than their size: what expressions, parsers and loops trip over."""

import time
from collections.abc import Callable

MEGABYTE = 1_000_000
PLAIN = "The miller opens the sluice at dawn, and the wheel begins to turn.\n"
# Repeated until they fill the size.
UNITS = (
    "<", "[", "(", "&", "\\", " ", "\t", "`", "-", ".", "1", "1 ", "1.", "12-", "1:", "a:", "a@",
    "@", "a@a.", "a.", "a-", "a@b.c-", "a", "水", "a\u0301", "\u0301", "\u200d",
    "\U0001f469\u200d", "\u200b", "�", "\x85", "\x81", "\xa0", "Ã©", "â€™", "Ã", "ÎÒÃÇ", "锟斤拷",
    "<!--", "<nav>", "<div id=", "<div class=nav>", "<p>", "<b ", "[b]", "[url=", "[img]",
    "[x](http://a)", "- [x](http://a b\n", " \n", "\n ", "\r\n", "\r", "&amp;", "&#", "&#38;",
    "http://", "http://a?", "://a:a", "?token=", "sk-", "eyJaaaaaaaa.", "-----BEGIN ", "AKEY_",
    "a [at] ", "a[at]b.", "AB12 ", "1234 ", "1234-", "123-45-", "passport ", "护照", "1.1.", "+1 ",
    "(1) ", "138 1", "call me ", "tel: ", "office 1234567 ", "QQ:", "微信", "京A", "[1]", "[1,",
    "a[1", "{", "javascript", '"', "'", "ａ", "１", "水 ", "ก", "م", "한", "\u304b\u3099",
    "\u0915\u094d", "\u202e", "\ufeff", "𠮷", "_", "*", "#", "~", "+", "=", "/", ";", "© ",
    "we use cookies ", "home ", "上一篇", "posted by ", "\x1b[", "\x1b[1;", "\x00", "\U000e0061",
    "\x0c", "\u2028", "aB", "a-\n", "…", "• ", "a水", "0x1", "\\frac{", "abc\n", "ß", "ı", "\n",
    "x y\n", "<th>x", "<ul><li>", "]]", "))", "</p>", '="', "|", "| a | b |\n",
)  # fmt: skip
PAGES = (
    "<div>", "<div>x ", "<b>", "<b><i>", "<p><div>", "<a href=x>y", "<table>",
    "<table><tr><td>x", "<ul>", "<li>", "<select>", "<svg>", "<ul><li>hello <a>x</a>",
    "<template>", "<form>", "<article>", "<span class=share>x</span>", "<time>x", "<title>",
    "<ruby>x<rt>y", "<li><label><input type=checkbox>x", "<footer>x</footer> ", "<div><a>x</a>",
    "<script>", "<p ", "<tr><th>x<td>y", "<body a>", "<a '", "<b>不", "<b>&eacute;</b>",
    "<td><b>", "<p><a><b><i></a></p>", "<frameset>", "<pre>x</pre>", "</div>",
)  # fmt: skip


def filled(unit: str, size: int) -> str:
    """Return `unit` again and again, `size` bytes of UTF-8 or a little more."""
    return unit * (size // len(unit.encode()) + 1)


def nested(opening: str, closing: str, size: int) -> str:
    """Return openings and as many closings after them."""
    count = size // len((opening + closing).encode()) + 1
    return opening * count + closing * count


def numbered(form: str, size: int) -> str:
    """Return `form` with 0, 1, 2 and so on in it: nothing comes twice."""
    return "".join(form.format(n) for n in range(size // (len(form) + 3) + 1))


def texts(size: int) -> dict[str, str]:
    """Return every hostile text of about that size, by a name."""
    others = {
        "spaces at the end": " " * size + "x",
        "brackets": nested("[", "]", size),
        "tags in tags": nested("<b", ">", size),
        "citations in citations": "a" + nested("[1", "]", size),
        "a long name": "a" * size + "@",
        "a long number": "1" * size + "-",
        "an open quotation": '<p a="' + "x " * (size // 2),
        "words": numbered("w{} ", size),
        "lines": numbered("line {} of it.\n", size),
        "addresses": numbered("http://a{0}.com/{0} ", size),
        "mails": numbered("a{0}@b{0}.com ", size),
        "telephones": numbered("138000{0} ", size),
        "all ideographs": "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(size // 3)),
    }
    return {repr(unit): filled(unit, size) for unit in UNITS} | others


def pages(size: int) -> dict[str, str]:
    """Return every hostile page of about that size, by a name."""
    others = {
        "formatting never closed": numbered("<font a={}><p>x", size),
        "many attributes": "<p " + numbered("a{} ", size) + ">x",
        "many attributes, no spaces": "<b " + numbered("a{}/", size) + ">x",
        "bodies": numbered("<body a{}>", size),
        "a long class": '<p class="' + filled("nav ", size) + '">x',
        "a long style": '<p class=a style="' + filled("display : ", size) + '">x',
        "links deep down": "<div>" * 5 + filled("<div><a>x</a>", size),
        "lists of an article": "<article>" + filled("<ul><li>hello <a>x</a>", size),
    }
    return {unit: filled(unit, size) for unit in PAGES} | others


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return what a call costs this process."""
    started = time.process_time()
    work()
    return time.process_time() - started


def second() -> float:
    """Return what work of a second on the machine of these bounds costs here, beside this load."""
    return 30 * cpu_seconds(lambda: [str(number).find("9") for number in range(200_000)])


def costs_at_most(most: float, work: Callable[[], object]) -> bool:
    """Tell whether a call costs at most so many CPU seconds, now or when asked once more."""
    return cpu_seconds(work) <= most or cpu_seconds(work) <= most
