/** An exception that nobody expected is a defect, whatever came of it. */
import type { Evidence } from '../history.ts';

export const defects = ({ ending }: Evidence): readonly string[] => ending.defects;
