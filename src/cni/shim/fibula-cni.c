/*
 * The CNI plugin as container runtimes execute it: passes its CNI_* environment and standard input to the agent's socket and
 * prints the answer. A static C program because it needs nothing on the host and takes a millisecond where Node takes thirty;
 * plugin.ts is its equal, and one suite tests both. frame.ts says how requests and responses look.
 *
 * Without an agent it answers VERSION and a missing CNI_COMMAND itself, and everything else, DEL too, with the CNI error 11
 * (try again later) when the socket has not come up for 30 seconds.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef DEFAULT_SOCKET
#define DEFAULT_SOCKET "/run/fibula/cni.sock"
#endif
#define SUPPORTED_VERSIONS "[\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]"
#define LATEST_VERSION "1.1.0"

enum {
    CODE_ENVIRONMENT = 4,
    CODE_IO = 5,
    CODE_UNDECODABLE = 6,
    CODE_TRY_LATER = 11,
    MAX_REQUEST = 1024 * 1024, /* behind the length, as the agent accepts */
    MAX_RESPONSE = 4 * 1024 * 1024,
    CONNECT_DEADLINE_MS = 30000,
    CONNECT_EVERY_MS = 50,
    ANSWER_DEADLINE_S = 120,
};

extern char **environ;

static unsigned char request[4 + MAX_REQUEST];
static char response[MAX_RESPONSE];
static char version[33] = LATEST_VERSION;

