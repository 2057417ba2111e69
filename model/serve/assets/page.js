let models = [], talks = read("textmill.history", []), talk = null, running = null;
let theme = read("textmill.theme", null);
const chosen = new Set(read("textmill.models", []));
const views = new Map();  // "turn/model" -> the answer's elements
const shown = () => models.filter(m => chosen.has(m.id));
const canTalk = () => shown().some(m => m.chats);  // one that was not taught makes up both sides
const mode = () => canTalk() ? $("#ask").elements.mode.value : "text";
const number = id => { const v = $("#" + id).value; return v === "" ? undefined : Number(v); };

function paint() {
  const dark = theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = dark;
}
function translate() {
  document.documentElement.lang = language;
  for (const one of document.querySelectorAll("[data-word]"))
    one.textContent = word(one.dataset.word);
  for (const one of document.querySelectorAll("[data-label]")) {
    one.ariaLabel = word(one.dataset.label);
    if (one.tagName === "BUTTON") one.title = one.ariaLabel;
  }
  $("#language").textContent = word("other");
  settle(); listModels(); listTalks(); draw();
}
function settle() {
  const chat = mode() === "chat", box = $("#prompt");
  $("#go").textContent = word(running ? "stop" : chat ? "send" : "go");
  box.ariaLabel = box.placeholder = word(chat ? "message" : "beginning");
  $("#retry").hidden = !talk?.turns.length || running !== null;
  const base = shown().some(m => !m.chats);
  $("#advice").textContent = base && models.length ? word("base") : "";
  $("#modes").hidden = !canTalk();
}
function listModels() {
  $("#models").replaceChildren(...models.map(model => {
    const box = element("input", { type: "checkbox", checked: chosen.has(model.id) });
    box.onchange = () => {
      chosen[box.checked ? "add" : "delete"](model.id);
      keep("textmill.models", [...chosen]); settle(); draw();
    };
    const about = element("button", { type: "button", className: "plain about", textContent: "ⓘ",
      title: `${word("about")}: ${model.id}`, onclick: () => tell(model.id) });
    about.ariaLabel = about.title;
    return element("span", { className: "chip" },
      element("label", {}, box, model.id), about);
  }));
}
async function tell(id) {
  const model = await (await call("v1/models/" + encodeURIComponent(id))).json();
  const facts = Object.entries(WORDS[language].facts).flatMap(([name, label]) => {
    const value = [model[name]].flat().filter(Boolean).join(", ");
    return value ? [element("dt", { textContent: label }), element("dd", { textContent: value })]
      : [];
  });
  $("#card h2").textContent = id;
  $("#card dl").replaceChildren(...facts);
  $("#card pre").textContent = model.card || word("nocard");
  $("#card").showModal();
}
function listTalks() {
  $("#history").replaceChildren(...talks.map(one => {
    const title = one.turns[0]?.prompt.slice(0, 60) || word("untitled");
    const open = element("button", { type: "button", onclick: () => show(one), title },
      element("span", { textContent: title }));
    const remove = element("button", { type: "button", className: "plain", textContent: "✕",
      title: word("remove"), onclick: () => drop(one) });
    remove.ariaLabel = remove.title;
    const item = element("li", {}, open, remove);
    if (one === talk) item.ariaCurrent = "true";
    return item;
  }));
}
function save() {
  if (!talks.includes(talk)) talks.unshift(talk);
  talks.length = Math.min(talks.length, HISTORY_MAX);
  store();
  listTalks();
}
/* A browser keeps a few megabytes: probabilities of the oldest talks go first, then the talks. */
function store() {
  for (const one of [...talks].reverse()) {
    if (keep("textmill.history", talks)) return;
    for (const turn of one.turns)
      for (const answer of Object.values(turn.answers)) answer.tokens = [];
  }
  while (!keep("textmill.history", talks) && talks.length > 1) talks.pop();
}
function drop(one) {
  talks = talks.filter(other => other !== one);
  keep("textmill.history", talks);
  if (one === talk) show(null); else listTalks();
}
function show(one) {
  running?.abort();
  talk = one;
  if (one) $("#ask").elements.mode.value = one.mode;
  $("#side").classList.remove("open");
  settle(); listTalks(); draw();
}
function draw() {
  views.clear();
  $("#columns").className = talk?.mode ?? mode();
  $("#columns").replaceChildren(...shown().map(model => element("article", {},
    element("h2", {}, model.id + " ", element("small", {
      textContent: model.version && `${fact("version")} ${model.version}` })),
    ...(talk?.turns ?? []).map((turn, at) => drawTurn(turn, at, model.id)))));
}
function drawTurn(turn, at, id) {
  const answer = turn.answers[id];
  const out = element("div", { className: "answer", tabIndex: 0 });
  const figures = element("p", { className: "figures" });
  out.ariaLive = "polite";
  out.onkeydown = event => walk(event, out);
  views.set(`${at}/${id}`, { out, figures });
  if (answer) finish(answer, out, figures); else { out.hidden = true; figures.hidden = true; }
  return element("div", { className: "turn" },
    element("div", { className: "asked", textContent: turn.prompt }), out, figures);
}
function finish(answer, out, figures) {
  out.hidden = figures.hidden = false;
  out.classList.remove("writing");
  const tokens = joined(answer);
  out.replaceChildren(...(tokens ? tokens.map(tokenOf) : [answer.text]));
  const end = WORDS[language].ends[answer.end] ?? "";
  if (answer.error) {
    out.append(element("span", { className: "error", textContent: answer.error }));
  } else if (!answer.text.trim()) {
    out.append(element("span", { className: "note", textContent: word("nothing", { end }) }));
  }
  const said = answer.seconds === undefined ? end : word("figures", { n: answer.count,
    s: answer.seconds.toFixed(1), rate: (answer.count / answer.seconds).toFixed(0), end });
  const copy = element("button", { type: "button", className: "plain copy",
    textContent: word("copy") });
  copy.onclick = async () => {
    await navigator.clipboard.writeText(answer.text);
    copy.textContent = word("copied");
  };
  const version = answer.version ? ` · ${fact("version")} ${answer.version}` : "";
  figures.replaceChildren(element("span", { textContent: said + version }), ...(answer.text && navigator.clipboard ? [copy] : []));
}
/* The tokens, where together they are the text: what a stop text cut off is in neither. */
function joined(answer) {
  let left = answer.text;
  const kept = [];
  for (const token of answer.tokens ?? []) {
    if (!left) break;
    const text = token.text.length > left.length ? left : token.text;
    if (!left.startsWith(text)) return null;
    kept.push({ ...token, text }); left = left.slice(text.length);
  }
  return kept.length && !left ? kept : null;
}
function tokenOf(token) {
  const made = element("span", { className: "token", textContent: token.text });
  made.style.setProperty("--p", token.p.toFixed(4));
  made.token = token;
  return made;
}
const percent = p => (p * 100).toFixed(p < 0.1 ? 2 : 1) + " %";
function tip(target) {
  const box = $("#tip"), token = target?.token;
  box.hidden = !token;
  if (!token) return;
  const others = token.top.filter(([text]) => text !== token.text);
  const rows = [...others, [token.text, token.p]].sort((a, b) => b[1] - a[1]);
  box.replaceChildren(element("table", {}, ...rows.map(([text, p]) =>
    element("tr", { className: text === token.text ? "own" : "" },
      element("td", { textContent: text.replaceAll(" ", "␣").replaceAll("\n", "⏎") }),
      element("td", { textContent: percent(p) })))));
  const at = target.getBoundingClientRect(), size = box.getBoundingClientRect();
  box.style.left = Math.max(4, Math.min(at.left, innerWidth - size.width - 8)) + "px";
  box.style.top = (at.bottom + size.height + 8 < innerHeight ? at.bottom + 6
    : Math.max(4, at.top - size.height - 6)) + "px";
}
function walk(event, out) {
  if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  const tokens = [...out.querySelectorAll(".token")];
  if (!tokens.length) return;
  const now = tokens.findIndex(t => t.classList.contains("at"));
  const next = Math.max(0, Math.min(tokens.length - 1, now + (event.key === "ArrowLeft" ? -1 : 1)));
  tokens[now]?.classList.remove("at");
  tokens[next].classList.add("at");
  tokens[next].scrollIntoView({ block: "nearest" });
  tip(tokens[next]);
  event.preventDefault();
}
function asked(turn, at, model) {
  const wanted = $("#probabilities").checked && model.logprobs;
  const body = { model: model.id, stream: true, max_tokens: number("tokens"),
    temperature: number("temperature"), top_k: number("top_k"), top_p: number("top_p"),
    seed: number("seed"), stream_options: { include_usage: true } };
  if (talk.mode === "text") return ["v1/completions",
    { ...body, prompt: turn.prompt, ...(wanted ? { logprobs: 5 } : {}) }];
  const messages = talk.turns.slice(0, at).flatMap(one => {
    const answer = one.answers[model.id];
    return answer && !answer.error ? [{ role: "user", content: one.prompt },
      { role: "assistant", content: answer.text }] : [];
  });
  messages.push({ role: "user", content: turn.prompt });
  return ["v1/chat/completions",
    { ...body, messages, ...(wanted ? { logprobs: true, top_logprobs: 5 } : {}) }];
}
async function run(turn, at, model, signal) {
  const answer = turn.answers[model.id] = { text: "", tokens: [], end: "" };
  const view = () => views.get(`${at}/${model.id}`);
  const scroller = $("#columns");
  const start = view();
  if (start) {
    start.out.hidden = false; start.out.classList.add("writing"); start.out.replaceChildren();
    start.figures.replaceChildren();
  }
  try {
    const [address, body] = asked(turn, at, model);
    await answerOf(address, body, answer, signal, text => {
      const low = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
      view()?.out.append(text);
      if (low) scroller.scrollTop = scroller.scrollHeight;
    });
  } catch (error) {
    if (error.name === "AbortError") answer.end = "cut";
    else if (error instanceof Refusal) answer.error = error.message;
    else answer.error = word("none", { why: word("gone") });
    if (error.status === 401) lock();
  }
  const now = view();
  if (now) finish(answer, now.out, now.figures);
}
async function ask(turn) {
  const at = talk.turns.indexOf(turn), mine = talk;
  running = new AbortController();
  const { signal } = running;
  settle();
  save();
  $("#columns").scrollTop = $("#columns").scrollHeight;
  await Promise.all(shown().map(model => run(turn, at, model, signal)));
  if (running?.signal === signal) running = null;
  if (talks.includes(mine)) store();
  settle();
}
function send() {
  const prompt = $("#prompt").value;
  $("#notice").textContent = shown().length ? "" : word("choose");
  if (!shown().length || !prompt) return;
  if (!talk || talk.mode !== mode() || talk.mode === "text") talk = { mode: mode(), turns: [] };
  const turn = { prompt, answers: {} };
  talk.turns.push(turn);
  if (talk.mode === "chat") $("#prompt").value = "";
  draw();
  ask(turn);
}
function retry() {
  const turn = talk?.turns.at(-1);
  if (turn && !running && shown().length) ask(turn);
}
function lock() { $("#login").hidden = false; $("#ask").hidden = true; $("#key").focus(); }
async function begin() {
  paint();
  try {
    models = (await (await call("v1/models")).json()).data.filter(m => m.generates);
  } catch (error) {
    if (error.status === 401) lock();
    $("#notice").textContent = error.status === 401 ? word("denied")
      : word("none", { why: word("gone") });
    return translate();
  }
  $("#login").hidden = true; $("#ask").hidden = false; $("#notice").textContent = "";
  document.title = `${models.map(m => m.id).join(", ")} · textmill`;
  for (const id of [...chosen]) if (!models.some(m => m.id === id)) chosen.delete(id);
  if (!chosen.size && models.length) chosen.add(models[0].id);
  $("#ask").elements.mode.value = "chat";
  if (!$("#prompt").value && !talk && mode() === "text") $("#prompt").value = word("example");
  const tokens = $("#tokens");
  tokens.max = Math.max(...models.map(m => m.max_tokens), 1);
  if (Number(tokens.value) > tokens.max) tokens.value = tokens.max;
  translate();
  $("#prompt").focus();
}
$("#login").onsubmit = event => {
  event.preventDefault();
  secret = $("#key").value.trim();
  sessionStorage.setItem("textmill.key", secret);
  begin();
};
$("#ask").onsubmit = event => { event.preventDefault(); if (running) running.abort(); else send(); };
$("#retry").onclick = retry;
$("#new").onclick = () => { show(null); $("#prompt").focus(); };
$("#forget").onclick = () => { talks = []; keep("textmill.history", talks); show(null); };
$("#open").onclick = () => {
  $("#open").ariaExpanded = String($("#side").classList.toggle("open"));
};
$("#theme").onclick = () => {
  theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  keep("textmill.theme", theme); paint();
};
$("#language").onclick = () => {
  language = language === "en" ? "zh" : "en";
  keep("textmill.language", language); translate();
};
for (const one of $("#ask").elements.mode) one.onchange = () => { settle(); draw(); };
document.addEventListener("keydown", event => {
  if (event.isComposing) return;
  const box = event.target === $("#prompt");
  const plain = !event.shiftKey && !event.altKey && mode() === "chat";
  if (event.key === "Enter" && box && (event.ctrlKey || event.metaKey || plain)) {
    event.preventDefault(); if (!running) send();
  } else if (event.key === "Escape" && running) running.abort();
  else if (event.altKey && event.code === "KeyR") { event.preventDefault(); retry(); }
  else if (event.altKey && event.code === "KeyN") { event.preventDefault(); $("#new").click(); }
});
document.addEventListener("pointerover", event => tip(event.target.closest?.(".token")));
document.addEventListener("focusout", () => tip(null));
$("#columns").addEventListener("scroll", () =>
  tip($(".answer:focus .token.at")));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
begin();
