const HISTORY_MAX = 50;
let secret = sessionStorage.getItem("textmill.key") ?? "";
class Refusal extends Error {
  constructor(status, message) { super(message); this.status = status; }
}
async function call(path, body, signal) {
  const headers = body ? { "content-type": "application/json" } : {};
  if (secret) headers.authorization = "Bearer " + secret;
  const reply = await fetch(path, {
    method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body) });
  if (reply.ok) return reply;
  const said = await reply.json().catch(() => ({}));
  throw new Refusal(reply.status, said.error?.message ?? `HTTP ${reply.status}`);
}
async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n"); rest = parts.pop();
    for (const line of parts) {
      const data = line.replace(/^data: /, "");
      if (data !== "[DONE]") yield JSON.parse(data);
    }
  }
}
/* Tokens of either API, as [{ text, p, top: [[text, p]] }]; the bytes of a character are one. */
class Tokens {
  constructor() { this.list = []; this.bytes = []; this.p = 1; this.top = []; }
  add(choice) {
    const chat = choice.logprobs?.content, rows = choice.logprobs;
    for (const one of chat ?? [])
      this.push(one.token, one.logprob, one.top_logprobs.map(t => [t.token, Math.exp(t.logprob)]));
    if (!chat && rows?.tokens) rows.tokens.forEach((name, i) => {
      const top = Object.entries(rows.top_logprobs?.[i] ?? {}).map(([t, v]) => [t, Math.exp(v)]);
      this.push(name, rows.token_logprobs[i] ?? 0, top.sort((a, b) => b[1] - a[1]));
    });
  }
  push(name, logprob, top) {
    const byte = /^bytes:\\x([0-9a-f]{2})$/.exec(name);
    if (!byte) {
      this.flush();
      this.list.push({ text: name, p: Math.exp(logprob), top });
      return;
    }
    if (!this.bytes.length) this.top = top;
    this.bytes.push(parseInt(byte[1], 16));
    this.p *= Math.exp(logprob);
    if (this.bytes.length === 4 || strict(this.bytes) !== null) this.flush();
  }
  flush() {
    if (this.bytes.length) this.list.push({ text: lenient(this.bytes), p: this.p, top: this.top });
    this.bytes = []; this.p = 1;
  }
}
function strict(bytes) {
  try { return new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(bytes)); }
  catch { return null; }
}
/* Every byte that begins no whole character is one mark, as the server writes it. */
function lenient(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const size = [1, 2, 3, 4].find(n => at + n <= bytes.length
      && strict(bytes.slice(at, at + n)) !== null);
    text += size ? strict(bytes.slice(at, at + size)) : "\ufffd";
    at += size ?? 1;
  }
  return text;
}
/* Stream one answer: `show(text)` gets each piece; `answer` holds everything at the end. */
async function answerOf(address, body, answer, signal, show) {
  const began = performance.now(), tokens = new Tokens(), chat = "messages" in body;
  answer.tokens = tokens.list;
  const reply = await call(address, body, signal);
  answer.version = reply.headers.get("x-model-version") ?? "";
  for await (const part of events(reply)) {
    if (part.error) throw new Refusal(0, part.error.message);
    for (const choice of part.choices) {
      const text = (chat ? choice.delta.content : choice.text) ?? "";
      answer.text += text; tokens.add(choice);
      answer.end = choice.finish_reason ?? answer.end;
      if (text) show(text);
    }
    if (part.usage) {
      answer.count = part.usage.completion_tokens;
      answer.seconds = (performance.now() - began) / 1000;
    }
  }
  tokens.flush();
}
