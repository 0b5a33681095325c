import { type Row, formatNumber, isMet } from './measure.ts';

/** Rows as a table in Markdown, aligned for terminals. */
export function formatTable(rows: readonly Row[]): string {
  const head = ['measurement', 'circ', 'beside it', '', 'result', 'goal', ''];
  const lines = [head, ...rows.map(cellsOf)];
  const widths = head.map((_, column) => Math.max(3, ...lines.map((cells) => cells[column]?.length ?? 0)));
  const format = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [format(head), rule, ...lines.slice(1).map(format)].join('\n');
}

function cellsOf(row: Row): string[] {
  const { measurement, unit, circ, peer, peerName, result, resultUnit, goal } = row;
  const bound = 'atLeast' in goal ? `≥ ${goal.atLeast}` : `≤ ${goal.atMost}`;
  return [
    measurement,
    withUnit(circ, unit),
    peerName,
    withUnit(peer, unit),
    withUnit(result, resultUnit),
    resultUnit === 'x' ? `${bound}x` : `${bound} ${resultUnit}`,
    isMet(row) ? 'met' : 'NOT MET',
  ];
}

function withUnit(value: number, unit: string): string {
  return unit === 'x' ? `${formatNumber(value)}x` : `${formatNumber(value)} ${unit}`;
}
