// The only program of the test image: a container that stays until it is told to end, and answers TCP. Static, so that the image
// holds nothing else.  pod [PORT]: listens on PORT (IPv4 and IPv6) and tells each connection the address it came from, one line.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_signal(int number) {
  (void)number;
  _exit(0);
}

int main(int argc, char **argv) {
  // As pid 1 of its namespace it gets no default actions.
  signal(SIGTERM, on_signal);
  signal(SIGINT, on_signal);
  signal(SIGPIPE, SIG_IGN);
  if (argc < 2)
    for (;;) pause();
  int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), no = 0;
  struct sockaddr_in6 local = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(argv[1])), .sin6_addr = in6addr_any};
  if (listener < 0 || setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) < 0 ||
      bind(listener, (struct sockaddr *)&local, sizeof local) < 0 || listen(listener, 16) < 0) {
    perror("pod");
    return 1;
  }
  for (;;) {
    struct sockaddr_in6 from;
    socklen_t length = sizeof from;
    int connection = accept(listener, (struct sockaddr *)&from, &length);
    if (connection < 0) continue;
    char text[INET6_ADDRSTRLEN + 1];
    inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof text);
    strcat(text, "\n");
    if (write(connection, text, strlen(text)) < 0) perror("pod");
    close(connection);
  }
}
