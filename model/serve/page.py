"""The page at `/`: a prompt continued or a conversation, streamed; nothing is from elsewhere."""

import base64
import hashlib
import json
from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #22303c; --soft: #66747f; --paper: #fbfaf7;
  --card: #fff; --line: #dfe3e6; --blue: #2f6db3; --red: #b3382f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa6b0; --paper: #15191d;
  --card: #1d2328; --line: #333c44; --blue: #7fb2ec; --red: #f08a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.6 system-ui, "Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 2.2rem 1.2rem; }
h1 { font-size: 1.35rem; margin: 0; } h1 small { color: var(--soft); font-weight: 400; }
p { color: var(--soft); margin: .3rem 0 1.2rem; font-size: .93rem; }
textarea, output { display: block; width: 100%; border: 1px solid var(--line); border-radius: 10px;
  background: var(--card); color: inherit; font: inherit; padding: .8rem 1rem; }
textarea { min-height: 6rem; resize: vertical; }
textarea:focus-visible, input:focus-visible, button:focus-visible {
  outline: 2px solid var(--blue); outline-offset: 1px; }
output { min-height: 9rem; white-space: pre-wrap; overflow-wrap: anywhere; }
output b { color: var(--soft); font-weight: 400; } output .error { color: var(--red); }
output .note { color: var(--soft); font-style: italic; }
output p { margin: 0 0 .7rem; color: inherit; font-size: inherit; }
output p.user { margin-left: 18%; padding: .4rem .8rem; border-radius: 10px; color: var(--soft);
  background: var(--paper); border: 1px solid var(--line); }
fieldset { border: 0; padding: 0; margin: 0 0 .8rem; display: flex; gap: 1.2rem; }
fieldset label { font-size: .93rem; cursor: pointer; }
fieldset input { display: inline; width: auto; margin: 0 .4rem 0 0; }
form > div { display: flex; flex-wrap: wrap; gap: .7rem 1rem; align-items: end; margin: .8rem 0; }
label { font-size: .8rem; color: var(--soft); }
input { display: block; width: 6.5rem; font: inherit; padding: .3rem .5rem; color: var(--ink);
  background: var(--card); border: 1px solid var(--line); border-radius: 7px; }
button { font: inherit; padding: .38rem 1.1rem; border-radius: 8px; cursor: pointer;
  border: 1px solid var(--line); background: var(--card); color: inherit; }
