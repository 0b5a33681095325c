import type { BlobRequest, ListRequest, ManifestRequest, Target } from '../oci/request.ts';
import { OciError } from '../oci/error.ts';
import type { BlobAnswer, ListAnswer, ManifestAnswer, Origin, OciSource } from '../service/oci-source.ts';
import type { Access, Question } from './access/access.ts';
import type { Images } from './images.ts';
import { listFor } from './lists.ts';

const NO_GRANT = new Uint8Array();

/** The shared tier as clients see it who come without an agent: podman, CRI-O, crane, docker. */
export function tierSource(images: Images, access: Access): OciSource {
  return {
    async manifest(request: ManifestRequest, { withContent }): Promise<ManifestAnswer> {
      const { reference, accept } = request;
      const question = { ...questionOf(request), reference, accept, withContent };
      const { descriptor, content, fromOrigin } = await images.resolve(question);
      return { descriptor, outcome: outcomeOf(fromOrigin), ...(content && { content }) };
    },
    async statBlob(request: BlobRequest) {
      const { sizeBytes, fromOrigin } = await images.statBlob({ ...questionOf(request), digest: request.digest });
      return { sizeBytes, outcome: outcomeOf(fromOrigin) };
    },
    async openBlob(request: BlobRequest): Promise<BlobAnswer> {
      const { digest } = request;
      const { fromOrigin } = await images.locateBlob({ ...questionOf(request), digest });
      const content = await images.read({ registry: request.registry }, digest);
      if (!content) throw new OciError('UNAVAILABLE', 'the content has just gone; ask again');
      return {
        sizeBytes: content.sizeBytes,
        outcome: outcomeOf(fromOrigin),
        chunks: (range, options) => content.chunks(range, options),
        [Symbol.asyncDispose]: () => content[Symbol.asyncDispose](),
      };
    },
    async list(request: ListRequest): Promise<ListAnswer> {
      const { subject, query } = request;
      return await listFor(access, { ...questionOf(request), subject, query });
    },
  };
}

function questionOf({ registry, repository, form, authorization }: Target): Question {
  return { place: { registry, repository }, asker: { form, authorization }, grant: NO_GRANT };
}

function outcomeOf(fromOrigin: boolean): Origin {
  return fromOrigin ? 'origin' : 'tier-hit';
}
