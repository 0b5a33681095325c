import { parseDigest } from './digest.ts';
import { OciError } from './error.ts';
import {
  type Reference,
  type Registry,
  type Repository,
  formatReference,
  parseReference,
  parseRegistry,
  parseRepository,
} from './reference.ts';
import type { RegistryNames } from './request.ts';

/** An image, or an artifact, as people name it. */
export interface ImageName {
  readonly registry: Registry;
  readonly repository: Repository;
  readonly reference: Reference;
}

/**
 * `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`, as Docker reads it: the first component is a registry if it has a dot or a colon,
 * or is one's name; without a tag it is `latest`, and a digest has the last word.
 *
 * @throws OciError NAME_INVALID, TAG_INVALID, DIGEST_INVALID
 */
export function parseImageName(text: string, names: RegistryNames): ImageName {
  const [name, digest, ...more] = text.split('@');
  if (name === undefined || more.length > 0) throw new OciError('NAME_INVALID', 'an image has one digest at most');
  const [, path = '', tag = 'latest'] = /^(.*?)(?::([^:/]*))?$/s.exec(name) ?? [];
  const { registry, repository } = parsePlace(path, names);
  const ofTag = parseReference(tag);
  return {
    registry,
    repository,
    reference: digest === undefined ? ofTag : { kind: 'digest', digest: parseDigest(digest) },
  };
}

/** `[REGISTRY/]REPOSITORY`. @throws OciError NAME_INVALID */
export function parsePlace(text: string, names: RegistryNames): Pick<ImageName, 'registry' | 'repository'> {
  const [first = '', ...others] = text.split('/');
  const isRegistry = others.length > 0 && (/[.:]/.test(first) || first === 'localhost' || names.isListed(first));
  const registry = isRegistry ? parseRegistry(first) : names.default;
  return { registry, repository: parseRepository(isRegistry ? others.join('/') : text, registry) };
}

export function formatImageName({ registry, repository, reference }: ImageName): string {
  return `${registry}/${repository}${reference.kind === 'digest' ? '@' : ':'}${formatReference(reference)}`;
}
