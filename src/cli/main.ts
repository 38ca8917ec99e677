/**
 * The `troupe` command: verbs, their options, exit codes.
 *
 * M1 0: done. 1: it failed, and stderr says `troupe: ` what and what to do. 2: it was called wrongly. 130: Ctrl-C.
 * M2 An expected failure shows no stack; a defect does.
 * M3 The process ends when all that it wrote has left it: writes to a pipe are asynchronous.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Command, CommanderError, Option } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { TroupeError, toProblem } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import type { NodeView } from '../domain/node.ts';
import type { ScenarioView } from '../domain/scenario.ts';
import { clientConfig, type Flags, settings } from '../infra/config.ts';
import { Client } from './client.ts';
import { drain, whatIsLeft } from './drain.ts';
import { type Cell, drawTree, json, plain, table } from './terminal.ts';

export async function main(argv: readonly string[]): Promise<void> {
  process.on('SIGINT', () => process.exit(130));
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // `troupe export ID | head`: the reader has seen enough.
    if (error.code === 'EPIPE') process.exit(0);
    process.stderr.write(`troupe: stdout: ${error.message}\n`);
    process.exit(1);
  });
  const code = await outcome(argv);
  // M3
  process.stdout.write('', error => {
    if (!error) process.exit(code);
  });
}

/** M1, M2 */
async function outcome(argv: readonly string[]): Promise<number> {
  let code = 0;
  const end = (exitCode: number): void => {
    code = exitCode;
  };
  try {
    await program(end).parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const known = error instanceof TroupeError;
    const text = known || !(error instanceof Error) ? toProblem(error).message : (error.stack ?? error.message);
    process.stderr.write(`troupe: ${text.split('\n').map(plain).join('\n')}\n`);
    return known && error.code === 'invalid_request' ? 2 : 1;
  }
}

