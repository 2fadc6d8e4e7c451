/** A group that traces belong to. */
export interface Experiment {
  /** Its id, decimal digits. */
  readonly experimentId: string;
  /** Its name. */
  readonly name: string;
  /** Where the files of its traces are kept. */
  readonly artifactLocation: string | undefined;
  /** `active` or `deleted`. */
  readonly lifecycleStage: string | undefined;
  /** What was said about it. */
  readonly tags: Readonly<Record<string, string>>;
  /** Milliseconds since the Unix epoch. */
  readonly creationTime: number | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly lastUpdateTime: number | undefined;
}

/** An experiment as the engine writes it. @internal */
export interface ExperimentJson {
  experiment_id: string;
  name: string;
  artifact_location?: string;
  lifecycle_stage?: string;
  tags?: Record<string, string>;
  creation_time?: number;
  last_update_time?: number;
}

/** Reads what the engine writes. @internal */
export function experimentFromJson(json: ExperimentJson): Experiment {
  return {
    experimentId: json.experiment_id,
    name: json.name,
    artifactLocation: json.artifact_location,
    lifecycleStage: json.lifecycle_stage,
    tags: { ...json.tags },
    creationTime: json.creation_time,
    lastUpdateTime: json.last_update_time,
  };
}
