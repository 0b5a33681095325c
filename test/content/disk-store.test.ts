import { contentStoreContract } from '../contracts/content-store.ts';
import { diskStore } from './fixtures.ts';

contentStoreContract('a directory', () => diskStore());