function program(end: (exitCode: number) => void): Command {
  const troupe = new Command('troupe')
    .description('Runs ONNX models over video on any number of machines; never loses, repeats or reorders a result.')
    .version(packageJson.version)
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'troupe: ')) })
    .exitOverride()
    .showHelpAfterError("'troupe --help' and 'troupe VERB --help' say more.")
    .addHelpText('after', ENVIRONMENT);

  troupe
    .command('up')
    .description('run a node')
    .option('--host <host>', 'address to serve HTTP at (127.0.0.1)')
    .option('--port <port>', 'port to serve HTTP at; 0: any free one (8080)')
    .option('--data <dir>', DATA)
    .option('--nats <url>', 'NATS to use (an embedded nats-server with its store under DATA)')
    .option('--creds <file>', 'NATS credentials, with --nats')
    .option('--roles <list>', 'what this node does (api,orchestrator,runner)')
    .option('--node <id>', "this node's name (the machine's)")
    .option('--slots <n>', 'runners it takes at most (twice the cores)')
    .option('--spares <n>', 'idle runner processes kept ready, so that a restart need not wait for one (1)')
    .addOption(repeatable('--root <dir>', 'a folder to read files below, repeatable (the current folder and DATA)'))
    .option('--placement <strategy>', 'which node to ask first: least_loaded, round_robin or hot_model (least_loaded)')
    .option('--token <token>', 'wanted of every request; needed when --host is not loopback')
    .option('--relaxed-sync', 'faster writes that a power failure may lose')
    .option('--replicas <n>', 'copies of everything stored, 1 to 5 (3 where NATS is a cluster, else 1)')
    .addHelpText(
      'after',
      examples(
        'troupe up',
        'troupe up --port 0 --data /tmp/try --root ~/videos',
        'troupe up --nats nats://10.0.0.1:4222 --roles runner',
      ),
    )
    .action(async (_, command: Command) => end(await (await import('./up.ts')).up(flagsOf(command))));

  reaching(troupe.command('run <video>'))
    .description('run a model over a video, to the end, on a running node or an embedded one')
    .option('--model <name|file>', 'a registered model or an .onnx file (shapes)')
    .option('--id <id>', "the scenario's id; one that was stopped goes on (made of the file's name)")
    .option('--every <n>', 'take every n-th frame')
    .option('--fps <f>', 'take at most this many frames a second')
    .option('--from <n>', 'first frame, inclusive')
    .option('--to <n>', 'last frame, inclusive')
    .option('--threshold <x>', 'least score of a detection (0.25)')
    .option('--iou <x>', 'overlap at which the weaker of two detections is dropped (0.45)')
    .option('--classes <a,b>', 'only these classes')
    .option('--segments <k>', 'split the video over this many runners')
    .option('--out <file>', 'where the results go (<video>.predictions.jsonl in the current folder)')
    .option('--json', 'print the scenario as JSON')
    .addHelpText(
      'after',
      examples(
        'troupe run video.mp4',
        'troupe run video.mp4 --model yolox.onnx --every 5 --classes person,car',
        'troupe run video.mp4 --url http://10.0.0.1:8080 --out results.jsonl',
      ),
    )
    .action(async (video: string, _, command: Command) =>
      end(await (await import('./run.ts')).run(video, flagsOf(command))),
    );

  reading(troupe, 'ls', 'list scenarios', ['troupe ls', 'troupe ls --json'], async client => {
    const items = await client.list();
    return [{ items }, table(['ID', 'STATE', 'OUTCOME', 'RUN', 'FRAMES', 'SOURCE'], items.map(row))];
  });
  reading(troupe, 'show <id>', 'show a scenario', ['troupe show cam1'], async (client, id) => {
    const scenario = await client.scenario(id);
    return [scenario, describe(scenario)];
  });
  reading(troupe, 'tree', 'show the supervision tree', ['troupe tree'], async client => {
    const tree = await client.tree();
    return [tree, drawTree(tree)];
  });
  reading(troupe, 'nodes', 'list live nodes', ['troupe nodes'], async client => {
    const items = await client.nodes();
    const rows = items.map(n => [
      n.id,
      n.roles.join(','),
      `${n.running}/${n.slots}`,
      n.pid,
      n.partitions.length,
      n.draining ? 'draining' : 'up',
      n.version,
      n.engine?.decoder ?? null,
    ]);
    return [{ items }, table(['NODE', 'ROLES', 'RUNNERS', 'PID', 'PARTITIONS', 'STATE', 'VERSION', 'DECODER'], rows)];
  });
  reading(troupe, 'models', 'list registered models', ['troupe models'], async client => {
    const items = await client.models();
    const rows = items.map(m => [
      m.name,
      m.family,
      `${m.input.width}x${m.input.height}`,
      m.classes.length,
      m.sha256.slice(0, 12),
    ]);
    return [{ items }, table(['MODEL', 'FAMILY', 'INPUT', 'CLASSES', 'SHA256'], rows)];
  });

  commanding(troupe, 'start <id>', 'start a scenario, or go on where it stopped', async (client, id) =>
    stateOf(await client.start(id)),
  );
  commanding(troupe, 'stop <id>', 'stop a scenario; what was computed stays', async (client, id) => {
    await client.stop(id);
    return stateOf(await client.scenario(id, LIMITS.waitSeconds));
  });
  commanding(troupe, 'rm <id>', 'delete an inactive scenario with its results', async (client, id) => {
    await client.delete(id);
    return `${id} deleted`;
  });

  reaching(troupe.command('drain <node>'))
    .description(
      'move the runners and partitions of a node to others; it takes no more until it is undrained or restarted',
    )
    .option('--undo', 'let it take part again')
    .option('--no-wait', 'return when it was told, not when it is empty')
    .option('--json', 'print the node as JSON')
    .addHelpText('after', examples('troupe drain n2', 'troupe drain n2 --undo'))
    .action(async (node: string, options: { undo?: true; wait: boolean; json?: true }, command: Command) => {
      const view = await drain(clientOf(command), node, { draining: options.undo !== true, wait: options.wait });
      process.stdout.write(`${options.json === true ? json(view) : stateOfNode(view)}\n`);
    });

  reaching(troupe.command('export <id>'))
    .description('write the results to stdout')
    .addOption(new Option('--format <format>', 'their form').choices(['jsonl', 'csv', 'coco']).default('jsonl'))
    .addHelpText('after', examples('troupe export cam1 > cam1.jsonl', "troupe export cam1 | jq -c '.detections[]'"))
    .action(async (id: string, { format }: { format: 'jsonl' | 'csv' | 'coco' }, command: Command) => {
      await pipeline(Readable.from(clientOf(command).export(id, format)), process.stdout, { end: false });
    });

  for (const verb of NOT_YET) {
    troupe
      .command(verb, { hidden: true })
      .allowUnknownOption()
      .allowExcessArguments()
      .action(() => {
        throw new TroupeError(
          'not_supported_yet',
          `not supported yet: 'troupe ${verb}' is not in this version (not_supported_yet)`,
        );
      });
  }
  return troupe;
}

const NOT_YET = ['watch', 'rejected', 'explain', 'verify', 'doctor'];

const DATA = 'folder of the store, the models, endpoint.json ($XDG_DATA_HOME/troupe)';

