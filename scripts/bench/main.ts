/**
 * `npm run bench`: installs and builds what the measurements need, then measures circ beside other programs on this
 * machine. What counts are ratios within one run; the table goes to stdout, progress to stderr.
 */
import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { formatSize, parseSize } from '../../service/units.ts';
import { installPackages } from '../lab/debian.ts';
import { cacheDir } from '../lab/paths.ts';
import { buildTools } from '../lab/tools.ts';
import { cold, coldSlowConnections, coldThinLink } from './cold.ts';
import { containerdPull } from './containerd-pull.ts';
import { firstByte } from './first-byte.ts';
import { herd } from './herd.ts';
import { herdReplicas } from './herd-replicas.ts';
import { type Bench, type Row, isMet } from './measure.ts';
import { memory } from './memory.ts';
import { ensureNginx } from './nginx.ts';
import { nodeHit } from './node-hit.ts';
import { podStart } from './pod-start.ts';
import { push, pushAtOnce, pushThinLink } from './push.ts';
import { privatePull } from './private.ts';
import { relay } from './relay.ts';
import { requests } from './requests.ts';
import { s3 } from './s3.ts';
import { smallLayers } from './small-layers.ts';
import { formatTable } from './table.ts';

const benches: Readonly<Record<string, Bench>> = {
  'node-hit': nodeHit,
  requests,
  relay,
  containerd: containerdPull,
  'small-layers': smallLayers,
  cold,
  'cold-thin-link': coldThinLink,
  'cold-slow-connections': coldSlowConnections,
  'first-byte': firstByte,
  herd,
  'herd-replicas': herdReplicas,
  'pod-start': podStart,
  push,
  'push-thin-link': pushThinLink,
  'push-at-once': pushAtOnce,
  memory,
  private: privatePull,
  s3,
};

const USAGE = `npm run bench -- [OPTIONS] [NAME…]

Measures circ beside other programs (Debian, root, Go; it installs what it needs). All benches, or those named:

${Object.entries(benches)
  .map(([name, { purpose }]) => `  ${name.padEnd(21)} ${purpose}`)
  .join('\n')}

  --runs N           how often each side is measured, in turn (5)
  --size SIZE        of the large blob; ten times that for memory (1GiB)
  --json             the rows with all samples, instead of the table
  --cpu-profiles DIR let circ's programs leave CPU profiles there; they are slower then

The exit code is 1 when a goal is not met.
`;

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}

async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: '5' },
      size: { type: 'string', default: '1GiB' },
      json: { type: 'boolean', default: false },
      'cpu-profiles': { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const unknown = positionals.filter((name) => !(name in benches));
  const runs = Number(values.runs);
  if (unknown.length > 0 || !Number.isInteger(runs) || runs < 1) {
    process.stderr.write(USAGE);
    return 2;
  }
  process.env['PATH'] = [process.env['PATH'], '/usr/sbin', '/sbin', '/usr/local/go/bin'].join(':');
  await mkdir(cacheDir, { recursive: true });
  await installPackages(say);
  await buildTools(say);
  await ensureNginx(say);

  const sizeBytes = parseSize(values.size);
  const profiles = values['cpu-profiles'];
  const options = { runs, sizeBytes, ...(profiles !== undefined && { cpuProfiles: resolve(profiles) }) };
  const rows: (Row & { bench: string })[] = [];
  for (const [name, bench] of Object.entries(benches)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    say(`${name}: ${bench.purpose}`);
    const found = await bench.run({ ...options, say: (line) => say(`${name}: ${line}`) });
    rows.push(...found.map((row) => ({ bench: name, ...row })));
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ ...options, rows }, undefined, 2)}\n`);
  else process.stdout.write(`${formatTable(rows)}\n\n`);
  say(`medians of ${runs}; large blob ${formatSize(sizeBytes)}; ${availableParallelism()} cores`);
  return rows.every(isMet) ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return 1;
});
