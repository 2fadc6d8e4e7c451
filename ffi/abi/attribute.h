/** A named text. */
static inline mlflow_attribute_t mlflow_attribute_str(mlflow_str_t key, mlflow_str_t value)
{
    mlflow_attribute_t attribute;
    attribute.key = key;
    attribute.kind = MLFLOW_ATTRIBUTE_STR;
    attribute.reserved = 0;
    attribute.data.text = value;
    return attribute;
}

/** A named whole number. */
static inline mlflow_attribute_t mlflow_attribute_i64(mlflow_str_t key, int64_t value)
{
    mlflow_attribute_t attribute;
    attribute.key = key;
    attribute.kind = MLFLOW_ATTRIBUTE_I64;
    attribute.reserved = 0;
    attribute.data.integer = value;
    return attribute;
}

/** A named number. */
static inline mlflow_attribute_t mlflow_attribute_f64(mlflow_str_t key, double value)
{
    mlflow_attribute_t attribute;
    attribute.key = key;
    attribute.kind = MLFLOW_ATTRIBUTE_F64;
    attribute.reserved = 0;
    attribute.data.number = value;
    return attribute;
}

/** A named truth value: 0 is false, anything else true. */
static inline mlflow_attribute_t mlflow_attribute_bool(mlflow_str_t key, int32_t value)
{
    mlflow_attribute_t attribute = mlflow_attribute_i64(key, value != 0);
    attribute.kind = MLFLOW_ATTRIBUTE_BOOL;
    return attribute;
}

/** A named JSON value, given as text; text that is not JSON is kept as plain text. */
static inline mlflow_attribute_t mlflow_attribute_json(mlflow_str_t key, mlflow_str_t json)
{
    mlflow_attribute_t attribute = mlflow_attribute_str(key, json);
    attribute.kind = MLFLOW_ATTRIBUTE_JSON;
    return attribute;
}
