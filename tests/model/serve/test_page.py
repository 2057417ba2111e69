"""The page of a server, in a real browser: two real models, one that was taught to talk."""

import json

import pytest

from tests.browser import open_browser
from tests.model.serve.test_app import START_SECONDS, start
from tests.test_pages import CUT, WIDTHS

ANSWERS = "[...document.querySelectorAll('.answer:not([hidden])')].map(a => a.innerText)"
IDLE = "document.querySelector('#go').textContent !== (language === 'en' ? 'Stop' : '停止')"
# Plays a server whose words come when the test says so, over real streams of the browser.
SLOW_SERVER = """
window.realFetch = window.fetch;
window.lines = [];
window.fetch = (path, options) => path.startsWith('v1/models') ? realFetch(path, options)
  : Promise.resolve(new Response(new ReadableStream({
      start(stream) {
        window.lines.push(words => stream.enqueue(new TextEncoder().encode('data: ' +
          JSON.stringify({choices: [{index: 0, text: words, delta: {content: words}}]})
          + '\\n\\n')));
        options.signal.addEventListener('abort', () => stream.error(options.signal.reason));
      }})));
1
"""


WATCHED = """
window.seen = [];
new MutationObserver(() => seen.push(document.querySelector('.answer')?.textContent.length ?? 0))
  .observe(document.body, {subtree: true, childList: true, characterData: true});
1
"""


def choose(page, *names):
    """Tick these models and no others."""
    page.run(
        f"document.querySelectorAll('.chip input').forEach(box => {{ const name = "
        f"box.parentElement.textContent; if (box.checked !== {json.dumps(names)}.includes(name)) "
        f"box.click(); }}); 1"
    )


def set_values(page, **values):
    for name, value in values.items():
        page.run(f"document.querySelector('#{name}').value = {json.dumps(value)}; 1")


def ask(page, text):
    page.run(
        "document.querySelector('#prompt').value = ''; document.querySelector('#prompt').focus(); 1"
    )
    page.write(text)
    page.press("Enter", ctrl=True)


@pytest.fixture(scope="module")
def address(tiny_model, chat_model):
    models = [f"base={tiny_model}", f"talker={chat_model}"]
    process, address = start(*models, "--alias", "gpt=talker", "--log", "none")
    yield address
    process.terminate()
    process.wait(timeout=START_SECONDS)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(browser, address):
    """A fresh visit: nothing is kept of those before."""
    browser.size(1280)
    browser.open(address)
    browser.run("localStorage.clear(); sessionStorage.clear(); 1")
    browser.run("localStorage.setItem('textmill.language', '\"en\"'); 1")
    browser.open(address)
    browser.until("models.length === 2")
    browser.errors.clear()
    yield browser
    assert browser.errors == []


def test_a_talk_is_typed_streamed_and_goes_on(page):
    choose(page, "talker")
    set_values(page, tokens="6", seed="7")
    ask(page, "你好")
    page.until(f"{ANSWERS}.length === 1 && {IDLE}")
    page.write("And then?")
    page.press("Enter")  # in a talk alone is enough
    page.until(f"{ANSWERS}.length === 2 && {IDLE}")
    assert "tokens in" in page.text()
    sent = page.run("JSON.stringify(asked(talk.turns[1], 1, models[1])[1].messages)")
    assert [m["role"] for m in json.loads(sent)] == ["user", "assistant", "user"]
    texts = page.run(ANSWERS)
    page.press("r", alt=True)
    page.until(IDLE)
    assert page.run(ANSWERS) == texts  # the same seed


def test_two_models_continue_side_by_side(page):
    choose(page, "base", "talker")
    assert "taught no conversations" in page.text()
    page.run("document.querySelector('[value=text]').click(); 1")
    set_values(page, tokens="5", seed="3")
    ask(page, "The model")
    page.until(f"{ANSWERS}.length === 2 && {IDLE}")
    assert page.run("document.querySelectorAll('article').length") == 2
    lefts = page.run("[...document.querySelectorAll('article')].map(a => a.offsetLeft)")
    assert lefts[0] < lefts[1]
    texts = page.run("talk.turns[0].answers")
    assert texts.keys() == {"base", "talker"}


def test_an_answer_comes_piece_by_piece(page):
    choose(page, "base")
    set_values(page, tokens="1500")
    page.run(WATCHED)
    ask(page, "The")
    page.until(f"!!document.querySelector('.answer') && {IDLE}")
    assert page.run("new Set(seen).size") >= 4


def test_an_answer_grows_and_stops_when_told(page):
    choose(page, "base")
    page.run(SLOW_SERVER)
    ask(page, "The")
    page.until("lines.length === 1")
    page.run("lines[0](' first'); 1")
    page.until("document.querySelector('.answer').textContent === ' first'")
    page.run("lines[0](' second'); 1")
    page.until("document.querySelector('.answer').textContent === ' first second'")
    page.press("Escape")
    page.until(IDLE)
    assert "you stopped it" in page.text()
    assert page.run("document.querySelector('.answer').textContent") == " first second"


