/** The API's paths, parameters, bodies and answers as TypeScript, from the document that the API makes of itself. */
import openapiTS, { astToString } from 'openapi-typescript';
import { asset } from '../../src/infra/process/assets.ts';
import { serveApi } from '../../tests/api/served-api.ts';

export const FILE = asset('src', 'cli', 'api-types.ts');

const HEADER =
  "/** Made by 'npm run generate:client' of the API's OpenAPI document; tests/cli/api-types.test.ts compares. */\n";

/** What the file must hold. */
export async function typesOfApi(): Promise<string> {
  await using api = await serveApi();
  const document = await (await api.fetch('/docs/json')).text();
  // A default is what the API fills in where a caller leaves a field out: such a field stays optional.
  return HEADER + astToString(await openapiTS(document, { defaultNonNullable: false, alphabetize: true }));
}
