/** Every runner that was launched has ended by the time that everything was done for a while. */
import type { Evidence } from '../history.ts';

export function orphans({ history, ending }: Evidence): readonly string[] {
  if (!ending.converged) return [];
  const alive = new Set<string>();
  for (const event of history.all) {
    if (event.kind === 'launched') alive.add(event.process);
    if (event.kind === 'died') alive.delete(event.process);
  }
  return [...alive].map(process => `${process} still runs`);
}
