// An inference loop in the shape of llama.cpp's: tokenize, prefill, decode one token for every
// running sequence at a time, sample, stop. The "model" is a table of which word follows which; the
// tracing is what a real one needs. Each request is a trace of its own: its prompt, its answer, its
// token usage, the time to the first token, and every token as an event.
//
//     c++ -std=c++17 inference.cpp -lmlflow_trace && ./a.out "the cat" "a dog"

#include <chrono>
#include <cstdint>
#include <deque>
#include <iostream>
#include <map>
#include <mlflow_trace.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

using Token = std::int32_t;
using Clock = std::chrono::steady_clock;

constexpr Token end_of_sequence = 0;

// What llama_model and its vocabulary are to llama.cpp.
class Model {
public:
    Model()
    {
        const char *text = "the cat sat on the mat . a dog saw the cat . the dog ran to a tree . "
                           "a cat ran to the mat . the tree fell on a dog .";
        std::istringstream words(text);
        Token last = end_of_sequence;
        for (std::string word; words >> word;) {
            const Token token = word == "." ? end_of_sequence : id(word);
            follows_[last].push_back(token);
            last = token;
        }
    }

    std::vector<Token> tokenize(const std::string &text)
    {
        std::vector<Token> tokens;
        std::istringstream words(text);
        for (std::string word; words >> word;) {
            tokens.push_back(id(word));
        }
        return tokens;
    }

    const std::string &text(Token token) const
    {
        return words_[static_cast<std::size_t>(token)];
    }

    // The candidates for the token after this one, as llama_get_logits would have them.
    const std::vector<Token> &logits(Token last) const
    {
        const auto found = follows_.find(last);
        return found == follows_.end() ? follows_.at(end_of_sequence) : found->second;
    }

private:
    Token id(const std::string &word)
    {
        for (std::size_t i = 0; i < words_.size(); i++) {
            if (words_[i] == word) {
                return static_cast<Token>(i);
            }
        }
        words_.push_back(word);
        return static_cast<Token>(words_.size() - 1);
    }

    std::vector<std::string> words_{"<eos>"};
    std::map<Token, std::vector<Token>> follows_;
};

// A request on its way: what a slot of a llama.cpp server holds.
struct Sequence {
    std::vector<Token> tokens;
    std::size_t prompt_tokens = 0;
    std::string answer;
    const char *stop_reason = nullptr;
    Clock::time_point started = Clock::now();
    // Ended on whatever path the sequence is left.
    mlflow::Span request;
    mlflow::Span decode;
};

class Engine {
public:
    Engine(const mlflow::Tracer &tracer, std::uint32_t seed) : tracer_(tracer), random_(seed)
    {
    }

    void submit(const std::string &prompt)
    {
        Sequence sequence;
        sequence.request = tracer_.start_span("generate", "LLM",
                                              {{"gen_ai.request.model", "word-pairs"},
                                               {"gen_ai.request.max_tokens", most_tokens},
                                               {"gen_ai.request.temperature", 1.0}});
        sequence.request.set_inputs({{"prompt", prompt}});
        const mlflow::Scope scope(sequence.request);
        sequence.tokens =
            mlflow::traced("tokenize", [&](mlflow::Span &) { return model_.tokenize(prompt); });
        mlflow::traced("prefill", [&](mlflow::Span &span) {
            if (sequence.tokens.empty()) {
                sequence.tokens.push_back(
                    end_of_sequence); // there has to be something to go on from
            }
            sequence.prompt_tokens = sequence.tokens.size();
            span.set_attribute("tokens", sequence.prompt_tokens);
        });
        sequence.decode = sequence.request.start_child("decode");
        running_.push_back(std::move(sequence));
    }

    // Continuous batching: every step decodes one token of each sequence that runs.
    void run()
    {
        while (!running_.empty()) {
            for (Sequence &sequence : running_) {
                step(sequence);
            }
            while (!running_.empty() && running_.front().stop_reason != nullptr) {
                finish(running_.front());
                running_.pop_front();
            }
        }
    }

private:
    static constexpr int most_tokens = 12;

    void step(Sequence &sequence)
    {
        if (sequence.stop_reason != nullptr) {
            return;
        }
        const std::vector<Token> &candidates = model_.logits(sequence.tokens.back());
        std::uniform_int_distribution<std::size_t> choice(0, candidates.size() - 1);
        const Token token = candidates[choice(random_)];
        const std::size_t generated = sequence.tokens.size() - sequence.prompt_tokens;
        if (generated == 0) {
            const std::chrono::duration<double> waited = Clock::now() - sequence.started;
            sequence.request.set_attribute("time_to_first_token_s", waited.count());
        }
        // A token costs a fraction of a microsecond to record; where nobody records, not even that.
        if (sequence.decode.is_recording()) {
            sequence.decode.add_event(
                "token", {{"text", model_.text(token)},
                          {"id", token},
                          {"probability", 1.0 / static_cast<double>(candidates.size())}});
        }
        sequence.tokens.push_back(token);
        if (token == end_of_sequence) {
            sequence.stop_reason = "stop";
        } else {
            sequence.answer += (sequence.answer.empty() ? "" : " ") + model_.text(token);
            if (generated + 1 >= most_tokens) {
                sequence.stop_reason = "length";
            }
        }
    }

    static void finish(Sequence &sequence)
    {
        const std::size_t output = sequence.tokens.size() - sequence.prompt_tokens;
        const std::string usage = "{\"input_tokens\": " + std::to_string(sequence.prompt_tokens) +
                                  ", \"output_tokens\": " + std::to_string(output) +
                                  ", \"total_tokens\": " + std::to_string(sequence.tokens.size()) +
                                  "}";
        sequence.decode.end();
        sequence.request.set_attribute("mlflow.chat.tokenUsage", mlflow::json(usage));
        sequence.request.set_attribute("gen_ai.response.finish_reason", sequence.stop_reason);
        sequence.request.set_outputs({{"text", sequence.answer}});
        sequence.request.end();
        std::cout << sequence.answer << '\n';
    }

    const mlflow::Tracer &tracer_;
    Model model_;
    std::mt19937 random_;
    std::deque<Sequence> running_;
};

int main(int count, char **arguments)
{
    mlflow::Tracer tracer(mlflow::Config::from_env());
    if (!tracer) {
        std::cerr << "not traced: " << tracer.error().message << '\n';
    }
    Engine engine(tracer, 7);
    for (int i = 1; i < count; i++) {
        engine.submit(arguments[i]);
    }
    if (count == 1) {
        engine.submit("the cat");
        engine.submit("a dog");
    }
    engine.run();
    return tracer.shutdown() == 0 ? 0 : 1;
}
