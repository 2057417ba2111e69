"""The look of the page of verdicts; light and dark, wide and narrow, no font from outside."""

STYLE = """
:root { color-scheme: light dark; --back: #fbfbfa; --text: #1d2226; --soft: #66707a;
  --line: #dfe3e6; --card: #ffffff; --good: #1a7f4b; --warn: #9a6700; --bad: #c0262d;
  --bar: #cfd8e3; --kept: #3b73b9; }
@media (prefers-color-scheme: dark) { :root { --back: #14171a; --text: #e6e9ec; --soft: #98a2ac;
  --line: #2c3238; --card: #1b2025; --good: #4cc38a; --warn: #e3b341; --bad: #ff7b72;
  --bar: #2f3943; --kept: #5b96dd; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans CJK SC", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .4rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
code { font: .9em ui-monospace, Menlo, Consolas, monospace; overflow-wrap: break-word; }
h1, h2, p, li, dt, dd, summary, .chip, .stage { overflow-wrap: break-word; min-width: 0; }
.headline { font-size: 1.1rem; margin: 0 0 1rem; padding: .6rem .9rem; border-radius: .5rem;
  background: var(--card); border: 1px solid var(--line); border-left: .35rem solid var(--good); }
.headline.warned { border-left-color: var(--warn); }
.headline.failed { border-left-color: var(--bad); }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .6rem;
  margin: 0; }
.figures div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .5rem .8rem; }
dt { color: var(--soft); font-size: .85rem; }
dd { margin: 0; font-variant-numeric: tabular-nums; font-weight: 600; }
.stage { display: flex; gap: .6rem; align-items: baseline; flex-wrap: wrap; margin-top: .9rem; }
.numbers { color: var(--soft); margin-left: auto; font-variant-numeric: tabular-nums; }
.bar { position: relative; height: .8rem; margin: .25rem 0; }
.bar i { position: absolute; inset: 0 auto 0 0; border-radius: .25rem; min-width: 2px; }
.bar .in { background: var(--bar); }
.bar .kept { background: var(--kept); }
.chips { display: flex; flex-wrap: wrap; gap: .35rem; }
.chip, .badge { font-size: .8rem; border: 1px solid var(--line); border-radius: 1rem;
  padding: 0 .6rem; color: var(--soft); background: var(--card); }
.chip.quarantined { border-style: dashed; }
.badge.passed { color: var(--good); border-color: currentColor; }
.badge.warned { color: var(--warn); border-color: currentColor; }
.badge.failed { color: var(--bad); border-color: currentColor; }
section h2 .badge { font-weight: 400; vertical-align: middle; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; background: var(--card);
  border: 1px solid var(--line); border-radius: .5rem; margin: .3rem 0; }
th { text-align: left; font-weight: 500; color: var(--soft); font-size: .85rem; }
th, td { padding: .45rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td:first-child { min-width: 11rem; }
td small { display: block; color: var(--soft); }
.long { display: block; min-width: 11rem; overflow-wrap: anywhere; }
.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
tr.failed .number:nth-child(2) { color: var(--bad); font-weight: 700; }
tr.warned .number:nth-child(2) { color: var(--warn); font-weight: 700; }
.next { margin: .2rem 0 0; font-weight: 600; }
summary { cursor: pointer; color: var(--soft); }
svg, img { max-width: 100%; height: auto; background: #fff; border-radius: .5rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(17rem, 100%), 1fr));
  gap: .6rem; }
.plots svg { width: 100%; }
@media (max-width: 45rem) {
  main { padding: 1.2rem .9rem 3rem; }
  .numbers { margin-left: 0; white-space: normal; }
  table, tbody, tr, td { display: block; }
  tr.head { display: none; }
  tr { border-bottom: 1px solid var(--line); padding: .4rem 0; }
  td { border: 0; padding: .15rem .7rem; overflow-wrap: anywhere; }
  td[data-label] { display: grid; grid-template-columns: 7.5rem minmax(0, 1fr); gap: .8rem; }
  td[data-label]::before { content: attr(data-label); color: var(--soft); font-size: .85rem;
    overflow-wrap: break-word; }
  td.number { white-space: normal; }
  td:first-child, .long { min-width: 0; }
}
"""
