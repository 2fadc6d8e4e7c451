// Records one trace. Without MLFLOW_TRACKING_URI it is written to ./mlflow-traces.
//
//     c++ -std=c++17 quickstart.cpp -lmlflow_trace
//     MLFLOW_TRACKING_URI=http://127.0.0.1:5000 ./a.out

#include <iostream>
#include <mlflow_trace.hpp>

int main()
{
    mlflow::Tracer tracer(mlflow::Config::from_env());
    if (!tracer) {
        std::cerr << tracer.error().message << '\n';
    }
    {
        mlflow::Span answer = tracer.start_span("answer", "AGENT");
        answer.set_inputs({{"question", "What is tracing?"}});
        const int found = mlflow::traced(answer, "search", [](mlflow::Span &search) {
            search.set_type("RETRIEVER").set_attribute("found", 3);
            return 3; // an exception here would be recorded and go on
        });
        answer.set_outputs({{"text", "Seeing what a program did."}, {"sources", found}});
    }
    return tracer.shutdown() == 0 && tracer ? 0 : 1;
}