button.go { background: #2f6db3; border-color: #2f6db3; color: #fff; margin-left: auto; }
button.try, #new { padding: .1rem .7rem; font-size: .85rem; }
footer { color: var(--soft); font-size: .85rem; margin-top: .8rem; }
code { background: var(--card); border: 1px solid var(--line); border-radius: 5px;
  padding: 0 .3em; }
"""

_SCRIPT = """
const form = document.querySelector("form"), box = document.querySelector("textarea");
const out = document.querySelector("output"), go = document.querySelector(".go");
const foot = document.querySelector("#figures"), clear = document.querySelector("#new");
const model = JSON.parse(document.querySelector("#model").textContent);
const ends = { stop: "the model ended its text", length: "stopped at the number of tokens" };
const words = { text: ["Continue", "Beginning of the text"], chat: ["Send", "Message"] };
let running = null, said = [];
function mode() { return form.elements.mode.value; }
function settle() {
  const [verb, label] = words[mode()];
  go.textContent = running ? "Stop" : verb; box.ariaLabel = box.placeholder = label;
  clear.hidden = mode() !== "chat";
}
function reset() { said = []; out.replaceChildren(); foot.textContent = ""; settle(); }
for (const b of document.querySelectorAll(".try")) b.onclick = () => {
  box.value = b.textContent; form.requestSubmit(); };
for (const b of form.querySelectorAll("[type=radio]")) b.onchange = reset;
clear.onclick = reset;
box.onkeydown = e => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) form.requestSubmit(); };
function add(kind, text) {
  const part = document.createElement(kind === "given" ? "b" : mode() === "chat" ? "p" : "span");
  part.className = kind; part.textContent = text; out.append(part); return part;
}
function number(id) { const v = form.elements[id].value; return v === "" ? null : Number(v); }
function request() {
  const asked = { model, stream: true, max_tokens: number("tokens"),
    temperature: number("temperature"), top_k: number("top_k"), seed: number("seed"),
    stream_options: { include_usage: true } };
  if (mode() === "text") return ["v1/completions", { ...asked, prompt: box.value }];
  return ["v1/chat/completions", { ...asked, messages: said }];
}
async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\\n\\n"); rest = parts.pop();
    for (const line of parts) {
      const data = line.replace(/^data: /, "");
      if (data !== "[DONE]") yield JSON.parse(data);
    }
  }
}
form.onsubmit = async event => {
  event.preventDefault();
  if (running) { running.abort(); return; }
  const chat = mode() === "chat";
  foot.textContent = "";
  if (chat) { said.push({ role: "user", content: box.value }); add("user", box.value); }
  else { out.replaceChildren(); add("given", box.value); }
  const [address, asked] = request(), made = add("made", "");
  let end = "";
  if (chat) box.value = "";
  running = new AbortController(); settle();
  const started = performance.now();
  function fail(text) { made.className = "error"; made.textContent = text; if (chat) said.pop(); }
  try {
    const reply = await fetch(address, { method: "POST", signal: running.signal,
      headers: { "content-type": "application/json" }, body: JSON.stringify(asked) });
    if (!reply.ok) { fail((await reply.json()).error.message); return; }
    for await (const part of events(reply)) {
      if (part.error) { fail(part.error.message); return; }
      for (const one of part.choices) {
        made.append(chat ? one.delta.content ?? "" : one.text);
        end = ends[one.finish_reason] ?? end;
      }
      if (part.usage) {
        const n = part.usage.completion_tokens, s = (performance.now() - started) / 1000;
        foot.textContent = `${n} tokens in ${s.toFixed(1)} s, ${(n / s).toFixed(0)} per second; `
          + end;
      }
    }
    if (chat) said.push({ role: "assistant", content: made.textContent });
    if (!made.textContent.trim()) {
      made.className = "note"; made.textContent = `(nothing to see: ${end})`;
    }
  } catch (error) {
    if (error.name !== "AbortError") fail("No answer: " + error.message);
    else if (chat) said.push({ role: "assistant", content: made.textContent });
  } finally { running = null; settle(); }
};
settle();
"""

_BODY = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><style>{style}</style></head>
<body><main>
<h1>{name} <small>{does}</small></h1>
<p>{advice}</p>
<form>
{modes}
<textarea required maxlength="20000">{begin}</textarea>
<div>{tries}
<button type="button" id="new" hidden>New conversation</button>
</div>
<div>
<label>Tokens<input id="tokens" type="number" min="1" max="{tokens_max}" value="{tokens}"></label>
<label>Temperature<input id="temperature" type="number" min="0" max="2" step="0.1" value="0.8">
</label>
<label>Top k<input id="top_k" type="number" min="1" placeholder="off" value="50"></label>
<label>Seed<input id="seed" type="number" placeholder="random"></label>
<button class="go">Continue</button>
</div>
</form>
<output aria-live="polite"></output>
<footer><span id="figures"></span></footer>
<footer>API: <code>POST /v1/completions</code>, <code>POST /v1/chat/completions</code>,
<code>GET /v1/models</code>, <code>GET /health</code></footer>
</main>
<script type="application/json" id="model">{model}</script><script>{script}</script>
</body></html>
"""


# A model that was not taught conversations is offered none: it would make up both sides.
MODES = {
    False: '<input type="hidden" name="mode" value="text">',
    True: """<fieldset>
<label><input type="radio" name="mode" value="text">Continue a text</label>
<label><input type="radio" name="mode" value="chat" checked>Talk</label>
</fieldset>""",
}
TRIES = {False: ("人工智能", "The model"), True: ("你好", "Hello")}


def render(name: str, max_new_tokens: int, *, chats: bool) -> str:
    """Return the page for the model called `name`; `chats` says whether it was taught to."""
    tries = [f'<button type="button" class="try">{example}</button>' for example in TRIES[chats]]
    advice = (
        "A base model: give it a beginning in Chinese or English rather than a question. It was "
        "taught no conversations; textmill finetune teaches some."
    )
    return _BODY.format(
        name=escape(name),
        does="answers" if chats else "continues text",
        advice="It was taught conversations." if chats else advice,
        modes=MODES[chats],
        begin=TRIES[chats][0],
        tries="\n".join(tries),
        model=json.dumps(name).replace("<", "\\u003c"),
        style=_STYLE,
        script=_SCRIPT,
        tokens=min(120, max_new_tokens),
        tokens_max=max_new_tokens,
    )


def policy() -> str:
    """Return the Content-Security-Policy: this page's own script and style, nothing else."""
    return (
        f"default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
        f"form-action 'none'; frame-ancestors 'none'; "
        f"style-src '{_hash(_STYLE)}'; script-src '{_hash(_SCRIPT)}'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
