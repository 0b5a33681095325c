import { Client, type Metadata, type MethodDefinition, type ServiceError, status } from '@grpc/grpc-js';
import { service } from 'grpc-health-check';
import { loadServices } from '../../proto/load.ts';
import { formatAddress } from '../../service/units.ts';
import { credentialsFor } from '../connect.ts';
import type { Node } from './check.ts';

/** What came of a call. */
export interface Asked {
  /** Undefined: it was answered. */
  readonly error: ServiceError | undefined;
  /** `Date` of the answer, in ms since 1970, if any came. */
  readonly dateMs: number | undefined;
}

const ANSWER_MS = 5_000;
const HEALTH = service['Check'] as MethodDefinition<object, object>;

/** Does the shared tier serve? Needs no identity. */
export async function askHealth(node: Node): Promise<Asked> {
  return await ask(node, HEALTH, { service: '' }, false);
}

/** Asks for a manifest, as an agent does: for nothing, without an image, which is refused behind the door only. */
export async function askManifest(node: Node, question: object = {}): Promise<Asked> {
  const { ResolveManifest } = loadServices().SharedTier.service;
  return await ask(node, ResolveManifest, question, true);
}

async function ask(
  { access, serverName }: Node,
  method: MethodDefinition<object, object>,
  question: object,
  isKnown: boolean,
): Promise<Asked> {
  const credentials = credentialsFor(access, serverName);
  const client = new Client(formatAddress(access.sharedTier), credentials.channel, {
    ...credentials.channelOptions,
    'grpc.use_local_subchannel_pool': 1,
  });
  try {
    const metadata = isKnown ? [await credentials.metadata()] : [];
    const { promise, resolve } = Promise.withResolvers<ServiceError | undefined>();
    let dateMs: number | undefined;
    const note = (headers: Metadata): void => {
      const parsed = Date.parse(String(headers.get('date')[0]));
      if (!Number.isNaN(parsed)) dateMs = parsed;
    };
    const call = client.makeUnaryRequest(
      method.path,
      (request: object) => method.requestSerialize(request),
      (bytes) => method.responseDeserialize(bytes),
      question,
      ...(metadata as [Metadata]),
      { deadline: Date.now() + ANSWER_MS },
      (error) => resolve(error ?? undefined),
    );
    call.on('metadata', note);
    const error = await promise;
    return { error, dateMs };
  } finally {
    client.close();
  }
}

/** Has it been reached at all? Everything else is an answer. */
export function isUnreached({ error }: Asked): boolean {
  return error?.code === status.UNAVAILABLE || error?.code === status.DEADLINE_EXCEEDED;
}
