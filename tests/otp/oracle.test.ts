/**
 * Troupe's supervisors against Erlang's own: every golden script is run here and must leave the transcript that it left there.
 * What may differ, and why, is in README.md and in differences.test.ts.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RestartType, Strategy } from '../../src/actors/runtime/restart-plan.ts';
import { readGolden, scriptOf } from './golden.ts';
import { runOurs } from './ours.ts';
import { type Branch, type Node, nodeText, REASONS, RESTARTS, type Reason, STRATEGIES, stepText } from './script.ts';
import { generateScript } from './script-generator.ts';

const test = suite('OTP oracle');
const golden = readGolden();
const SHOWN = 3;

test('every golden script runs on our supervisors as it ran on Erlang’s', async () => {
  const different: string[] = [];
  for (const script of golden) {
    const ours = await runOurs(scriptOf(script)).catch((error: unknown) => [String(error)]);
    const at = script.lines.findIndex((line, i) => line !== ours[i]);
    if (at < 0 && ours.length === script.lines.length) continue;
    const before = script.lines.slice(0, Math.max(0, at));
    different.push(
      [`seed ${script.seed}:`, ...before, `Erlang: ${script.lines[at]}`, `ours:   ${ours[at] ?? ours[0]}`].join('\n'),
    );
  }
  const shown = different.slice(0, SHOWN).join('\n\n');
  assert.is(
    different.length,
    0,
    `${different.length} of ${golden.length} scripts differ\n\n${shown}\n\nall: ${different.map(d => d.split(':')[0]).join(', ')}`,
  );
});

test('the golden scripts are those that their seeds make', () => {
  assert.ok(golden.length >= 1_000, `${golden.length} scripts`);
  for (const script of golden) {
    const { tree, steps } = generateScript(script.seed);
    const kept = scriptOf(script);
    assert.equal([nodeText(kept.tree), ...kept.steps.map(stepText)], [nodeText(tree), ...steps.map(stepText)]);
  }
});

/** What a supervisor did about a child that ended alone, by the words that follow its end. */
function reactionsTo(id: string, words: readonly string[], supervisor: string): string[] {
  const [, next = ''] = words;
  if (next === '' || next.startsWith(`${supervisor}[`)) return ['left'];
  const isBack = words.includes(`+${id}`);
  return [
    ...(isBack ? ['restarted'] : []),
    ...(words.includes(`!${id}`) ? ['failed to restart'] : []),
    ...(!isBack && words.includes(`-${supervisor}:shutdown`) ? ['gave up'] : []),
  ];
}

test('they cover every strategy, restart type, exit reason and what a supervisor does about it', () => {
  const seen = new Map<string, number>();
  const see = (cell: string): void => void seen.set(cell, (seen.get(cell) ?? 0) + 1);
  for (const script of golden) {
    const { tree, steps } = scriptOf(script);
    const team = new Map<
      string,
      { readonly strategy: Strategy; readonly supervisor: string; readonly restart: RestartType }
    >();
    const templates = new Map<string, Branch>();
    const know = (node: Node, above: Branch | null): void => {
      if (above !== null) team.set(node.id, { strategy: above.strategy, supervisor: above.id, restart: node.restart });
      if (node.kind === 'worker') return;
      templates.set(node.id, node);
      for (const child of node.children) know(child, node);
    };
    know(tree, null);
    // Of calls that waited they come later.
    const answers = new Map(
      script.lines.flatMap(line =>
        [...line.matchAll(/ =(\d+):(\S+)/g)].map(([, step, result = '']) => [Number(step), result]),
      ),
    );
    for (const [i, step] of steps.entries()) {
      const words = (script.lines[i + 1] ?? '').slice(stepText(step).length + 3).split(' ');
      const at = 'at' in step ? templates.get(step.at) : undefined;
      if (step.kind === 'start' && at !== undefined) {
        const { child } = step;
        if (typeof child !== 'string') know(child, at);
        else if (at.template !== null) know({ kind: 'worker', id: child, ...at.template }, at);
      }
      const answer = answers.get(i + 1);
      if (at !== undefined && answer !== undefined && step.kind !== 'count')
        see(`${step.kind} ${at.template === null ? 'of many kinds' : 'of one kind'}: ${answer}`);
      const [exit] = step.kind === 'exit' && step.exits.length === 1 ? step.exits : [];
      const member = exit === undefined ? undefined : team.get(exit.id);
      if (exit !== undefined && member !== undefined && words[0]?.startsWith(`-${exit.id}:`) === true)
        for (const reaction of reactionsTo(exit.id, words, member.supervisor))
          see(`${member.strategy} ${member.restart} ${exit.reason}: ${reaction}`);
    }
  }
  const quiet = (reason: Reason): boolean => ['normal', 'shutdown', '{shutdown}'].includes(reason);
  const expected = STRATEGIES.flatMap(strategy =>
    RESTARTS.flatMap(restart =>
      REASONS.flatMap(reason =>
        (restart === 'temporary' || (restart === 'transient' && quiet(reason))
          ? ['left']
          : ['restarted', 'failed to restart', 'gave up']
        ).map(reaction => `${strategy} ${restart} ${reason}: ${reaction}`),
      ),
    ),
  );
  const expectedAnswers = {
    start: ['ok', 'error', 'already_started', 'already_present', 'gone'],
    restart: ['ok', 'error', 'running', 'restarting', 'not_found'],
    delete: ['ok', 'running', 'restarting', 'not_found'],
    terminate: ['ok'],
  };
  for (const [call, results] of Object.entries(expectedAnswers))
    expected.push(...results.map(result => `${call} of many kinds: ${result}`));
  expected.push('start of one kind: ok', 'start of one kind: error', 'terminate of one kind: ok');
  assert.equal(
    expected.filter(cell => !seen.has(cell)),
    [],
    'these cells are empty',
  );
});

test.run();
