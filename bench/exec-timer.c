// Times short programs from their exec to their end, with nothing in between: no interpreter, no event loop.
//   exec-timer BATCH PROGRAM STDIN-FILE OUTPUT-FOLDER
// Each line of standard input is one execution: tab-separated VAR=value, added to the environment. BATCH executions run at once:
// each has been forked before the first may exec. Standard output of the Nth goes to OUTPUT-FOLDER/N. Prints a line for each, in
// order: nanoseconds, exit status (128 + signal); at last the CPU microseconds of all of them and their children.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX = 4096 };
static char *lines[MAX];
static pid_t pids[MAX];
static int64_t ends[MAX];
static int statuses[MAX];

static int64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void run(int index, int barrier, int64_t *start, char **argv) {
  setpriority(PRIO_PROCESS, 0, 0);
  char path[4096];
  snprintf(path, sizeof path, "%s/%d", argv[4], index);
  int in = open(argv[3], O_RDONLY | O_CLOEXEC), out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0) fail(path);
  for (char *rest = lines[index], *word; (word = strsep(&rest, "\t")) != NULL;)
    if (putenv(word) != 0) fail(word);
  char byte;
  while (read(barrier, &byte, 1) < 0 && errno == EINTR) {}
  *start = now();
  execl(argv[2], argv[2], (char *)NULL);
  fail(argv[2]);
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: exec-timer BATCH PROGRAM STDIN-FILE OUTPUT-FOLDER\n");
    return 2;
  }
  int batch = atoi(argv[1]), count = 0;
  char *line = NULL;
  size_t room = 0;
  for (ssize_t length; count < MAX && (length = getline(&line, &room, stdin)) > 0; count++) {
    if (line[length - 1] == '\n') line[length - 1] = '\0';
    lines[count] = strdup(line);
  }
  int64_t *starts = mmap(NULL, sizeof *starts * MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (starts == MAP_FAILED) fail("mmap");
  setpriority(PRIO_PROCESS, 0, -20); // whoever notes the ends should not have to wait for a processor; the children do
  for (int first = 0; first < count; first += batch) {
    int last = first + batch < count ? first + batch : count, barrier[2];
    if (pipe2(barrier, O_CLOEXEC) < 0) fail("pipe");
    for (int index = first; index < last; index++) {
      pids[index] = fork();
      if (pids[index] < 0) fail("fork");
      if (pids[index] == 0) {
        close(barrier[1]);
        run(index, barrier[0], &starts[index], argv);
      }
    }
    close(barrier[0]);
    usleep(batch > 1 ? 20000 : 1000); // all of them wait by then
    close(barrier[1]);
    for (int left = last - first; left > 0; left--) {
      int status;
      pid_t pid = wait(&status);
      int64_t at = now();
      if (pid < 0) fail("wait");
      for (int index = first; index < last; index++) {
        if (pids[index] != pid) continue;
        ends[index] = at;
        statuses[index] = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
    }
  }
  for (int index = 0; index < count; index++) printf("%lld %d\n", (long long)(ends[index] - starts[index]), statuses[index]);
  struct rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  printf("%lld\n", (long long)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  return 0;
}
