"""The page of a served model, in a real browser."""

from contextlib import contextmanager

from tests.browser import open_browser
from tests.model.serve.test_app import START_SECONDS, start

EMPTY = """
window.fetch = async () => new Response(
  'data: ' + JSON.stringify({choices: [%s]}) + '\\n\\n' +
  'data: ' + JSON.stringify({choices: [], usage: {completion_tokens: 0}}) + '\\n\\n' +
  'data: [DONE]\\n\\n'); true
"""
SENDS = "document.querySelector('textarea').value = 'Hello'; document.forms[0].requestSubmit(); 1"


@contextmanager
def served(model):
    process, address = start(str(model), "--name", "tiny")
    try:
        yield address
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


def test_a_base_model_continues_and_offers_no_talk(tiny_model, tmp_path):
    with served(tiny_model) as address, open_browser(tmp_path) as page:
        page.open(address)
        assert page.run("document.querySelectorAll('[type=radio]').length") == 0
        assert "taught no conversations" in page.text()
        page.run("document.querySelector('#tokens').value = 5; 1")
        page.run(SENDS)
        page.until("document.querySelector('#figures').textContent.includes('5 tokens in')")
        assert "stopped at the number of tokens" in page.text()
        page.run(EMPTY % "{text: '', finish_reason: 'stop'}")
        page.run(SENDS)
        page.until("document.querySelector('output').innerText.includes('nothing to see')")
        assert "the model ended its text" in page.text()


def test_an_empty_answer_in_a_talk_says_why_and_the_talk_goes_on(chat_model, tmp_path):
    with served(chat_model) as address, open_browser(tmp_path) as page:
        page.open(address)
        assert page.run("document.querySelectorAll('[type=radio]').length") == 2
        page.run("window.real = window.fetch; 1")
        page.run(EMPTY % "{delta: {content: ''}, finish_reason: 'stop'}")
        page.run(SENDS)
        page.until("document.querySelector('output').innerText.includes('nothing to see')")
        page.run("window.fetch = window.real; document.querySelector('#tokens').value = 3; 1")
        page.run(SENDS)
        page.until("document.querySelector('#figures').textContent.includes('3 tokens in')")
        assert page.run("document.querySelectorAll('output .error').length") == 0
