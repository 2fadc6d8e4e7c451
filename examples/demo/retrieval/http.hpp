// A minimal HTTP/1.1 server on the loopback interface: GET requests, one after another.
#pragma once

#include <algorithm>
#include <arpa/inet.h>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <map>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace demo {

struct Request {
    std::string method;
    std::string path;
    std::map<std::string, std::string> query;
    std::map<std::string, std::string> headers; // names in lower case
};

struct Response {
    int status;
    std::string body; // JSON
};

inline bool is_hex(char c)
{
    return std::isxdigit(static_cast<unsigned char>(c)) != 0;
}

inline std::string url_decode(std::string_view text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size() && is_hex(text[i + 1]) && is_hex(text[i + 2])) {
            out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
            i += 2;
        } else {
            out += text[i] == '+' ? ' ' : text[i];
        }
    }
    return out;
}

inline std::map<std::string, std::string> parse_query(std::string_view text)
{
    std::map<std::string, std::string> fields;
    while (!text.empty()) {
        const std::string_view pair = text.substr(0, text.find('&'));
        text.remove_prefix(std::min(text.size(), pair.size() + 1));
        const std::size_t equals = pair.find('=');
        if (equals != std::string_view::npos)
            fields[url_decode(pair.substr(0, equals))] = url_decode(pair.substr(equals + 1));
    }
    return fields;
}

// Throws std::runtime_error on anything that is not a request head.
inline Request parse_head(const std::string &head)
{
    Request request;
    const std::size_t line_end = head.find("\r\n");
    const std::string line = head.substr(0, line_end);
    const std::size_t first = line.find(' ');
    const std::size_t second = line.find(' ', first + 1);
    if (first == std::string::npos || second == std::string::npos)
        throw std::runtime_error("malformed request line");
    request.method = line.substr(0, first);
    const std::string target = line.substr(first + 1, second - first - 1);
    const std::size_t question = target.find('?');
    request.path = target.substr(0, question);
    if (question != std::string::npos)
        request.query = parse_query(std::string_view(target).substr(question + 1));
    for (std::size_t at = line_end + 2; at < head.size();) {
        const std::size_t end = std::min(head.find("\r\n", at), head.size());
        const std::size_t colon = head.find(':', at);
        if (colon < end) {
            std::string name = head.substr(at, colon - at);
            for (char &c : name)
                c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
            const std::size_t value = head.find_first_not_of(" \t", colon + 1);
            request.headers[name] = value < end ? head.substr(value, end - value) : "";
        }
        at = end + 2;
    }
    return request;
}

class HttpServer {
public:
    // Port 0 takes any free port. From here on SIGTERM and SIGINT end serve().
    explicit HttpServer(int port)
    {
        if (::pipe(stop_pipe_) != 0)
            fail("pipe");
        std::signal(SIGTERM, request_stop);
        std::signal(SIGINT, request_stop);
        std::signal(SIGPIPE, SIG_IGN);
        listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int on = 1;
        ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto *generic = reinterpret_cast<sockaddr *>(&address);
        if (listener_ < 0 || ::bind(listener_, generic, size) != 0 ||
            ::listen(listener_, 64) != 0 || ::getsockname(listener_, generic, &size) != 0)
            fail("cannot listen on port " + std::to_string(port));
        port_ = ntohs(address.sin_port);
    }

    HttpServer(const HttpServer &) = delete;
    HttpServer &operator=(const HttpServer &) = delete;

    ~HttpServer()
    {
        ::close(listener_);
    }

    int port() const
    {
        return port_;
    }

    template <typename Handler> void serve(Handler handle)
    {
        for (;;) {
            pollfd waiting[2] = {{listener_, POLLIN, 0}, {stop_pipe_[0], POLLIN, 0}};
            if (::poll(waiting, 2, -1) < 0 && errno != EINTR)
                fail("poll");
            if (waiting[1].revents != 0)
                return;
            if ((waiting[0].revents & POLLIN) == 0)
                continue;
            const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (connection < 0)
                continue;
            answer(connection, handle);
            ::close(connection);
        }
    }

private:
    static constexpr std::size_t max_head_bytes = 64 * 1024;
    static inline int stop_pipe_[2] = {-1, -1};

    [[noreturn]] static void fail(const std::string &what)
    {
        throw std::runtime_error(what + ": " + std::strerror(errno));
    }

    static void request_stop(int)
    {
        const char byte = 0;
        if (::write(stop_pipe_[1], &byte, 1) != 1)
            ::_exit(1);
    }

    template <typename Handler> static Response respond(const std::string &head, Handler &handle)
    {
        Request request;
        try {
            request = parse_head(head);
        } catch (const std::runtime_error &) {
            return {400, "{\"error\": \"malformed request\"}"};
        }
        return handle(request);
    }

    template <typename Handler> static void answer(int connection, Handler &handle)
    {
        const timeval patience{2, 0}; // a silent client must not hold up the others for long
        ::setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        ::setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        std::string head;
        char buffer[4096];
        while (head.find("\r\n\r\n") == std::string::npos) {
            const ssize_t received = ::recv(connection, buffer, sizeof buffer, 0);
            if (received <= 0 || head.size() > max_head_bytes)
                return;
            head.append(buffer, static_cast<std::size_t>(received));
        }
        const Response response = respond(head.substr(0, head.find("\r\n\r\n")), handle);
        const std::string reply = "HTTP/1.1 " + std::to_string(response.status) +
                                  (response.status == 200 ? " OK" : " Error") +
                                  "\r\nContent-Type: application/json\r\nConnection: close\r\n"
                                  "Content-Length: " +
                                  std::to_string(response.body.size()) + "\r\n\r\n" + response.body;
        for (std::size_t sent = 0; sent < reply.size();) {
            const ssize_t count = ::send(connection, reply.data() + sent, reply.size() - sent, 0);
            if (count <= 0)
                return;
            sent += static_cast<std::size_t>(count);
        }
    }

    int listener_ = -1;
    int port_ = 0;
};

} // namespace demo
