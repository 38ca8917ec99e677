/** What actors tell of themselves for whoever watches. Telling costs an addition; nothing waits for it and nothing can fail. */
import type { Measured, Stage } from '../../domain/stage.ts';

/** One passage through a stage. */
export type Took = (stage: Stage, ms: number) => void;

export interface NodeTelemetry {
  /** What a runner process has counted since it last told. */
  absorb(measured: Measured): void;
  /** An attempt has ended here: `normal`, `shutdown`, `killed`, `fenced`, or the code of its error. */
  ended(how: string): void;
}

export interface HttpTelemetry {
  /** @param route its pattern, never the path itself; null where there is none */
  answered(route: string | null, method: string, status: number, ms: number): void;
}

/** Prometheus text. */
export interface MetricsText {
  readonly contentType: string;
  /** @param scope the live nodes of the cluster, or this one alone */
  text(scope: 'cluster' | 'node'): Promise<string>;
}
