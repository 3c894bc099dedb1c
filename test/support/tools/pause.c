// Holds the namespaces of a pod, or of a node of the test cluster, open and reaps what is left to it. Static: its image holds nothing else.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_signal(int number) {
  (void)number;
  _exit(0);
}

static void on_child(int number) {
  (void)number;
  while (waitpid(-1, 0, WNOHANG) > 0) {
  }
}

int main(void) {
  // As pid 1 of its namespace it gets no default actions.
  signal(SIGTERM, on_signal);
  signal(SIGINT, on_signal);
  signal(SIGCHLD, on_child);
  for (;;) pause();
}
