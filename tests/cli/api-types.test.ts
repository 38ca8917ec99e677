/** The types by which the command calls the API are those of the API's document. */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FILE, typesOfApi } from '../../scripts/client-types/types-of-api.ts';

const test = suite('api-types');

test("the committed types are what 'npm run generate:client' makes now", async () => {
  assert.ok(readFileSync(FILE, 'utf8') === (await typesOfApi()), 'run: npm run generate:client');
});

test.run();
