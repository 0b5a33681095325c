/**
 * The name server of a lab's cluster, as a process of its own in the API's network: `SERVICE.NAMESPACE.svc.cluster.local`
 * has the addresses of the Service's endpoints that are ready, which is what a headless Service's name means
 * (https://github.com/kubernetes/dns/blob/master/docs/specification.md). It knows no other names.
 *
 * Arguments: address to listen on, URL of the API, and PEM files of CA, certificate and key.
 */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { Agent } from 'undici';

interface Slices {
  readonly items: readonly {
    readonly endpoints:
      | readonly { readonly addresses: readonly string[]; readonly conditions: { ready?: boolean } }[]
      | null;
  }[];
}

/** Offsets, types and codes: https://www.rfc-editor.org/rfc/rfc1035#section-4.1 */
const HEADER_BYTES = 12;
const TYPE_A = 1;
const NO_ERROR = 0;
const SERVER_FAILURE = 2;
const NO_SUCH_NAME = 3;
/** Answer, recursion desired and available. */
const FLAGS = 0x8180;
const TTL_SECONDS = 1;

const [address = '', api = '', ca = '', cert = '', key = ''] = process.argv.slice(2);
const connect = { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) };
const dispatcher = new Agent({ connect, headersTimeout: 1_000 });

const socket = createSocket('udp4');
socket.on('message', (question, { address: peer, port }) => {
  void answer(question).then((reply) => socket.send(reply, port, peer));
});
socket.bind(53, address);

async function answer(question: Buffer): Promise<Buffer> {
  const { name, type, end } = parseQuestion(question);
  const asked = question.subarray(HEADER_BYTES, end);
  try {
    const addresses = await addressesOf(name);
    if (addresses === undefined) return message(question, asked, NO_SUCH_NAME, []);
    return message(question, asked, NO_ERROR, type === TYPE_A ? addresses : []);
  } catch {
    return message(question, asked, SERVER_FAILURE, []);
  }
}

/** Undefined: there is no such name. */
async function addressesOf(name: string): Promise<string[] | undefined> {
  const [service, namespace, ...rest] = name.toLowerCase().split('.');
  if (rest.join('.') !== 'svc.cluster.local') return undefined;
  const selector = encodeURIComponent(`kubernetes.io/service-name=${service}`);
  const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?labelSelector=${selector}`;
  const { statusCode, body } = await dispatcher.request({ origin: api, path, method: 'GET' });
  const { items } = (await body.json()) as Slices;
  if (statusCode !== 200) throw new Error(`the API says ${statusCode}`);
  if (items.length === 0) return undefined;
  const endpoints = items.flatMap((slice) => slice.endpoints ?? []);
  return endpoints.filter(({ conditions }) => conditions.ready !== false).flatMap(({ addresses }) => addresses);
}

function parseQuestion(question: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = question.readUInt8(at); length > 0; length = question.readUInt8(at)) {
    labels.push(question.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.'), type: question.readUInt16BE(at + 1), end: at + 5 };
}

function message(question: Buffer, asked: Buffer, code: number, addresses: readonly string[]): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt16BE(question.readUInt16BE(0), 0);
  head.writeUInt16BE(FLAGS | code, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(addresses.length, 6);
  const records = addresses.map((ip) => {
    const record = Buffer.alloc(16);
    record.writeUInt16BE(0xc0_00 | HEADER_BYTES, 0); // the name is that of the question
    record.writeUInt16BE(TYPE_A, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(TTL_SECONDS, 6);
    record.writeUInt16BE(4, 10);
    for (const [index, part] of ip.split('.').entries()) record.writeUInt8(Number(part), 12 + index);
    return record;
  });
  return Buffer.concat([head, asked, ...records]);
}
