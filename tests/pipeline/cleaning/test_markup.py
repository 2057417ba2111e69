"""Left-over markup: the linear passes say what the plain expressions say."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning.enclosed import without_navigation, without_scripts, without_tags
from pipeline.cleaning.markup import _BLANK, _LINK_LINE
from pipeline.cleaning.tags import TAG

# The expressions in their plain form, quadratic and worse: the right answer for short inputs.
SCRIPTS = re.compile(r"<(script|style|nav|header|footer|head)\b[^<>]*>.*?</\1\s*>", re.I | re.S)
NAVIGATION = re.compile(
    r"<(div|ul)\b[^<>]*(?:id|class)=[\"']?[^<>\"']*(?:nav|menu|foot|side|share|breadcrumb)[^<>]*>"
    r"(?:(?!</?\1\b).)*?</\1\s*>",
    re.I | re.S,
)
TAGS = re.compile(TAG + r"|<!doctype[^<>]*>|<!--.*?-->", re.S)
BLANK = re.compile(r"[ \t]*\n\s*\n*[ \t]*")
LINK_LINE = re.compile(
    r"^\s*(?:[-*+]|\d+\.)?\s*!?\[[^\]\n]{0,200}\]\(https?://[^)\s]{1,500}\)\s*$\n?", re.M
)

TAGS_WHOLE = (
    "<nav>|</nav>|<NAV class=x>|</nav >|</script>|</head>|</div>|</ul >|<div>|<ul>|<p>|</b>"
)
TAGS_IN_PARTS = "<script|<head|>|<div id=|<div class='|<ul class=\"a|nav|menu|'|\"|class=|<|x|<br/>"
OTHER = ["<!--", "-->", "<!-->", "<!doctype html>", "-", "\n", " ", "\t", "\r", "\n\n", "   ", "水"]
PIECES = st.sampled_from([*TAGS_WHOLE.split("|"), *TAGS_IN_PARTS.split("|"), *OTHER])
MARKUP = st.lists(PIECES, max_size=30).map("".join)
LINE_PARTS = "-;* ;12.;3 ;!;[a](https://b.c);[;x;水;[](http://d);];- [e f](http://g/h?i)"
BLANKS = ["\n", " ", "\t", "\n \n", "\r"]
LINES = st.lists(st.sampled_from([*LINE_PARTS.split(";"), *BLANKS]), max_size=24).map("".join)


@settings(max_examples=400)
@given(MARKUP)
def test_what_tags_enclose_is_found_as_by_the_plain_expressions(text):
    assert without_scripts(text) == SCRIPTS.subn("\n", text)
    assert without_navigation(text) == NAVIGATION.sub("\n", text)
    assert without_tags(text) == TAGS.subn("", text)


@settings(max_examples=400)
@given(LINES)
def test_blank_runs_and_link_lines_are_found_as_by_the_plain_expressions(text):
    links = [match[0] for match in _LINK_LINE.finditer(text) if match["link"]]
    assert links == LINK_LINE.findall(text)
    assert _BLANK.sub("\n", text) == BLANK.sub("\n", text)
