"""The report's style sheet: light, dark and print; system fonts only, nothing is fetched."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark;
  --page: #f4f5f7; --card: #ffffff; --text: #1b2330; --muted: #5a6474; --line: #dfe3e9; --grid: #e8ebf0;
  --blue: #2a66c8; --teal: #13806f; --amber: #b06a00; --violet: #7550b5; --red: #bf3128; --green: #1d7a3e;
  --grey: #98a2b0; --bluesoft: #e6eefb; --redsoft: #fbe9e7; --greensoft: #e4f4e9; --ambersoft: #fbf0dc; --onbar: #fff; }
@media (prefers-color-scheme: dark) { :root {
  --page: #12151a; --card: #1b2027; --text: #e7eaef; --muted: #9ca6b4; --line: #313843; --grid: #272d36;
  --blue: #6ea2f5; --teal: #3fbfab; --amber: #e2a548; --violet: #ae8fe8; --red: #f2776e; --green: #5fc581;
  --grey: #66707e; --bluesoft: #1d2b42; --redsoft: #3a2220; --greensoft: #1c3325; --ambersoft: #372b17;
  --onbar: #10141a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); line-height: 1.5; font-size: 15px;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 28px 20px 48px; }
header { display: flex; flex-wrap: wrap; align-items: flex-start; justify-content: space-between; gap: 8px 24px; }
h1 { font-size: 24px; line-height: 1.25; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 17px; margin: 0 0 4px; }
h3 { font-size: 14px; margin: 18px 0 6px; }
p { margin: 0 0 10px; }
.route { color: var(--muted); overflow-wrap: anywhere; }
.route b { color: var(--text); font-weight: 600; }
.badge { display: inline-block; padding: 4px 12px; border-radius: 14px; font-weight: 600; font-size: 14px;
  white-space: nowrap; }
.ok { background: var(--greensoft); color: var(--green); }
.bad { background: var(--redsoft); color: var(--red); }
.warned { background: var(--ambersoft); color: var(--amber); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 18px 20px;
  margin-top: 16px; }
.lead { color: var(--muted); font-size: 14px; }
.verdict { font-size: 17px; margin: 18px 0 0; }
.verdict + p { margin: 6px 0 0; color: var(--muted); }
.cards { display: flex; flex-wrap: wrap; gap: 10px; margin-top: 16px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 11px 12px; flex: 1 1 auto;
  min-width: 92px; }
.card b { display: block; white-space: nowrap; font-size: 20px; line-height: 1.3; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.card span { color: var(--muted); font-size: 13px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--muted); font-weight: 600; font-size: 13px; padding: 6px 12px 6px 0;
  border-bottom: 1px solid var(--line); white-space: nowrap; vertical-align: bottom; }
td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--grid); vertical-align: top; overflow-wrap: anywhere; }
th:last-child, td:last-child { padding-right: 0; }
tr:last-child td { border-bottom: 0; }
.n { text-align: right; white-space: nowrap; }
.nowrap { white-space: nowrap; }
.small { font-size: 13px; color: var(--muted); }
.meter { display: inline-block; width: 90px; height: 8px; border-radius: 4px; background: var(--grid); margin-left: 8px;
  overflow: hidden; vertical-align: middle; }
.meter i { display: block; height: 100%; background: var(--blue); }
.st-completed { color: var(--green); } .st-failed { color: var(--red); }
.st-cancelled, .st-pending { color: var(--amber); }
ul { margin: 0; padding-left: 20px; } li { margin: 3px 0; overflow-wrap: anywhere; }
.error { background: var(--redsoft); border-radius: 6px; padding: 10px 12px; margin: 8px 0; overflow-wrap: anywhere; }
.error b { color: var(--red); } .error div { white-space: pre-wrap; }
code { font-family: ui-monospace, "SF Mono", Consolas, "DejaVu Sans Mono", monospace; font-size: 0.92em;
  background: var(--grid); border-radius: 4px; padding: 1px 5px; }
details { margin-top: 10px; } summary { cursor: pointer; color: var(--blue); font-size: 14px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; color: var(--muted); margin: 4px 0 8px; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px;
  vertical-align: -1px; }
footer { color: var(--muted); font-size: 13px; margin-top: 18px; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; min-width: 640px; }
svg text { fill: var(--muted); font-size: 12px; font-family: inherit; }
svg .name { fill: var(--text); } svg .strong { font-weight: 600; } svg .value { fill: var(--text); }
svg .tick { font-size: 11px; } svg .inbar { fill: var(--onbar); font-size: 11.5px; font-weight: 600; }
svg .halo { paint-order: stroke; stroke: var(--card); stroke-width: 3px; }
svg .grid { stroke: var(--grid); stroke-width: 1; } svg .base { stroke: var(--grey); stroke-width: 1; }
.bar.connect, .bar.extract, .bar.plan, .bar.prepare { fill: var(--grey); }
.bar.transfer, .bar.done { fill: var(--blue); } .bar.failed { fill: var(--red); }
.bar.open { fill: var(--bluesoft); stroke: var(--blue); stroke-dasharray: 3 2; }
.bar.indexes { fill: var(--teal); } .bar.constraints { fill: var(--amber); }
.bar.finish, .bar.validate { fill: var(--violet); }
svg .bar.indexes, svg .bar.constraints { stroke: var(--card); stroke-width: 0.5; }
.area { opacity: 0.16; } .area.rows { fill: var(--blue); } .area.bytes { fill: var(--teal); }
.curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.curve.rows { stroke: var(--blue); } .curve.bytes { stroke: var(--teal); }
.peak.rows { fill: var(--blue); } .peak.bytes { fill: var(--teal); }
.retry { fill: var(--amber); stroke: var(--card); stroke-width: 1; }
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --text: #000; --muted: #444; --line: #bbb; --grid: #ddd;
    --blue: #2a66c8; --teal: #13806f; --amber: #b06a00; --violet: #7550b5; --red: #bf3128; --green: #1d7a3e;
    --grey: #888; --bluesoft: #e6eefb; --redsoft: #fff; --greensoft: #fff; --ambersoft: #fff; --onbar: #fff; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 12px; } main { max-width: none; padding: 0; } svg { min-width: 0; }
  .scroll { overflow: visible; } tr, .card, .error, li { break-inside: avoid; } h2, h3 { break-after: avoid; }
  section { break-inside: auto; } .chart { break-inside: avoid; } .badge { border: 1px solid currentColor; }
}
"""
