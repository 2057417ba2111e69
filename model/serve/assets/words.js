const WORDS = {
  en: {
    other: "中文", history: "History", models: "Models", theme: "Light or dark", close: "Close",
    fresh: "New", forget: "Forget all", kept: "Kept in this browser only.",
    key: "Key of this server", enter: "Enter", kind: "Mode", continues: "Continue a text",
    talks: "Talk", settings: "Settings", tokens: "Tokens", temperature: "Temperature",
    top_k: "Top k", top_p: "Top p", seed: "Seed",
    probabilities: "Token probabilities (an answer then comes whole)",
    retry: "Retry", send: "Send", go: "Continue", stop: "Stop", copy: "Copy", copied: "Copied",
    remove: "Remove", message: "Message", beginning: "Beginning of the text", about: "About",
    keyboard: "Ctrl+Enter sends, in a talk Enter too · Esc stops · Alt+R tries again · Alt+N new · "
      + "← → walk the tokens of an answer",
    base: "A base model: give it a beginning in Chinese or English rather than a question. It was "
      + "taught no conversations; textmill finetune teaches some.",
    mute: "writes no text; ask it for embeddings",
    choose: "Choose a model above.", nothing: "(nothing to see: {end})",
    ends: { stop: "the model ended its text", length: "stopped at the number of tokens",
      cut: "you stopped it" },
    figures: "{n} tokens in {s} s, {rate} per second; {end}",
    none: "No answer: {why}", gone: "the server does not answer",
    denied: "This server wants a key.", untitled: "(empty)", example: "The model",
    facts: { version: "Version", address: "From", engine: "Engine", family: "Family",
      max_model_len: "Context, tokens", aliases: "Also called" },
    nocard: "This model came without a card.",
  },
  zh: {
    other: "English", history: "历史", models: "模型", theme: "浅色或深色", close: "关闭",
    fresh: "新建", forget: "全部清除", kept: "只保存在本浏览器中。",
    key: "本服务器的密钥", enter: "进入", kind: "方式", continues: "续写", talks: "对话",
    settings: "设置", tokens: "词元数", temperature: "温度", top_k: "Top k", top_p: "Top p",
    seed: "随机种子", probabilities: "词元概率（回答将一次给出）", retry: "重试", send: "发送", go: "续写",
    stop: "停止", copy: "复制", copied: "已复制", remove: "删除", message: "消息",
    beginning: "文章的开头", about: "关于",
    keyboard: "Ctrl+Enter 发送，对话中 Enter 也可 · Esc 停止 · Alt+R 重试 · Alt+N 新建 · "
      + "← → 逐个查看回答的词元",
    base: "这是基础模型：请给它一段中文或英文的开头，而不是问题。它没有学过对话；"
      + "textmill finetune 可以教它。",
    mute: "不写文字，只给出向量", choose: "请在上面选择模型。", nothing: "（没有可见的文字：{end}）",
    ends: { stop: "模型写完了", length: "到了词元数上限", cut: "已停止" },
    figures: "{n} 个词元，{s} 秒，每秒 {rate} 个；{end}",
    none: "没有回答：{why}", gone: "服务器没有响应", denied: "这台服务器需要密钥。",
    untitled: "（空）", example: "人工智能",
    facts: { version: "版本", address: "来源", engine: "引擎", family: "类型",
      max_model_len: "上下文（词元）", aliases: "别名" },
    nocard: "这个模型没有说明卡。",
  },
};
const read = (key, otherwise) => {
  try { return JSON.parse(localStorage.getItem(key)) ?? otherwise; } catch { return otherwise; }
};
const keep = (key, value) => {
  try { localStorage.setItem(key, JSON.stringify(value)); return true; } catch { return false; }
};
let language = read("textmill.language", navigator.language.startsWith("zh") ? "zh" : "en");
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const word = (name, values = {}) => fill(WORDS[language][name], values);
const fact = name => WORDS[language].facts[name];
const $ = selector => document.querySelector(selector);
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
