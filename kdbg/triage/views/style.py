"""How a report's page looks: one style sheet, light and dark, for screens from 400 pixels up."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark;
  --ground: #f5f6f8; --card: #fff; --ink: #1b2130; --quiet: #5d6778; --line: #dde1e8; --code: #eef0f5;
  --error: #c2293a; --warning: #a35c00; --note: #2462c4; --good: #17784a; --accent: #5b3fc4;
  --held: #6aa5e8; --left: #c9ced8; --lost: #d8515f; --tables: #5b3fc4; --none: #e8ebf0;
  --s0: #f6b26b; --s1: #f4c27a; --s2: #f2a074; --s3: #eecb6d; --s4: #f0b08f; --s5: #e9b45c; --s6: #f3d28d;
  --all: #d3d8e2; --flame-ink: #33220f; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #101319; --card: #181c25; --ink: #e4e8f0; --quiet: #98a3b6; --line: #2b3140; --code: #222836;
  --error: #ff7a85; --warning: #f0ac4e; --note: #7fb0ff; --good: #5fd39a; --accent: #b5a2ff;
  --held: #3f73b3; --left: #454d5e; --lost: #b93f4c; --tables: #b5a2ff; --none: #232936;
  --s0: #b9762f; --s1: #ae7c36; --s2: #b0623a; --s3: #a8843a; --s4: #a9674a; --s5: #a0742c; --s6: #b48a4c;
  --all: #3a4254; --flame-ink: #fff5e6; } }
* { box-sizing: border-box; }
html { overflow-wrap: anywhere; background: var(--ground); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
body { margin: 0 auto; max-width: 1200px; padding: 20px 24px 48px; }
code, pre, .mono, .flames text, .locks text { font-family: ui-monospace, "SF Mono", "Cascadia Mono", Menlo,
  "DejaVu Sans Mono", monospace; }
code, td, dd, li, pre, p, summary, span { unicode-bidi: isolate; }
code { font-size: .87em; }
p { margin: .3em 0; }
a { color: var(--note); text-decoration: none; }
a:hover { text-decoration: underline; }
h1 { margin: 0; font-size: 1rem; font-weight: 600; }
h2 { margin: 0 0 12px; font-size: 1.02rem; font-weight: 650; letter-spacing: .01em; }
h2 small, h3 small { color: var(--quiet); font-weight: 400; font-size: .85rem; margin-left: 6px; }
h3 { margin: 16px 0 6px; font-size: .78rem; font-weight: 600; letter-spacing: .06em; text-transform: uppercase;
  color: var(--quiet); }
header.top { display: flex; flex-wrap: wrap; gap: 4px 20px; align-items: baseline; margin-bottom: 14px; }
nav { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: .87rem; margin-left: auto; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 20px;
  margin-bottom: 16px; min-width: 0; }
.two { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 0 16px; align-items: start; }
.verdict { border-left: 6px solid var(--tone); }
.verdict .kind { display: inline-block; font-size: .75rem; font-weight: 700; letter-spacing: .08em;
  text-transform: uppercase; color: var(--card); background: var(--tone); border-radius: 4px; padding: 1px 8px; }
.verdict .sure { color: var(--quiet); font-size: .87rem; margin-left: 8px; }
.sentence { font-size: 1.28rem; line-height: 1.38; font-weight: 550; margin: 8px 0 10px; }
.bad { --tone: var(--error); } .good { --tone: var(--good); } .odd { --tone: var(--quiet); }
.known { border: 1px solid var(--note); border-radius: 8px; padding: 8px 12px; margin: 10px 0; }
.signature { color: var(--quiet); font-size: .9rem; }
ul, ol { margin: 0; padding: 0; list-style: none; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 3px 14px; margin: 0; font-size: .93rem; }
dt { color: var(--quiet); } dd { margin: 0; }
.finding { border-left: 3px solid var(--tone); padding: 1px 0 1px 12px; margin: 0 0 14px; }
.finding:last-child { margin-bottom: 0; }
.finding + details { margin: -6px 0 16px; } details > .finding:first-of-type { margin-top: 10px; }
.error { --tone: var(--error); } .warning { --tone: var(--warning); } .note { --tone: var(--note); }
.finding b { color: var(--tone); font-weight: 650; } .finding .level { color: var(--quiet); font-size: .8rem; }
.command { display: block; width: fit-content; max-width: 100%; background: var(--code); border-radius: 5px;
  padding: 2px 9px; margin: 4px 0; white-space: pre-wrap; }
.command::before { content: "> "; color: var(--quiet); }
.evidence { color: var(--quiet); font-size: .88rem; } .evidence li::before { content: "\\00b7  "; }
details { margin-top: 4px; } summary { cursor: pointer; color: var(--quiet); font-size: .88rem; }
.stack { font-size: .9rem; counter-reset: frame -1; }
.stack li { counter-increment: frame; padding: 1px 0 1px 30px; position: relative; }
.stack li::before { content: counter(frame); position: absolute; left: 0; width: 20px; text-align: right;
  color: var(--quiet); font-size: .78rem; top: 3px; }
.stack .path { opacity: .55; } .stack .here { font-weight: 700; color: var(--error); }
.good-here .here { color: inherit; }
.quiet, .stack small { color: var(--quiet); }
pre { margin: 0; font-size: .84rem; line-height: 1.55; white-space: pre-wrap; }
.scroll { overflow-x: auto; }
.asm { width: 100%; } .asm td { padding: 0 14px 0 6px; white-space: pre; } .asm td:first-child { color: var(--quiet); }
.asm .current { background: color-mix(in srgb, var(--error) 18%, transparent); font-weight: 650; }
.registers { display: grid; grid-template-columns: repeat(auto-fill, minmax(158px, 1fr)); gap: 1px 12px;
  font-size: .8rem; }
.registers li { display: flex; gap: 8px; } .registers span { color: var(--quiet); min-width: 3.4em; }
.cpus { display: grid; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); gap: 12px; }
.cpu { border: 1px solid var(--line); border-radius: 8px; padding: 9px 12px; min-width: 0; }
.cpus + details { margin-top: 10px; } details .cpus { margin-top: 8px; }
.cpu b { margin-right: 8px; } .cpu .doing { background: var(--code); border-radius: 4px; padding: 0 6px; }
.cpu.failed { border-color: var(--error); } .cpu.idle { color: var(--quiet); }
.cpu .stack { margin-top: 4px; font-size: .84rem; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
th { text-align: left; font-weight: 600; color: var(--quiet); font-size: .8rem; }
th, td { padding: 4px 12px 4px 0; vertical-align: top; } tr + tr td { border-top: 1px solid var(--line); }
.asm tr td { border: 0; } .number { text-align: right; font-variant-numeric: tabular-nums; }
svg { display: block; } svg svg { overflow: hidden; } .flames { overflow: hidden; }
.flames text { font-size: 11px; fill: var(--flame-ink); } .flames rect { stroke: none; }
.flames .all { fill: var(--all); } .flames rect.bright { stroke: var(--error); stroke-width: 2; }
.flames .s0 { fill: var(--s0); } .flames .s1 { fill: var(--s1); } .flames .s2 { fill: var(--s2); }
.flames .s3 { fill: var(--s3); } .flames .s4 { fill: var(--s4); } .flames .s5 { fill: var(--s5); }
.flames .s6 { fill: var(--s6); } .flames rect.all + text { fill: var(--ink); } .flames .thin { display: none; }
.flames svg:hover rect { filter: brightness(1.12); }
.memory .row { display: grid; grid-template-columns: 92px minmax(0, 1fr); gap: 8px; align-items: center;
  margin-bottom: 3px; }
.memory .row code { color: var(--quiet); text-align: right; font-size: .76rem; }
.memory .gap { margin: 4px 0 6px 100px; color: var(--quiet); font-size: .82rem; }
.held { fill: var(--held); } .left { fill: var(--left); } .lost { fill: var(--lost); } .none { fill: var(--none); }
.tables { fill: var(--tables); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: .86rem; color: var(--quiet); margin-top: 10px; }
.legend svg { display: inline-block; vertical-align: -1px; }
.columns { display: flex; flex-wrap: wrap; gap: 14px 22px; justify-content: center; margin-top: 14px; }
.locks { margin: 0 auto; max-width: 100%; } .locks text { font-size: 12px; fill: var(--ink); }
.locks text.more { font-size: 10.5px; fill: var(--quiet); }
.locks rect { fill: var(--code); stroke: var(--quiet); } .locks rect.lock { fill: var(--card); stroke: var(--warning); }
.locks line { stroke-width: 1.5; } .locks line.waits { stroke: var(--error); stroke-dasharray: 5 3; }
.locks line.holds { stroke: var(--quiet); } .locks polygon.waits { fill: var(--error); }
.locks polygon.holds { fill: var(--quiet); }
.log div { padding-left: 1.2em; text-indent: -1.2em; } .log .quoted { color: var(--warning); font-weight: 600; }
footer { color: var(--quiet); font-size: .84rem; }
@media (max-width: 860px) { .two { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 640px) { body { padding: 12px 10px 32px; } section { padding: 13px 13px; }
  nav { margin-left: 0; } .sentence { font-size: 1.1rem; } .flames .mid { display: none; }
  .memory .row { grid-template-columns: minmax(0, 1fr); gap: 0; } .memory .row code { text-align: left; }
  .memory .gap { margin-left: 0; } }
@media print { html { background: #fff; } nav { display: none; } section { break-inside: avoid; } }
"""
