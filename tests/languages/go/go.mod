module mlflow-trace/tests/languages

go 1.19
