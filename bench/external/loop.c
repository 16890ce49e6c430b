/* The bare system calls, without a runtime: loop WHAT DIRECTORY MILLISECONDS prints microseconds for one. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *directory;
static char path[4096];
static char kilobyte[1024];

static void must(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static void next_path(void) {
  static unsigned long number;
  snprintf(path, sizeof path, "%s/loop%lu", directory, number++);
}

static void named(void) {
  next_path();
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  must(fd >= 0 && close(fd) == 0 && unlink(path) == 0, path);
}

static int without_name(void) {
  int fd = open(directory, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
  must(fd >= 0, directory);
  return fd;
}

static void unnamed(void) { close(without_name()); }

static void directories(void) {
  next_path();
  must(mkdir(path, 0700) == 0 && rmdir(path) == 0, path);
}

static void small(void) {
  int fd = without_name();
  must(pwrite(fd, kilobyte, sizeof kilobyte, 0) == sizeof kilobyte, "pwrite");
  must(pread(fd, kilobyte, sizeof kilobyte, 0) == sizeof kilobyte, "pread");
  close(fd);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static void (*choose(const char *what))(void) {
  if (strcmp(what, "named") == 0) return named;
  if (strcmp(what, "unnamed") == 0) return unnamed;
  if (strcmp(what, "directory") == 0) return directories;
  if (strcmp(what, "small") == 0) return small;
  fprintf(stderr, "No such loop: %s\n", what);
  exit(1);
}

int main(int count, char **arguments) {
  if (count != 4) return 2;
  void (*call)(void) = choose(arguments[1]);
  directory = arguments[2];
  for (int i = 0; i < 100; i++) call();
  double start = now(), end = start + atoi(arguments[3]) * 1000.0, at;
  unsigned long calls = 0;
  for (; (at = now()) < end; calls++) call();
  printf("%f\n", (at - start) / calls);
  return 0;
}
