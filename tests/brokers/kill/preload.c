/* A worse disk under one directory, loaded into the real program (LD_PRELOAD).
 *
 * TWINFLOW_TEST_DIR     the directory, an absolute path
 * TWINFLOW_TEST_IMAGE   a directory for what a power cut now would leave: see below
 * TWINFLOW_TEST_TRACE   a file with a line for every sync: begin, end (ns since 1970),
 *                       its result, the name of what was synced
 * TWINFLOW_TEST_DELAY   milliseconds before each sync
 * TWINFLOW_TEST_EIO     number of the sync that fails with EIO, from 1
 * TWINFLOW_TEST_JUMPS   seconds between two jumps of the wall clock
 *
 * The image holds only what was synced: `names` has a line "NAME NUMBER" for every name as of the
 * last sync of the directory, and the file NUMBER holds what was synced of that file. Renames and
 * removals count from the next sync of the directory, bytes from the next sync of their file. A
 * file's number is in an extended attribute, so that names and inodes may come and go.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define FDS 4096
#define ATTRIBUTE "user.twinflow-test"

enum kind { OTHER, A_FILE, DIRECTORY };
struct range { off_t from, to; };
struct open_file {
    enum kind kind;
    unsigned long number;
    int whole;
    struct range *ranges;
    size_t count, room;
};

static struct open_file files[FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *dir, *image;
static int trace = -1;
static long delay_ms, eio_at, jumps_s;
static unsigned long last_number, syncs;

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fsync)(int), (*real_fdatasync)(int), (*real_close)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_clock)(clockid_t, struct timespec *);

static void die(const char *what) {
    dprintf(2, "preload: %s: %s\n", what, strerror(errno));
    abort();
}

static int64_t now(void) {
    struct timespec t;
    real_clock(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Copies bytes of an open file into the image, and gives the copy its length. */
static void copy(int from_fd, unsigned long number, const struct range *ranges, size_t count) {
    static char bytes[1 << 16];
    char path[PATH_MAX];
    snprintf(path, sizeof path, "/proc/self/fd/%d", from_fd);
    int from = real_open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "%s/%lu", image, number);
    int to = real_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct stat is;
    if (from < 0 || to < 0 || fstat(from, &is)) die("copy");
    for (size_t i = 0; i < count; i++) {
        off_t at = ranges[i].from;
        while (at < ranges[i].to && at < is.st_size) {
            off_t most = ranges[i].to - at;
            if (most > (off_t)sizeof bytes) most = sizeof bytes;
            ssize_t got = pread(from, bytes, most, at);
            if (got <= 0 || real_pwrite(to, bytes, got, at) != got) die("copy");
            at += got;
        }
    }
    if (real_ftruncate(to, is.st_size)) die("copy");
    real_close(from);
    real_close(to);
}

/* The number of a file; one that has none is new. */
static unsigned long number_of(int fd, int *is_new) {
    unsigned long number = 0;
    *is_new = 0;
    if (fgetxattr(fd, ATTRIBUTE, &number, sizeof number) == sizeof number) return number;
    *is_new = 1;
    number = ++last_number;
    if (fsetxattr(fd, ATTRIBUTE, &number, sizeof number, 0)) die("number a file");
    return number;
}

/* The names that there are, as lines; to be freed. */
static char *names(size_t *length) {
    char *text = NULL, path[PATH_MAX];
    FILE *into = open_memstream(&text, length);
    DIR *entries = opendir(dir);
    if (!into || !entries) die("list");
    for (struct dirent *entry; (entry = readdir(entries));) {
        unsigned long number;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (getxattr(path, ATTRIBUTE, &number, sizeof number) == sizeof number)
            fprintf(into, "%s %lu\n", entry->d_name, number);
    }
    closedir(entries);
    fclose(into);
    return text;
}

static void put_names(const char *text, size_t length) {
    char new[PATH_MAX], path[PATH_MAX];
    snprintf(new, sizeof new, "%s/names.new", image);
    snprintf(path, sizeof path, "%s/names", image);
    int fd = real_open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || real_write(fd, text, length) != (ssize_t)length) die("names");
    real_close(fd);
    if (rename(new, path)) die("names");
}

/* What is there when there is no image yet counts as synced. */
static void begin_image(void) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/names", image);
    if (!access(path, F_OK)) return;
    DIR *entries = opendir(dir);
    if (!entries) return;
    for (struct dirent *entry; (entry = readdir(entries));) {
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        int is_new, fd = real_open(path, O_RDONLY | O_CLOEXEC);
        struct stat is;
        if (fd < 0 || fstat(fd, &is)) die("begin");
        if (S_ISREG(is.st_mode)) {
            struct range all = {0, is.st_size};
            copy(fd, number_of(fd, &is_new), &all, 1);
        }
        real_close(fd);
    }
    closedir(entries);
    size_t length;
    char *text = names(&length);
    put_names(text, length);
    free(text);
}

static void bind_all(void) {
    real_open = dlsym(RTLD_NEXT, "open64");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_close = dlsym(RTLD_NEXT, "close");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_clock = dlsym(RTLD_NEXT, "clock_gettime");
}

