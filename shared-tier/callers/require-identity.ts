import { type ServerInterceptor, ServerInterceptingCall, status } from '@grpc/grpc-js';
import { OciError } from '../../oci/error.ts';
import { AGENT_TOKEN } from '../../proto/agent-token.ts';
import type { Caller } from './caller-check.ts';

/** A caller, and what it calls. */
export interface Call extends Caller {
  /** Address and port. */
  readonly peer: string;
  /** `/package.Service/Method` */
  readonly path: string;
}

/** As `CallerCheck`, of a call; `denied` tells that it is known who calls, and that it may not. */
export type CallCheck = (call: Call) => Promise<void>;

/** A call was not let in. `peer` is its address and port. */
export type ReportRefusal = (error: OciError, peer: string) => void;

/** What is asked by probes, which have no identity. It tells nothing but that the process serves. */
const OPEN = '/grpc.health.v1.Health/';

/**
 * Lets calls of every service but health reach their handlers only after the check, reflection included. The refusal has
 * no code of circ's own, so an agent takes it as a tier that cannot be asked, never as an origin's answer.
 */
export function requireIdentity(check: CallCheck, refused: ReportRefusal): ServerInterceptor {
  return (method, call) => {
    if (method.path.startsWith(OPEN)) return new ServerInterceptingCall(call);
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, letIn) => {
            const tokens = metadata.get(AGENT_TOKEN).map(String);
            metadata.remove(AGENT_TOKEN); // nobody behind this door needs it
            const certificate = call.getAuthContext().sslPeerCertificate;
            check({ tokens, certificate, peer: call.getPeer(), path: method.path }).then(
              () => letIn(metadata),
              (reason: unknown) => {
                const error = OciError.from(reason);
                refused(error, call.getPeer());
                call.sendStatus({ code: statusOf(error), details: error.message });
              },
            );
          },
          onReceiveMessage: (message, letIn) => letIn(message),
          onReceiveHalfClose: (letIn) => letIn(),
          onCancel: () => undefined,
        }),
    });
  };
}

function statusOf({ code, denied }: OciError): status {
  if (code !== 'UNAUTHORIZED') return status.UNAVAILABLE;
  return denied ? status.PERMISSION_DENIED : status.UNAUTHENTICATED;
}
