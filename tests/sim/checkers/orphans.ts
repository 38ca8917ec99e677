/** No runner is left when everything is done, and none outlives its node. */
import type { Evidence } from '../history.ts';

export const aliveAfterwards = ({ ending }: Evidence): readonly string[] =>
  ending.converged ? ending.alive.map(process => `${process} still runs`) : [];
