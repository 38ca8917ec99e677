/** What `verify` needs of a result's manifest, as the API answers it and as `run` and `export --out` leave it beside the results. */
import Type, { type Static } from 'typebox';
import { Id } from '../domain/ids.ts';
import { ScenarioSpec } from '../domain/scenario.ts';

export const Manifest = Type.Object({
  scenario: Id,
  run: Type.Integer(),
  complete: Type.Boolean(),
  spec: ScenarioSpec,
  frames: Type.Integer({ minimum: 0 }),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
});
export type Manifest = Static<typeof Manifest>;

/** Where it lies. */
export const manifestFile = (results: string): string => `${results}.manifest.json`;
