import { markup } from './html.ts';

/** All of the page's looks: nothing is loaded from anywhere. Phones first; light or dark as the reader has it. */
export const STYLE = markup`
:root { color-scheme: light dark; --fore: #1a1c20; --back: #fff; --card: #f3f4f6; --dim: #5b616b }
:root { --whole: #9db8e8; --part: #c2571a; --good: #2a7de1 }
@media (prefers-color-scheme: dark) {
  :root { --fore: #e8eaed; --back: #111316; --card: #1c1f24; --dim: #9aa1ab }
  :root { --whole: #3d5a8f; --part: #e58a4b; --good: #6aa9f4 }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; font: 1rem/1.45 system-ui, sans-serif }
body { color: var(--fore); background: var(--back) }
h1 { font-size: 1.25rem; margin: 0 }
h2 { font-size: 1rem; margin: 0 0 .5rem }
header p, .dim { color: var(--dim); margin: .2rem 0 }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); gap: .75rem; margin: 1rem 0 }
.numbers div, section { background: var(--card); border-radius: .5rem; padding: .75rem }
.numbers dt { color: var(--dim); font-size: .85rem }
.numbers dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: .75rem }
section { min-width: 0; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .2rem .5rem .2rem 0; vertical-align: top; overflow-wrap: anywhere }
th { color: var(--dim); font-weight: normal; font-size: .85rem }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
progress { display: block; width: 100%; accent-color: var(--good) }
svg { width: 100%; height: auto; display: block }
svg text { font-size: 17px; fill: var(--dim) }
svg path { stroke: var(--dim); stroke-opacity: .4 }
.whole { fill: var(--whole) }
.part { fill: var(--part) }
.rate .part { fill: var(--good) }
.rate .whole { fill: none }
`;
