import { OciError } from '../../oci/error.ts';
import { type OriginResponse, readBody } from './response.ts';

interface ErrorBody {
  readonly errors: { code: string; message: string; detail?: unknown }[];
}

const MAX_BODY_BYTES = 64 * 1024;

/** What an origin said to a change that it refuses. Who pushes gets it as it is: the status, and the words if they are of the specification. */
export class OriginRefused extends OciError {
  readonly #status: number;
  readonly #body: ErrorBody | undefined;

  private constructor(status: number, body: ErrorBody | undefined) {
    super('PUSH_REFUSED', `the origin answered ${status}`, { denied: status === 401 || status === 403 });
    this.#status = status;
    this.#body = body;
  }

  /** @param status in place of the answer's own */
  static async read(response: OriginResponse, status = response.statusCode): Promise<OriginRefused> {
    const bytes = await readBody(response, MAX_BODY_BYTES).catch(() => undefined);
    return new OriginRefused(status, bytes && parse(bytes));
  }

  override get status(): number {
    return this.#status;
  }

  override get body(): ErrorBody {
    return this.#body ?? super.body;
  }
}

function parse(bytes: Buffer): ErrorBody | undefined {
  try {
    const { errors } = JSON.parse(bytes.toString()) as { errors?: unknown };
    if (!Array.isArray(errors) || errors.length === 0) return undefined;
    return {
      errors: errors.map((error: unknown) => {
        const { code, message, detail } = (error ?? {}) as Record<string, unknown>;
        return { code: textOf(code, 'UNKNOWN'), message: textOf(message, ''), ...(detail !== undefined && { detail }) };
      }),
    };
  } catch {
    return undefined; // a page, or nothing
  }
}

function textOf(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}
