/** Options that ask for nothing: mlflow_span_options_t options = MLFLOW_SPAN_OPTIONS_INIT; */
#define MLFLOW_SPAN_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(mlflow_span_options_t), {NULL, 0}, {0}, {NULL, 0}, {NULL, 0}, 0, NULL, 0, 0, 0, 0   \
    }
