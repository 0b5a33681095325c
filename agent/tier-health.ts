import type { Client, ClientReadableStream, ClientUnaryCall, MethodDefinition } from '@grpc/grpc-js';
import { service } from 'grpc-health-check';

/** grpc.health.v1 as a client sees it: https://github.com/grpc/grpc/blob/master/doc/health-checking.md */
interface Request {
  readonly service: string;
}
interface Response {
  readonly status: string;
}

const WATCH = service['Watch'] as MethodDefinition<Request, Response>;
const CHECK = service['Check'] as MethodDefinition<Request, Response>;
const WHOLE_SERVER: Request = { service: '' };

/** A stream that stands for as long as the server does: does it serve, now and after each change? */
export function watchHealth(client: Client): ClientReadableStream<Response> {
  return client.makeServerStreamRequest(
    WATCH.path,
    (request: Request) => WATCH.requestSerialize(request),
    (bytes) => WATCH.responseDeserialize(bytes),
    WHOLE_SERVER,
  );
}

/** One question to which any answer is a sign of life. */
export function checkHealth(client: Client, deadline: number, answered: () => void): ClientUnaryCall {
  return client.makeUnaryRequest(
    CHECK.path,
    (request: Request) => CHECK.requestSerialize(request),
    (bytes) => CHECK.responseDeserialize(bytes),
    WHOLE_SERVER,
    { deadline },
    (error) => {
      if (!error) answered();
    },
  );
}

/** Does this answer mean that it can be asked? */
export function isServing({ status }: Response): boolean {
  return status === 'SERVING';
}