const ENVIRONMENT = `
Every option is also TROUPE_<OPTION> (--relaxed-sync: TROUPE_RELAXED_SYNC) and a key of troupe.toml in the current
folder. Order: option, environment, troupe.toml, default. Workers per runner and the times of supervision have no option:
TROUPE_WORKERS, TROUPE_HEARTBEAT_MS, TROUPE_LEASE_MS, TROUPE_MISSES, TROUPE_STALL_MS, TROUPE_BACKOFF_FIRST_MS, TROUPE_BACKOFF_MOST_MS,
TROUPE_SHUTDOWN_MS, TROUPE_PLACEMENT_RETRY_MS.

Exit codes: 0 done, 1 failed, 2 called wrongly, 130 interrupted.`;

const examples = (...lines: readonly string[]): string => `\nExamples:\n${lines.map(line => `  $ ${line}`).join('\n')}`;

const repeatable = (flag: string, text: string): Option =>
  new Option(flag, text).argParser((value: string, before: readonly string[] | undefined) => [
    ...(before ?? []),
    value,
  ]);

const reaching = (command: Command): Command =>
  command
    .option('--url <url>', "the node (DATA's, else http://127.0.0.1:8080)")
    .option('--token <token>', "the node's token")
    .option('--data <dir>', DATA);

/** The options that were given, by long name: nothing is defaulted here. */
function flagsOf(command: Command): Flags {
  const given = command.opts<Record<string, Flags[keyof Flags]>>();
  return Object.fromEntries(command.options.map(option => [option.name(), given[option.attributeName()]]));
}

const clientOf = (command: Command): Client => new Client(clientConfig(flagsOf(command)));

/** A verb that shows something: `look` returns it as data and as text. */
function reading(
  troupe: Command,
  usage: string,
  description: string,
  how: readonly string[],
  look: (client: Client, id: string) => Promise<[unknown, string]>,
): void {
  const command = reaching(troupe.command(usage))
    .description(description)
    .option('--json', 'print the answer of the API as JSON')
    .addHelpText('after', examples(...how));
  command.action(async () => {
    const [data, text] = await look(clientOf(command), command.args[0] ?? '');
    process.stdout.write(`${settings(flagsOf(command)).json === true ? json(data) : text}\n`);
  });
}

/** A verb that changes something: `act` returns what came of it. */
function commanding(
  troupe: Command,
  usage: string,
  description: string,
  act: (client: Client, id: string) => Promise<string>,
): void {
  const command = reaching(troupe.command(usage))
    .description(description)
    .addHelpText('after', examples(`troupe ${usage.replace('<id>', 'cam1')}`));
  command.action(async () => {
    process.stdout.write(`${plain(await act(clientOf(command), command.args[0] ?? ''))}\n`);
  });
}

const stateOf = ({ id, state, outcome }: ScenarioView): string =>
  `${id} ${state}${state === 'inactive' && outcome !== null ? ` ${outcome}` : ''}`;

function stateOfNode({ id, draining, running, partitions }: NodeView): string {
  if (!draining) return `${id} takes part`;
  return running === 0 && partitions.length === 0
    ? `${id} is drained: it can be stopped`
    : `${id} is draining: ${whatIsLeft(running, partitions.length)} left`;
}

const frames = ({ progress: { framesDone, framesTotal } }: ScenarioView): string =>
  framesTotal === null ? String(framesDone) : `${framesDone}/${framesTotal}`;

const row = (scenario: ScenarioView): Cell[] => {
  const { id, state, outcome, run, spec } = scenario;
  return [id, state, outcome, run, frames(scenario), spec.source.uri];
};

function describe(scenario: ScenarioView): string {
  const { id, state, outcome, reason, complete, run, spec, model, progress, runners, error, warnings } = scenario;
  const lines: readonly (readonly [string, unknown])[] = [
    ['id', id],
    ['state', state],
    ['outcome', outcome],
    ['reason', reason],
    ['complete', complete],
    ['run', run],
    ['source', spec.source.uri],
    ['model', model?.name ?? spec.model],
    ['frames', frames(scenario)],
    ['fps', progress.fps === null ? null : Math.round(progress.fps)],
    ['error', error === null ? null : `${error.code}: ${error.message}`],
    ...warnings.map(warning => ['warning', warning] as const),
    ...runners.map(
      r =>
        [
          `runner ${r.segment}`,
          `${r.state}, attempt ${r.attempt}, restarts ${r.restarts}, node ${r.node ?? '-'}, pid ${r.pid ?? '-'}`,
        ] as const,
    ),
    ...scenario.history.map(h => [h.at, `${h.to}${h.reason === null ? '' : ` (${h.reason})`}`] as const),
  ];
  const shown = lines
    .filter(([, value]) => value !== null)
    .map(([name, value]) => [name, plain(String(value))] as const);
  const width = Math.max(...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n');
}
