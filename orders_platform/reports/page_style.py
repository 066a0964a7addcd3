"""The page's style: dark where the reader's screen is, light on paper, everything in classes.

On paper every line of every table is `--r` high, so that the rows of a page say how tall it is: `density` chooses the
size of type that lets them fit on one A4 sheet.
"""

from bisect import bisect_left

_SIZES = ("roomy", "plain", "close", "closest")
_ROWS = (49, 60, 73)
"""How many rows of each size but the last a sheet holds, beside headings, header and footer (20 rows or less), with
4 per cent to spare."""
_CURRENCIES = (3, 6)
"""With how many currencies the columns of each of the first sizes are still wide enough."""


def density(rows: int, currencies: int) -> str:
    """Return the class of a page whose tables need so many rows one below the other."""
    return _SIZES[max(bisect_left(_ROWS, rows), bisect_left(_CURRENCIES, currencies))]


STYLE = """
:root{--ink:#1b2430;--soft:#566273;--paper:#fff;--rule:#c5cdd6;--faint:#eef1f4;--total:#46586b;--up:#a85b00;
--down:#0f6f66;--wrong:#b3261e;--line:#2457a6;--good:#1f6b41;--h1:#fdf3e1;--h2:#fbe3bd;--h3:#f6cc8b;--h4:#efb05a;--r:22px}
@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;--ink:#e6ebf1;--soft:#a9b5c3;--paper:#14191f;
--rule:#3c4753;--faint:#1f262e;--total:#8fa3b8;--up:#e39a3b;--down:#3fb5a7;--wrong:#ff8a80;--line:#8ab4f8;
--good:#6fcf97;--h1:#2d2618;--h2:#45351a;--h3:#5f451a;--h4:#7d5717}}
*{box-sizing:border-box}
body{font:14px/1.45 "Helvetica Neue",Helvetica,Arial,"Liberation Sans",sans-serif;color:var(--ink);
background:var(--paper);margin:0 auto;padding:20px;max-width:1180px}
header{border-bottom:2px solid var(--ink);padding-bottom:6px}
.head{display:flex;flex-wrap:wrap;gap:4px 12px;align-items:baseline}
h1{font-size:1.5em;line-height:1.25;margin:0}h2{font-size:1.08em;line-height:1.3;margin:16px 0 4px}p{margin:4px 0}
.stamp{font-weight:700;border:1.5px solid;border-radius:4px;padding:0 8px}
.clean{color:var(--good)}.breaks-open{color:var(--up)}.incomplete,.wrong,.wrong td,.wrong th{color:var(--wrong)}
.note,small,dd.note,footer{color:var(--soft);font-weight:400}
.tiles{display:flex;flex-wrap:wrap;gap:8px;margin:10px 0 0}
.tiles>div{flex:1 1 125px;background:var(--faint);border-radius:6px;padding:6px 10px}
dt{color:var(--soft)}dd{margin:0}dd.big{font-size:1.35em;font-weight:600;line-height:1.25}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:0 8px 0 0;line-height:var(--r);text-align:left;font-weight:400;vertical-align:top}
thead th{font-weight:600;border-bottom:1px solid var(--rule)}th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap;padding-left:6px}.sum th,.sum td,.all{font-weight:600}
.matrix .sum th,.matrix .sum td{border-top:1px solid var(--rule)}
.matrix td,.matrix thead th{padding-right:8px}.breaks .id{overflow-wrap:anywhere}
.groups th{color:var(--soft);font-weight:400;text-align:center}.others th{white-space:normal}
.h1{background:var(--h1)}.h2{background:var(--h2)}.h3{background:var(--h3)}.h4{background:var(--h4)}
.bridges{display:grid;gap:10px 24px}
.two{grid-template-columns:repeat(2,minmax(0,1fr))}.three{grid-template-columns:repeat(3,minmax(0,1fr))}
caption{text-align:left}.bridge caption{border-bottom:1px solid var(--rule)}.bridge b{font-size:1.08em}
.bridge th{white-space:nowrap}.bridge td,.bridge th{padding-top:0;padding-bottom:0}
td.picture{width:45%;padding:0 4px}svg.step{display:block;width:100%;height:var(--r)}
.axis{stroke:var(--rule);fill:none;vector-effect:non-scaling-stroke}
.link{stroke:var(--soft);fill:none;vector-effect:non-scaling-stroke}
.total{fill:var(--total)}.up{fill:var(--up)}.down{fill:var(--down)}rect.wrong{fill:var(--wrong)}
.line{stroke:var(--line);stroke-width:2;fill:none}.dot{fill:var(--line)}
svg.rates{display:block;width:100%;max-width:330px;height:auto}svg.rates+*{margin-top:.4em}.bridges+.wide{margin-top:8px}
svg text{fill:var(--soft);font-size:11px}
.parts{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr) minmax(0,1.8fr);gap:0 28px}
.wide{overflow-x:auto}.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);
white-space:nowrap}
code{font-family:ui-monospace,Menlo,"Liberation Mono",monospace;font-size:.92em;overflow-wrap:anywhere}
summary{cursor:pointer;font-weight:600;margin-top:12px}
footer{margin-top:14px;border-top:1px solid var(--rule);padding-top:4px;font-size:.86em;overflow-wrap:anywhere}
@media screen{.print{display:none}}
@media screen and (max-width:860px){.three,.parts{grid-template-columns:repeat(2,minmax(0,1fr))}}
@media screen and (max-width:620px){body{padding:12px}.two,.three,.parts{grid-template-columns:minmax(0,1fr)}}
@page{size:A4;margin:10mm}
@media print{*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
.screen{display:none!important}body{padding:0;max-width:none;line-height:var(--r)}
body.roomy{font-size:11px;--r:14.4px}body.plain{font-size:9.8px;--r:12.4px}
body.close{font-size:8.6px;--r:10.7px}body.closest{font-size:7.6px;--r:9.3px}
p code{white-space:nowrap}h2{margin:.7em 0 .15em}p{margin:0}.wide{overflow:visible}.bridges{gap:.5em 2em}
.parts{gap:0 1.5em;grid-template-columns:minmax(0,.85fr) minmax(0,1fr) minmax(0,1.9fr)}
.tiles{margin-top:.5em}.tiles>div{flex-basis:0;padding:.2em .7em}
th,td{padding-right:6px}.n{padding-left:2px}.matrix td,.matrix thead th{padding-right:5px}
.breaks td,.breaks th{white-space:nowrap}.breaks .id{max-width:0;width:99%;overflow:hidden;text-overflow:ellipsis}
.clamp{display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:2;overflow:hidden}
svg.rates{max-width:none}footer{margin-top:.8em}}
"""
