/** An `AnyValue` of OTLP in protobuf's JSON, by the names of its fields; without any of them it is null. */
export interface AnyValueJson {
  string_value?: string;
  bool_value?: boolean;
  int_value?: number | string;
  double_value?: number;
  array_value?: { values?: AnyValueJson[] };
  kvlist_value?: { values?: KeyValueJson[] };
  /** Base64. */
  bytes_value?: string;
}

/** A `KeyValue` of OTLP in protobuf's JSON. */
export interface KeyValueJson {
  key: string;
  value?: AnyValueJson;
}

/** The values of a list of attributes. */
export function fromKeyValues(attributes: readonly KeyValueJson[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, fromAnyValue(value ?? {})]));
}

function fromAnyValue(value: AnyValueJson): unknown {
  if (value.array_value !== undefined) return (value.array_value.values ?? []).map(fromAnyValue);
  if (value.kvlist_value !== undefined) return fromKeyValues(value.kvlist_value.values ?? []);
  if (typeof value.int_value === 'string') {
    const int = Number(value.int_value);
    return Number.isSafeInteger(int) ? int : BigInt(value.int_value);
  }
  return (
    value.string_value ??
    value.bool_value ??
    value.int_value ??
    value.double_value ??
    value.bytes_value ??
    null
  );
}
