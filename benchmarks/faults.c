/* Faults for a process and all that it starts, by LD_PRELOAD (benchmarks/faults.py).
 *
 * FAULT_FOLDER   files below it are struck
 * FAULT_FILE     while this file exists, a call that writes to them fails with the error number in it
 * FAULT_CLOCK    while this file exists, the wall clock is off by the seconds in it
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The number in the file that a variable names; 0 without one. Plain system calls: the functions below are not entered. */
static long number_in(const char *variable) {
    const char *path = getenv(variable);
    char text[32] = "";
    if (path == NULL) return 0;
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);
    if (file < 0) return 0;
    if (syscall(SYS_read, file, text, sizeof text - 1) < 0) text[0] = 0;
    syscall(SYS_close, file);
    return strtol(text, NULL, 10);
}

static int below(const char *path) {
    const char *folder = getenv("FAULT_FOLDER");
    return folder != NULL && path != NULL && strncmp(path, folder, strlen(folder)) == 0;
}

static int struck_path(const char *path) {
    char whole[PATH_MAX];
    long fault = number_in("FAULT_FILE");
    if (!fault || path == NULL) return 0;
    if (path[0] != '/') {
        if (syscall(SYS_getcwd, whole, sizeof whole) < 0) return 0;
        size_t used = strlen(whole);
        snprintf(whole + used, sizeof whole - used, "/%s", path);
        path = whole;
    }
    if (!below(path)) return 0;
    errno = (int)fault;
    return 1;
}

static int struck(int file) {
    char link[64], path[PATH_MAX];
    long fault = number_in("FAULT_FILE");
    if (!fault) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = syscall(SYS_readlink, link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    if (!below(path)) return 0;
    errno = (int)fault;
    return 1;
}

ssize_t write(int file, const void *data, size_t size) {
    return struck(file) ? -1 : NEXT(write)(file, data, size);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t place) {
    return struck(file) ? -1 : NEXT(pwrite)(file, data, size, place);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t place) {
    return struck(file) ? -1 : NEXT(pwrite64)(file, data, size, place);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    return struck(file) ? -1 : NEXT(writev)(file, parts, count);
}
int fsync(int file) { return struck(file) ? -1 : NEXT(fsync)(file); }
int ftruncate(int file, off_t size) { return struck(file) ? -1 : NEXT(ftruncate)(file, size); }
int rename(const char *from, const char *to) { return struck_path(to) ? -1 : NEXT(rename)(from, to); }
int mkdir(const char *path, mode_t mode) { return struck_path(path) ? -1 : NEXT(mkdir)(path, mode); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    long status = syscall(SYS_clock_gettime, clock, now);
    if (status == 0 && clock == CLOCK_REALTIME) now->tv_sec += number_in("FAULT_CLOCK");
    return (int)status;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &precise) != 0) return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *kept) {
    struct timespec precise;
    if (clock_gettime(CLOCK_REALTIME, &precise) != 0) return -1;
    if (kept != NULL) *kept = precise.tv_sec;
    return precise.tv_sec;
}