static long setting(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

__attribute__((constructor)) static void begin(void) {
    bind_all();
    dir = getenv("TWINFLOW_TEST_DIR");
    image = getenv("TWINFLOW_TEST_IMAGE");
    delay_ms = setting("TWINFLOW_TEST_DELAY");
    eio_at = setting("TWINFLOW_TEST_EIO");
    jumps_s = setting("TWINFLOW_TEST_JUMPS");
    const char *path = getenv("TWINFLOW_TEST_TRACE");
    if (path) trace = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    last_number = (unsigned long)now();
    if (dir && image) begin_image();
}

static enum kind kind_of(const char *path) {
    char real[PATH_MAX];
    if (!dir || !realpath(path, real)) return OTHER;
    if (!strcmp(real, dir)) return DIRECTORY;
    size_t length = strlen(dir);
    int inside = !strncmp(real, dir, length) && real[length] == '/';
    return inside && !strchr(real + length + 1, '/') ? A_FILE : OTHER;
}

static int opened(int fd, const char *path, int flags) {
    if (fd < 0 || fd >= FDS || !dir) return fd;
    enum kind kind = kind_of(path);
    pthread_mutex_lock(&lock);
    struct open_file *file = &files[fd];
    file->kind = kind;
    file->count = 0;
    file->whole = (flags & O_TRUNC) != 0;
    if (kind == A_FILE && image) {
        int is_new;
        file->number = number_of(fd, &is_new);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...) {                                                   \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = mode_of(flags, rest);                                                        \
        va_end(rest);                                                                              \
        if (!real_open) bind_all();                                                                \
        return opened(real_open(path, flags, mode), path, flags);                                  \
    }
OPEN(open)
OPEN(open64)

static void wrote(int fd, off_t from, ssize_t length) {
    if (fd < 0 || fd >= FDS || length <= 0 || files[fd].kind != A_FILE) return;
    pthread_mutex_lock(&lock);
    struct open_file *file = &files[fd];
    if (file->count == file->room) {
        file->room = file->room ? 2 * file->room : 16;
        file->ranges = realloc(file->ranges, file->room * sizeof *file->ranges);
        if (!file->ranges) die("remember");
    }
    file->ranges[file->count++] = (struct range){from, from + length};
    pthread_mutex_unlock(&lock);
}

#define PWRITE(name)                                                                               \
    ssize_t name(int fd, const void *bytes, size_t length, off_t at) {                             \
        if (!real_pwrite) bind_all();                                                              \
        ssize_t done = real_pwrite(fd, bytes, length, at);                                         \
        wrote(fd, at, done);                                                                       \
        return done;                                                                               \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t write(int fd, const void *bytes, size_t length) {
    if (!real_write) bind_all();
    ssize_t done = real_write(fd, bytes, length);
    if (fd >= 0 && fd < FDS && files[fd].kind == A_FILE && done > 0)
        wrote(fd, lseek(fd, 0, SEEK_CUR) - done, done);
    return done;
}

#define FTRUNCATE(name)                                                                            \
    int name(int fd, off_t length) {                                                               \
        if (!real_ftruncate) bind_all();                                                           \
        if (fd >= 0 && fd < FDS) files[fd].whole = 1;                                              \
        return real_ftruncate(fd, length);                                                         \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

int close(int fd) {
    if (!real_close) bind_all();
    if (fd >= 0 && fd < FDS) files[fd].kind = OTHER;
    return real_close(fd);
}

/* What counts once this sync has returned. */
static void synced(int fd, struct open_file *file) {
    if (!image || file->kind != A_FILE) return;
    struct range all = {0, INT64_MAX};
    copy(fd, file->number, file->whole ? &all : file->ranges, file->whole ? 1 : file->count);
    file->count = 0;
    file->whole = 0;
}

/* A line of the trace, with the name that the file has now. */
static void tell(int fd, int64_t began, int result) {
    char line[PATH_MAX + 96], path[64], name[PATH_MAX];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t named = readlink(path, name, sizeof name - 1);
    name[named < 0 ? 0 : named] = 0;
    const char *said = result ? "failed" : "ok", *base = strrchr(name, '/');
    int length = snprintf(line, sizeof line, "%lld %lld %s %s\n", (long long)began,
                          (long long)now(), said, base ? base + 1 : "?");
    if (real_write(trace, line, length) != length) die("trace");
}

static int sync_with(int fd, int (*real)(int)) {
    if (fd < 0 || fd >= FDS || files[fd].kind == OTHER) return real(fd);
    unsigned long number = __atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST);
    int64_t began = now();
    if (delay_ms) usleep(delay_ms * 1000);
    int result = -1;
    if (eio_at && number == (unsigned long)eio_at) {
        errno = EIO;
    } else {
        pthread_mutex_lock(&lock);
        size_t length = 0;
        char *text = image && files[fd].kind == DIRECTORY ? names(&length) : NULL;
        pthread_mutex_unlock(&lock);
        result = real(fd);
        pthread_mutex_lock(&lock);
        if (!result) synced(fd, &files[fd]);
        if (!result && text) put_names(text, length);
        pthread_mutex_unlock(&lock);
        free(text);
    }
    int saved = errno;
    if (trace >= 0) tell(fd, began, result);
    errno = saved;
    return result;
}

int fsync(int fd) {
    if (!real_fsync) bind_all();
    return sync_with(fd, real_fsync);
}

int fdatasync(int fd) {
    if (!real_fdatasync) bind_all();
    return sync_with(fd, real_fdatasync);
}

/* An hour on, back, and on to beyond 2038, in turn. */
int clock_gettime(clockid_t clock, struct timespec *into) {
    static const long JUMPS[] = {0, 3600, -3600, 0, 473040000};
    static time_t first;
    if (!real_clock) bind_all();
    int result = real_clock(clock, into);
    if (!jumps_s || clock != CLOCK_REALTIME || result) return result;
    struct timespec since;
    real_clock(CLOCK_MONOTONIC, &since);
    if (!first) first = since.tv_sec;
    into->tv_sec += JUMPS[(since.tv_sec - first) / jumps_s % 5];
    return result;
}
