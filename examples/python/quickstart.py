# Records one trace. Without MLFLOW_TRACKING_URI it is written to ./mlflow-traces.
#
#     pip install mlflow-trace && MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python quickstart.py

import mlflow_trace as mlflow


@mlflow.trace(span_type="RETRIEVER")
def search(query: str, limit: int = 3) -> list[str]:
    return ["spans", "traces", "context"][:limit]


@mlflow.trace(span_type="AGENT")
def answer(question: str) -> str:
    mlflow.update_current_trace(tags={"example": "quickstart"})
    found = search("tracing")
    with mlflow.start_span("compose") as span:
        span.set_inputs({"question": question, "found": found})
        span.set_attribute("found", len(found))
        text = f"Tracing is made of {', '.join(found)}."
        span.set_outputs(text)
    return text


print(answer("What is tracing?"))
