import { markup } from './html.ts';

/** All of the page's looks: nothing is loaded from anywhere. Phones first; light or dark as the reader has it. */
export const STYLE = markup`
:root { color-scheme: light dark; --fore: #1a1c20; --back: #fff; --card: #f3f4f6; --dim: #5b616b }
:root { --whole: #6388cf; --part: #c2571a; --good: #2a7de1 }
@media (prefers-color-scheme: dark) {
  :root { --fore: #e8eaed; --back: #111316; --card: #1c1f24; --dim: #9aa1ab }
  :root { --whole: #5577b8; --part: #e58a4b; --good: #6aa9f4 }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; font: 1rem/1.45 system-ui, sans-serif }
body { color: var(--fore); background: var(--back) }
h1 { font-size: 1.25rem; margin: 0 }
h2 { font-size: 1rem; margin: 0 0 .5rem }
header p, .dim { color: var(--dim); margin: .2rem 0 }
p:empty { display: none }
.numbers { display: grid; grid-template-columns: 1fr 1fr; gap: .75rem; margin: 1rem 0 }
@media (min-width: 40rem) { .numbers { grid-template-columns: repeat(4, 1fr) } }
.numbers div, section { background: var(--card); border-radius: .5rem; padding: .75rem }
.numbers div { display: flex; flex-direction: column; justify-content: space-between }
.numbers dt { color: var(--dim); font-size: .85rem }
.numbers dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums; text-wrap: balance }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: .75rem }
section { min-width: 0; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .2rem .5rem .2rem 0; vertical-align: top; overflow-wrap: anywhere }
th { color: var(--dim); font-weight: normal; font-size: .85rem }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
progress { display: block; width: 100%; accent-color: var(--good) }
svg { width: 100%; height: 7rem; display: block; border: solid var(--dim); border-width: 1px 0 }
.ends { display: flex; justify-content: space-between }
.key { display: inline-block; width: .8em; height: .8em; border-radius: .2em }
.key.whole { background: var(--whole) }
.key.part { background: var(--part) }
.whole { fill: var(--whole) }
.part { fill: var(--part) }
.rate .part { fill: var(--good) }
.rate .whole { fill: none }
`;
