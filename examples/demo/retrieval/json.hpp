// The little JSON that this service needs: one flat object of strings per line in, text out.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

namespace demo {

inline void append_utf8(std::string &out, std::uint32_t code)
{
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xC0 | (code >> 6));
        out += static_cast<char>(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        out += static_cast<char>(0xE0 | (code >> 12));
        out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (code & 0x3F));
    } else {
        out += static_cast<char>(0xF0 | (code >> 18));
        out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
        out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (code & 0x3F));
    }
}

class FlatObjectReader {
public:
    explicit FlatObjectReader(std::string_view text) : text_(text)
    {
    }

    std::map<std::string, std::string> read()
    {
        std::map<std::string, std::string> fields;
        expect('{');
        if (!accept('}')) {
            do {
                std::string key = read_string();
                expect(':');
                fields[key] = read_string();
            } while (accept(','));
            expect('}');
        }
        return fields;
    }

private:
    char next()
    {
        if (at_ == text_.size())
            throw std::runtime_error("JSON ends too early");
        return text_[at_++];
    }

    void skip_space()
    {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t'))
            ++at_;
    }

    bool accept(char wanted)
    {
        skip_space();
        if (at_ == text_.size() || text_[at_] != wanted)
            return false;
        ++at_;
        return true;
    }

    void expect(char wanted)
    {
        if (!accept(wanted))
            throw std::runtime_error(std::string("JSON: expected ") + wanted + " at byte " +
                                     std::to_string(at_));
    }

    std::string read_string()
    {
        expect('"');
        std::string value;
        for (char c = next(); c != '"'; c = next()) {
            if (c != '\\') {
                value += c;
                continue;
            }
            switch (char escape = next()) {
            case 'n':
                value += '\n';
                break;
            case 't':
                value += '\t';
                break;
            case 'r':
                value += '\r';
                break;
            case 'b':
                value += '\b';
                break;
            case 'f':
                value += '\f';
                break;
            case 'u':
                append_utf8(value, read_code_point());
                break;
            default:
                value += escape;
            }
        }
        return value;
    }

    std::uint32_t read_code_point()
    {
        std::uint32_t code = read_hex4();
        if (code >= 0xD800 && code < 0xDC00 && next() == '\\' && next() == 'u')
            code = 0x10000 + ((code - 0xD800) << 10) + (read_hex4() - 0xDC00);
        return code;
    }

    std::uint32_t read_hex4()
    {
        std::string digits;
        for (int i = 0; i < 4; ++i)
            digits += next();
        return static_cast<std::uint32_t>(std::stoul(digits, nullptr, 16));
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

inline std::string quoted(std::string_view text)
{
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            char escape[7];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
            out += escape;
        } else {
            out += c;
        }
    }
    return out + '"';
}

// A JSON array of what `item` makes of each element.
template <typename Range, typename Item> std::string array(const Range &range, Item item)
{
    std::string out = "[";
    for (const auto &element : range) {
        if (out.size() > 1)
            out += ", ";
        out += item(element);
    }
    return out + "]";
}

} // namespace demo
