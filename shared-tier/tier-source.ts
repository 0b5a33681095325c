import type { BlobRequest, ManifestRequest } from '../oci/request.ts';
import { OciError } from '../oci/error.ts';
import type { BlobAnswer, ManifestAnswer, Origin, OciSource } from '../service/oci-source.ts';
import type { Images } from './images.ts';

const NO_GRANT = new Uint8Array();

/** The shared tier as clients see it who come without an agent: podman, CRI-O, crane, docker. */
export function tierSource(images: Images): OciSource {
  return {
    async manifest({ reference, accept, ...place }: ManifestRequest, { withContent }): Promise<ManifestAnswer> {
      const { descriptor, content, fromOrigin } = await images.resolve({ place, reference, accept, withContent });
      return { descriptor, outcome: outcomeOf(fromOrigin), ...(content && { content }) };
    },
    async statBlob({ digest, ...place }: BlobRequest) {
      const { sizeBytes, fromOrigin } = await images.statBlob({ place, digest, grant: NO_GRANT });
      return { sizeBytes, outcome: outcomeOf(fromOrigin) };
    },
    async openBlob({ digest, ...place }: BlobRequest): Promise<BlobAnswer> {
      const { fromOrigin } = await images.locateBlob({ place, digest, grant: NO_GRANT });
      const content = await images.read(place, digest);
      if (!content) throw new OciError('UNAVAILABLE', 'the content has just gone; ask again');
      return {
        sizeBytes: content.sizeBytes,
        outcome: outcomeOf(fromOrigin),
        chunks: (range, options) => content.chunks(range, options),
        [Symbol.asyncDispose]: () => content[Symbol.asyncDispose](),
      };
    },
  };
}

function outcomeOf(fromOrigin: boolean): Origin {
  return fromOrigin ? 'origin' : 'tier-hit';
}
