/**
 * Completion at the shell's prompt.
 *
 * CO1 The scripts know no verb: they ask `troupe complete`, which answers from the very verbs that are run.
 * CO2 Names that a node knows are asked of it; one that does not answer at once is done without.
 */
import type { Option } from 'commander';
import { clientConfig } from '../infra/config.ts';
import { Client } from './client.ts';
import { plain } from './terminal.ts';
import type { Verb } from './verb.ts';

/** At the prompt nobody waits longer; where no node runs, that is known at once. */
const ANSWER_MS = 1_000;
/** What the scripts take for: complete it with files. */
const FILES = ':files';

const BASH = `# bash completion of troupe. To have it in every shell, put into ~/.bashrc: source <(troupe completion bash)
_troupe() {
  local IFS=$'\\n'
  COMPREPLY=($("\${COMP_WORDS[0]}" complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  if [[ \${COMPREPLY[0]} == ${FILES} ]]; then
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
  fi
}
complete -F _troupe troupe`;

const ZSH = `#compdef troupe
# zsh completion of troupe. To have it in every shell, put into ~/.zshrc, after compinit: source <(troupe completion zsh)
_troupe() {
  local -a found
  found=(\${(f)"$("\${words[1]}" complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if [[ \${found[1]} == ${FILES} ]]; then
    _files
  else
    compadd -a found
  fi
}
compdef _troupe troupe`;

const FISH = `# fish completion of troupe. To have it in every shell: troupe completion fish > ~/.config/fish/completions/troupe.fish
function __troupe_complete
  set -l before (commandline -opc)
  set -l current (commandline -ct)
  set -l found ($before[1] complete -- $before[2..-1] "$current" 2>/dev/null)
  if test "$found[1]" = ${FILES}
    __fish_complete_path "$current"
  else
    printf '%s\\n' $found
  end
end
complete -c troupe -f -a '(__troupe_complete)'`;

const SCRIPTS: ReadonlyMap<string, string> = new Map([
  ['bash', BASH],
  ['zsh', ZSH],
  ['fish', FISH],
]);

export const completion: Verb = {
  usage: 'completion <shell>',
  says: 'print the completion script of bash, zsh or fish',
  options: [],
  examples: ['completion bash >> ~/.bashrc', 'completion fish > ~/.config/fish/completions/troupe.fish'],
  async act({ id: shell }) {
    const script = SCRIPTS.get(shell);
    if (script !== undefined) return script;
    process.stderr.write(`troupe: there is no completion for '${plain(shell)}'. Choose bash, zsh or fish.\n`);
    return 2;
  },
};

/** @param verbs all there are, this one among them */
export const completing = (verbs: () => readonly Verb[]): Verb => ({
  usage: 'complete [words...]',
  says: 'what the last of these words may be, a line each: for completion scripts',
  hidden: true,
  options: [],
  examples: ['complete -- ls --st'],
  act: async ({ args }) => {
    const current = args.at(-1) ?? '';
    const found = await candidates(verbs(), args.slice(0, -1), current);
    process.stdout.write(
      found
        .filter(word => word === FILES || word.startsWith(current))
        .map(word => `${word}\n`)
        .join(''),
    );
    return 0;
  },
});

/** CO1 @param before the words between `troupe` and the one that is completed */
async function candidates(
  verbs: readonly Verb[],
  before: readonly string[],
  current: string,
): Promise<readonly string[]> {
  const shown = verbs.filter(({ hidden }) => hidden !== true);
  const words = before.filter(word => word !== '='); // bash splits `--format=csv` there
  const [name] = words;
  const names = shown.map(({ usage }) => usage.split(' ')[0] ?? '');
  if (name === undefined) return current.startsWith('-') ? ['--help', '--version'] : [...names, 'help'];
  if (name === 'help') return names;
  const verb = shown.find(({ usage }) => usage.split(' ')[0] === name);
  if (verb === undefined) return [];
  const wanting = verb.options.find(({ long, required }) => required && long === words.at(-1));
  if (wanting !== undefined) return valuesOf(wanting);
  if (current.startsWith('-')) return [...optionsLeft(verb, words), '--help'];
  const argument = verb.usage.split(' ')[1] ?? '';
  const given = argumentsGiven(verb, words.slice(1));
  return given > 0 ? [] : argumentsOf(argument, verb);
}

async function valuesOf({ long, argChoices, flags }: Option): Promise<readonly string[]> {
  if (argChoices !== undefined) return argChoices;
  if (long === '--placement') return ['least_loaded', 'round_robin', 'hot_model'];
  if (long === '--roles') return ['api', 'orchestrator', 'runner'];
  if (long === '--model')
    return [...(await known(async client => (await client.models()).map(({ name }) => name))), FILES];
  if (long === '--id') return known(scenarioIds);
  return /<(file|dir)/.test(flags) ? [FILES] : [];
}

async function argumentsOf(argument: string, { usage }: Verb): Promise<readonly string[]> {
  if (argument === '<id>') return known(scenarioIds);
  if (argument === '<node>') return known(async client => (await client.nodes()).map(({ id }) => id));
  if (usage === 'completion <shell>') return [...SCRIPTS.keys()];
  return argument === '<video>' || argument === '<file>' ? [FILES] : [];
}

const optionsLeft = ({ options }: Verb, words: readonly string[]): string[] =>
  options.flatMap(({ long }) => (long == null || (words.includes(long) && long !== '--root') ? [] : [long]));

function argumentsGiven({ options }: Verb, words: readonly string[]): number {
  const values = new Set(options.flatMap(({ long, required }) => (required && long != null ? [long] : [])));
  return words.filter((word, i) => !word.startsWith('-') && !values.has(words[i - 1] ?? '')).length;
}

const scenarioIds = async (client: Client): Promise<string[]> => (await client.list()).map(({ id }) => id);

/** CO2 */
async function known(ask: (client: Client) => Promise<string[]>): Promise<string[]> {
  try {
    return await ask(new Client({ ...clientConfig(), signal: AbortSignal.timeout(ANSWER_MS) }));
  } catch {
    return []; // at the prompt a complaint would only stand in the way
  }
}
