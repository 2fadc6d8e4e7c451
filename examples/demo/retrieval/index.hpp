// An inverted index over a file of passages, ranked by Okapi BM25.
#pragma once

#include "json.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <fstream>
#include <set>
#include <unordered_map>
#include <vector>

namespace demo {

struct Passage {
    std::string id;
    std::string title;
    std::string text;
};

struct Hit {
    std::uint32_t document;
    double score;
};

inline Passage parse_passage(std::string_view line)
{
    auto fields = FlatObjectReader(line).read();
    return {fields.at("id"), fields.at("title"), fields.at("text")};
}

// Harman's S-stemmer: the plural endings that are safe to drop.
inline std::string stem(std::string word)
{
    auto ends = [&word](std::string_view ending) {
        return word.size() >= ending.size() &&
               word.compare(word.size() - ending.size(), ending.size(), ending) == 0;
    };
    if (word.size() < 4)
        return word;
    if (ends("ies") && !ends("eies") && !ends("aies"))
        return word.substr(0, word.size() - 3) + "y";
    if (ends("s") && !ends("us") && !ends("ss") && !ends("is"))
        word.pop_back();
    return word;
}

inline bool is_stop_word(const std::string &word)
{
    static const std::set<std::string> words = {
        "a",    "about", "an",    "and",   "are",   "as",    "at",   "be",   "but",  "by",   "can",
        "did",  "do",    "does",  "for",   "from",  "had",   "has",  "have", "how",  "in",   "is",
        "it",   "its",   "made",  "of",    "on",    "or",    "s",    "so",   "than", "that", "the",
        "them", "their", "then",  "there", "these", "they",  "this", "to",   "was",  "were", "what",
        "when", "where", "which", "while", "who",   "whose", "why",  "will", "with", "you"};
    return words.count(word) != 0;
}

// Lower-cased stems without stop words. Bytes of non-ASCII letters count as letters.
inline std::vector<std::string> tokenise(std::string_view text)
{
    std::vector<std::string> tokens;
    std::string word;
    auto finish = [&] {
        if (!word.empty() && !is_stop_word(word))
            tokens.push_back(stem(word));
        word.clear();
    };
    for (char c : text) {
        auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x80 || std::isalnum(byte))
            word += byte < 0x80 ? static_cast<char>(std::tolower(byte)) : c;
        else
            finish();
    }
    finish();
    return tokens;
}

// Holds postings only; passages are read back from the file when they are wanted.
class PassageIndex {
public:
    explicit PassageIndex(const std::string &path) : path_(path)
    {
        std::ifstream file(path, std::ios::binary);
        if (!file)
            throw std::runtime_error("cannot open " + path);
        std::string line;
        for (std::streamoff offset = 0; std::getline(file, line); offset = file.tellg()) {
            if (!line.empty())
                add(offset, parse_passage(line));
            if (file.eof())
                break;
        }
        if (offsets_.empty())
            throw std::runtime_error("no passages in " + path);
    }

    std::size_t size() const
    {
        return offsets_.size();
    }

    // The best `limit` documents; equal scores in the order of the file.
    std::vector<Hit> search(const std::vector<std::string> &tokens, std::size_t limit) const
    {
        constexpr double k1 = 1.2;
        constexpr double b = 0.75;
        const double documents = static_cast<double>(size());
        const double mean_length = static_cast<double>(total_length_) / documents;
        std::unordered_map<std::uint32_t, double> scores;
        for (const std::string &token : std::set<std::string>(tokens.begin(), tokens.end())) {
            auto found = postings_.find(token);
            if (found == postings_.end())
                continue;
            const double containing = static_cast<double>(found->second.size());
            const double rarity =
                std::log(1.0 + (documents - containing + 0.5) / (containing + 0.5));
            for (const auto &[document, count] : found->second) {
                const double length = lengths_[document] / mean_length;
                scores[document] +=
                    rarity * count * (k1 + 1.0) / (count + k1 * (1.0 - b + b * length));
            }
        }
        std::vector<Hit> hits;
        for (const auto &[document, score] : scores)
            hits.push_back({document, score});
        std::sort(hits.begin(), hits.end(), [](const Hit &left, const Hit &right) {
            return left.score != right.score ? left.score > right.score
                                             : left.document < right.document;
        });
        if (hits.size() > limit)
            hits.resize(limit);
        return hits;
    }

    std::vector<Passage> load(const std::vector<Hit> &hits) const
    {
        std::ifstream file(path_, std::ios::binary);
        std::vector<Passage> passages;
        std::string line;
        for (const Hit &hit : hits) {
            file.seekg(offsets_[hit.document]);
            if (!std::getline(file, line))
                throw std::runtime_error("cannot read " + path_);
            passages.push_back(parse_passage(line));
        }
        return passages;
    }

private:
    void add(std::streamoff offset, const Passage &passage)
    {
        const auto document = static_cast<std::uint32_t>(offsets_.size());
        const auto tokens = tokenise(passage.title + " " + passage.text);
        std::unordered_map<std::string, std::uint32_t> counts;
        for (const std::string &token : tokens)
            ++counts[token];
        for (const auto &[token, count] : counts)
            postings_[token].push_back({document, count});
        offsets_.push_back(offset);
        lengths_.push_back(static_cast<double>(tokens.size()));
        total_length_ += tokens.size();
    }

    std::string path_;
    std::vector<std::streamoff> offsets_;
    std::vector<double> lengths_;
    std::size_t total_length_ = 0;
    std::unordered_map<std::string, std::vector<std::pair<std::uint32_t, std::uint32_t>>> postings_;
};

} // namespace demo
