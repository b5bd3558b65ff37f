#define _GNU_SOURCE
#include "rp_platform.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rp_output {
    int descriptor;
    int is_committed;
    char target[PATH_MAX]; // behind symbolic links
    char temporary[PATH_MAX];
};

// Bytes of `path` before its last component, with the slash.
static size_t folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

// Writes `name` in the folder of `path`; the folder itself, as ".", where name is NULL. `out` has PATH_MAX bytes and is not `path`.
static int beside(const char *path, const char *name, char *out) {
    const int length = snprintf(out, PATH_MAX, "%.*s%s", (int)folder_length(path), path, name ? name : ".");
    return length < PATH_MAX ? 0 : ENAMETOOLONG;
}

// The file that `path` names behind symbolic links, whether or not it is there. Links in the folders on the way are left to the system.
static int resolve(const char *path, char target[PATH_MAX]) {
    if (strlen(path) >= PATH_MAX) return ENAMETOOLONG;
    strcpy(target, path);
    // Linux follows as many.
    for (int links = 0; links < 40; links++) {
        char link[PATH_MAX], next[PATH_MAX];
        const ssize_t length = readlink(target, link, sizeof link - 1);
        if (length < 0) return 0;
        link[length] = 0;
        if (link[0] == '/') {
            strcpy(target, link);
            continue;
        }
        const int error = beside(target, link, next);
        if (error) return error;
        strcpy(target, next);
    }
    return ELOOP;
}

int rp_name_beside(const char *path, const char *suffix, char name[RP_PATH]) {
    _Static_assert(RP_PATH >= PATH_MAX, "a path fits");
    char target[PATH_MAX], last[64];
    const int error = resolve(path, target);
    if (error) return error;
    // Short, because that of `path` may have as many bytes as a name can have; and none that a killed run has left behind.
    const int length = snprintf(last, sizeof last, "rudolph.%016llx.%s", (unsigned long long)rp_random_seed(), suffix);
    return length < (int)sizeof last ? beside(target, last, name) : ENAMETOOLONG;
}

int rp_output_check(const char *path) {
    char target[PATH_MAX], folder[PATH_MAX];
    int error = resolve(path, target);
    if (error == 0) error = beside(target, NULL, folder);
    return error ? error : access(folder, W_OK | X_OK) == 0 ? 0 : errno;
}

int rp_output_open(const char *path, rp_output **opened) {
    rp_output *output = malloc(sizeof *output);
    if (!output) return ENOMEM;
    output->is_committed = 0;
    int error = resolve(path, output->target);
    if (error == 0) error = rp_name_beside(output->target, "part", output->temporary);
    struct stat replaced;
    const int is_replaced = error == 0 && stat(output->target, &replaced) == 0;
    if (error == 0) {
        // As any file is made: the user's mask and the folder's rules say who may read it.
        output->descriptor = open(output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (output->descriptor < 0) error = errno;
    }
    if (error) {
        free(output);
        return error;
    }
    // But one that is replaced stays as private as it was.
    if (is_replaced && fchmod(output->descriptor, replaced.st_mode & 0777) != 0) {
        error = errno;
        rp_output_close(output);
        return error;
    }
    *opened = output;
    return 0;
}

const char *rp_output_name(const rp_output *output) {
    return output->temporary;
}

int rp_output_write(rp_output *output, const void *bytes, uint64_t size, uint64_t offset) {
    for (uint64_t done = 0; done < size;) {
        const ssize_t written = pwrite(output->descriptor, (const char *)bytes + done, (size_t)(size - done), (off_t)(offset + done));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return written < 0 ? errno : EIO;
        done += (uint64_t)written;
    }
    return 0;
}

int rp_write(int descriptor, const void *bytes, uint64_t size) {
    for (uint64_t done = 0; done < size;) {
        const ssize_t written = write(descriptor, (const char *)bytes + done, (size_t)(size - done));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return written < 0 ? errno : EIO;
        done += (uint64_t)written;
    }
    return 0;
}

int rp_output_commit(rp_output *output) {
    if (fsync(output->descriptor) != 0 || rename(output->temporary, output->target) != 0) return errno;
    output->is_committed = 1;
    char folder[PATH_MAX];
    const int descriptor = beside(output->target, NULL, folder) == 0 ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
    return 0;
}

void rp_output_close(rp_output *output) {
    if (!output) return;
    close(output->descriptor);
    if (!output->is_committed) unlink(output->temporary);
    free(output);
}
