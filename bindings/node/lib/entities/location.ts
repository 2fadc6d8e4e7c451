/** Where a trace is kept. */
export const TraceLocationType = {
  UNSPECIFIED: 'TRACE_LOCATION_TYPE_UNSPECIFIED',
  MLFLOW_EXPERIMENT: 'MLFLOW_EXPERIMENT',
  INFERENCE_TABLE: 'INFERENCE_TABLE',
  UC_TABLE_PREFIX: 'UC_TABLE_PREFIX',
} as const;
/** Where a trace is kept. */
export type TraceLocationType = (typeof TraceLocationType)[keyof typeof TraceLocationType];

/** Tables of Databricks' Unity Catalog that share a prefix. */
export interface UcTablePrefix {
  /** Catalog of the tables. */
  catalogName: string;
  /** Schema of the tables. */
  schemaName: string;
  /** What their names begin with. */
  tablePrefix: string;
}

/** Where a trace is kept; one of the members besides `type` says where exactly. */
export interface TraceLocation {
  /** What kind of place it is. */
  type: TraceLocationType;
  /** The experiment, for `MLFLOW_EXPERIMENT`. */
  mlflowExperiment?: { experimentId: string };
  /** The table, for `INFERENCE_TABLE`. */
  inferenceTable?: { fullTableName: string };
  /** The tables, for `UC_TABLE_PREFIX`. */
  ucTablePrefix?: UcTablePrefix;
}

const UC_ID_PREFIX = 'trace:/';

/** The location of traces in an experiment. */
export function createTraceLocationFromExperimentId(experimentId: string): TraceLocation {
  return { type: TraceLocationType.MLFLOW_EXPERIMENT, mlflowExperiment: { experimentId } };
}

/**
 * The location of traces in tables of Unity Catalog.
 * @throws TypeError when a part is missing.
 */
export function createTraceLocationFromUcTablePrefix(
  catalogName: string,
  schemaName: string,
  tablePrefix: string,
): TraceLocation {
  const ucTablePrefix = { catalogName, schemaName, tablePrefix };
  for (const [name, part] of Object.entries(ucTablePrefix)) {
    if (typeof part !== 'string' || part === '') throw new TypeError(`${name} is missing`);
  }
  return { type: TraceLocationType.UC_TABLE_PREFIX, ucTablePrefix };
}

/** `catalog.schema.prefix` of a location in Unity Catalog; null for others. */
export function getUcLocationString(location: TraceLocation): string | null {
  const uc = location.ucTablePrefix;
  return uc === undefined ? null : `${uc.catalogName}.${uc.schemaName}.${uc.tablePrefix}`;
}

/** The id of a trace in Unity Catalog: `trace:/<location>/<32 hex digits>`. */
export function constructTraceIdV4(location: string, hexTraceId: string): string {
  return `${UC_ID_PREFIX}${location}/${hexTraceId}`;
}

/** Reads `catalog.schema.prefix`, spaces around the parts allowed; null when it is none. */
export function parseUnityCatalogTraceLocation(text: string): UcTablePrefix | null {
  const parts = typeof text === 'string' ? text.split('.').map((part) => part.trim()) : [];
  if (parts.length !== 3 || parts.includes('')) return null;
  const [catalogName, schemaName, tablePrefix] = parts;
  return { catalogName, schemaName, tablePrefix };
}
