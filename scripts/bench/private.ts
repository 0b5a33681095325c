import { generatedBlob } from '../../test/support/blobs.ts';
import { pullInPhases } from '../../test/support/containerd-pull.ts';
import { startHouse } from '../../test/support/house.ts';
import { type Bench, type BenchOptions, type Row, compare, interleave, median } from './measure.ts';

const LAYERS = 20;
const LAYER_BYTES = 64 * 1024;
const SECRET = { user: 'alice', password: 'open sesame' };
const [PRIVATE, PUBLIC] = ['org/private', 'org/public'];
/** Pulls that give one figure. */
const PULLS = 5;
const FAR_MS = 25;

/** What it costs that somebody must be asked whether this caller may have what is here already. */
export const privatePull: Bench = {
  purpose: `a private image of ${LAYERS} layers out of the cache, by a caller nobody has seen, beside a public one`,
  async run(options: BenchOptions): Promise<Row[]> {
    return [
      await measure(options, `private pull of ${LAYERS} cached layers`, 0, 100),
      await measure(options, `the same, origin answers after ${FAR_MS} ms`, FAR_MS, 100 + 4 * FAR_MS),
    ];
  },
};

/** @param mostMs two questions and two tokens, and whatever goes with them here */
async function measure(options: BenchOptions, measurement: string, delayMs: number, mostMs: number): Promise<Row> {
  await using house = await startHouse({
    origin: {
      auth: 'bearer',
      privateRepositories: [PRIVATE],
      users: { [SECRET.user]: { password: SECRET.password, repositories: [PRIVATE] } },
    },
    agent: { CIRC_AGENT_ADMIT: 'always' },
  });
  const layers = Array.from({ length: LAYERS }, (_, seed) => generatedBlob(LAYER_BYTES, seed + 1));
  for (const repository of [PRIVATE, PUBLIC]) await house.origin.addImage(repository, 'v1', { layers });
  const pull = (repository: string, secret?: typeof SECRET) => async (): Promise<number> => {
    const samples = [];
    for (let time = 1; time <= PULLS; time += 1) {
      const startedAtMs = performance.now();
      const { isWhole } = await pullInPhases(house.mirror, repository, secret);
      if (!isWhole) throw new Error(`${repository} did not come whole`);
      samples.push(performance.now() - startedAtMs);
    }
    return median(samples);
  };
  const sides = { circ: pull(PRIVATE, SECRET), peer: pull(PUBLIC) };
  for (const warmUp of [sides.circ, sides.peer]) await warmUp();
  for (const kind of ['manifest', 'token'] as const) house.origin.when({ kind }, { headersDelayMs: delayMs });
  options.say(measurement);
  const samples = await interleave(sides, options);
  const about = { measurement, unit: 'ms', peerName: 'a public one', goal: { atMost: mostMs } } as const;
  return compare(about, 'difference', samples);
}
