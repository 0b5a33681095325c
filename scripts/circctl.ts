#!/usr/bin/env node
// What `npx circctl` runs in this folder; the image has circctl/main.js.
await import('../circctl/main.ts');
