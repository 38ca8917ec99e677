/** `npm run generate:client`: writes the types by which the command calls the API. */
import { writeFileSync } from 'node:fs';
import { FILE, typesOfApi } from './types-of-api.ts';

writeFileSync(FILE, await typesOfApi());
