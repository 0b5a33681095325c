import { contentStoreContract } from '../../contracts/content-store.ts';
import { s3Store } from './fixtures.ts';

contentStoreContract('a bucket', () => s3Store());