static int write_all(int fd, const char *from, size_t length)
{
    while (length > 0) {
        ssize_t done = write(fd, from, length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return -1;
        from += done;
        length -= (size_t)done;
    }
    return 0;
}

/* Reads to the end of the stream, or of the line if `is_line`; -1 with errno set, EMSGSIZE if there is more than `size`. */
static ssize_t read_all(int fd, char *to, size_t size, int is_line)
{
    size_t length = 0;
    while (!is_line || length == 0 || to[length - 1] != '\n') {
        char beyond;
        ssize_t got = length < size ? read(fd, to + length, size - length) : read(fd, &beyond, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -1 : (ssize_t)length;
        if (length == size) {
            errno = EMSGSIZE;
            return -1;
        }
        length += (size_t)got;
    }
    return (ssize_t)length;
}

/* Prints a CNI error object and ends. The parts of the message are put together and escaped. */
static _Noreturn void fail(int code, const char *what, const char *where, const char *why)
{
    char text[1024];
    const char *parts[] = {what, where, why};
    int length = snprintf(text, sizeof text, "{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"", version, code);
    size_t at = length < 0 ? 0 : (size_t)length;
    for (size_t part = 0; part < 3; part++)
        for (const char *from = parts[part]; *from != '\0' && at < sizeof text - 8; from++) {
            if (*from == '"' || *from == '\\')
                text[at++] = '\\';
            text[at++] = (unsigned char)*from < 0x20 ? ' ' : *from;
        }
    memcpy(text + at, "\"}\n", 3);
    write_all(STDOUT_FILENO, text, at + 3);
    exit(1);
}

static size_t skip_space(const char *json, size_t length, size_t at)
{
    while (at < length && (json[at] == ' ' || (json[at] >= '\t' && json[at] <= '\r')))
        at++;
    return at;
}

/*
 * Looks for a text member of the outermost object. 1: found and copied; 0: not there, or too long for `value`; -1: the text does not
 * have the shape of one JSON object. A full check is the agent's; this one follows strings, braces and brackets.
 */
static int member(const char *json, size_t length, const char *key, char *value, size_t size)
{
    char text[128];
    int depth = 0, found = 0, is_wanted = 0;
    size_t at = skip_space(json, length, 0);
    if (at == length || json[at] != '{')
        return -1;
    for (; at < length; at++) {
        char here = json[at];
        if (here == '{' || here == '[') {
            depth++;
        } else if (here == '}' || here == ']') {
            if (--depth == 0)
                return here == '}' && skip_space(json, length, at + 1) == length ? found : -1;
        } else if (here == ',') {
            is_wanted = depth == 1 ? 0 : is_wanted;
        } else if (here == '"') {
            size_t copied = 0;
            int fits = 1;
            for (at++; at < length && json[at] != '"'; at++) {
                if (json[at] == '\\' && (++at == length || json[at] == 'u'))
                    fits = 0;
                if (copied + 1 < sizeof text && at < length)
                    text[copied++] = json[at];
                else
                    fits = 0;
            }
            if (at >= length)
                return -1;
            text[copied] = '\0';
            if (depth != 1)
                continue;
            size_t next = skip_space(json, length, at + 1);
            if (next < length && json[next] == ':') {
                is_wanted = fits && strcmp(text, key) == 0;
            } else if (is_wanted) {
                found = fits && copied > 0 && copied < size;
                if (found)
                    memcpy(value, text, copied + 1);
                is_wanted = 0;
            }
        }
    }
    return -1;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A connection to the agent; waits for its socket while that is missing or nobody listens. */
static int connect_to_agent(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        fail(CODE_IO, "agent socket ", path, ": longer than a socket's path can be; choose a shorter one");
    strcpy(address.sun_path, path);
    const struct timeval send_limit = {.tv_sec = CONNECT_DEADLINE_MS / 1000}, receive_limit = {.tv_sec = ANSWER_DEADLINE_S};
    const struct timespec pause = {.tv_nsec = CONNECT_EVERY_MS * 1000000L};
    const int64_t until = now_ms() + CONNECT_DEADLINE_MS;
    for (;;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            fail(CODE_IO, "cannot make a socket: ", strerror(errno), "");
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send_limit, sizeof send_limit);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &receive_limit, sizeof receive_limit);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
            return fd;
        int reason = errno;
        close(fd);
        if (reason != ENOENT && reason != ECONNREFUSED && reason != EAGAIN && reason != EINTR)
            fail(CODE_IO, "agent socket ", path, strerror(reason));
        if (now_ms() >= until)
            fail(CODE_TRY_LATER, "the agent does not answer on ", path, ": is its pod running on this node?");
        nanosleep(&pause, NULL);
    }
}

/* Writes the CNI_* variables of the environment, each ended by a NUL, and one more NUL; 0 if they do not fit. */
static size_t put_variables(unsigned char *to, size_t size)
{
    size_t length = 0;
    for (char **each = environ; *each != NULL; each++) {
        size_t octets = strlen(*each) + 1;
        if (strncmp(*each, "CNI_", 4) != 0)
            continue;
        if (length + octets + 1 > size)
            return 0;
        memcpy(to + length, *each, octets);
        length += octets;
    }
    to[length] = '\0';
    return length + 1;
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const char *command = getenv("CNI_COMMAND");
    size_t head = put_variables(request + 4, MAX_REQUEST);
    if (head == 0)
        fail(CODE_IO, "the environment is larger than 1 MiB", "", "");
    char *input = (char *)request + 4 + head;
    ssize_t length = read_all(STDIN_FILENO, input, MAX_REQUEST - head, 0);
    if (length < 0)
        fail(CODE_IO, "cannot read standard input: ", strerror(errno), "");

    char asked[sizeof version], configured[sizeof((struct sockaddr_un *)0)->sun_path];
    int shape = member(input, (size_t)length, "cniVersion", asked, sizeof asked);
    if (shape == 1 && strspn(asked, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+-") == strlen(asked))
        strcpy(version, asked);
    if (command == NULL || *command == '\0')
        fail(CODE_ENVIRONMENT, "CNI_COMMAND is missing: it must be one of ADD, DEL, CHECK, STATUS, GC, VERSION", "", "");
    if (strcmp(command, "VERSION") == 0) {
        if (shape < 0 && skip_space(input, (size_t)length, 0) != (size_t)length)
            fail(CODE_UNDECODABLE, "standard input is not a JSON object: it must be the network configuration", "", "");
        int octets = snprintf(response, sizeof response, "{\"cniVersion\":\"%s\",\"supportedVersions\":%s}\n", version, SUPPORTED_VERSIONS);
        return octets < 0 || write_all(STDOUT_FILENO, response, (size_t)octets) < 0;
    }

    const char *socket_path = getenv("FIBULA_CNI_SOCKET");
    if (socket_path == NULL)
        socket_path = member(input, (size_t)length, "socket", configured, sizeof configured) == 1 ? configured : DEFAULT_SOCKET;
    size_t total = head + (size_t)length;
    for (int octet = 0; octet < 4; octet++)
        request[octet] = (unsigned char)(total >> (24 - 8 * octet));
    int fd = connect_to_agent(socket_path);
    for (size_t sent = 0; sent < 4 + total;) {
        ssize_t done = send(fd, request + sent, 4 + total - sent, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            fail(CODE_TRY_LATER, "agent socket ", socket_path, ": the agent closed the connection");
        sent += (size_t)done;
    }
    ssize_t answered = read_all(fd, response, sizeof response, 1);
    if (answered < 0)
        fail(CODE_TRY_LATER, "the agent has not answered: ", strerror(errno), "");
    if (answered == 0 || (answered > 1 && response[answered - 1] != '\n'))
        fail(CODE_TRY_LATER, "agent socket ", socket_path, ": the agent ended before it had answered");
    if (write_all(STDOUT_FILENO, response + 1, (size_t)answered - 1) < 0)
        return 1;
    return response[0] == 0 ? 0 : 1;
}
