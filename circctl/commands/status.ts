import { formatSize } from '../../service/units.ts';
import type { Command } from '../command.ts';
import { plain } from '../terminal.ts';

/** What one replica has done and has. */
export const status: Command = {
  summary: 'what the shared tier has done and has',
  synopsis: '',
  options: {},
  args: [0, 0],
  async run(call) {
    using admin = call.admin();
    const stats = await admin.stats();
    if (call.isJson) {
      call.json(stats);
      return 0;
    }
    const { hits, misses, servedBytes, originBytes, bytes, capacityBytes } = stats;
    const lines: [string, string][] = [
      ['replica', `${stats.replica}, version ${stats.version}, up ${formatTime(stats.uptimeMs)}`],
      ['store', `${stats.blobs} contents, ${formatSize(bytes)} of ${formatSize(capacityBytes)} (${stats.store})`],
      ['answered from cache', `${percent(hits, hits + misses)} of ${hits + misses} questions`],
      ['served', formatSize(servedBytes)],
      ['from registries', `${formatSize(originBytes)}, in ${stats.originRequests} requests`],
      ['saved', `${formatSize(Math.max(0, servedBytes - originBytes))} (nodes’ own caches not counted)`],
      ['fetches', `${stats.fetchesInFlight} under way, ${stats.waiters} readers wait for them`],
      ['agents', `${stats.agents} connected`],
    ];
    const width = Math.max(...lines.map(([name]) => name.length));
    for (const [name, value] of lines) call.terminal.out(`${name.padEnd(width)}   ${plain(value)}\n`);
    return 0;
  },
};

function percent(part: number, of: number): string {
  return of === 0 ? 'none' : `${((100 * part) / of).toFixed(1)} %`;
}

function formatTime(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  const [days, hours] = [Math.floor(minutes / 1_440), Math.floor((minutes % 1_440) / 60)];
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours} h ${minutes % 60} min` : `${minutes} min`;
}
