/** The scenario's state machine as it is promised, written down apart from the code that moves along it. */
import type { ScenarioState } from '../../src/domain/scenario.ts';

const NEXT: Readonly<Record<ScenarioState, readonly ScenarioState[]>> = {
  init_startup: ['in_startup_processing', 'init_shutdown', 'in_shutdown_processing'],
  in_startup_processing: ['active', 'init_shutdown', 'in_shutdown_processing'],
  active: ['init_shutdown', 'in_shutdown_processing'],
  init_shutdown: ['in_shutdown_processing'],
  in_shutdown_processing: ['inactive'],
  inactive: ['init_startup'],
};

/** @param from null: the scenario is made */
export const isLegal = (from: ScenarioState | null, to: ScenarioState): boolean =>
  from === null ? to === 'init_startup' || to === 'inactive' : NEXT[from].includes(to);
