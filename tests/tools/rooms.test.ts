import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { cruise, type IConfiguration, type ICruiseResult } from 'dependency-cruiser';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('rooms');
const root = path.resolve(import.meta.dirname, '../..');
let cruised: ICruiseResult;

interface UsingDeclaration {
  readonly type: string;
  readonly decls?: unknown;
}
interface SyntaxVisitor {
  visitStatement(statement: UsingDeclaration): unknown;
  visitVariableDeclarators(declarators: unknown): unknown;
}

test.before(async () => {
  visitUsingDeclarations();
  process.chdir(root);
  const { forbidden, options } = JSON.parse(
    readFileSync('.dependency-cruiser.json', 'utf8'),
  ) as Required<IConfiguration>;
  const { output } = await cruise(
    ['src'],
    { ...options, validate: true, ruleSet: { forbidden } },
    options.enhancedResolveOptions,
  );
  if (typeof output === 'string') throw new Error(output);
  cruised = output;
});

test('the whole of src is looked at', () => {
  const lookedAt = cruised.modules.filter(module => module.source.startsWith('src/')).length;
  assert.ok(lookedAt >= 100, `${lookedAt} modules: a parser that reads no TypeScript finds none`);
  const arrows = cruised.modules
    .flatMap(module => module.dependencies)
    .filter(({ resolved }) => resolved.startsWith('src/'));
  assert.ok(arrows.length > lookedAt, `${arrows.length} imports: types must count too`);
});

test('every import follows the arrows between rooms', () => {
  const violations = cruised.summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} imports ${to}`);
  assert.equal(violations, []);
});

test('infra takes only types from the runtime, cli only types from the API', () => {
  const wrong = cruised.modules.flatMap(({ source, dependencies }) => {
    const narrowed = source.startsWith('src/infra/')
      ? 'src/actors/runtime/'
      : source.startsWith('src/cli/')
        ? 'src/api/'
        : null;
    if (narrowed === null) return [];
    const text = readFileSync(path.join(root, source), 'utf8');
    const values = new Set(
      [...text.matchAll(/^(?:import|export) (?!type\b)[^;]*? from '([^']+)'/gm)].map(([, from]) => from),
    );
    return dependencies
      .filter(({ resolved, module }) => resolved.startsWith(narrowed) && values.has(module))
      .map(({ resolved }) => `${source} imports more than types of ${resolved}`);
  });
  assert.equal(wrong, []);
});

test.run();

/** The visitor of @swc/core that dependency-cruiser builds on throws at `using`; it is taught to look into it. */
function visitUsingDeclarations(): void {
  const { Visitor } = createRequire(import.meta.url)('@swc/core/Visitor.js') as {
    Visitor: { prototype: SyntaxVisitor };
  };
  const visit = Visitor.prototype.visitStatement;
  Visitor.prototype.visitStatement = function (statement) {
    if (statement.type !== 'UsingDeclaration') return visit.call(this, statement);
    return { ...statement, decls: this.visitVariableDeclarators(statement.decls) };
  };
}