def test_an_answer_without_words_and_a_refusal_say_why(page):
    choose(page, "base")
    ask(page, "The " * 80)  # past the context of 64
    page.until("!!document.querySelector('.answer .error')")
    assert "maximum context length is 64" in page.text()
    page.errors.clear()  # the browser's own note that a request had status 400
    page.run("show(null); 1")
    page.run(
        SLOW_SERVER.replace("window.lines.push(words =>", "window.lines.push(() => {});(words =>")
    )
    page.run(
        "window.fetch = async () => new Response('data: ' + JSON.stringify({choices: [{text: '', "
        "finish_reason: 'stop'}]}) + '\\n\\ndata: [DONE]\\n\\n'); 1"
    )
    ask(page, "The")
    page.until(f"!!document.querySelector('.note') && {IDLE}")
    assert "nothing to see: the model ended its text" in page.text()


def test_every_token_shows_what_else_was_likely(page):
    choose(page, "base")
    page.run("document.querySelector('[value=text]').click(); 1")
    page.run("document.querySelector('#probabilities').checked = true; 1")
    set_values(page, tokens="6", seed="5")
    ask(page, "数据")
    page.until(f"!!document.querySelector('.token') && {IDLE}")
    tokens = page.run("[...document.querySelectorAll('.token')].map(t => t.textContent)")
    assert "".join(tokens) == page.run("talk.turns[0].answers.base.text")
    page.run("document.querySelector('.answer').focus(); 1")
    page.press("ArrowRight")
    assert not page.run("document.querySelector('#tip').hidden")
    rows = page.run("[...document.querySelectorAll('#tip tr')].map(r => r.innerText)")
    assert len(rows) >= 5
    assert all("%" in row for row in rows)
    assert page.run("document.querySelectorAll('#tip .own').length") == 1


def test_history_lives_in_the_browser_and_survives_a_reload(page, address):
    choose(page, "talker")
    set_values(page, tokens="3")
    ask(page, "第一个问题")
    page.until(f"{ANSWERS}.length === 1 && {IDLE}")
    answer = page.run(ANSWERS)
    page.open(address)
    page.until("document.querySelectorAll('#history li').length === 1")
    page.run("document.querySelector('#history button').click(); 1")
    assert page.run(ANSWERS) == answer
    assert "第一个问题" in page.text()
    page.run("document.querySelector('#forget').click(); 1")
    page.open(address)
    page.until("models.length === 2")
    assert page.run("document.querySelectorAll('#history li').length") == 0


def test_language_and_light_are_switched_and_kept(page, address):
    assert page.run("document.documentElement.lang") == "en"
    light = page.run("getComputedStyle(document.body).backgroundColor")
    page.run(
        "document.querySelector('#language').click(); document.querySelector('#theme').click(); 1"
    )
    page.open(address)
    page.until("models.length === 2")
    assert page.run("document.documentElement.lang") == "zh"
    assert "设置" in page.text()
    assert page.run("getComputedStyle(document.body).backgroundColor") != light


def test_the_card_of_a_model_is_shown(page):
    page.run("document.querySelectorAll('.about')[1].click(); 1")
    page.until("document.querySelector('#card').open")
    text = page.run("document.querySelector('#card').innerText")
    assert "talker" in text
    assert "gpt" in text  # its alias
    assert "64" in text
    page.press("Escape")
    page.until("!document.querySelector('#card').open")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_sticks_out(page, width, language, tmp_path):
    page.size(width)
    page.run(f"language = '{language}'; translate(); 1")
    choose(page, "base", "talker")
    set_values(page, tokens="24", seed="1")
    ask(page, "A rather long message about antidisestablishmentarianism. " + "很长的一段话。" * 12)
    page.until(f"{ANSWERS}.length === 2 && {IDLE}")
    page.run("document.querySelector('#settings').open = true; 1")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(CUT) == []
    page.errors.clear()  # a prompt past a context is refused


def test_a_locked_server_asks_for_its_key(tiny_model, browser, tmp_path):
    from model.serve.access.keys import add_key

    secret = add_key(tmp_path / "keys.json", "ann", None, None)
    process, address = start(str(tiny_model), "--keys", str(tmp_path / "keys.json"))
    try:
        browser.open(address)
        browser.until("!document.querySelector('#login').hidden")
        browser.run("document.querySelector('#key').focus(); 1")
        browser.write(secret)
        browser.press("Enter")
        browser.until("models.length === 1 && document.querySelector('#login').hidden")
        assert browser.run("document.querySelector('#ask').hidden") is False
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)
