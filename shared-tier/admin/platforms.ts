import type { Descriptor } from '../../oci/descriptor.ts';
import { OciError } from '../../oci/error.ts';

/** What an image of an index runs on; see https://github.com/opencontainers/image-spec/blob/main/image-index.md */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
}

interface Entry {
  readonly descriptor: Descriptor;
  readonly platform: Platform | undefined;
  /** The digest of the image that this one only says something about: an attestation of BuildKit's. */
  readonly about: string | undefined;
}

const FORM = /^([a-z0-9]+)\/([a-z0-9_]+)(?:\/([a-z0-9.]+))?$/;
const MAX_PLATFORMS = 64;
/** Platforms that a refusal names. */
const MAX_NAMED = 20;

/** `linux/amd64`, `linux/arm64/v8`. @throws OciError NAME_INVALID */
export function parsePlatforms(texts: readonly string[]): Platform[] {
  if (texts.length > MAX_PLATFORMS) throw new OciError('NAME_INVALID', `at most ${MAX_PLATFORMS} platforms are taken`);
  return texts.map((text) => {
    const [, os, architecture, variant] = FORM.exec(text) ?? [];
    if (os === undefined || architecture === undefined) {
      throw new OciError(
        'NAME_INVALID',
        'a platform is OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64',
      );
    }
    return { os, architecture, variant };
  });
}

/**
 * Which manifests of an index are meant: those for one of the platforms, what says something about these (attestations),
 * and what is for no platform (artifacts, further indexes). All of them when no platform was chosen.
 *
 * @param index the index's verified bytes
 * @param named the manifests that it names
 * @throws OciError MANIFEST_UNKNOWN when there are images, but none of them is for a chosen platform
 */
export function manifestsFor(
  platforms: readonly Platform[],
  index: Uint8Array,
  named: readonly Descriptor[],
): readonly Descriptor[] {
  if (platforms.length === 0) return named;
  const entries = entriesOf(index, named);
  const images = entries.filter(({ platform, about }) => platform !== undefined && about === undefined);
  const chosen = new Set(images.filter(({ platform }) => platforms.some((wanted) => isFor(wanted, platform))));
  if (images.length > 0 && chosen.size === 0) {
    const there = [...new Set(images.map(({ platform }) => nameOf(platform)))].slice(0, MAX_NAMED).join(', ');
    throw new OciError('MANIFEST_UNKNOWN', `the index has no image for the platforms chosen; it has ${there}`);
  }
  const digests = new Set<string>([...chosen].map(({ descriptor }) => descriptor.digest));
  return entries
    .filter((entry) => {
      if (entry.about !== undefined) return digests.has(entry.about);
      return entry.platform === undefined || chosen.has(entry);
    })
    .map(({ descriptor }) => descriptor);
}

function entriesOf(index: Uint8Array, named: readonly Descriptor[]): Entry[] {
  const { manifests } = JSON.parse(Buffer.from(index).toString()) as { manifests?: unknown };
  const told = new Map((Array.isArray(manifests) ? manifests : []).map((raw: unknown) => [textAt(raw, 'digest'), raw]));
  return named.map((descriptor) => {
    const raw = told.get(descriptor.digest);
    const about = textAt(at(raw, 'annotations'), 'vnd.docker.reference.digest');
    return { descriptor, platform: platformOf(at(raw, 'platform')), about };
  });
}

function platformOf(raw: unknown): Platform | undefined {
  const [os, architecture] = [textAt(raw, 'os'), textAt(raw, 'architecture')];
  if (os === undefined || architecture === undefined || os === 'unknown') return undefined;
  return { os, architecture, variant: textAt(raw, 'variant') };
}

/** A variant that is not told, by either, is any; `v8` is what every arm64 is. */
function isFor(wanted: Platform, platform: Platform | undefined): boolean {
  if (platform?.os !== wanted.os || platform.architecture !== wanted.architecture) return false;
  return [platform.variant, undefined].includes(wanted.variant) || platform.variant === undefined;
}

function nameOf(platform: Platform | undefined): string {
  const { os = '', architecture = '', variant } = platform ?? {};
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/').slice(0, 40);
}

function at(raw: unknown, key: string): unknown {
  return typeof raw === 'object' && raw !== null ? (raw as Record<string, unknown>)[key] : undefined;
}

function textAt(raw: unknown, key: string): string | undefined {
  const value = at(raw, key);
  return typeof value === 'string' ? value : undefined;
}
